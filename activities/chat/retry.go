package chat

import (
	"context"
	"errors"
	"time"

	"rpo/schemas"
)

const (
	// failedAttempts bounds the exchanges after 5xx and lost connections.
	failedAttempts = 5
	// corruptAttempts bounds those after replies that are not the protocol.
	corruptAttempts = 3
	// maxRefusals bounds how often one call is refused for want of capacity while
	// others are served: some servers say so of a request that is too large for
	// them at any time.
	maxRefusals = 30
	backoffBase = 500 * time.Millisecond
	backoffMax  = 8 * time.Second
)

// retrying repeats an exchange that may succeed the next time. After a failure it
// waits, with delays that double and vary and not less than a server's
// Retry-After, up to a number of attempts, none of which begins later than limit
// after the first. A refusal for want of capacity is another matter: the call
// goes back to its place in the line, where the limiter decides when it is sent
// again, for as long as the endpoint serves others.
type retrying struct {
	inner *limited
	limit time.Duration
}

func (r *retrying) exchange(ctx context.Context, req Request) (Response, error) {
	clock, breaker := r.inner.limiter.clock, r.inner.breaker
	calls, failures := 0, 0
	var t turn
	for {
		reply, err := r.inner.attempt(ctx, &t, req)
		calls += reply.Calls
		reply.Calls = calls
		if err == nil || ctx.Err() != nil || errors.Is(err, errStopped) {
			return reply, err
		}
		var wait time.Duration
		since := t.began
		if fateOf(ctx, err) == fateRefused {
			if t.refusals++; t.refusals >= maxRefusals {
				return reply, err
			}
			wait = retryAfterOf(err)
			since = breaker.progress(since)
		} else {
			if failures++; failures >= attemptsFor(err) {
				return reply, err
			}
			wait = delay(failures, err, clock.jitter())
		}
		latest := since.Add(r.limit)
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(latest) {
			latest = deadline
		}
		if clock.now().Add(wait).After(latest) {
			return reply, err
		}
		if fateOf(ctx, err) == fateRefused {
			continue
		}
		switch clock.sleep(ctx, wait, breaker.stopped()) {
		case nil:
		case errStopped:
			return reply, breaker.refused()
		default:
			return reply, schemas.Errorf(schemas.Internal, "given up (%w) while waiting to repeat: %s", ctx.Err(), err)
		}
	}
}

func attemptsFor(err error) int {
	if errors.Is(err, errUseless) {
		return 1
	}
	switch schemas.TypeOf(err) {
	case schemas.Overloaded:
		return failedAttempts
	case schemas.CorruptData:
		return corruptAttempts
	default:
		return 1
	}
}

// delay is half fixed and half random, so that callers refused together do not
// come back together; what the server asked for comes on top of the random half.
// attempt counts from 1, random is in [0, 1).
func delay(attempt int, err error, random float64) time.Duration {
	step := backoffMax
	if attempt < 5 { // further shifts are above the bound, or overflow
		step = min(backoffBase<<(attempt-1), backoffMax)
	}
	varied := time.Duration(random * float64(step/2))
	if asked := retryAfterOf(err); asked > 0 {
		return asked + varied
	}
	return step/2 + varied
}

// sleep waits for d. It returns ctx's error, or errStopped, if that comes first.
func (c clock) sleep(ctx context.Context, d time.Duration, stop <-chan struct{}) error {
	over := make(chan struct{})
	cancel := c.after(d, func() { close(over) })
	defer cancel()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-stop:
		return errStopped
	case <-over:
		return nil
	}
}
