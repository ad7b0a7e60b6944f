package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rpo/schemas"
)

// scriptedExchanger answers with what do says.
type scriptedExchanger func(ctx context.Context, req Request) (Response, error)

func (f scriptedExchanger) exchange(ctx context.Context, req Request) (Response, error) {
	return f(ctx, req)
}

// chain is New's, around do.
func chain(e Endpoint, do scriptedExchanger) *Client {
	e.Name, e.URL, e.Model = "fake", "http://fake/v1", "m"
	if e.Timeout == 0 {
		e.Timeout = DefaultTimeout
	}
	if e.MaxConcurrency == 0 {
		e.MaxConcurrency = DefaultMaxConcurrency
	}
	l := newLimited(do, e)
	return &Client{endpoint: e, limited: l, exchanger: &breaking{&retrying{l, e.Timeout}, l.breaker}}
}

func fine() (Response, error) {
	return Response{Calls: 1, Choices: []Choice{{Text: "x"}}, Usage: Usage{CompletionTokens: 10, Known: true}}, nil
}

func busy(after time.Duration) (Response, error) {
	err := schemas.Errorf(schemas.Overloaded, "queue is full")
	err.RetryAfter, err.Cause = after, errBusy
	return Response{Calls: 1}, err
}

func broken() (Response, error) {
	return Response{Calls: 1}, schemas.Errorf(schemas.Overloaded, "connection reset")
}

func TestWhoeverComesFirstIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int64
		var mu sync.Mutex
		c := chain(Endpoint{MaxConcurrency: 1}, func(_ context.Context, req Request) (Response, error) {
			mu.Lock()
			order = append(order, req.Seed)
			mu.Unlock()
			time.Sleep(time.Second)
			return fine()
		})
		var group sync.WaitGroup
		for i := range int64(50) {
			group.Go(func() { c.exchange(t.Context(), Request{N: 1, Seed: i}) })
			synctest.Wait()
		}
		group.Wait()
		if len(order) != 50 || !slices.IsSorted(order) {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestARefusedCallKeepsItsPlaceAndNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int64
		refusals := 0
		var c *Client
		c = chain(Endpoint{MaxConcurrency: 1}, func(_ context.Context, req Request) (Response, error) {
			order = append(order, req.Seed)
			if req.Seed == 1 && refusals < 3 {
				refusals++
				return busy(5 * time.Second)
			}
			return fine()
		})
		var group sync.WaitGroup
		began := time.Now()
		for i := range int64(4) {
			group.Go(func() {
				if reply, err := c.exchange(t.Context(), Request{N: 1, Seed: i}); err != nil || i == 1 && reply.Calls != 4 {
					t.Errorf("call %d: %d requests, %v", i, reply.Calls, err)
				}
			})
			synctest.Wait()
			if taken, _, _ := c.limited.limiter.now(); taken != 0 {
				t.Errorf("%d slots are taken while all wait", taken)
			}
		}
		group.Wait()
		if want := []int64{0, 1, 1, 1, 1, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("sent %v, want %v", order, want)
		}
		if waited := time.Since(began); waited < 15*time.Second || waited > 20*time.Second {
			t.Errorf("three cooldowns of 5 s took %s", waited)
		}
	})
}

func TestNothingIsSentDuringACooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var from, until time.Time
		sent := 0
		c := chain(Endpoint{}, func(context.Context, Request) (Response, error) {
			mu.Lock()
			sent++
			n := sent
			if n == 30 {
				from, until = time.Now(), time.Now().Add(20*time.Second)
			}
			if now := time.Now(); now.After(from) && now.Before(until) {
				t.Errorf("request %d is sent %s before the cooldown ends", n, until.Sub(now))
			}
			mu.Unlock()
			if n == 30 {
				return busy(20 * time.Second)
			}
			time.Sleep(time.Second)
			return fine()
		})
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, err := c.exchange(t.Context(), Request{N: 1}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestACallThatGivesUpLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chain(Endpoint{MaxConcurrency: 1}, func(context.Context, Request) (Response, error) {
			time.Sleep(time.Minute)
			return fine()
		})
		var group sync.WaitGroup
		group.Go(func() { c.exchange(t.Context(), Request{N: 1}) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.exchange(ctx, Request{N: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		group.Wait()
		if taken, waiting, _ := c.limited.limiter.now(); taken != 0 || waiting != 0 {
			t.Errorf("%d slots taken, %d wait", taken, waiting)
		}
	})
}

func TestNoMoreIsUnderWayThanTheLimitAndAllIsGivenBackWhateverHappens(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			random := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			var c *Client
			underWay, bound := 0, 1+random(40)
			c = chain(Endpoint{MaxConcurrency: bound, Timeout: 20 * time.Second}, func(ctx context.Context, _ Request) (Response, error) {
				mu.Lock()
				if underWay++; underWay > bound {
					t.Errorf("%d under way, the bound is %d", underWay, bound)
				}
				mu.Unlock()
				defer func() { mu.Lock(); underWay--; mu.Unlock() }()
				time.Sleep(time.Duration(random(3000)) * time.Millisecond)
				if ctx.Err() != nil {
					return Response{Calls: 1}, c.endpoint.interrupted(ctx)
				}
				switch random(10) {
				case 0:
					return busy(0)
				case 1:
					return busy(time.Duration(random(30)) * time.Second)
				case 2:
					return broken()
				case 3:
					return Response{Calls: 1}, schemas.Errorf(schemas.InvalidInput, "too long")
				}
				return fine()
			})
			var group sync.WaitGroup
			for range 300 {
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random(120))*time.Second)
					defer cancel()
					time.Sleep(time.Duration(random(60)) * time.Second)
					c.exchange(ctx, Request{N: 1})
				})
			}
			group.Wait()
			if taken, waiting, _ := c.limited.limiter.now(); taken != 0 || waiting != 0 {
				t.Errorf("seed %d: %d slots taken, %d wait", seed, taken, waiting)
			}
		})
	}
}

func TestTheRateIsThatOfTheLastMinute(t *testing.T) {
	var r rate
	now := noon
	if _, ok := r.perSecond(now); ok {
		t.Error("a rate of nothing")
	}
	for range 300 {
		now = now.Add(time.Second)
		r.add(now, 50)
	}
	if got, ok := r.perSecond(now); !ok || got < 45 || got > 55 {
		t.Errorf("%v tokens/s, want 50", got)
	}
	for range 60 {
		now = now.Add(time.Second)
		r.add(now, 200)
	}
	if got, _ := r.perSecond(now); got < 180 || got > 220 {
		t.Errorf("%v tokens/s, want 200", got)
	}
	if _, ok := r.perSecond(now.Add(2 * time.Minute)); ok {
		t.Error("a rate after two minutes of nothing")
	}
}
