package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"rpo/schemas"
)

const (
	// smallPart is the size below which a part is worth merging, mergeLimit the
	// size at which a merged part is full.
	smallPart  = 4 << 20
	mergeLimit = 32 << 20
	// manyMine is how many small parts a process merges of its own.
	manyMine = 64
	// manyLeft is how many small parts others may leave behind; those older than
	// leftAfter are then merged by whoever finds them.
	manyLeft  = 256
	leftAfter = time.Hour
)

// compact merges this process's small parts when there are many.
func (s *scope) compact() {
	s.mergeSoon(manyMine, func(p *part) bool { return p.mine })
}

// leftovers merges the small parts that ended processes left behind. Several
// processes may do so at the same time, and the writer may live: a part is
// deleted only by who has written all of it elsewhere.
func (s *scope) leftovers() {
	old := time.Now().UTC().Add(-leftAfter)
	s.mergeSoon(manyLeft+1, func(p *part) bool { return !p.mine && writtenBefore(p.name, old) })
}

// mergeSoon merges the small parts that of admits, if there are as many as many.
func (s *scope) mergeSoon(many int, of func(*part) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.merging || s.cache.closed.Load() {
		return
	}
	var parts []*part
	for _, p := range s.index.parts {
		if p.size < smallPart && of(p) {
			parts = append(parts, p)
		}
	}
	if len(parts) < many {
		return
	}
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Compare(a.name, b.name) })
	s.merging = true
	s.cache.background.Go(func() {
		merged, err := s.merge(s.cache.life, parts)
		if err != nil && s.cache.life.Err() == nil {
			s.cache.log.Warn("small parts of the call cache could not be merged", "error", err.Error())
		}
		s.mu.Lock()
		s.merging = false
		s.mu.Unlock()
		if merged > 0 && err == nil {
			s.mergeSoon(many, of) // more may have come meanwhile
		}
	})
}

// merge writes one part with all that the given ones hold, as far as one takes
// it, then deletes those, and returns how many they were. One that is gone or
// damaged is left as it is.
func (s *scope) merge(ctx context.Context, parts []*part) (int, error) {
	dat, places, merged, names := []byte(datMagic), []place(nil), []*part(nil), []string(nil)
	blocks := 0
	for _, p := range parts {
		h, in, err := s.fetchIndex(ctx, p.name)
		var b *body
		if err == nil {
			b, err = s.cache.bodies.body(ctx, s.folder+p.name+".dat", h)
		}
		switch t := schemas.TypeOf(err); {
		case err == nil:
		case errors.Is(err, errDamaged), t == schemas.NotFound, t == schemas.CorruptData:
			continue
		default:
			return 0, err
		}
		if blocks+len(b.blocks) > maxBlocks || len(merged) > 0 && len(dat)+len(b.dat) > mergeLimit {
			break
		}
		dat = append(dat, b.dat[len(datMagic):]...)
		for _, at := range in {
			at.block += uint16(blocks)
			places = append(places, at)
		}
		blocks += len(b.blocks)
		merged, names = append(merged, p), append(names, p.name)
	}
	if len(merged) < 2 {
		return 0, nil
	}
	whole := &part{header: headerOf(dat), name: mergedName(names), mine: !slices.ContainsFunc(merged, func(p *part) bool { return !p.mine })}
	if err := s.put(ctx, whole, dat, places); err != nil {
		return 0, err
	}
	s.cache.count(func(st *Stats) { st.Merged += len(merged) })
	dangling := false
	s.mu.Lock()
	if s.index.names[whole.name] == nil {
		s.index.add(whole, places)
	}
	for _, p := range merged {
		dangling = s.index.drop(p) || dangling
	}
	s.mu.Unlock()
	for _, name := range names {
		for _, ending := range []string{".idx", ".dat"} {
			if err := s.cache.objects.Delete(ctx, s.folder+name+ending); err != nil {
				return len(merged), err
			}
		}
	}
	if dangling {
		return len(merged), s.rebuild(ctx)
	}
	return len(merged), nil
}
