package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// desk is where a gang gets told: what a person decides while it is parked, and
// which nodes a pool gives it.
type desk struct {
	status *schemas.StageStatus
	// decision is an update's name, with how retry_failed is meant.
	decision string
	retry    schemas.RetryFailed
	// leased is the last answer of a pool, requests counts what it was asked.
	leased   schemas.NodesLeased
	requests int
}

// openDesk registers what a gang takes: updates with their signal twins, and the
// answer of a pool.
func openDesk(ctx workflow.Context, status *schemas.StageStatus) (*desk, error) {
	d := &desk{status: status}
	for _, u := range []struct{ name, description string }{
		{UpdateRetryFailed, `Go on with a parked gang from its last checkpoint: {}, or with another {"heartbeat_timeout": "2m"}. Returns the status.`},
		{UpdateStop, "End a parked gang as failed; its checkpoints stay. Returns the status."},
	} {
		allowed := func(raw converter.RawValue) (schemas.RetryFailed, error) {
			how, err := argument[schemas.RetryFailed](raw)
			return how, cmp.Or(err, d.mayDecide(how))
		}
		err := workflow.SetUpdateHandlerWithOptions(ctx, u.name,
			func(_ workflow.Context, raw converter.RawValue) (schemas.StageStatus, error) {
				how, err := argument[schemas.RetryFailed](raw)
				d.decision, d.retry = u.name, how
				return *d.status, err
			},
			workflow.UpdateHandlerOptions{Description: u.description, Validator: func(_ workflow.Context, raw converter.RawValue) error {
				_, err := allowed(raw)
				return err
			}})
		if err != nil {
			return nil, err
		}
		receive(ctx, u.name, u.description, func(raw converter.RawValue) {
			if how, err := allowed(raw); err == nil {
				d.decision, d.retry = u.name, how
			}
		})
	}
	receive(ctx, SignalNodesLeased, "The nodes that a pool gives this run; pools send this.", func(raw converter.RawValue) {
		if l, err := argument[schemas.NodesLeased](raw); err == nil {
			d.leased = l
		}
	})
	return d, nil
}

// mayDecide refuses what the gang cannot take now.
func (d *desk) mayDecide(how schemas.RetryFailed) error {
	refuse := func(format string, args ...any) error {
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "stage %s "+format, append([]any{d.status.Stage}, args...)...))
	}
	switch {
	case d.decision != "":
		return refuse("has just been told %s", d.decision)
	case d.status.Status != schemas.StatusNeedsAttention:
		return refuse("is %s: only a stage that needs attention takes this", d.status.Status)
	case how.Endpoint != "":
		return refuse("calls no model that another endpoint could replace")
	}
	if err := how.Validate(); err != nil {
		return refuse("cannot do that: %w", err)
	}
	return nil
}

// park waits until a person decides about a failure, which is returned if the
// decision is stop. There is no timeout: who gives way to the next night cancels.
func (d *desk) park(ctx workflow.Context, failure error, o *schemas.RunOptions, show func() error) error {
	errorType, message := failureOf(failure)
	d.status.Status, d.status.Failed = schemas.StatusNeedsAttention, 1
	d.status.Failures = []schemas.ShardFailure{{ErrorType: errorType, Message: clip(message)}}
	d.status.Reason, d.status.Updates = "it failed again and again, the last time with "+errorType, []string{UpdateRetryFailed, UpdateStop}
	if err := show(); err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return d.decision != "" }); err != nil {
		return err
	}
	decision, how := d.decision, d.retry
	d.decision, d.retry = "", schemas.RetryFailed{}
	d.status.Status, d.status.Failed, d.status.Failures, d.status.Reason = schemas.StatusRunning, 0, nil, ""
	d.status.Updates = nil
	if decision == UpdateStop {
		return failure
	}
	if how.HeartbeatTimeout != 0 {
		o.HeartbeatTimeout = how.HeartbeatTimeout
		d.status.Override = &schemas.StageOverride{HeartbeatTimeout: how.HeartbeatTimeout}
	}
	return show()
}

// mendable reports whether a person can mend the cause of a failure outside of
// the workflow. What another input would mend fails at once.
func mendable(err error) bool {
	errorType, _ := failureOf(err)
	return errorType != string(schemas.InvalidInput) && errorType != string(schemas.OutOfMemory)
}

// tells is what the current details say of a gang's state beside its status.
func (d *desk) tells() string {
	s := d.status
	parked := s.Status == schemas.StatusNeedsAttention
	lines := []line{
		{s.Reason != "", "**" + s.Reason + "**"},
		{parked, "mend the cause, then send the update `retry_failed`; `stop` ends it as failed"},
	}
	for _, f := range s.Failures {
		lines = append(lines, line{true, "**" + f.ErrorType + "**: " + code(f.Message)})
	}
	if o := s.Override; o != nil {
		lines = append(lines, line{o.HeartbeatTimeout != 0, "heartbeat_timeout " + time.Duration(o.HeartbeatTimeout).String() + " since `retry_failed`"})
	}
	return list(lines...)
}
