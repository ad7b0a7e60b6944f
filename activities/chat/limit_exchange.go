package chat

import (
	"context"
	"errors"
	"time"

	"rpo/schemas"
)

// errBusy is in the chain of a refusal for want of capacity: the request was not
// begun, and may be sent again once others are finished. Other errors of the same
// type say that something broke.
var errBusy = errors.New("no capacity")

// limited makes exchanges when it is their turn, and tells limiter, breaker and
// rate what became of them.
type limited struct {
	inner    exchanger
	endpoint Endpoint
	limiter  *limiter
	breaker  *breaker
	rate     rate
}

func newLimited(inner exchanger, e Endpoint) *limited {
	return &limited{inner: inner, endpoint: e, limiter: newLimiter(e.MaxConcurrency, wallClock), breaker: newBreaker(e, wallClock)}
}

// attempt waits for a slot, makes one exchange and gives the slot back.
func (l *limited) attempt(ctx context.Context, t *turn, req Request) (reply Response, err error) {
	if err := l.limiter.acquire(ctx, t, l.breaker.stopped()); err == errStopped {
		return Response{}, l.breaker.refused()
	} else if err != nil {
		return Response{}, l.endpoint.interrupted(ctx)
	}
	began := l.limiter.clock.now()
	if t.began.IsZero() {
		t.began = began
	}
	var o outcome
	defer func() {
		others := l.limiter.release(t, o)
		l.breaker.observe(o, began, others)
	}()
	reply, err = l.inner.exchange(ctx, req)
	now := l.limiter.clock.now()
	o = outcome{fate: fateOf(ctx, err), took: now.Sub(began), err: err}
	if err == nil {
		o.kind, o.tokens = kindOf(req), outputTokens(reply)
		l.rate.add(now, o.tokens)
	}
	return reply, err
}

func fateOf(ctx context.Context, err error) fate {
	switch {
	case err == nil:
		return fateAnswered
	case ctx.Err() != nil:
		return fateUnknown
	case errors.Is(err, errBusy):
		return fateRefused
	}
	switch schemas.TypeOf(err) {
	case schemas.RateLimited:
		return fateRefused
	case schemas.Overloaded:
		return fateFailed
	case schemas.Internal:
		return fateUnknown
	default:
		return fateRejected
	}
}

// outputTokens is the server's count, or a guess where it gives none.
func outputTokens(r Response) int64 {
	if r.Usage.Known && r.Usage.CompletionTokens > 0 {
		return r.Usage.CompletionTokens
	}
	tokens := int64(1)
	for _, c := range r.Choices {
		tokens += int64(len(c.Text) / 4)
	}
	return tokens
}

// retryAfterOf is what the server asked for, 0 if nothing.
func retryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*schemas.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
