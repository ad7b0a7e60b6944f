package chat

import (
	"context"
	"errors"
	"sync"

	"rpo/schemas"
)

// Model is one model at one endpoint, as a step uses it.
type Model struct {
	Completer
	// Name is what requests and provenance columns call the model.
	Name string
	// Slots bounds the requests under way at once over all who share it.
	Slots chan struct{}
}

// Each calls do for 0 to n-1, as many at once as the model's slots allow, and
// returns the first error after cancelling the rest.
func (m Model) Each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range n {
		select {
		case m.Slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-m.Slots }()
				if ctx.Err() != nil {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			})
			continue
		case <-ctx.Done():
		}
		break
	}
	wg.Wait()
	return context.Cause(ctx)
}

// RowError reports whether a failed call is the row's fault, so that the row is
// set aside and the shard goes on: the server refused this request or answered
// it with nonsense, while its configuration is sound.
func RowError(err error) bool {
	if errors.Is(err, ErrEndpoint) {
		return false
	}
	t := schemas.TypeOf(err)
	return t == schemas.InvalidInput || t == schemas.CorruptData
}
