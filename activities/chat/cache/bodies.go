package cache

import (
	"container/list"
	"context"
	"sync"

	"rpo/activities/store"
)

// bodies keeps what was fetched of late, bodies as they lie in the store and
// decoded blocks, up to a number of bytes, so that replaying a shard fetches
// each part once.
type bodies struct {
	objects store.Store
	limit   int64

	mu     sync.Mutex
	held   int64
	recent *list.List // of *held, the latest used first
	known  map[bodyKey]*list.Element
	flight map[string]*fetch
}

// bodyKey names a body, or one of its decoded blocks if block is not -1.
type bodyKey struct {
	object string
	block  int
}

type held struct {
	bodyKey
	body  *body
	block []byte
}

func (h *held) size() int64 {
	if h.body != nil {
		return int64(len(h.body.dat))
	}
	return int64(len(h.block))
}

// fetch is a body under way for all who want it.
type fetch struct {
	done chan struct{}
	body *body
	err  error
}

func newBodies(objects store.Store, limit int64) *bodies {
	return &bodies{objects: objects, limit: limit, recent: list.New(), known: map[bodyKey]*list.Element{}, flight: map[string]*fetch{}}
}

// get returns a held value, or nil.
func (b *bodies) get(k bodyKey) *held {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.known[k]
	if !ok {
		return nil
	}
	b.recent.MoveToFront(e)
	return e.Value.(*held)
}

// put holds a value and lets go of those that were not used for longest.
func (b *bodies) put(h *held) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[h.bodyKey]; ok || h.size() > b.limit {
		return
	}
	b.known[h.bodyKey] = b.recent.PushFront(h)
	for b.held += h.size(); b.held > b.limit; {
		last := b.recent.Back()
		old := last.Value.(*held)
		b.recent.Remove(last)
		delete(b.known, old.bodyKey)
		b.held -= old.size()
	}
}

// entry reads what stands at a ref. The error is errDamaged, or the store's.
func (b *bodies) entry(ctx context.Context, object string, h header, r ref) (record, error) {
	k := bodyKey{object, int(r.block())}
	if have := b.get(k); have != nil {
		return entryAt(have.block, r.offset())
	}
	whole, err := b.body(ctx, object, h)
	if err != nil {
		return record{}, err
	}
	block, err := whole.decode(r.block())
	if err != nil {
		return record{}, err
	}
	b.put(&held{bodyKey: k, block: block})
	return entryAt(block, r.offset())
}

// body returns a part's body, fetching it once for all who ask at the same time.
func (b *bodies) body(ctx context.Context, object string, h header) (*body, error) {
	k := bodyKey{object, -1}
	for {
		if have := b.get(k); have != nil {
			return have.body, nil
		}
		b.mu.Lock()
		f, following := b.flight[object]
		if !following {
			f = &fetch{done: make(chan struct{})}
			b.flight[object] = f
		}
		b.mu.Unlock()
		if !following {
			f.body, f.err = b.fetch(ctx, object, h)
			if f.err == nil {
				b.put(&held{bodyKey: k, body: f.body})
			}
			b.mu.Lock()
			delete(b.flight, object)
			b.mu.Unlock()
			close(f.done)
			return f.body, f.err
		}
		select {
		case <-f.done:
			if f.err == nil {
				return f.body, nil
			}
			// It may have failed because its caller gave up.
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *bodies) fetch(ctx context.Context, object string, h header) (*body, error) {
	dat, err := b.objects.Get(ctx, object)
	if err != nil {
		return nil, err
	}
	return openBody(dat, h)
}
