package steptest

import (
	"context"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
)

// Cached answers the calls of Models from a call cache, as a worker does: the
// cache is refreshed when a model is asked for and flushed when it is released.
type Cached struct {
	Models
	Cache *cache.Cache
}

// Model implements chat.Models.
func (m Cached) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	found, release, err := m.Models.Model(ctx, use)
	if err != nil {
		return found, nil, err
	}
	if err := m.Cache.Open(ctx, found.Name); err != nil {
		release()
		return chat.Model{}, nil, err
	}
	how := cache.Use{Identity: found.Name, Endpoint: use.Endpoint, Generation: use.Generation}
	if use.Meter != nil {
		how.Hit = use.Meter.Cached
	}
	found.Completer = m.Cache.Completer(found.Completer, how)
	return found, func() {
		m.Cache.Flush(context.WithoutCancel(ctx)) // what fails stays in memory
		release()
	}, nil
}
