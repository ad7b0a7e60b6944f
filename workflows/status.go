package workflows

import (
	"bytes"
	"cmp"
	"strings"

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
		receive(ctx, name, description, func(raw converter.RawValue) {
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
		receive(ctx, d.name, d.description, func(converter.RawValue) { r.p.Paused = d.paused })
	}
	description := `Raise caps, for example {"budget_tokens": 2000000}; a stage parked at its budget goes on. Returns the caps.`
	err = workflow.SetUpdateHandlerWithOptions(ctx, UpdateRaiseBudget,
		func(_ workflow.Context, raw converter.RawValue) (schemas.BudgetOptions, error) {
			to, err := argument[schemas.BudgetOptions](raw)
			r.raise(to)
			return r.caps, err
		},
		workflow.UpdateHandlerOptions{
			Description: description,
			Validator: func(_ workflow.Context, raw converter.RawValue) error {
				to, err := argument[schemas.BudgetOptions](raw)
				return cmp.Or(err, r.mayRaise(to))
			},
		})
	receive(ctx, UpdateRaiseBudget, description, func(raw converter.RawValue) {
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

// receive calls do for every signal of a name, whose description is that of the
// update of the same name.
func receive(ctx workflow.Context, name, description string, do func(converter.RawValue)) {
	description, _, _ = strings.Cut(description, " Returns ") // a signal has no answer
	signals := workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
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
	case r.holding:
		if err := r.mayDecideHeld(update, how); err != nil {
			return refuse("%w", err)
		}
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
		Began: stamp(r.p.Began), Ends: r.ends,
	}
	switch {
	case r.status != schemas.StatusNeedsAttention:
	case r.holding:
		s.Updates = []string{UpdateRetryFailed, UpdateStop}
	case r.exhausted != "":
		s.Updates = []string{UpdateRaiseBudget, UpdateSkipFailed, UpdateStop}
	default:
		s.Updates = []string{UpdateRetryFailed, UpdateSkipFailed, UpdateStop}
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
	r.ends = r.outlook(ctx)
	s := r.report()
	at := placeOf(ctx)
	workflow.SetCurrentDetails(ctx, details(s, r.exhausted != "")+at.surroundings(s, r.in.Manifest, r.made))
	shown := attributes{s.Status, s.Job, s.Total, s.Failed}
	if shown == r.shown {
		return nil
	}
	r.shown = shown
	return workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(s.Stage), AttributeStatus.ValueSet(s.Status),
		AttributeJob.ValueSet(s.Job), AttributeShardsTotal.ValueSet(int64(s.Total)), AttributeShardsFailed.ValueSet(int64(s.Failed)))
}

// attributes is what a stage's search attributes say.
type attributes struct {
	status, job   string
	total, failed int
}
