package chat

import (
	"context"
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
	r := c.exchanger.(*retrying)
	r.now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.clock
	}
	r.sleep = func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clock = w.clock.Add(d)
		w.All = append(w.All, d)
		return ctx.Err()
	}
	r.jitter = func() float64 { return 0.5 }
	return w
}
