package chat

import (
	"sync"
	"time"
)

// Waits records the delays between attempts instead of waiting for them, on a
// clock that only they move.
type Waits struct {
	mu    sync.Mutex
	clock time.Time
	All   []time.Duration
}

// RecordWaits makes c wait on a clock of its own, with jitter at its middle.
func RecordWaits(c *Client) *Waits {
	w := &Waits{clock: time.Unix(1_700_000_000, 0)}
	fake := clock{
		now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.clock
		},
		after: func(d time.Duration, do func()) func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.clock = w.clock.Add(d)
			w.All = append(w.All, d)
			go do()
			return func() bool { return false }
		},
		jitter: func() float64 { return 0.5 },
	}
	c.limited.limiter.clock, c.limited.breaker.clock = fake, fake
	return w
}

// SetClock makes r read the time from now.
func SetClock(r *Replicated, now func() time.Time) { r.now = now }

// Advance moves the clock on.
func (w *Waits) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}
