package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"rpo/activities/chat"
	"rpo/schemas"
)

// scope is one model's calls: what is in the store as far as this process knows,
// what waits to be written, and what is being asked for.
type scope struct {
	cache  *Cache
	folder string // ends in a slash

	// writing and refreshing admit one at a time; they are taken before mu.
	writing, refreshing chan struct{}

	mu sync.Mutex
	// started counts the refreshes that began, fresh is the number of the latest
	// that succeeded, 0 for none.
	started, fresh uint64

	index   *index
	damaged map[string]bool // names of parts not to be read
	// pending are the entries not in the store, order the same as they came.
	pending map[key]entry
	order   []waiting
	bytes   int64
	// failed is why the last attempt to write failed, nil if it did not; retry is
	// the next delay.
	failed error
	retry  time.Duration
	timer  *time.Timer
	// ticking says that the timer fired and its work is not done.
	ticking bool
	// flight are the choices being asked for; each is closed when its call ends.
	flight map[key]chan struct{}
	// sound are the endpoints that answered a call in this process.
	sound   map[string]bool
	merging bool
}

// waiting is a record that is not in the store, and since when.
type waiting struct {
	record
	since time.Time
}

func newScope(c *Cache, identity string) *scope {
	return &scope{
		cache: c, folder: root + scopeName(identity) + "/",
		writing: make(chan struct{}, 1), refreshing: make(chan struct{}, 1),
		index: newIndex(), damaged: map[string]bool{}, pending: map[key]entry{},
		flight: map[key]chan struct{}{}, sound: map[string]bool{},
	}
}

// plan is what is to be done for the keys that are still wanted.
type plan struct {
	// located are entries to be read first; then look again.
	located []located
	// claimed are the choices that the caller must ask for and then release;
	// the channel is theirs.
	claimed []int
	release chan struct{}
	// others is closed when a choice that another caller asks for is decided.
	others chan struct{}
}

type located struct {
	at   int
	part *part
	header
	ref
}

// look finds the wanted choices. keys holds the refusal's key behind those of
// the choices, have what is known already, absent what cannot be in the index.
func (s *scope) look(keys []key, have []*entry, absent []bool) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p plan
	missing := false
	for i, k := range keys {
		if have[i] != nil || i == len(keys)-1 && !missing {
			continue
		}
		if e, ok := s.pending[k]; ok {
			have[i] = &e
		} else if part, r, ok := s.index.find(k); ok && !absent[i] {
			p.located = append(p.located, located{i, part, part.header, r})
		} else {
			missing = true
		}
	}
	n := len(keys) - 1
	if len(p.located) > 0 || have[n] != nil {
		return p
	}
	for i, k := range keys[:n] {
		if have[i] != nil {
			continue
		}
		if other, ok := s.flight[k]; ok {
			p.others = other
			continue
		}
		if p.release == nil {
			p.release = make(chan struct{})
		}
		s.flight[k] = p.release
		p.claimed = append(p.claimed, i)
	}
	return p
}

// release lets others ask for what the caller claimed and did not get.
func (s *scope) release(p plan, keys []key) {
	if p.release == nil {
		return
	}
	s.mu.Lock()
	for _, i := range p.claimed {
		delete(s.flight, keys[i])
	}
	s.mu.Unlock()
	close(p.release)
}

// read gets a located entry. A nil record with a nil error says to look again:
// the part is gone or damaged.
func (s *scope) read(ctx context.Context, l located) (*record, error) {
	r, err := s.cache.bodies.entry(ctx, s.folder+l.part.name+".dat", l.header, l.ref)
	switch {
	case err == nil:
		return &r, nil
	case errors.Is(err, errDamaged), schemas.TypeOf(err) == schemas.CorruptData:
		return nil, s.discard(ctx, l.part)
	case schemas.TypeOf(err) == schemas.NotFound:
		// It was merged into another, unless its body is lost.
		if !s.knows(l.part) {
			return nil, nil
		}
		if err := s.refresh(ctx); err != nil {
			return nil, err
		}
		if s.knows(l.part) {
			return nil, s.discard(ctx, l.part)
		}
		return nil, nil
	default:
		return nil, s.unreadable(err)
	}
}

func (s *scope) knows(p *part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.names[p.name] == p
}

// discard forgets a damaged part and looks in the others for what it held.
func (s *scope) discard(ctx context.Context, p *part) error {
	s.mu.Lock()
	known := s.index.names[p.name] == p
	pointed := known && s.index.drop(p)
	s.damaged[p.name] = true
	s.mu.Unlock()
	if known {
		s.reportDamaged(p.name)
	}
	if pointed {
		return s.rebuild(ctx)
	}
	return nil
}

func (s *scope) reportDamaged(name string) {
	s.cache.count(func(st *Stats) { st.Damaged++ })
	s.cache.log.Warn("a part of the call cache is damaged; its calls will be made again",
		"object", s.cache.objects.URI(s.folder+name+".dat"))
}

// keep takes what a call brought. sound says that the endpoint answered.
func (s *scope) keep(endpoint string, sound bool, records []record) {
	if len(records) == 0 && !sound {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if sound {
		s.sound[endpoint] = true
	}
	for _, r := range records {
		if r.kind == refusal && !s.sound[endpoint] {
			continue
		}
		if _, ok := s.pending[r.key]; ok {
			continue
		}
		s.pending[r.key] = r.entry
		s.order = append(s.order, waiting{r, now})
		s.bytes += r.size()
	}
	s.arm()
}

// writable returns an error if so much waits to be written, or so long, that no
// further call may be paid.
func (s *scope) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return nil
	}
	age := time.Now().Sub(s.order[0].since)
	if s.bytes <= maxPending && (s.failed == nil || age <= maxAge) {
		return nil
	}
	why := "the store is too slow"
	if s.failed != nil {
		why = s.failed.Error()
	}
	err := schemas.Errorf(schemas.Overloaded, "no further call is paid for, since %d replies (%d MiB) of the last %s could not be written to %s: %s",
		len(s.order), s.bytes>>20, age.Round(time.Second), s.cache.objects.URI(s.folder), why)
	err.RetryAfter = retryMax
	return err
}

// unreadable is the error of a call that may be in the cache, which cannot be
// read now. It is never the fault of the row that asked, so it must not look so.
func (s *scope) unreadable(err error) error {
	t := schemas.TypeOf(err)
	if t != schemas.Overloaded && t != schemas.RateLimited {
		t = schemas.Internal
	}
	return schemas.Errorf(t, "read the call cache: %w", err)
}

// permanent reports whether an error is the request's own fault and will stay
// so: the endpoint was asked, and refused this request.
func permanent(resp chat.Response, err error) bool {
	return resp.Calls > 0 && chat.RowError(err) && schemas.TypeOf(err) == schemas.InvalidInput
}
