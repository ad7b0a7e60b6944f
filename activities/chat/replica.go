package chat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rpo/schemas"
)

// skipFor is how long a replica that did not answer is passed over, unless it
// asked for longer.
const skipFor = 15 * time.Second

// Connection is what stands behind an endpoint: a Client, or a Replicated over
// several.
type Connection interface {
	Completer
	// Check says in one sentence what is wrong with the endpoint, or nil.
	Check(ctx context.Context) error
	// Capabilities returns what the endpoint does with requests for its model,
	// probing it if nobody has yet.
	Capabilities(ctx context.Context) (Capabilities, error)
	// Rate is how many completion tokens a second came of late; ok is false as long
	// as that cannot be told.
	Rate() (tokensPerSecond float64, ok bool)
	// States tells how each address fares now, in the order of their configuration.
	States() []State
	// Close drops idle connections.
	Close()
}

var _, _ Connection = (*Client)(nil), (*Replicated)(nil)

// Open makes the connection of an endpoint, to one address or to several. It
// connects to nothing.
func Open(e Endpoint) (Connection, error) {
	first, err := New(e)
	if err != nil || len(e.Replicas) == 0 {
		return first, err
	}
	clients := []*Client{first}
	for _, address := range first.endpoint.Replicas {
		one := first.endpoint
		one.URL, one.Replicas = address, nil
		c, err := New(one)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return NewReplicated(clients...), nil
}

// Replicated is the Completer of several servers of one model. Requests of equal
// Affinity go to the same one, so that its prefix cache serves them; requests
// without go to the one with the fewest under way. Which server answers is not
// part of the result: all are taken to serve the same model.
//
// A replica that is overloaded, down or rate limited beyond what its Client
// repeats is passed over for a while: its requests go to the next in their own
// order, and so come back to it when it answers again. When the while is over, one
// request tries it, and the others follow if that is answered.
type Replicated struct {
	replicas []*replica
	now      func() time.Time
}

// replica is one server and how it fares.
type replica struct {
	*Client
	busy atomic.Int64

	mu sync.Mutex
	// skipUntil is zero while the replica answers.
	skipUntil time.Time
}

// NewReplicated makes a Completer over the clients of at least one address.
func NewReplicated(clients ...*Client) *Replicated {
	r := &Replicated{now: time.Now}
	for _, c := range clients {
		r.replicas = append(r.replicas, &replica{Client: c})
	}
	return r
}

// Close implements Connection.
func (r *Replicated) Close() {
	for _, one := range r.replicas {
		one.Close()
	}
}

// Rate implements Connection with the sum of the replicas' rates.
func (r *Replicated) Rate() (tokensPerSecond float64, ok bool) {
	for _, one := range r.replicas {
		if rate, known := one.Client.Rate(); known {
			tokensPerSecond, ok = tokensPerSecond+rate, true
		}
	}
	return tokensPerSecond, ok
}

// Complete implements Completer. Choices that a failing replica has answered are
// kept, and the next is asked for the rest.
func (r *Replicated) Complete(ctx context.Context, req Request) (Response, error) {
	total := Response{Usage: Usage{Known: true}}
	var failed error
	for _, one := range r.order(req.Affinity) {
		rest := req
		rest.N -= len(total.Choices)
		rest.Seed += int64(len(total.Choices))
		one.busy.Add(1)
		part, err := one.Complete(ctx, rest)
		one.busy.Add(-1)
		total.Calls += part.Calls
		if len(part.Choices) > 0 {
			total.add(part)
		}
		if ctx.Err() == nil {
			one.answered(r.now(), err)
		}
		if err == nil {
			return total, nil
		}
		failed = err
		if ctx.Err() != nil || !elsewhere(err) {
			break
		}
	}
	return total, failed
}

// elsewhere says whether another replica may answer what this one did not.
func elsewhere(err error) bool {
	switch schemas.TypeOf(err) {
	case schemas.Overloaded, schemas.RateLimited:
		return true
	}
	return false
}

// answered notes how a call ended.
func (one *replica) answered(now time.Time, err error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if !elsewhere(err) {
		one.skipUntil = time.Time{}
		return
	}
	wait := skipFor
	if e, ok := errors.AsType[*schemas.Error](err); ok {
		wait = max(wait, e.RetryAfter)
	}
	one.skipUntil = now.Add(wait)
}

// skip says whether to pass the replica over. Whoever asks first after the while
// is over is told to try it.
func (one *replica) skip(now time.Time) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	switch {
	case one.skipUntil.IsZero():
		return false
	case now.Before(one.skipUntil):
		return true
	}
	one.skipUntil = now.Add(skipFor)
	return false
}

// order is the order in which replicas are asked: those that answer by rank, then,
// as a last resort, those passed over. The rank is by the hash of affinity and
// address (rendezvous hashing: a replica that goes takes only its own requests
// along), without affinity by how busy they are.
func (r *Replicated) order(affinity string) []*replica {
	rank := make(map[*replica]uint64, len(r.replicas))
	for _, one := range r.replicas {
		if affinity == "" {
			rank[one] = uint64(one.busy.Load())
			continue
		}
		sum := sha256.Sum256([]byte(one.endpoint.URL + "\n" + affinity))
		rank[one] = binary.BigEndian.Uint64(sum[:8])
	}
	ranked := slices.Clone(r.replicas)
	slices.SortStableFunc(ranked, func(a, b *replica) int { return cmp.Compare(rank[a], rank[b]) })
	now := r.now()
	var passed []*replica
	up := ranked[:0]
	for i, one := range ranked {
		// Only a replica that the request will be sent to may be tried again: the
		// first in line.
		if i > len(passed) && one.down() || i == len(passed) && one.skip(now) {
			passed = append(passed, one)
		} else {
			up = append(up, one)
		}
	}
	return append(up, passed...)
}

// down says whether the replica is passed over at present.
func (one *replica) down() bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	return !one.skipUntil.IsZero()
}

// Check implements Connection: nil if every replica is configured rightly and at
// least one answers.
func (r *Replicated) Check(ctx context.Context) error {
	errs := make([]error, len(r.replicas))
	var checks sync.WaitGroup
	for i, one := range r.replicas {
		checks.Go(func() { errs[i] = one.Check(ctx) })
	}
	checks.Wait()
	for _, err := range errs {
		if errors.Is(err, ErrEndpoint) {
			return err
		}
	}
	if slices.Contains(errs, nil) {
		return nil
	}
	return errs[0]
}

// Capabilities implements Connection with those of the first replica that
// answers; each Client heeds its own.
func (r *Replicated) Capabilities(ctx context.Context) (found Capabilities, err error) {
	for _, one := range r.order("") {
		if found, err = one.Client.Capabilities(ctx); err == nil || !elsewhere(err) {
			break
		}
	}
	return found, err
}
