package chat

import (
	"context"
	"errors"
	"time"

	"rpo/schemas"
)

const (
	// overloadAttempts bounds the exchanges after 429, 5xx and lost connections.
	overloadAttempts = 5
	// corruptAttempts bounds those after replies that are not the protocol.
	corruptAttempts = 3
	backoffBase     = 500 * time.Millisecond
	backoffMax      = 8 * time.Second
)

// retrying repeats an exchange that may succeed the next time, with delays that
// double and vary, and not before a server's Retry-After. No attempt begins
// later than limit after the first; if the server asks for a longer wait, its
// refusal is returned at once and the caller decides, holding no slot meanwhile.
type retrying struct {
	inner exchanger
	limit time.Duration

	now    func() time.Time
	sleep  func(context.Context, time.Duration) error
	jitter func() float64 // in [0, 1)
}

func (r *retrying) exchange(ctx context.Context, req Request) (Response, error) {
	latest := r.now().Add(r.limit)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(latest) {
		latest = deadline
	}
	calls := 0
	for attempt := 1; ; attempt++ {
		reply, err := r.inner.exchange(ctx, req)
		calls += reply.Calls
		reply.Calls = calls
		if err == nil {
			return reply, nil
		}
		if ctx.Err() != nil || attempt >= attemptsFor(err) {
			return reply, err
		}
		wait := r.delay(attempt, err)
		if r.now().Add(wait).After(latest) {
			return reply, err
		}
		if r.sleep(ctx, wait) != nil {
			return reply, schemas.Errorf(schemas.Internal, "given up (%w) while waiting to repeat: %s", ctx.Err(), err)
		}
	}
}

func attemptsFor(err error) int {
	switch schemas.TypeOf(err) {
	case schemas.RateLimited, schemas.Overloaded:
		return overloadAttempts
	case schemas.CorruptData:
		return corruptAttempts
	default:
		return 1
	}
}

// delay is half fixed and half random, so that callers refused together do not
// come back together; what the server asked for comes on top of the random half.
func (r *retrying) delay(attempt int, err error) time.Duration {
	step := min(backoffBase<<(attempt-1), backoffMax)
	random := time.Duration(r.jitter() * float64(step/2))
	if e, ok := errors.AsType[*schemas.Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter + random
	}
	return step/2 + random
}
