package cache

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

const (
	// interval is how long a finished call waits to be written together with
	// others: what a killed worker loses.
	interval = 2 * time.Second
	// writeTimeout bounds an attempt to write that no caller waits for.
	writeTimeout = 30 * time.Second
	// retryMin and retryMax bound the delays between failed attempts, which double.
	retryMin = time.Second
	retryMax = 15 * time.Second
	// eager is how much, in bytes, is written without waiting for the interval.
	eager = 8 << 20
	// partLimit bounds what goes into one part, in bytes before compression.
	partLimit = 32 << 20
	// maxPending and maxAge bound what may be lost when the store cannot be
	// written: beyond them no further call is paid.
	maxPending = 64 << 20
	maxAge     = 30 * time.Second
)

// arm sees to it that what waits is written. The caller holds mu.
func (s *scope) arm() {
	if s.ticking || len(s.order) == 0 || s.cache.closed.Load() {
		return
	}
	delay := interval
	switch {
	case s.failed != nil:
		delay = s.retry
	case s.bytes > eager:
		delay = 0
	}
	if s.timer != nil && (delay > 0 || !s.timer.Stop()) {
		return
	}
	s.timer = time.AfterFunc(delay, s.tick)
}

func (s *scope) tick() {
	s.mu.Lock()
	s.timer, s.ticking = nil, true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	s.flush(ctx) // scope.failed remembers the error
	s.mu.Lock()
	s.ticking = false
	s.arm()
	s.mu.Unlock()
}

// flush writes what waits now. What cannot be written goes on waiting.
func (s *scope) flush(ctx context.Context) error {
	s.mu.Lock()
	nothing := len(s.order) == 0
	s.mu.Unlock()
	if nothing {
		return nil
	}
	if err := s.admit(ctx, s.writing); err != nil {
		return err
	}
	defer func() { <-s.writing }()
	s.mu.Lock()
	todo := slices.Clone(s.order)
	s.mu.Unlock()
	for len(todo) > 0 {
		var batch []record
		for size := int64(0); len(batch) < len(todo) && size < partLimit; {
			r := todo[len(batch)].record
			batch, size = append(batch, r), size+r.size()
		}
		if err := s.write(ctx, batch); err != nil {
			s.delay(err)
			return err
		}
		todo = todo[len(batch):]
	}
	s.compact()
	return nil
}

// delay notes a failed attempt to write.
func (s *scope) delay(err error) {
	s.mu.Lock()
	first, waits := s.failed == nil, len(s.order)
	s.failed, s.retry = err, min(max(2*s.retry, retryMin), retryMax)
	s.mu.Unlock()
	s.cache.count(func(st *Stats) { st.FailedWrites++ })
	if first {
		s.cache.log.Warn("the call cache cannot be written; finished calls stay in memory", "waiting", waits, "error", err.Error())
	}
}

// write makes a part of the first records that wait, under a name that was never
// used, and moves them from memory to the index.
func (s *scope) write(ctx context.Context, batch []record) error {
	dat, h, places := encodePart(batch)
	p := &part{header: h, mine: true,
		name: fmt.Sprintf("%s-%s-%08d", time.Now().UTC().Format(nameTime), s.cache.writer, s.cache.written.Add(1))}
	if err := s.put(ctx, p, dat, places); err != nil {
		return err
	}
	s.cache.count(func(st *Stats) { st.Written++ })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.names[p.name] == nil {
		s.index.add(p, places)
	}
	for _, r := range batch {
		delete(s.pending, r.key)
		s.bytes -= r.size()
	}
	s.order = slices.Clone(s.order[len(batch):])
	s.failed, s.retry = nil, 0
	if len(s.order) == 0 && s.timer != nil && s.timer.Stop() {
		s.timer = nil
	}
	return nil
}

// put writes a part, its index last.
func (s *scope) put(ctx context.Context, p *part, dat []byte, places []place) error {
	if err := s.cache.objects.Put(ctx, s.folder+p.name+".dat", dat); err != nil {
		return err
	}
	if err := s.cache.objects.Put(ctx, s.folder+p.name+".idx", encodeIndex(p.header, places)); err != nil {
		return err
	}
	if b, err := openBody(dat, p.header); err == nil {
		s.cache.bodies.put(&held{bodyKey: bodyKey{s.folder + p.name + ".dat", -1}, body: b})
	}
	return nil
}

// mergedName names a part made of others, so that whoever merges the same parts
// writes the same objects, and so that it is listed after them.
func mergedName(names []string) string {
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintln(h, name)
	}
	last := names[len(names)-1]
	return fmt.Sprintf("%s-m%x", last[:min(len(last), len(nameTime))], h.Sum(nil)[:16])
}
