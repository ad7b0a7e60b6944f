package workflows

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// handle registers the query and the updates of a stage with their signal twins,
// which batch operations can send.
func (r *stageRun) handle(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.StageStatus, error) { return r.report(), nil },
		workflow.QueryHandlerOptions{Description: "Progress of the stage, what it spent and its failed shards, as JSON."})
	if err != nil {
		return err
	}
	decide := func(name, description string) error {
		err := workflow.SetUpdateHandlerWithOptions(ctx, name,
			func(_ workflow.Context, raw converter.RawValue) (int, error) {
				how, err := argument[schemas.RetryFailed](raw)
				r.decision, r.retry = name, how
				return r.p.FailedShards, err
			},
			workflow.UpdateHandlerOptions{Description: description, Validator: func(_ workflow.Context, raw converter.RawValue) error {
				how, err := argument[schemas.RetryFailed](raw)
				return cmp.Or(err, r.mayDecide(name, how))
			}})
		// A signal to a stage that does not take it means nothing.
		receive(ctx, name, func(raw converter.RawValue) {
			if how, err := argument[schemas.RetryFailed](raw); err == nil && r.mayDecide(name, how) == nil {
				r.decision, r.retry = name, how
			}
		})
		return err
	}
	for _, d := range []struct{ name, description string }{
		{UpdateRetryFailed, `Work on the failed shards of a parked stage again: all, or {"shards": [..]} or {"error_types": [..]}, with "endpoint", "model" or "heartbeat_timeout" changed. Returns the number of failed shards.`},
		{UpdateSkipFailed, "Go on without the failed shards of a parked stage, or without those left when its budget was reached. Returns the number of failed shards."},
		{UpdateStop, "End a parked stage as failed. Returns the number of failed shards."},
	} {
		if err := decide(d.name, d.description); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name, description string
		paused            bool
	}{
		{UpdatePause, "Start no further shard; those in flight end. Returns the status.", true},
		{UpdateResume, "Go on after a pause. Returns the status.", false},
	} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, d.name, func(workflow.Context) (schemas.StageStatus, error) {
			r.p.Paused = d.paused
			return r.report(), nil
		}, workflow.UpdateHandlerOptions{Description: d.description})
		if err != nil {
			return err
		}
		receive(ctx, d.name, func(converter.RawValue) { r.p.Paused = d.paused })
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, UpdateRaiseBudget,
		func(_ workflow.Context, raw converter.RawValue) (schemas.BudgetOptions, error) {
			to, err := argument[schemas.BudgetOptions](raw)
			r.raise(to)
			return r.caps, err
		},
		workflow.UpdateHandlerOptions{
			Description: `Raise caps, for example {"budget_tokens": 2000000}; a stage parked at its budget goes on. Returns the caps.`,
			Validator: func(_ workflow.Context, raw converter.RawValue) error {
				to, err := argument[schemas.BudgetOptions](raw)
				return cmp.Or(err, r.mayRaise(to))
			},
		})
	receive(ctx, UpdateRaiseBudget, func(raw converter.RawValue) {
		if to, err := argument[schemas.BudgetOptions](raw); err == nil && r.mayRaise(to) == nil {
			r.raise(to)
		}
	})
	return err
}

// argument decodes what an update or signal was sent with; nothing is the zero
// value. An unknown key is refused, since a misspelt one would mean nothing.
func argument[T any](raw converter.RawValue) (to T, err error) {
	var data []byte
	if p := raw.Payload(); p != nil {
		data = bytes.TrimSpace(p.GetData())
	}
	if len(data) == 0 || string(data) == "null" {
		return to, nil
	}
	if err := schemas.DecodeStrict(data, &to); err != nil {
		return to, ApplicationError(schemas.Errorf(schemas.InvalidInput, "argument: %w", err))
	}
	return to, nil
}

// receive calls do for every signal of a name.
func receive(ctx workflow.Context, name string, do func(converter.RawValue)) {
	signals := workflow.GetSignalChannel(ctx, name)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var payload converter.RawValue
			signals.Receive(ctx, &payload)
			if ctx.Err() != nil {
				return
			}
			do(payload)
		}
	})
}

// mayDecide refuses what a stage cannot take now.
func (r *stageRun) mayDecide(update string, how schemas.RetryFailed) error {
	refuse := func(format string, args ...any) error {
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "stage %s "+format, append([]any{r.name}, args...)...))
	}
	switch {
	case r.decision != "":
		return refuse("has just been told %s", r.decision)
	case r.status != schemas.StatusNeedsAttention:
		return refuse("is %s: only a stage that needs attention takes this", r.status)
	case r.exhausted != "" && update == UpdateRetryFailed:
		return refuse("has reached its budget: send %s, %s or %s", UpdateRaiseBudget, UpdateSkipFailed, UpdateStop)
	case how.Endpoint != "" && r.endpoint == nil:
		return refuse("calls no one model that another endpoint could replace")
	}
	if err := how.Validate(); err != nil {
		return refuse("cannot do that: %w", err)
	}
	return nil
}

func (r *stageRun) report() schemas.StageStatus {
	s := schemas.StageStatus{
		Stage: r.name, Status: r.status, Job: r.p.Job, Total: r.p.Shards, Done: r.p.Done, Reused: r.p.Reused,
		Failed: r.p.FailedShards, Failures: r.p.Failed,
		Reason: r.reason, Spent: r.p.Spent, Budget: r.caps, Estimate: r.p.Estimate,
	}
	if o := (schemas.StageOverride{Endpoint: r.p.Endpoint, Model: r.p.Model, HeartbeatTimeout: r.p.HeartbeatTimeout}); o != (schemas.StageOverride{}) {
		s.Override = &o
	}
	return s
}

// publish shows the state where people look for it: the workflow's current
// details and its search attributes. Attributes are written when they change
// only, since each write is an event of the history.
func (r *stageRun) publish(ctx workflow.Context) error {
	s := r.report()
	workflow.SetCurrentDetails(ctx, details(s, r.exhausted != ""))
	shown := attributes{s.Status, s.Job, s.Total, s.Failed}
	if shown == r.shown {
		return nil
	}
	r.shown = shown
	return workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(s.Stage), AttributeStatus.ValueSet(s.Status),
		AttributeJob.ValueSet(s.Job), AttributeShardsTotal.ValueSet(int64(s.Total)), AttributeShardsFailed.ValueSet(int64(s.Failed)))
}

// details is the state as Markdown.
func details(s schemas.StageStatus, overBudget bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: %s\n\n| shards | done | reused | failed |\n| --- | --- | --- | --- |\n| %d | %d | %d | %d |\n",
		s.Stage, s.Status, s.Total, s.Done, s.Reused, s.Failed)
	if s.Spent != (schemas.Spending{}) || s.Estimate != nil || s.Budget != (schemas.BudgetOptions{}) {
		b.WriteString("\n| | calls | prompt tokens | completion tokens | cost |\n| --- | --- | --- | --- | --- |\n")
		fmt.Fprintf(&b, "| spent | %d | %d | %d | %.4g |\n", s.Spent.Calls, s.Spent.PromptTokens, s.Spent.CompletionTokens, s.Spent.Cost)
	}
	if e := s.Estimate; e != nil {
		fmt.Fprintf(&b, "| estimate | %d | %d | at most %d | at most %.4g |\n", e.Calls, e.PromptTokens, e.CompletionTokensMax, e.CostMax)
		if e.Seconds != nil {
			fmt.Fprintf(&b, "\nAt the worker's present rate it takes at most %s.\n", (time.Duration(*e.Seconds) * time.Second).String())
		}
	}
	for _, line := range []struct {
		capped bool
		text   string
	}{
		{s.Budget.BudgetTokens > 0, fmt.Sprintf("budget_tokens: %d of %d spent", s.Spent.Tokens(), s.Budget.BudgetTokens)},
		{s.Budget.BudgetCost > 0, fmt.Sprintf("budget_cost: %.4g of %g spent", s.Spent.Cost, s.Budget.BudgetCost)},
		{s.Budget.BudgetTime > 0, "budget_time: " + time.Duration(s.Budget.BudgetTime).String()},
	} {
		if line.capped {
			b.WriteString("\n- " + line.text)
		}
	}
	if o := s.Override; o != nil {
		for _, line := range []struct {
			set  bool
			text string
		}{
			{o.Endpoint != "", "endpoint `" + o.Endpoint + "`"},
			{o.Model != "", "model `" + o.Model + "`"},
			{o.HeartbeatTimeout != 0, "heartbeat_timeout " + time.Duration(o.HeartbeatTimeout).String()},
		} {
			if line.set {
				b.WriteString("\n- " + line.text + " since `retry_failed`")
			}
		}
	}
	for _, f := range s.Failures {
		fmt.Fprintf(&b, "\n- shard %d: %s: %s", f.Shard, f.ErrorType, f.Message)
	}
	switch {
	case s.Status != schemas.StatusNeedsAttention:
	case overBudget:
		fmt.Fprintf(&b, "\n\n%s. Send the update `raise_budget`, `skip_failed` or `stop`.", s.Reason)
	default:
		fmt.Fprintf(&b, "\n\n%s. Send the update `retry_failed`, `skip_failed` or `stop`.", s.Reason)
	}
	return b.String()
}

// attributes is what a stage's search attributes say.
type attributes struct {
	status, job   string
	total, failed int
}
