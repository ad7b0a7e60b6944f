package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// TestAnyInterleavingAnswersLikeTheModelItselfAndPaysOnce lets several processes
// ask, flush, open, merge and die in random order, over a store and a model that
// fail at random. What one process has flushed, no other pays for after it opens.
func TestAnyInterleavingAnswersLikeTheModelItselfAndPaysOnce(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { interleave(t, seed) })
	}
}

func interleave(t *testing.T, seed uint64) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 7))
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	s, m := store.NewMemory("rpo"), newModel()
	faulty := func(string, string) error {
		if pick(40) == 0 {
			return schemas.Errorf(schemas.Overloaded, "slow down")
		}
		return nil
	}
	s.Before, s.After = faulty, faulty
	m.before = func(ctx context.Context, req chat.Request) error {
		time.Sleep(time.Duration(pick(300)) * time.Millisecond)
		if pick(20) == 0 {
			return schemas.Errorf(schemas.Overloaded, "queue is full")
		}
		return nil
	}
	random0 := func() chat.Request { return ask(fmt.Sprint("p", pick(30)), 1+pick(6)) }
	processes := make([]*process, 3)
	for i := range processes {
		processes[i] = start(t, s)
	}
	for range 12 { // rounds, between which processes die
		var group sync.WaitGroup
		for _, p := range processes {
			for range 4 {
				group.Go(func() {
					for range 3 {
						switch pick(8) {
						case 0:
							p.Open(t.Context(), "m@1")
						case 1:
							p.Flush(t.Context())
						default:
							req := random0()
							resp, err := p.completer(m).Complete(t.Context(), req)
							if err == nil {
								check(t, req, resp, err)
							} else if !schemas.Retryable(err) {
								t.Errorf("%+v: %v", req, err)
							}
							for i, c := range resp.Choices {
								if c != answer(req, i) {
									t.Errorf("choice %d is %+v", i, c)
								}
							}
						}
					}
				})
			}
		}
		group.Wait()
		if i := pick(4); i < len(processes) {
			processes[i].kill()
			processes[i] = start(t, s)
		}
	}
	// Peace: what is flushed is free for everybody who opens.
	s.Before, s.After, m.before = nil, nil, nil
	for _, p := range processes {
		must(t, p.Flush(t.Context()))
	}
	for i := range 30 {
		_, err := processes[0].completer(m).Complete(t.Context(), ask(fmt.Sprint("p", i), 6))
		must(t, err)
	}
	must(t, processes[0].Flush(t.Context()))
	calls, _, _ := m.total()
	for _, p := range append(processes, start(t, s)) {
		must(t, p.Open(t.Context(), "m@1"))
		if st := p.Stats(); st.Damaged != 0 || st.Waiting != 0 {
			t.Errorf("stats %+v", st)
		}
		for i := range 30 {
			req := ask(fmt.Sprint("p", i), 6)
			resp, err := p.completer(m).Complete(t.Context(), req)
			check(t, req, resp, err)
		}
	}
	if now, _, _ := m.total(); now != calls {
		t.Errorf("seed %d: %d calls for what was flushed", seed, now-calls)
	}
}
