package workflows

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"rpo/schemas"
)

// ApplicationError turns a classified failure into Temporal's: its type is the
// ErrorType, and schemas.Retryable decides whether Temporal tries again. Errors
// that are Temporal's own already, cancellation among them, pass unchanged. A
// call that a cancelled context ended stays recognizable as that, so that a
// cancelled activity is not shown as a failed one.
func ApplicationError(err error) error { return applicationError(err, false) }

// maxDefects bounds how often work is tried that a defect fails, or that hangs:
// more attempts would only keep it from people's sight. Outages pass, so the
// option set alone bounds these; one that allows very many attempts allows a
// quarter of them for defects, too.
const maxDefects = 10

// AttemptError is ApplicationError for an attempt of an activity, counted from 1,
// of at most so many.
func AttemptError(err error, attempt, most int32) error {
	t := schemas.TypeOf(err)
	defect := t == schemas.Internal || t == schemas.Stalled
	return applicationError(err, defect && attempt >= max(maxDefects, most/4))
}

func applicationError(err error, last bool) error {
	if err == nil {
		return nil
	}
	if temporal.IsCanceledError(err) || temporal.IsApplicationError(err) {
		return err
	}
	o := temporal.ApplicationErrorOptions{NonRetryable: last || !schemas.Retryable(err)}
	if e, ok := errors.AsType[*schemas.Error](err); ok {
		o.NextRetryDelay = e.RetryAfter
		if e.Spent != (schemas.Spending{}) {
			o.Details = []any{e.Spent}
		}
	}
	if errors.Is(err, context.Canceled) {
		o.Cause = context.Canceled
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(schemas.TypeOf(err)), o)
}

// spentOf is what failed work had spent, as far as its worker could tell.
func spentOf(err error) (spent schemas.Spending) {
	if e, ok := errors.AsType[*temporal.ApplicationError](err); ok && e.HasDetails() {
		if e.Details(&spent) != nil {
			return schemas.Spending{}
		}
		return spent
	}
	if e, ok := errors.AsType[*temporal.TimeoutError](err); ok && e.HasLastHeartbeatDetails() {
		var last schemas.Heartbeat
		if e.LastHeartbeatDetails(&last) == nil {
			return last.Spent
		}
	}
	return spent
}

// failureOf shortens an activity's failure to what a person needs; a nil error
// has none.
func failureOf(err error) (errorType, message string) {
	if err == nil {
		return "", ""
	}
	if e, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return e.Type(), e.Message()
	}
	if _, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return string(schemas.Stalled), err.Error()
	}
	return string(schemas.Internal), err.Error()
}

// ended is the status of what ended with err. Temporal shows as cancelled
// whatever ends with a cancellation in its chain, and so do we.
func ended(err error) string {
	switch {
	case err == nil:
		return schemas.StatusDone
	case temporal.IsCanceledError(err):
		return schemas.StatusCanceled
	default:
		return schemas.StatusFailed
	}
}
