package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/schemas"
)

// pageSize bounds the shards that one run works on: beyond it the stage goes on
// as a new run, so that a history stays small enough to load. Tests shorten it.
var pageSize = 500

// maxFailures bounds the failed shards that a payload lists.
const maxFailures = 20

// stage is one stage workflow: which activity works on the shards of which
// split, and what determines its output.
type stage struct {
	name     string
	activity string
	queue    string
	split    string
	// needs are the tables that the activity reads.
	needs []string
	// config finds whatever the output depends on beside the input, the identity
	// of models among it. It is asked once, when the stage opens.
	config func() (any, error)
	// callsPerRow, if not 0, says that the activity calls models, and how many
	// calls follow the first one for a row, itself included.
	callsPerRow int64
	// input wraps a shard into the activity's input.
	input func(store.Shard) any
	// again makes the error that continues the workflow with this progress.
	again func(*schemas.StageProgress) error
	// then, if not nil, is what is left to do when all shards are done.
	then func(schemas.StageResult) error
}

// run works through the shards of in.Manifest with ShardsInFlight activities at
// once. Failed shards are data; when they are too many the stage parks and waits
// for a decision. It ends with closed books or an error, never in between.
func (s stage) run(ctx workflow.Context, in schemas.StageInput) (schemas.StageResult, error) {
	r := &stageRun{stage: s, in: in, log: workflow.GetLogger(ctx), status: schemas.StatusRunning}
	if in.Progress != nil {
		r.p = *in.Progress
	}
	r.caps = in.BudgetOptions
	if r.p.Raised != nil {
		r.caps = *r.p.Raised
	}
	if err := r.handle(ctx); err != nil {
		return schemas.StageResult{}, err
	}
	out, err := r.shards(ctx)
	if err == nil && s.then != nil {
		err = s.then(out)
	}
	if workflow.IsContinueAsNewError(err) {
		return out, err
	}
	r.status = schemas.StatusDone
	if err != nil {
		r.status = schemas.StatusFailed
	}
	if publishErr := r.publish(ctx); err == nil {
		err = publishErr
	}
	return out, err
}

// shards works until every shard is committed or given up.
func (r *stageRun) shards(ctx workflow.Context) (schemas.StageResult, error) {
	if r.p.Job == "" {
		if err := r.open(ctx); err != nil {
			return schemas.StageResult{}, err
		}
	}
	if err := r.publish(ctx); err != nil {
		return schemas.StageResult{}, err
	}
	for {
		if err := r.page(ctx); err != nil {
			return schemas.StageResult{}, err
		}
		if r.p.Next < r.p.Shards {
			return schemas.StageResult{}, r.again(ctx)
		}
		retry, err := r.settle(ctx)
		if err != nil {
			return schemas.StageResult{}, err
		}
		if !retry {
			break
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return schemas.StageResult{}, r.again(ctx)
		}
	}
	return r.close(ctx)
}

// stageRun is the state of one run of a stage.
type stageRun struct {
	stage
	in  schemas.StageInput
	log log.Logger
	p   schemas.StageProgress
	// status is one of the Status constants.
	status string
	// decision is what a person told a parked stage, reason why it is parked.
	decision, reason string
	// shown is what the search attributes say.
	shown attributes
	budget
}

func (r *stageRun) open(ctx workflow.Context) error {
	config, err := r.config()
	if err != nil {
		return err
	}
	var opened store.OpenStageResult
	err = workflow.ExecuteActivity(withRecords(ctx, "open stage "+r.name), openStage, store.OpenStageInput{
		Stage: r.name, Manifest: r.in.Manifest, Split: r.split, Needs: r.needs, Config: config, Generation: r.in.Generation,
	}).Get(ctx, &opened)
	if err != nil {
		return err
	}
	r.p.Job, r.p.ConfigHash, r.p.Shards = opened.Job, opened.ConfigHash, opened.Shards
	return r.estimate(ctx, opened)
}

// page works on the shards to be retried and on the next page of new ones.
func (r *stageRun) page(ctx workflow.Context) error {
	todo := r.p.Retry
	r.p.Retry = nil
	if r.p.Next < r.p.Shards {
		var page store.ListShardsResult
		err := workflow.ExecuteActivity(withRecords(ctx, fmt.Sprintf("list shards from %d", r.p.Next)), listShards, store.ListShardsInput{
			Job: r.p.Job, Stage: r.name, Manifest: r.in.Manifest, Split: r.split, Offset: r.p.Next, Limit: pageSize,
		}).Get(ctx, &page)
		if err != nil {
			return err
		}
		todo = append(todo, page.Todo...)
		r.p.Done += page.Done
		r.p.Reused += page.Done
		r.p.Next = min(r.p.Next+pageSize, r.p.Shards)
	}
	return r.work(ctx, todo)
}

// work runs one activity per shard until none is left. Whenever the budget is
// reached it parks, and goes on as a person decides.
func (r *stageRun) work(ctx workflow.Context, todo []int) error {
	for len(todo) > 0 {
		if r.p.GaveUp {
			for _, shard := range todo {
				r.fail(shard, string(schemas.BudgetExceeded), "not worked on: the budget was reached")
			}
			return nil
		}
		left, err := r.spend(ctx, todo)
		if err != nil {
			return err
		}
		if todo = left; len(todo) > 0 {
			if err := r.overBudget(ctx, len(todo)); err != nil {
				return err
			}
		}
	}
	return nil
}

// spend works on shards, ShardsInFlight at once, until none is left or the budget
// is reached, and returns those that are left.
func (r *stageRun) spend(ctx workflow.Context, todo []int) (left []int, err error) {
	working, stop := workflow.WithCancel(ctx)
	defer stop()
	selector := workflow.NewSelector(ctx)
	r.begin(ctx, selector, stop)
	defer r.pause(ctx)
	// Not a loop variable: the callbacks must see the one and only counter.
	inFlight := 0
	for len(todo) > 0 || inFlight > 0 {
		for len(todo) > 0 && inFlight < r.slots && ctx.Err() == nil && !r.reached() {
			shard := todo[0]
			todo = todo[1:]
			l := r.lease(inFlight, len(todo)+1)
			inFlight++
			selector.AddFuture(r.start(working, shard, l.Allowance), func(f workflow.Future) {
				inFlight--
				r.release(l)
				if ctx.Err() == nil && !r.finish(ctx, shard, f, l, working.Err() != nil) {
					todo = append(todo, shard)
				}
			})
		}
		if inFlight == 0 {
			break
		}
		selector.Select(ctx)
		if err := r.publish(ctx); err != nil {
			return nil, err
		}
	}
	return todo, ctx.Err()
}

func (r *stageRun) start(ctx workflow.Context, shard int, allowance schemas.Allowance) workflow.Future {
	summary := fmt.Sprintf("%s shard %d of %d", r.name, shard, r.p.Shards)
	return workflow.ExecuteActivity(withShard(ctx, r.queue, summary, r.in.RunOptions), r.activity, r.input(r.shard(shard, allowance)))
}

func (r *stageRun) shard(number int, allowance schemas.Allowance) store.Shard {
	return store.Shard{
		Job: r.p.Job, Stage: r.name, ConfigHash: r.p.ConfigHash, Manifest: r.in.Manifest, Number: number,
		Generation: r.in.Generation, Allowance: allowance,
	}
}

// finish takes the result of a shard's work. ended is false if the shard is to be
// worked on again: its lease was too small, or the stage stopped it.
func (r *stageRun) finish(ctx workflow.Context, shard int, f workflow.Future, l lease, stopped bool) (ended bool) {
	var done schemas.ShardResult
	err := f.Get(ctx, &done)
	if err != nil {
		r.p.Spent = r.p.Spent.Add(spentOf(err))
	} else {
		r.p.Spent = r.p.Spent.Add(done.Spent)
	}
	errorType, message := failureOf(err)
	switch {
	case err != nil && stopped:
		return false
	case errorType == string(schemas.BudgetExceeded) && (l.Tokens != nil || l.Cost != nil):
		r.starved(l, message)
		return false
	case err != nil:
		r.log.Warn("shard failed", "stage", r.name, "shard", shard, "type", errorType, "error", message)
		r.fail(shard, errorType, message)
	case !done.Books.Closed():
		r.fail(shard, string(schemas.Internal), fmt.Sprintf("the books do not close: %+v", done.Books))
	default:
		r.p.Done++
		if done.Reused {
			r.p.Reused++
		}
	}
	return true
}

// fail notes a failed shard in its place, so that nothing depends on which shard
// failed first. Those beyond the ones that are listed lose their message, since
// all of them travel in payloads.
func (r *stageRun) fail(shard int, errorType, message string) {
	i, _ := slices.BinarySearchFunc(r.p.Failed, shard, func(f schemas.ShardFailure, shard int) int { return cmp.Compare(f.Shard, shard) })
	r.p.Failed = slices.Insert(r.p.Failed, i, schemas.ShardFailure{Shard: shard, ErrorType: errorType, Message: clip(message)})
	for i := max(i, maxFailures); i < len(r.p.Failed) && r.p.Failed[i].Message != ""; i++ {
		r.p.Failed[i].Message = ""
	}
}

// settle decides about failed shards: go on if they are few, else park until a
// person does. retry says that they are to be worked on again.
func (r *stageRun) settle(ctx workflow.Context) (retry bool, err error) {
	// The quotient, unlike the product, is exactly what "0.29" of 100 means.
	tooMany := float64(len(r.p.Failed))/float64(r.p.Shards) > r.in.MaxFailedFraction
	if !tooMany || r.p.GaveUp {
		return false, nil
	}
	decision, err := r.park(ctx, fmt.Sprintf("%d of %d shards failed", len(r.p.Failed), r.p.Shards))
	if err != nil {
		return false, err
	}
	switch decision {
	case UpdateRetryFailed:
		for _, f := range r.p.Failed {
			r.p.Retry = append(r.p.Retry, f.Shard)
		}
		r.p.Failed = nil
		return true, r.publish(ctx)
	case UpdateStop:
		first := r.p.Failed[0]
		return false, ApplicationError(schemas.Errorf(schemas.ErrorType(first.ErrorType), "stage %s stopped with %d of %d shards failed, the first, %d: %s",
			r.name, len(r.p.Failed), r.p.Shards, first.Shard, first.Message))
	}
	return false, nil // skip_failed
}

// park waits until a person decides and returns the update's name.
func (r *stageRun) park(ctx workflow.Context, reason string) (decision string, err error) {
	r.status, r.reason = schemas.StatusNeedsAttention, reason
	if err := r.publish(ctx); err != nil {
		return "", err
	}
	if err := workflow.Await(ctx, func() bool { return r.decision != "" }); err != nil {
		return "", err
	}
	decision = r.decision
	r.decision, r.reason, r.status = "", "", schemas.StatusRunning
	return decision, nil
}

func (r *stageRun) close(ctx workflow.Context) (schemas.StageResult, error) {
	var out schemas.StageResult
	err := workflow.ExecuteActivity(withRecords(ctx, "close stage "+r.name), closeStage, store.CloseStageInput{
		Job: r.p.Job, Stage: r.name, Manifest: r.in.Manifest, Split: r.split, Failed: r.p.Failed,
	}).Get(ctx, &out)
	if err != nil {
		return out, err
	}
	out.Reused = r.p.Reused
	out.Failed = out.Failed[:min(len(out.Failed), maxFailures)]
	if !out.Books.Closed() {
		return out, ApplicationError(schemas.Errorf(schemas.Internal, "stage %s: the books do not close: %+v", r.name, out.Books))
	}
	return out, nil
}

// again continues as a new run once no handler is at work.
func (r *stageRun) again(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return r.stage.again(&r.p)
}

// clip shortens a message so that maxFailures of them fit a payload. It counts
// bytes as JSON writes them, which is up to six for one.
func clip(message string) string {
	const limit = 200
	message = strings.ToValidUTF8(message, "")
	size := 0
	for i, r := range message {
		switch {
		case r < ' ' || strings.ContainsRune("<>&\u2028\u2029", r):
			size += len(`\u0000`)
		case r == '"' || r == '\\':
			size += 2
		default:
			size += utf8.RuneLen(r)
		}
		if size > limit {
			return message[:i] + "…"
		}
	}
	return message
}
