package chat

import (
	"sync"
	"time"
)

const (
	rateBuckets = 12
	rateBucket  = 5 * time.Second
)

// rate sums tokens over the last minute.
type rate struct {
	mu      sync.Mutex
	buckets [rateBuckets]int64
	// first is when the oldest counted token came, last the number of the newest
	// bucket's interval.
	first time.Time
	last  int64
}

func (r *rate) add(now time.Time, tokens int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if r.first.IsZero() {
		r.first = now
	}
	r.buckets[r.last%rateBuckets] += tokens
}

// perSecond is not ok before there is a second's worth of answers.
func (r *rate) perSecond(now time.Time) (float64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	var sum int64
	for _, tokens := range r.buckets {
		sum += tokens
	}
	// The newest bucket is not over yet.
	span := (rateBuckets-1)*rateBucket + time.Duration(now.UnixNano()%int64(rateBucket))
	if since := now.Sub(r.first); since < span {
		span = since
	}
	if sum == 0 || span < time.Second {
		return 0, false
	}
	return float64(sum) / span.Seconds(), true
}

// forget empties the buckets that are older than a minute.
func (r *rate) forget(now time.Time) {
	interval := now.UnixNano() / int64(rateBucket)
	if interval-r.last >= rateBuckets {
		r.buckets, r.first = [rateBuckets]int64{}, time.Time{}
	} else {
		for i := r.last + 1; i <= interval; i++ {
			r.buckets[i%rateBuckets] = 0
		}
	}
	r.last = max(r.last, interval)
}

// Rate is how many tokens of output the endpoint gave per second in the last
// minute, for estimates of time. ok is false if it gave none.
func (c *Client) Rate() (tokensPerSecond float64, ok bool) {
	return c.limited.rate.perSecond(c.limited.limiter.clock.now())
}
