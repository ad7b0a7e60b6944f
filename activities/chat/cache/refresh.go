package cache

import (
	"context"
	"slices"
	"strings"
	"sync"

	"rpo/schemas"
)

const (
	// fetches is how many indexes are fetched at once.
	fetches = 16
	// relistings bounds how often a listing is repeated because parts were merged
	// meanwhile.
	relistings = 5
)

// open refreshes a scope that was never refreshed.
func (s *scope) open(ctx context.Context) error {
	s.mu.Lock()
	fresh := s.fresh
	s.mu.Unlock()
	if fresh > 0 {
		return nil
	}
	return s.refresh(ctx)
}

// refresh learns what other processes wrote. A caller who waits for another's
// refresh that began later than its own call does none of its own.
func (s *scope) refresh(ctx context.Context) error {
	s.mu.Lock()
	began := s.started
	s.mu.Unlock()
	if err := s.admit(ctx, s.refreshing); err != nil {
		return err
	}
	defer func() { <-s.refreshing }()
	s.mu.Lock()
	done := s.fresh > began
	s.mu.Unlock()
	if done {
		return nil
	}
	return s.relist(ctx, false)
}

// rebuild is refresh that reads all indexes again.
func (s *scope) rebuild(ctx context.Context) error {
	if err := s.admit(ctx, s.refreshing); err != nil {
		return err
	}
	defer func() { <-s.refreshing }()
	return s.relist(ctx, true)
}

func (s *scope) admit(ctx context.Context, gate chan struct{}) error {
	select {
	case gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return schemas.Errorf(schemas.Internal, "given up while waiting for the call cache: %w", ctx.Err())
	}
}

// relist compares a listing with the index, reads the indexes that are new, or
// all, and forgets the parts that are gone.
func (s *scope) relist(ctx context.Context, all bool) error {
	for range relistings {
		s.mu.Lock()
		s.started++
		this := s.started
		before := make(map[string]*part, len(s.index.names))
		for name, p := range s.index.names {
			before[name] = p
		}
		s.mu.Unlock()
		keys, err := s.cache.objects.List(ctx, s.folder, "", 0)
		if err != nil {
			return s.unreadable(err)
		}
		var unknown []string
		listed := map[string]bool{}
		s.mu.Lock()
		for _, k := range keys {
			name, ok := strings.CutSuffix(strings.TrimPrefix(k, s.folder), ".idx")
			if !ok || s.damaged[name] {
				continue
			}
			listed[name] = true
			if before[name] == nil || all {
				unknown = append(unknown, name)
			}
		}
		s.mu.Unlock()
		loaded, again, err := s.fetchIndexes(ctx, unknown)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if all {
			s.restart(loaded, before)
		} else {
			s.index.expect(loaded)
			for _, l := range loaded {
				if s.index.names[l.part.name] == nil {
					s.index.add(l.part, l.places)
				}
			}
		}
		// What this process wrote since the listing is in no need of being listed.
		dangling := false
		for name, p := range before {
			if !listed[name] && s.index.names[name] == p && s.index.drop(p) {
				dangling = true
			}
		}
		done := !dangling && !again
		if done {
			s.fresh = this
		}
		s.mu.Unlock()
		if done {
			s.leftovers()
			return nil
		}
		// An index that was listed is gone: its entries are in a part that was not
		// listed. Entries that point nowhere may be in any.
		all = all || dangling
	}
	return schemas.Errorf(schemas.Overloaded, "read the call cache: the parts of %s change faster than they can be listed",
		s.cache.objects.URI(s.folder))
}

// restart begins a new index from loaded ones and keeps of the old one what was
// added since before. The caller holds mu.
func (s *scope) restart(loaded []loadedIndex, before map[string]*part) {
	old := s.index
	s.index = newIndex()
	s.index.expect(loaded)
	s.index.next = old.next // a ref of the old index must not name a new part
	for _, l := range loaded {
		if p := old.names[l.part.name]; p != nil {
			l.part.mine = p.mine
		}
		s.index.add(l.part, l.places)
	}
	moved := map[uint32]*part{}
	for name, p := range old.names {
		if before[name] == nil && s.index.names[name] == nil {
			moved[p.number] = p
		}
	}
	if len(moved) == 0 {
		return
	}
	for _, p := range moved {
		s.index.parts[p.number], s.index.names[p.name], p.refs = p, p, 0
	}
	for prefix, r := range old.refs {
		if moved[r.part()] != nil {
			s.index.point(prefix, r)
		}
	}
}

type loadedIndex struct {
	part   *part
	places []place
}

// fetchIndexes reads indexes in the order of their names. again says that one of
// them is gone. A damaged one is remembered and left out.
func (s *scope) fetchIndexes(ctx context.Context, names []string) (loaded []loadedIndex, again bool, err error) {
	out := make([]loadedIndex, len(names))
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, fetches)
	var group sync.WaitGroup
	var mu sync.Mutex
	for i, name := range names {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			h, places, err := s.fetchIndex(ctx, name)
			switch {
			case err == nil:
				out[i] = loadedIndex{&part{header: h, name: name}, places}
			case schemas.TypeOf(err) == schemas.NotFound:
				mu.Lock()
				again = true
				mu.Unlock()
			case schemas.TypeOf(err) == schemas.CorruptData:
				s.mu.Lock()
				s.damaged[name] = true
				s.mu.Unlock()
				s.reportDamaged(name)
			default:
				cancel(err)
			}
		})
	}
	group.Wait()
	if caller.Err() != nil {
		return nil, false, s.unreadable(caller.Err())
	}
	if ctx.Err() != nil {
		return nil, false, s.unreadable(context.Cause(ctx))
	}
	return slices.DeleteFunc(out, func(l loadedIndex) bool { return l.part == nil }), again, nil
}

func (s *scope) fetchIndex(ctx context.Context, name string) (header, []place, error) {
	idx, err := s.cache.objects.Get(ctx, s.folder+name+".idx")
	if err != nil {
		return header{}, nil, err
	}
	h, places, err := decodeIndex(idx)
	if err != nil {
		return h, nil, schemas.Errorf(schemas.CorruptData, "index %s: %w", name, err)
	}
	return h, places, nil
}
