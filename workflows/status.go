package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// handle registers the query and the updates of a stage with their signal twins,
// which batch operations can send.
func (r *stageRun) handle(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.StageStatus, error) { return r.report(), nil },
		workflow.QueryHandlerOptions{Description: "Progress of the stage and its failed shards, as JSON."})
	if err != nil {
		return err
	}
	for _, d := range []struct{ name, description string }{
		{UpdateRetryFailed, "Work on the failed shards of a parked stage again. Returns their number."},
		{UpdateSkipFailed, "Go on without the failed shards of a parked stage. Returns their number."},
		{UpdateStop, "End a parked stage as failed. Returns the number of failed shards."},
	} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, d.name,
			func(workflow.Context) (int, error) {
				r.decision = d.name
				return len(r.p.Failed), nil
			},
			workflow.UpdateHandlerOptions{Description: d.description, Validator: func() error { return r.parked() }})
		if err != nil {
			return err
		}
		signals := workflow.GetSignalChannel(ctx, d.name)
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				signals.Receive(ctx, nil)
				if ctx.Err() != nil {
					return
				}
				// A signal to a stage that is not parked means nothing.
				if r.parked() == nil {
					r.decision = d.name
				}
			}
		})
	}
	return nil
}

func (r *stageRun) parked() error {
	if r.decision != "" {
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "stage %s has just been told %s", r.name, r.decision))
	}
	if r.status != schemas.StatusNeedsAttention {
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "stage %s is %s: only a stage that needs attention takes this", r.name, r.status))
	}
	return nil
}

func (r *stageRun) report() schemas.StageStatus {
	return schemas.StageStatus{
		Stage: r.name, Status: r.status, Job: r.p.Job, Total: r.p.Shards, Done: r.p.Done, Reused: r.p.Reused,
		Failed: len(r.p.Failed), Failures: r.p.Failed[:min(len(r.p.Failed), maxFailures)],
	}
}

// publish shows the state where people look for it: the workflow's current
// details and its search attributes. Attributes are written when they change
// only, since each write is an event of the history.
func (r *stageRun) publish(ctx workflow.Context) error {
	s := r.report()
	var b strings.Builder
	b.WriteString(fmt.Sprintf("**%s**: %s\n\n| shards | done | reused | failed |\n| --- | --- | --- | --- |\n| %d | %d | %d | %d |\n",
		s.Stage, s.Status, s.Total, s.Done, s.Reused, s.Failed))
	for _, f := range s.Failures {
		b.WriteString(fmt.Sprintf("\n- shard %d: %s: %s", f.Shard, f.ErrorType, f.Message))
	}
	if s.Status == schemas.StatusNeedsAttention {
		b.WriteString("\n\nSend the update `retry_failed`, `skip_failed` or `stop`.")
	}
	workflow.SetCurrentDetails(ctx, b.String())
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
