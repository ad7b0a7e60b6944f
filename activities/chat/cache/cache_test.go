package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/schemas"
)

func TestAnotherProcessReplaysWithoutACall(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	first := start(t, s)
	for i := range 20 {
		resp, err := first.completer(m).Complete(t.Context(), ask(fmt.Sprint("p", i), 5))
		check(t, ask(fmt.Sprint("p", i), 5), resp, err)
		if resp.Calls != 1 || resp.Usage.CompletionTokens != 5 {
			t.Errorf("response %+v", resp)
		}
	}
	must(t, first.Close(t.Context()))
	hits, second := 0, start(t, s)
	c := second.Completer(m, cache.Use{Identity: "m@1", Endpoint: "another", Hit: func(n int) { hits += n }})
	for i := range 20 {
		resp, err := c.Complete(t.Context(), ask(fmt.Sprint("p", i), 5))
		check(t, ask(fmt.Sprint("p", i), 5), resp, err)
		if resp.Calls != 0 || resp.Usage != (chat.Usage{Known: true}) {
			t.Errorf("response %+v", resp)
		}
	}
	if calls, paid, _ := m.total(); calls != 20 || paid != 100 || hits != 100 {
		t.Errorf("%d calls, %d choices paid, %d hits", calls, paid, hits)
	}
	if st := second.Stats(); st.Hits != 100 || st.Asked != 0 || st.Entries != 100 || st.Parts != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestAskingForMoreChoicesPaysForThoseOnly(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	for i, step := range []struct{ n, paid int }{{5, 5}, {7, 7}, {3, 7}, {0, 7}, {8, 8}} {
		p := start(t, s)
		resp, err := p.completer(m).Complete(t.Context(), ask("p", step.n))
		check(t, ask("p", step.n), resp, err)
		must(t, p.Flush(t.Context()))
		if _, paid, _ := m.total(); paid != step.paid {
			t.Errorf("step %d: %d choices are paid, want %d", i, paid, step.paid)
		}
	}
}

func TestWhatAnsweredBeforeAFailureIsKept(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	p := start(t, s)
	m.most = 2
	resp, err := p.completer(m).Complete(t.Context(), ask("p", 5))
	if schemas.TypeOf(err) != schemas.Overloaded || len(resp.Choices) != 2 || resp.Calls != 1 {
		t.Fatalf("got %+v, %v", resp, err)
	}
	m.most = 0
	resp, err = p.completer(m).Complete(t.Context(), ask("p", 5))
	check(t, ask("p", 5), resp, err)
	if _, paid, twice := m.total(); paid != 5 || twice != 0 {
		t.Errorf("%d paid, %d twice", paid, twice)
	}
}

func TestWhatDeterminesAReplySeparatesCalls(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	p := start(t, s)
	uses := []cache.Use{{Identity: "m@1"}, {Identity: "m@2"}, {Identity: "m@1", Generation: 1}}
	for _, u := range uses {
		_, err := p.Completer(m, u).Complete(t.Context(), ask("p", 1))
		must(t, err)
	}
	if calls, _, _ := m.total(); calls != len(uses) {
		t.Errorf("%d calls for %d uses", calls, len(uses))
	}
}

func TestAKilledProcessLosesTheLastTwoSecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		first := start(t, s)
		c := first.completer(m)
		for i := range 100 { // ten seconds
			_, err := c.Complete(t.Context(), ask(fmt.Sprint("p", i), 1))
			must(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		if n := first.Stats().Written; n < 4 || n > 5 {
			t.Errorf("%d parts were written in ten seconds", n)
		}
		first.kill()
		second := start(t, s)
		for i := range 100 {
			resp, err := second.completer(m).Complete(t.Context(), ask(fmt.Sprint("p", i), 1))
			check(t, ask(fmt.Sprint("p", i), 1), resp, err)
			if i < 79 && resp.Calls != 0 {
				t.Errorf("call %d is lost, %.1f s before the kill", i, 10-float64(i)/10)
			}
		}
	})
}

func TestNoTimerRunsWhileNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var operations atomic.Int64
		s := store.NewMemory("rpo")
		s.Before = func(operation, key string) error {
			operations.Add(1)
			return nil
		}
		p, m := start(t, s), newModel()
		_, err := p.completer(m).Complete(t.Context(), ask("p", 1))
		must(t, err)
		time.Sleep(2100 * time.Millisecond)
		before := operations.Load()
		time.Sleep(time.Hour)
		if after := operations.Load(); after != before || before != 3 { // a listing, two objects
			t.Errorf("%d operations, then %d", before, after)
		}
	})
}

func TestEqualChoicesAreAskedForOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		m.before = func(context.Context, chat.Request) error {
			time.Sleep(time.Second)
			return nil
		}
		p := start(t, s)
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				req := ask("p", 1+i%8)
				resp, err := p.completer(m).Complete(t.Context(), req)
				check(t, req, resp, err)
			})
		}
		group.Wait()
		if _, paid, twice := m.total(); paid != 8 || twice != 0 {
			t.Errorf("%d paid, %d twice", paid, twice)
		}
	})
}

func TestAWaiterTakesOverWhenTheFirstCallFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		m.before = func(ctx context.Context, _ chat.Request) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return schemas.Errorf(schemas.Internal, "the call was given up: %w", ctx.Err())
			}
		}
		p := start(t, s)
		leading, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := p.completer(m).Complete(leading, ask("p", 3)); !errors.Is(err, context.Canceled) {
				t.Errorf("the first caller got %v", err)
			}
		}()
		synctest.Wait()
		impatient, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := p.completer(m).Complete(impatient, ask("p", 3)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a waiter whose time is over got %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		resp, err := p.completer(m).Complete(t.Context(), ask("p", 3))
		check(t, ask("p", 3), resp, err)
	})
}

func TestARefusalIsRepeatedWithoutACallOnceTheEndpointHasAnswered(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	m.before = func(_ context.Context, req chat.Request) error {
		if strings.HasPrefix(req.Messages[0].Content, "long") {
			return schemas.Errorf(schemas.InvalidInput, "the prompt is too long")
		}
		return nil
	}
	p := start(t, s)
	refused := func(p *process, endpoint, prompt string, n, calls int) {
		t.Helper()
		resp, err := p.Completer(m, cache.Use{Identity: "m@1", Endpoint: endpoint}).Complete(t.Context(), ask(prompt, n))
		if schemas.TypeOf(err) != schemas.InvalidInput || !chat.RowError(err) || err.Error() != "the prompt is too long" || resp.Calls != calls {
			t.Errorf("%s %s: %d calls, %v", endpoint, prompt, resp.Calls, err)
		}
	}
	refused(p, "e", "long", 2, 1)
	refused(p, "e", "long", 2, 1) // it may refuse everything
	resp, err := p.completer(m).Complete(t.Context(), ask("short", 2))
	check(t, ask("short", 2), resp, err)
	refused(p, "e", "long", 2, 1)
	refused(p, "e", "long", 2, 0)
	must(t, p.Flush(t.Context()))
	again := start(t, s)
	refused(again, "e", "long", 2, 0)
	refused(again, "e", "long", 3, 1)     // the number may be to blame
	refused(again, "other", "long", 2, 1) // another endpoint may take it
	if st := again.Stats(); st.Refusals != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestOnlyTheRequestsOwnFaultIsKept(t *testing.T) {
	misconfigured := schemas.Errorf(schemas.InvalidInput, "wrong key")
	misconfigured.Cause = chat.ErrEndpoint
	for _, fault := range []error{misconfigured, schemas.Errorf(schemas.CorruptData, "no JSON"), schemas.Errorf(schemas.Overloaded, "full"),
		schemas.Errorf(schemas.BudgetExceeded, "spent"), schemas.Errorf(schemas.NotFound, "no such model")} {
		p, m := start(t, store.NewMemory("rpo")), newModel()
		c := p.completer(m)
		_, err := c.Complete(t.Context(), ask("sound", 1))
		must(t, err)
		m.before = func(context.Context, chat.Request) error { return fault }
		if _, err := c.Complete(t.Context(), ask("p", 1)); !errors.Is(err, fault) {
			t.Errorf("%v came as %v", fault, err)
		}
		m.before = nil
		resp, err := c.Complete(t.Context(), ask("p", 1))
		check(t, ask("p", 1), resp, err)
	}
}
