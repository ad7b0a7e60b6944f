package cache

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"rpo/activities/chat"
	"rpo/activities/store"
)

const (
	// root is the folder of all scopes.
	root = "cache/calls/"
	// readMemory bounds what is held of what was fetched, in bytes.
	readMemory = 128 << 20
)

// Cache is the call cache of one process. All its methods may be called from
// many goroutines.
type Cache struct {
	objects store.Store
	log     *slog.Logger
	// writer is in the names of this process's parts, written their number.
	writer  string
	written atomic.Int64
	bodies  *bodies

	closed     atomic.Bool
	life       context.Context // ends with Close
	end        context.CancelFunc
	background sync.WaitGroup

	mu     sync.Mutex
	scopes map[string]*scope
	stats  Stats
}

// Stats are counts since New, but for those that say now.
type Stats struct {
	// Hits are choices and Refusals refused requests that were answered without a
	// call, Asked the choices that calls brought.
	Hits, Refusals, Asked int64
	// Written, Merged and Damaged are parts; FailedWrites are attempts.
	Written, Merged, Damaged, FailedWrites int
	// Waiting are the entries that are not in the store now, WaitingBytes their size.
	Waiting      int
	WaitingBytes int64
	// Entries and Parts are what this process knows of the store now.
	Entries, Parts int
}

// New makes the cache of a process over a store that others may share.
func New(objects store.Store, log *slog.Logger) *Cache {
	life, end := context.WithCancel(context.Background())
	return &Cache{
		objects: objects, log: log, writer: strings.ReplaceAll(uuid.NewString(), "-", ""),
		bodies: newBodies(objects, readMemory), life: life, end: end, scopes: map[string]*scope{},
	}
}

// Use says whose calls a Completer makes.
type Use struct {
	// Identity determines the model's replies together with the request: a name
	// with its revision, or the hash of the weights.
	Identity string
	// Endpoint is the name of the endpoint, whose refusals do not speak for
	// another endpoint of the same model.
	Endpoint string
	// Generation keeps replies of one generation from answering another's calls.
	Generation int64
	// Hit, if set, is told of choices that no call was made for.
	Hit func(choices int)
}

// Completer returns inner with its calls answered from the cache where it holds
// them. inner is asked for the choices that are missing only, each with the seed
// it has in the whole request. Choices that are being asked for by another
// caller of this process are waited for.
//
// Beside inner's errors there are two, both retryable: the cache cannot be read,
// and so much waits to be written that no further call may be paid.
func (c *Cache) Completer(inner chat.Completer, use Use) chat.Completer {
	return &completer{inner: inner, use: use, scope: c.scope(use.Identity)}
}

// Open learns what other processes have written of a model's calls since the
// last time. Call it when work on a shard begins: without it the cache answers
// with what it learned the first time a call was made.
func (c *Cache) Open(ctx context.Context, identity string) error {
	return c.scope(identity).refresh(ctx)
}

// Flush writes all finished calls. Those that cannot be written stay in memory
// and are written later. Call it when work on a shard ends, however it ends, with
// a context that outlives the work's.
func (c *Cache) Flush(ctx context.Context) error {
	var failed error
	for _, s := range c.all() {
		failed = errors.Join(failed, s.flush(ctx))
	}
	return failed
}

// Close flushes and ends what goes on in the background. Calls that finish after
// it are written by a further Flush only.
func (c *Cache) Close(ctx context.Context) error {
	c.closed.Store(true)
	c.end()
	for _, s := range c.all() {
		s.mu.Lock()
		if s.timer != nil {
			s.timer.Stop()
		}
		s.mu.Unlock()
	}
	failed := c.Flush(ctx)
	c.background.Wait()
	return failed
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	st := c.stats
	c.mu.Unlock()
	for _, s := range c.all() {
		s.mu.Lock()
		st.Waiting += len(s.order)
		st.WaitingBytes += s.bytes
		st.Entries += len(s.index.refs)
		st.Parts += len(s.index.parts)
		s.mu.Unlock()
	}
	return st
}

func (c *Cache) count(change func(*Stats)) {
	c.mu.Lock()
	change(&c.stats)
	c.mu.Unlock()
}

func (c *Cache) scope(identity string) *scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.scopes[identity]
	if s == nil {
		s = newScope(c, identity)
		c.scopes[identity] = s
	}
	return s
}

func (c *Cache) all() []*scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*scope, 0, len(c.scopes))
	for _, s := range c.scopes {
		all = append(all, s)
	}
	return all
}
