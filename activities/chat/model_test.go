package chat_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"rpo/activities/chat"
	"rpo/schemas"
)

func TestEachCallsEveryIndexOnceWithinTheSlots(t *testing.T) {
	for _, slots := range []int{1, 3, 100} {
		m := chat.Model{Slots: make(chan struct{}, slots)}
		var calls [50]atomic.Int64
		var now, most atomic.Int64
		err := m.Each(t.Context(), len(calls), func(_ context.Context, i int) error {
			n := now.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			calls[i].Add(1)
			now.Add(-1)
			return nil
		})
		if err != nil || most.Load() > int64(slots) || len(m.Slots) != 0 {
			t.Errorf("%d slots: %d at once, %d kept, %v", slots, most.Load(), len(m.Slots), err)
		}
		for i := range calls {
			if calls[i].Load() != 1 {
				t.Errorf("index %d was called %d times", i, calls[i].Load())
			}
		}
	}
	if err := (chat.Model{}).Each(t.Context(), 0, nil); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

func TestSlotsAreSharedByAllWhoUseTheModel(t *testing.T) {
	m := chat.Model{Slots: make(chan struct{}, 2)}
	var now, most atomic.Int64
	var shards sync.WaitGroup
	for range 4 {
		shards.Go(func() {
			m.Each(t.Context(), 20, func(context.Context, int) error {
				n := now.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				now.Add(-1)
				return nil
			})
		})
	}
	shards.Wait()
	if most.Load() > 2 {
		t.Errorf("%d calls at once", most.Load())
	}
}

func TestTheFirstErrorCancelsTheRestAndIsReturned(t *testing.T) {
	m := chat.Model{Slots: make(chan struct{}, 2)}
	broken := errors.New("broken")
	var started atomic.Int64
	err := m.Each(t.Context(), 1000, func(ctx context.Context, i int) error {
		started.Add(1)
		if i == 3 {
			return broken
		}
		if i > 3 {
			<-ctx.Done() // whoever is at work learns of it
			return ctx.Err()
		}
		return nil
	})
	if !errors.Is(err, broken) || started.Load() > 6 || len(m.Slots) != 0 {
		t.Errorf("%d started, %d slots kept, %v", started.Load(), len(m.Slots), err)
	}
}

func TestACancelledCallerEndsEachEvenWhileAllSlotsAreTaken(t *testing.T) {
	m := chat.Model{Slots: make(chan struct{}, 1)}
	m.Slots <- struct{}{} // another shard's
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Each(ctx, 3, func(context.Context, int) error { t.Error("called"); return nil })
	if !errors.Is(err, context.Canceled) || len(m.Slots) != 1 {
		t.Errorf("%d slots taken, %v", len(m.Slots), err)
	}
}

func TestOnlyARefusedOrUselessReplyIsTheRowsFault(t *testing.T) {
	misconfigured := schemas.Errorf(schemas.InvalidInput, "wrong key: %w", chat.ErrEndpoint)
	for _, c := range []struct {
		err error
		row bool
	}{
		{schemas.Errorf(schemas.InvalidInput, "the prompt is too long"), true},
		{schemas.Errorf(schemas.CorruptData, "no completion"), true},
		{schemas.Errorf(schemas.CorruptData, "judge: %w", schemas.Errorf(schemas.InvalidInput, "inner")), true},
		{misconfigured, false},
		{fmt.Errorf("while judging: %w", misconfigured), false},
		{schemas.Errorf(schemas.RateLimited, "slow down"), false},
		{schemas.Errorf(schemas.Overloaded, "down"), false},
		{schemas.Errorf(schemas.NotFound, "no such object"), false},
		{schemas.Errorf(schemas.BudgetExceeded, "spent"), false},
		{context.Canceled, false},
	} {
		if got := chat.RowError(c.err); got != c.row {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
