package chat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"rpo/activities/chat"
	"rpo/schemas"
)

func TestEachCallsEveryIndexOnceAndNoMoreAtOnceThanTheModelSays(t *testing.T) {
	for _, most := range []int{0, 1, 3, 100} {
		m := chat.Model{AtOnce: most}
		var calls [50]atomic.Int64
		var now, seen atomic.Int64
		err := m.Each(t.Context(), len(calls), func(_ context.Context, i int) error {
			n := now.Add(1)
			for s := seen.Load(); n > s && !seen.CompareAndSwap(s, n); s = seen.Load() {
			}
			calls[i].Add(1)
			now.Add(-1)
			return nil
		})
		if err != nil || most > 0 && seen.Load() > int64(most) {
			t.Errorf("at most %d: %d at once, %v", most, seen.Load(), err)
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

func TestOneAtATimeIsInOrder(t *testing.T) {
	var order []int
	(chat.Model{AtOnce: 1}).Each(t.Context(), 100, func(_ context.Context, i int) error {
		order = append(order, i)
		return nil
	})
	if len(order) != 100 || !slices.IsSorted(order) {
		t.Errorf("called in the order %v", order)
	}
}

func TestAShardHasManyMoreCallsUnderWayThanOneAtATime(t *testing.T) {
	const n = 600
	all := make(chan struct{})
	var began atomic.Int64
	err := (chat.Model{}).Each(t.Context(), n, func(ctx context.Context, i int) error {
		if began.Add(1) == 512 {
			close(all)
		}
		<-all
		return nil
	})
	if err != nil || began.Load() != n {
		t.Errorf("%d of %d calls, %v", began.Load(), n, err)
	}
}

func TestTheFirstErrorCancelsTheRestAndIsReturned(t *testing.T) {
	broken := errors.New("broken")
	var started atomic.Int64
	err := (chat.Model{AtOnce: 2}).Each(t.Context(), 1000, func(ctx context.Context, i int) error {
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
	if !errors.Is(err, broken) || started.Load() > 6 {
		t.Errorf("%d started, %v", started.Load(), err)
	}
}

func TestACancelledCallerEndsEachBeforeItsFirstCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := (chat.Model{}).Each(ctx, 3, func(context.Context, int) error { t.Error("called"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
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
