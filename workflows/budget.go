package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/schemas"
)

// budget is how a stage keeps its caps. Of what is left, each shard in flight
// gets a share that it cannot exceed, so all of them together cannot either.
type budget struct {
	// caps hold now; a cap of 0 is none.
	caps schemas.BudgetOptions
	// leased is what the shards in flight may still spend.
	leasedTokens int64
	leasedCost   float64
	// slots is ShardsInFlight, less after shards whose share was too small.
	slots int
	// exhausted says why no shard can go on with all that is left, "" if one can.
	exhausted string
	// inTime says that the caps were raised between that and parking.
	inTime bool
	// since is when the stage began to work, zero while it does not.
	since time.Time
}

// lease is the share of one shard in flight. whole says that it is all there is,
// caps are those that held when it was given.
type lease struct {
	schemas.Allowance
	whole bool
	caps  schemas.BudgetOptions
}

// begin starts to work: the clock runs.
func (r *stageRun) begin(ctx workflow.Context) {
	r.slots, r.exhausted, r.since = r.in.ShardsInFlight, "", workflow.Now(ctx)
}

// pause stops the clock.
func (r *stageRun) pause(ctx workflow.Context) {
	r.p.Ran, r.since = schemas.Duration(r.ran(ctx)), time.Time{}
}

// ran is the time at work.
func (r *stageRun) ran(ctx workflow.Context) time.Duration {
	if r.since.IsZero() {
		return time.Duration(r.p.Ran)
	}
	return time.Duration(r.p.Ran) + workflow.Now(ctx).Sub(r.since)
}

// reached reports whether no further shard may start.
func (r *stageRun) reached(ctx workflow.Context) bool {
	if cap := time.Duration(r.caps.BudgetTime); r.exhausted == "" && cap > 0 && r.ran(ctx) >= cap {
		r.exhausted = fmt.Sprintf("the stage worked for %s of a budget_time of %s", r.ran(ctx).Round(time.Second), cap)
	}
	if cap := r.caps.BudgetTokens; r.exhausted == "" && cap > 0 && r.p.Spent.Tokens() >= cap {
		r.exhausted = fmt.Sprintf("%d tokens are spent of a budget_tokens of %d", r.p.Spent.Tokens(), cap)
	}
	if cap := r.caps.BudgetCost; r.exhausted == "" && cap > 0 && r.p.Spent.Cost >= cap {
		r.exhausted = fmt.Sprintf("%.6g is spent of a budget_cost of %g", r.p.Spent.Cost, cap)
	}
	return r.exhausted != ""
}

// lease sets aside a shard's share of what is left.
func (r *stageRun) lease(ctx workflow.Context, inFlight, waiting int) lease {
	shares := max(1, min(r.slots-inFlight, waiting))
	l := lease{whole: inFlight == 0 && shares == 1, caps: r.caps}
	if cap := time.Duration(r.caps.BudgetTime); cap > 0 {
		l.Deadline = workflow.Now(ctx).Add(cap - r.ran(ctx))
	}
	if cap := r.caps.BudgetTokens; cap > 0 {
		share := max(0, cap-r.p.Spent.Tokens()-r.leasedTokens) / int64(shares)
		l.Tokens = &share
		r.leasedTokens += share
	}
	if cap := r.caps.BudgetCost; cap > 0 {
		share := max(0, cap-r.p.Spent.Cost-r.leasedCost) / float64(shares)
		l.Cost = &share
		r.leasedCost += share
	}
	return l
}

func (r *stageRun) release(l lease) {
	if l.Tokens != nil {
		r.leasedTokens -= *l.Tokens
	}
	if l.Cost != nil {
		r.leasedCost -= *l.Cost
	}
}

// starved takes note of a shard that could not go on with its share. With half
// as many shards in flight the shares are larger; one that had everything shows
// that the budget is reached.
func (r *stageRun) starved(l lease, message string) {
	switch {
	case l.caps != r.caps: // raised since, so there is more now
	case l.whole, strings.Contains(message, "budget_time"):
		r.exhausted = fmt.Sprintf("%d tokens and %.6g of money are spent: %s", r.p.Spent.Tokens(), r.p.Spent.Cost, message)
	default:
		r.slots = max(1, r.slots/2)
	}
}

// capped reports whether a shard may run out of its share.
func (l lease) capped() bool { return l.Tokens != nil || l.Cost != nil || !l.Deadline.IsZero() }

// overBudget parks the stage until its caps are raised, or it is to go on without
// the shards that are left, or to end.
func (r *stageRun) overBudget(ctx workflow.Context, left int) error {
	if r.exhausted == "" {
		return ApplicationError(schemas.Errorf(schemas.Internal, "stage %s stopped with %d shards left and no reason", r.name, left))
	}
	if r.inTime {
		r.inTime = false
		return nil
	}
	decision, err := r.park(ctx, r.exhausted)
	if err != nil {
		return err
	}
	switch decision {
	case UpdateStop:
		return ApplicationError(schemas.Errorf(schemas.BudgetExceeded, "stage %s stopped with %d of %d shards done: %s",
			r.name, r.p.Done, r.p.Shards, r.exhausted))
	case UpdateSkipFailed:
		r.p.GaveUp = true
	}
	return nil
}

// raise sets the caps that are given.
func (r *stageRun) raise(to schemas.BudgetOptions) {
	if to.BudgetTokens > 0 {
		r.caps.BudgetTokens = to.BudgetTokens
	}
	if to.BudgetCost > 0 {
		r.caps.BudgetCost = to.BudgetCost
	}
	if to.BudgetTime > 0 {
		r.caps.BudgetTime = to.BudgetTime
	}
	raised := r.caps
	r.p.Raised = &raised
	switch {
	case r.exhausted == "":
	case r.status == schemas.StatusNeedsAttention && !r.holding:
		r.decision = UpdateRaiseBudget
	default:
		r.inTime = true
	}
}

// mayRaise refuses caps that are none, or no higher than those that hold.
func (r *stageRun) mayRaise(to schemas.BudgetOptions) error {
	refuse := func(format string, args ...any) error {
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "raise_budget: "+format, args...))
	}
	if err := to.Validate(); err != nil {
		return refuse("%w", err)
	}
	switch {
	case to == schemas.BudgetOptions{}:
		return refuse("give at least one of budget_tokens, budget_cost, budget_time")
	case to.BudgetTokens > 0 && to.BudgetTokens <= r.caps.BudgetTokens, to.BudgetTokens > 0 && r.caps.BudgetTokens == 0:
		return refuse("budget_tokens %d is not above the present cap (%d; 0 is none)", to.BudgetTokens, r.caps.BudgetTokens)
	case to.BudgetCost > 0 && to.BudgetCost <= r.caps.BudgetCost, to.BudgetCost > 0 && r.caps.BudgetCost == 0:
		return refuse("budget_cost %g is not above the present cap (%g; 0 is none)", to.BudgetCost, r.caps.BudgetCost)
	case to.BudgetTime > 0 && to.BudgetTime <= r.caps.BudgetTime, to.BudgetTime > 0 && r.caps.BudgetTime == 0:
		return refuse("budget_time %s is not above the present cap (%s; 0s is none)", time.Duration(to.BudgetTime), time.Duration(r.caps.BudgetTime))
	}
	return nil
}

// estimate asks what the stage will take before it makes its first call. It is
// a courtesy: a stage whose estimate fails goes on without one.
func (r *stageRun) estimate(ctx workflow.Context, opened store.OpenStageResult) error {
	if r.callsPerRow == 0 || opened.FirstRows == 0 {
		return nil
	}
	shard := r.shard(opened.First, schemas.Allowance{EstimateOnly: true})
	var out schemas.ShardResult
	err := workflow.ExecuteActivity(withProbe(ctx, r.queue, "estimate stage "+r.name), r.activity, r.input(shard)).Get(ctx, &out)
	if err != nil || out.Estimate == nil {
		r.log.Warn("no estimate", "stage", r.name, "error", err)
		return ctx.Err()
	}
	e := out.Estimate.Scale(float64(opened.Rows)/float64(opened.FirstRows), r.callsPerRow)
	e.Rows = opened.Rows
	r.p.Estimate = &e
	return nil
}
