package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"rpo/schemas"
)

const (
	// breakAfter is how long an endpoint may fail without one reply.
	breakAfter = 30 * time.Second
	// The first cooldown; each further one is twice as long, up to the last.
	firstCooldown = 15 * time.Second
	lastCooldown  = 5 * time.Minute
	// busyTrial is how long the call that tries may be refused for want of
	// capacity before that decides: others may hold all of it, all but always.
	busyTrial = 10 * time.Second
)

// errStopped says that the breaker opened while a call waited.
var errStopped = errors.New("circuit breaker opened")

// breaker stops calls to an endpoint that gives no reply, so that who works with
// it can put away what is finished and come back later, instead of hanging. Open,
// it refuses calls for a cooldown. Then one call tries, and the others wait to
// see what becomes of it. A request that is under way is never cut off, and any
// reply that comes closes the breaker, since it shows that the endpoint lives.
type breaker struct {
	endpoint Endpoint
	clock    clock

	mu    sync.Mutex
	state breakerState
	// stop is closed while the breaker is open.
	stop chan struct{}
	// until is the end of the cooldown, asked says that the server named it.
	until  time.Time
	asked  bool
	opened int // times in a row
	// everOpened is for people to watch.
	everOpened int64
	// decided is closed when the trial is over, trial is when it began.
	decided chan struct{}
	trial   time.Time
	// alive is when the last reply came. failures counts those since, silent is
	// when the first of them was sent.
	alive, silent time.Time
	failures      int
	last          error
}

type breakerState int

const (
	breakerClosed breakerState = iota
	breakerOpen
	breakerTrying
)

func newBreaker(e Endpoint, c clock) *breaker {
	return &breaker{endpoint: e, clock: c, stop: make(chan struct{})}
}

// stopped is closed while the breaker is open.
func (b *breaker) stopped() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stop
}

// admit returns nil for a call that may go on, or why not. trial says that it is
// the one that tries; its end must be told to leave.
func (b *breaker) admit(ctx context.Context) (trial bool, err error) {
	for {
		b.mu.Lock()
		switch {
		case b.state == breakerClosed:
			b.mu.Unlock()
			return false, nil
		case b.state == breakerOpen && b.clock.now().Before(b.until):
			err := b.refusal()
			b.mu.Unlock()
			return false, err
		case b.state == breakerOpen:
			b.state, b.trial = breakerTrying, b.clock.now()
			b.decided, b.stop = make(chan struct{}), make(chan struct{})
			b.mu.Unlock()
			return true, nil
		}
		decided := b.decided
		b.mu.Unlock()
		select {
		case <-decided:
		case <-ctx.Done():
			return false, b.endpoint.interrupted(ctx)
		}
	}
}

// leave says that the trial call is over. If it ended undecided, for its caller
// gave it up, the next call tries.
func (b *breaker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerTrying {
		b.turn(breakerOpen)
	}
}

// turn changes the state and tells who waits for it.
func (b *breaker) turn(to breakerState) {
	if b.state == breakerTrying {
		close(b.decided)
	}
	if b.state != breakerOpen && to == breakerOpen {
		close(b.stop)
	}
	if b.state == breakerOpen && to == breakerClosed {
		b.stop = make(chan struct{})
	}
	b.state = to
}

// observe hears what became of a request that began at the given time, while so
// many others are still under way.
func (b *breaker) observe(o outcome, began time.Time, others int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.now()
	switch o.fate {
	case fateAnswered, fateRejected:
		b.alive, b.failures = now, 0
		if b.state == breakerOpen && b.asked && now.Before(b.until) {
			return
		}
		b.opened = 0
		b.turn(breakerClosed)
	case fateRefused, fateFailed:
		b.suffer(o, began, now, others)
	}
}

// suffer opens the breaker if the endpoint has been silent for too long.
func (b *breaker) suffer(o outcome, began, now time.Time, others int) {
	asked := retryAfterOf(o.err)
	if b.state == breakerOpen || b.state == breakerTrying && began.Before(b.trial) {
		return // sent before, so it tells nothing new
	}
	if o.fate == fateRefused && asked > b.endpoint.Timeout {
		// Longer than any call would wait.
		b.last = o.err
		b.open(now, asked)
		return
	}
	if o.fate == fateRefused && others > 0 {
		return // busy with others, not down
	}
	if began.Before(b.alive) {
		began = b.alive
	}
	if b.failures == 0 || began.Before(b.silent) {
		b.silent = began
	}
	b.failures++
	b.last = o.err
	// As long as more requests are under way than failed, one of them may be
	// answered yet: a reply may take longer than the silence that is suspicious.
	silent := now.Sub(b.silent) >= breakAfter && b.failures >= max(2, others)
	if b.state == breakerTrying {
		silent = o.fate == fateFailed || now.Sub(b.trial) >= busyTrial
	}
	if silent {
		b.open(now, asked)
	}
}

func (b *breaker) open(now time.Time, asked time.Duration) {
	cooldown := lastCooldown
	if b.opened < 5 { // further shifts are above the last one, or overflow
		cooldown = min(firstCooldown<<b.opened, lastCooldown)
	}
	b.opened++
	b.everOpened++
	b.asked = asked > cooldown
	b.until = now.Add(max(cooldown, asked))
	b.turn(breakerOpen)
}

// progress is when the last reply came, or since if that is later.
func (b *breaker) progress(since time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since.Before(b.alive) {
		return b.alive
	}
	return since
}

// refused is the error of a call that is stopped. It matches errStopped.
func (b *breaker) refused() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal()
}

// refusal is refused while b.mu is held.
func (b *breaker) refusal() error {
	left := max(b.until.Sub(b.clock.now()), time.Second)
	why := fmt.Sprintf("has given no reply for %s", b.clock.now().Sub(b.silent).Round(time.Second))
	if b.asked {
		why = "asked for no more requests now"
	}
	said := strings.TrimPrefix(b.last.Error(), b.endpoint.failed(schemas.Overloaded, "").Message)
	err := b.endpoint.failed(schemas.Overloaded, "%s, so it is left alone for %s; the last error: %s", why, left.Round(time.Second), said)
	err.RetryAfter, err.Cause = left, errStopped
	return err
}

// breaking refuses calls while the breaker is open.
type breaking struct {
	inner   exchanger
	breaker *breaker
}

func (b *breaking) exchange(ctx context.Context, req Request) (Response, error) {
	trial, err := b.breaker.admit(ctx)
	if err != nil {
		return Response{}, err
	}
	if trial {
		defer b.breaker.leave()
	}
	return b.inner.exchange(ctx, req)
}
