package chat

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rpo/schemas"
)

// isOpen reports whether err is that of an open breaker, and for how long.
func isOpen(t *testing.T, err error) (bool, time.Duration) {
	t.Helper()
	if !errors.Is(err, errStopped) {
		return false, 0
	}
	if !schemas.Retryable(err) || schemas.TypeOf(err) != schemas.Overloaded || retryAfterOf(err) <= 0 {
		t.Errorf("an open breaker says %v", err)
	}
	return true, retryAfterOf(err)
}

func TestAnEndpointThatIsDownIsLeftAloneAndLookedAtAgain(t *testing.T) {
	for name, down := range map[string]struct {
		fail  func() (Response, error)
		tries int64 // at most, of the call that tries
	}{
		"refuses everything": {func() (Response, error) { return busy(0) }, 11},
		"cannot be reached":  {broken, 1},
	} {
		fail := down.fail
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				isDown := true
				var sent atomic.Int64
				c := chain(Endpoint{}, func(context.Context, Request) (Response, error) {
					sent.Add(1)
					time.Sleep(time.Millisecond)
					if isDown {
						return fail()
					}
					return fine()
				})
				// A shard's calls, each of which comes back when it fails.
				call := func() error { _, err := c.exchange(t.Context(), Request{N: 1}); return err }
				began := time.Now()
				var group sync.WaitGroup
				for range 100 {
					group.Go(func() {
						for {
							if open, _ := isOpen(t, call()); open {
								return
							}
							time.Sleep(time.Second)
						}
					})
				}
				group.Wait()
				if took := time.Since(began); took < breakAfter || took > breakAfter+15*time.Second {
					t.Errorf("the breaker opened after %s", took)
				}
				if n := sent.Load(); n > 400 {
					t.Errorf("%d requests to an endpoint that is down", n)
				}
				// It stays open, calls fail at once, one tries after each cooldown.
				for _, want := range []time.Duration{15, 30, 60, 120, 240, 300, 300} {
					want *= time.Second
					before := sent.Load()
					open, after := isOpen(t, call())
					if !open || after > want || after < want-10*time.Second {
						t.Fatalf("open %v, for %s, want %s", open, after, want)
					}
					if sent.Load() != before {
						t.Error("a request was sent while the breaker is open")
					}
					time.Sleep(after)
					for range 20 {
						group.Go(func() {
							if open, _ := isOpen(t, call()); !open {
								t.Error("a failed trial let a call through")
							}
						})
					}
					group.Wait()
					if n := sent.Load() - before; n < 1 || n > down.tries {
						t.Errorf("%d requests tried, want at most %d", n, down.tries)
					}
				}
				isDown = false
				time.Sleep(lastCooldown)
				for range 20 {
					group.Go(func() {
						if err := call(); err != nil {
							t.Errorf("after the endpoint came back: %v", err)
						}
					})
				}
				group.Wait()
			})
		})
	}
}

func TestWhatLivesIsNotLeftAlone(t *testing.T) {
	for name, do := range map[string]func(n int64) (Response, error){
		"a reply takes longer than the silence that is suspicious": func(int64) (Response, error) {
			time.Sleep(100 * time.Second)
			return fine()
		},
		"one in ten is answered": func(n int64) (Response, error) {
			if time.Sleep(200 * time.Millisecond); n%10 == 0 {
				return fine()
			}
			return busy(0)
		},
		"it refuses every request for what it is": func(int64) (Response, error) {
			return Response{Calls: 1}, schemas.Errorf(schemas.InvalidInput, "too long")
		},
		"its key is wrong": func(int64) (Response, error) {
			err := schemas.Errorf(schemas.InvalidInput, "wrong key")
			err.Cause = ErrEndpoint
			return Response{Calls: 1}, err
		},
		"a connection breaks now and then, while others take long": func(n int64) (Response, error) {
			if n%9 == 0 {
				time.Sleep(31 * time.Second)
				return broken()
			}
			time.Sleep(100 * time.Second)
			return fine()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				c := chain(Endpoint{}, func(context.Context, Request) (Response, error) { return do(sent.Add(1)) })
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var group sync.WaitGroup
				for range 16 {
					group.Go(func() {
						for ctx.Err() == nil {
							_, err := c.exchange(ctx, Request{N: 1})
							if open, _ := isOpen(t, err); open {
								t.Error(err)
								return
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				group.Wait()
			})
		})
	}
}

func TestAHungEndpointIsLeftAloneAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chain(Endpoint{Timeout: time.Minute}, func(context.Context, Request) (Response, error) {
			time.Sleep(time.Minute)
			return broken()
		})
		began := time.Now()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				for {
					_, err := c.exchange(t.Context(), Request{N: 1})
					if open, _ := isOpen(t, err); open {
						return
					}
				}
			})
		}
		group.Wait()
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("the calls hung for %s", took)
		}
	})
}

func TestADemandToWaitLongerThanAnyCallWouldOpensTheBreakerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		c := chain(Endpoint{Timeout: time.Minute}, func(context.Context, Request) (Response, error) {
			if first {
				first = false
				return busy(20 * time.Minute)
			}
			return fine()
		})
		_, err := c.exchange(t.Context(), Request{N: 1})
		if retryAfterOf(err) != 20*time.Minute {
			t.Errorf("the refused call got %v", err)
		}
		_, err = c.exchange(t.Context(), Request{N: 1})
		if open, after := isOpen(t, err); !open || after != 20*time.Minute || !strings.Contains(err.Error(), "asked for no more requests") {
			t.Errorf("the next call got %v, after %s", err, after)
		}
		time.Sleep(20 * time.Minute)
		if _, err := c.exchange(t.Context(), Request{N: 1}); err != nil {
			t.Error(err)
		}
	})
}

func TestATrialThatIsGivenUpIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		c := chain(Endpoint{}, func(ctx context.Context, _ Request) (Response, error) {
			if down {
				return busy(0)
			}
			select {
			case <-ctx.Done():
				return Response{Calls: 1}, schemas.Errorf(schemas.Internal, "given up: %w", ctx.Err())
			case <-time.After(10 * time.Second):
				return fine()
			}
		})
		_, err := c.exchange(t.Context(), Request{N: 1})
		open, after := isOpen(t, err)
		if !open {
			t.Fatal(err)
		}
		down = false
		time.Sleep(after)
		var group sync.WaitGroup
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.exchange(ctx, Request{N: 1}); err == nil {
				t.Error("the trial was not given up")
			}
		})
		synctest.Wait()
		for range 5 {
			group.Go(func() {
				if _, err := c.exchange(t.Context(), Request{N: 1}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}
