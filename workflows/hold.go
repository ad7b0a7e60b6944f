package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// A stage that is held tries by itself, ever more rarely: what it waits for most
// often comes back without anybody's doing. Even after weeks that is few events.
const (
	firstHold = time.Minute
	lastHold  = time.Hour
)

// insist does what a stage cannot go on without. Where that fails by what may
// pass, an outage of the store or of a model above all, the stage needs attention
// until it succeeds: failing would end every run that waits for it. What must be
// mended in the input fails at once.
func (r *stageRun) insist(ctx workflow.Context, what string, do func() error) error {
	err := do()
	for interval := firstHold; err != nil && ctx.Err() == nil && !temporal.IsCanceledError(err) && mayPass(err); interval = min(2*interval, lastHold) {
		_, message := failureOf(err)
		if err := r.hold(ctx, what+" failed: "+clip(message), interval); err != nil {
			return err
		}
		if r.decision == UpdateStop {
			return err
		}
		r.decision = ""
		failed := err
		if err = do(); r.decision == UpdateStop {
			return cmp.Or(err, failed) // told while it tried
		}
	}
	if !r.holding || err != nil {
		return err
	}
	r.decision, r.reason, r.status, r.holding = "", "", schemas.StatusRunning, false
	return r.publish(ctx)
}

// hold waits until a person decides or the interval is over.
func (r *stageRun) hold(ctx workflow.Context, reason string, interval time.Duration) error {
	r.status, r.reason, r.holding = schemas.StatusNeedsAttention, reason, true
	if err := r.publish(ctx); err != nil {
		return err
	}
	_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: interval,
		TimerOptions: workflow.TimerOptions{Summary: "until stage " + r.name + " tries again"}}, func() bool { return r.decision != "" })
	return err
}

// mayPass reports whether the same thing may succeed later.
func mayPass(err error) bool {
	errorType, _ := failureOf(err)
	return schemas.Retryable(&schemas.Error{Type: schemas.ErrorType(errorType)})
}

// isOutage reports whether err is of what passes without anybody's doing, as
// defects do not.
func isOutage(err error) bool {
	errorType, _ := failureOf(err)
	return mayPass(err) && errorType != string(schemas.Internal)
}

// keep runs an activity that reads or writes records, however long that takes.
func (r *stageRun) keep(ctx workflow.Context, summary, activity string, in, out any) error {
	return r.insist(ctx, summary, func() error {
		return workflow.ExecuteActivity(withRecords(ctx, summary), activity, in).Get(ctx, out)
	})
}

// mayDecideHeld refuses what a stage cannot take that is held.
func (r *stageRun) mayDecideHeld(update string, how schemas.RetryFailed) error {
	switch {
	case update == UpdateSkipFailed:
		return schemas.Errorf(schemas.InvalidInput, "cannot go on without this: send %s or %s", UpdateRetryFailed, UpdateStop)
	case how.Endpoint != "" || how.HeartbeatTimeout != 0:
		return schemas.Errorf(schemas.InvalidInput, "works on no shard now: send %s without endpoint, model and heartbeat_timeout", UpdateRetryFailed)
	}
	return nil
}
