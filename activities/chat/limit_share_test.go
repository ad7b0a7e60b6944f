package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// simulate runs do in virtual time, with far more callers than s has slots.
func simulate(t *testing.T, s *simulated, do func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := s.client()
		ctx, cancel := context.WithCancel(t.Context())
		group, errors := load(ctx, c, 1500)
		do(t, c)
		cancel()
		group.Wait()
		if errors.Load() > 0 {
			t.Errorf("%d errors", errors.Load())
		}
		if taken, waiting, _ := c.limited.limiter.now(); taken != 0 || waiting != 0 {
			t.Errorf("%d slots are taken and %d calls wait after all have ended", taken, waiting)
		}
	})
}

func TestTheCapacityIsFoundAndUsedWithFewRefusals(t *testing.T) {
	for _, test := range []struct {
		slots, queue int
		status       int
		retryAfter   time.Duration
		most         int // under way once it has settled
	}{
		{slots: 1, most: 2},
		{slots: 3, most: 4},
		{slots: 8, most: 9},
		{slots: 8, queue: 4, most: 13},
		{slots: 8, queue: 64, most: 18},
		{slots: 8, status: http.StatusTooManyRequests, retryAfter: time.Second, most: 9},
		{slots: 32, status: http.StatusTooManyRequests, retryAfter: 2 * time.Second, most: 33},
		{slots: 60, most: 61},
		{slots: 256, most: 257},
		{slots: 256, queue: 32, most: 289},
		{slots: 8, queue: -1, most: 18},
		{slots: 64, queue: -1, most: 100},
		{slots: 256, queue: -1, most: 400},
	} {
		t.Run(fmt.Sprintf("%d slots, queue of %d, Retry-After %s", test.slots, test.queue, test.retryAfter), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(test.slots, test.queue)
			s.status, s.retryAfter = test.status, test.retryAfter
			simulate(t, s, func(t *testing.T, c *Client) {
				time.Sleep(5 * time.Minute)
				got := s.measure(10 * time.Minute)
				if got.share < 0.97 || got.refused > 0.02 || got.most > test.most {
					t.Errorf("%.4f of the capacity, %.4f refused, at most %d under way", got.share, got.refused, got.most)
				}
			})
		})
	}
}

func TestTheCapacityIsReachedSoon(t *testing.T) {
	for _, slots := range []int{8, 64, 256} {
		s := newSimulated(slots, 0)
		simulate(t, s, func(t *testing.T, c *Client) {
			// An average request takes 2 s, so this is 30 of them, one after the other.
			time.Sleep(time.Minute)
			if got := s.measure(30 * time.Second); got.share < 0.95 {
				t.Errorf("%d slots: after a minute %.3f of the capacity", slots, got.share)
			}
		})
	}
}

func TestABatchingEngineIsDrivenUp(t *testing.T) {
	for _, test := range []struct {
		slots int
		drag  float64
		least float64 // part of the tokens per second that all slots together give
	}{
		{64, 0.01, 0.95}, {256, 0.005, 0.95}, {256, 0.01, 0.95}, {1024, 0.01, 0.8},
	} {
		t.Run(fmt.Sprintf("%d slots, each slowing the others by %v", test.slots, test.drag), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(test.slots, -1)
			s.drag = test.drag
			simulate(t, s, func(t *testing.T, c *Client) {
				time.Sleep(15 * time.Minute)
				got := s.measure(5 * time.Minute)
				slowest := 1 + test.drag*float64(test.slots-1)
				best := float64(test.slots) * 100 / (slowest * (s.fixed + 100*s.perToken).Seconds())
				if got.tokensPerSecond < test.least*best {
					t.Errorf("%.0f tokens/s of %.0f, at most %d under way", got.tokensPerSecond, best, got.most)
				}
			})
		})
	}
}

func TestAChangedCapacityIsFoundAgain(t *testing.T) {
	for _, test := range []struct{ before, after, queue int }{
		{64, 16, 0}, {16, 64, 0}, {8, 2, 0}, {2, 8, 0}, {256, 200, 0}, {200, 256, 0}, {64, 16, -1}, {16, 64, -1},
	} {
		t.Run(fmt.Sprintf("from %d to %d slots, queue of %d", test.before, test.after, test.queue), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(test.before, test.queue)
			simulate(t, s, func(t *testing.T, c *Client) {
				time.Sleep(10 * time.Minute)
				s.set(func() { s.slots = test.after })
				time.Sleep(6 * time.Minute)
				got := s.measure(10 * time.Minute)
				if got.share < 0.97 || got.refused > 0.02 || got.most > 2*test.after+4 {
					t.Errorf("%.3f of the capacity, %.4f refused, at most %d under way", got.share, got.refused, got.most)
				}
			})
		})
	}
}

func TestAStageWithOtherCallsIsNotTakenForAnOverload(t *testing.T) {
	for _, queue := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulated(64, queue)
			c := s.client()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			// A small stage, which never needs more than 6 at once.
			group, _ := load(ctx, c, 6)
			group.Wait()
			// Its calls take as long for a tenth of the tokens.
			ctx, cancel = context.WithCancel(t.Context())
			group, _ = loadWith(ctx, c, 1500, Request{N: 1, MaxTokens: 64, SchemaName: "verdict"})
			time.Sleep(3 * time.Minute)
			if got := s.measure(5 * time.Minute); got.share < 0.97 || got.refused > 0.02 {
				t.Errorf("queue of %d: %.3f of the capacity, %.4f refused", queue, got.share, got.refused)
			}
			cancel()
			group.Wait()
		})
	}
}

func TestAWorkerThatComesLaterFindsRoom(t *testing.T) {
	for _, queue := range []int{0, -1} {
		for seed := range 4 {
			t.Run(fmt.Sprintf("queue of %d, %d", queue, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSimulated(32, queue)
					// A slot that one worker leaves is hardly ever free when the other comes.
					s.away, s.random = 2*time.Millisecond, rand.New(rand.NewPCG(uint64(seed), 3))
					first, second := s.client(), s.client()
					ctx, cancel := context.WithCancel(t.Context())
					old, _ := load(ctx, first, 1000)
					time.Sleep(10 * time.Minute)
					late, _ := load(ctx, second, 1000)
					time.Sleep(5 * time.Minute)
					got := s.measure(10 * time.Minute)
					if got.share < 0.97 || got.refused > 0.02 {
						t.Errorf("%.3f of the capacity, %.4f refused", got.share, got.refused)
					}
					// Each gains by having more in a common queue, so it is not short.
					_, _, a := first.limited.limiter.now()
					if _, _, b := second.limited.limiter.now(); a+b > 16*s.slots {
						t.Errorf("%d and %d requests for %d slots", a, b, s.slots)
					}
					if perSecond, ok := second.Rate(); !ok || perSecond < 40 {
						t.Errorf("the second worker gets %.0f tokens/s, not even those of one slot", perSecond)
					}
					cancel()
					old.Wait()
					late.Wait()
				})
			})
		}
	}
}
