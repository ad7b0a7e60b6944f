package chat

import (
	"container/list"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// clock is what tests replace.
type clock struct {
	now func() time.Time
	// after calls do once d has passed, unless it is stopped before.
	after  func(d time.Duration, do func()) (stop func() bool)
	jitter func() float64 // in [0, 1)
}

var wallClock = clock{
	now:    time.Now,
	after:  func(d time.Duration, do func()) func() bool { return time.AfterFunc(d, do).Stop },
	jitter: rand.Float64,
}

// busyBackoff bounds the doublings of the delay after refusals while nothing is
// under way: others use the endpoint, and who asks too rarely never finds a slot
// of theirs free.
const busyBackoff = 3

// limiter lets as many requests be under way at one endpoint as its level says.
// Whoever waits is served in the order of first coming: a request that was
// refused goes back to its old place, and holds no slot meanwhile.
type limiter struct {
	clock clock

	mu       sync.Mutex
	level    level
	underWay int
	arrivals uint64
	waiting  list.List // of *turn, by arrival
	// paused is until when nothing is sent, woken says that somebody will look
	// again then.
	paused time.Time
	woken  bool
	// streak counts requests without an answer since the last answer.
	streak int
	kinds  map[kind]*usual
	ended  Ended
}

func newLimiter(most int, c clock) *limiter {
	return &limiter{clock: c, level: newLevel(most), kinds: map[kind]*usual{}}
}

// turn is one call's place in the line. It may be taken and given back many
// times, one after the other.
type turn struct {
	arrival uint64
	place   *list.Element // nil if not waiting
	granted chan struct{}
	stamp   stamp
	// began is when the first exchange began, refusals counts.
	began    time.Time
	refusals int
}

// outcome is what became of a request.
type outcome struct {
	fate fate
	// kind, took and tokens are of an answered request.
	kind   kind
	took   time.Duration
	tokens int64
	// err is that of a refused or failed one.
	err error
}

type fate int

const (
	// fateUnknown is that of a request that was given up.
	fateUnknown fate = iota
	fateAnswered
	// fateRejected had a reply that is not an answer and says nothing of load.
	fateRejected
	// fateRefused was not begun, for want of capacity.
	fateRefused
	// fateFailed had no reply, or one that says that something broke.
	fateFailed
)

// acquire returns nil when t has a slot, which must be released, ctx's error, or
// errStopped once stop is closed.
func (l *limiter) acquire(ctx context.Context, t *turn, stop <-chan struct{}) error {
	select {
	case <-stop:
		return errStopped
	default:
	}
	l.mu.Lock()
	if t.arrival == 0 {
		l.arrivals++
		t.arrival = l.arrivals
	}
	t.granted = nil
	l.enqueue(t)
	l.serve()
	if t.place == nil {
		l.mu.Unlock()
		return nil
	}
	t.granted = make(chan struct{})
	granted := t.granted
	l.mu.Unlock()
	var err error
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-stop:
		err = errStopped
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.place == nil { // granted at the same moment
		l.underWay--
		l.serve()
		return err
	}
	l.waiting.Remove(t.place)
	t.place = nil
	return err
}

// enqueue puts t behind all who came before it. Only those who were refused come
// back, so the walk from the front is short.
func (l *limiter) enqueue(t *turn) {
	if last := l.waiting.Back(); last == nil || last.Value.(*turn).arrival < t.arrival {
		t.place = l.waiting.PushBack(t)
		return
	}
	at := l.waiting.Front()
	for at.Value.(*turn).arrival < t.arrival {
		at = at.Next()
	}
	t.place = l.waiting.InsertBefore(t, at)
}

// serve grants free slots to whoever waits, unless nothing may be sent now.
func (l *limiter) serve() {
	for l.underWay < l.level.limit {
		first := l.waiting.Front()
		if first == nil {
			return
		}
		if wait := l.paused.Sub(l.clock.now()); wait > 0 {
			l.wake(wait)
			return
		}
		t := l.waiting.Remove(first).(*turn)
		t.place = nil
		l.underWay++
		t.stamp = l.level.sent(l.underWay)
		if t.granted != nil {
			close(t.granted)
		}
	}
}

func (l *limiter) wake(wait time.Duration) {
	if l.woken {
		return
	}
	l.woken = true
	l.clock.after(wait, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.woken = false
		l.serve()
	})
}

// release gives t's slot back and returns how many requests are under way.
func (l *limiter) release(t *turn, o outcome) (others int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := l.underWay >= l.level.limit
	l.underWay--
	l.ended.count(o.fate)
	others = l.underWay
	now := l.clock.now()
	switch o.fate {
	case fateAnswered:
		l.streak = 0
		due := l.usualOf(o.kind).due(o.took, o.tokens)
		l.level.answered(t.stamp, o.took, due, busy, now)
	case fateRefused:
		l.streak++
		var cooldown time.Duration
		if asked := retryAfterOf(o.err); asked > 0 || others == 0 {
			cooldown = delay(min(l.streak, busyBackoff), o.err, l.clock.jitter())
			l.pause(now.Add(cooldown))
		}
		l.level.refused(t.stamp, others, cooldown, now)
	case fateFailed:
		l.streak++
		l.level.failed(t.stamp)
		if l.streak >= cluster && others == 0 {
			l.pause(now.Add(delay(l.streak, o.err, l.clock.jitter())))
		}
	}
	l.serve()
	return others
}

func (l *limiter) pause(until time.Time) {
	if until.After(l.paused) {
		l.paused = until
	}
}
