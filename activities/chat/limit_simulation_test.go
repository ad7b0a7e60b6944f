package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// simulated is an endpoint in virtual time. It has slots, a queue, and refuses
// what is beyond both.
type simulated struct {
	endpoint Endpoint
	// fixed is the time per request, perToken that per token of its reply, both
	// times 1 + drag for every request more that is worked on.
	fixed, perToken time.Duration
	drag            float64
	status          int // of refusals; 0 is 503
	retryAfter      time.Duration
	// away is the time on the network, there and back.
	away time.Duration

	mu       sync.Mutex
	slots    int
	queue    int // -1 is without end
	down     error
	random   *rand.Rand
	busy     int
	waiting  []chan struct{}
	inFlight int
	count
}

// count is what a simulated endpoint did.
type count struct {
	answered, refused int
	tokens            int64
	// worked is in slot-seconds.
	worked time.Duration
	// most were in flight at a time.
	most int
}

func (s *simulated) counted() count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *simulated) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.fill()
}

// fill gives free slots to who waits.
func (s *simulated) fill() {
	for s.busy < s.slots && len(s.waiting) > 0 {
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
		s.busy++
	}
}

func (s *simulated) exchange(ctx context.Context, req Request) (Response, error) {
	time.Sleep(s.away / 2)
	defer time.Sleep(s.away - s.away/2)
	s.mu.Lock()
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	defer s.set(func() { s.inFlight-- })
	if s.down != nil {
		defer s.mu.Unlock()
		return Response{Calls: 1}, s.down
	}
	if s.busy >= s.slots && s.queue >= 0 && len(s.waiting) >= s.queue {
		defer s.mu.Unlock()
		s.refused++
		header := http.Header{}
		if s.retryAfter > 0 {
			header.Set("Retry-After", fmt.Sprint(s.retryAfter.Seconds()))
		}
		status := s.status
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		return Response{Calls: 1}, s.endpoint.refused(answer{status: status, header: header})
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.fill()
	tokens := 20 + s.random.IntN(161)
	s.mu.Unlock()
	<-turn
	var worked time.Duration
	pieces := 1
	if s.drag > 0 {
		pieces = 10 // since others come and go meanwhile
	}
	for range pieces {
		s.mu.Lock()
		factor := 1 + s.drag*float64(s.busy-1)
		s.mu.Unlock()
		piece := time.Duration(factor * float64(s.fixed+time.Duration(tokens)*s.perToken) / float64(pieces))
		time.Sleep(piece)
		worked += piece
	}
	if req.SchemaName != "" {
		tokens /= 10 // a verdict, after long reading
	}
	s.set(func() {
		s.busy--
		s.answered++
		s.tokens += int64(tokens)
		s.worked += worked
	})
	return Response{Calls: 1, Choices: []Choice{{Text: "x"}}, Usage: Usage{CompletionTokens: int64(tokens), Known: true}}, nil
}

// now is how many hold slots and how many wait, and the limit.
func (l *limiter) now() (underWay, waiting, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underWay, l.waiting.Len(), l.level.limit
}

// newSimulated takes 2 s for an average request.
func newSimulated(slots, queue int) *simulated {
	return &simulated{
		endpoint: Endpoint{Name: "simulated", URL: "http://simulated/v1", Model: "m", Timeout: DefaultTimeout, MaxConcurrency: DefaultMaxConcurrency},
		fixed:    200 * time.Millisecond, perToken: 18 * time.Millisecond, away: 10 * time.Millisecond,
		slots: slots, queue: queue, random: rand.New(rand.NewPCG(1, 2)),
	}
}

// client is the chain of New around the simulated endpoint.
func (s *simulated) client() *Client {
	l := newLimited(s, s.endpoint)
	return &Client{endpoint: s.endpoint, limited: l, exchanger: &breaking{&retrying{l, s.endpoint.Timeout}, l.breaker}}
}

// load keeps so many callers calling until ctx ends. One that gets an error comes
// back after its RetryAfter. It counts errors.
func load(ctx context.Context, c *Client, callers int) (*sync.WaitGroup, *atomic.Int64) {
	return loadWith(ctx, c, callers, Request{N: 1, MaxTokens: 256})
}

// loadWith is load with a kind of request.
func loadWith(ctx context.Context, c *Client, callers int, req Request) (group *sync.WaitGroup, errors *atomic.Int64) {
	group, errors = &sync.WaitGroup{}, &atomic.Int64{}
	for range callers {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.exchange(ctx, req); err != nil && ctx.Err() == nil {
					errors.Add(1)
					sleep := max(retryAfterOf(err), time.Second)
					wallClock.sleep(ctx, sleep, nil)
				}
			}
		})
	}
	return group, errors
}

// measured is what happened in a span of virtual time.
type measured struct {
	// share is the part of the slots' time that was worked, refused the part of
	// requests that was refused.
	share, refused, tokensPerSecond float64
	// most were in flight at a time.
	most int
}

func (s *simulated) measure(span time.Duration) measured {
	s.set(func() { s.most = 0 })
	before := s.counted()
	time.Sleep(span)
	after := s.counted()
	answered, refused := float64(after.answered-before.answered), float64(after.refused-before.refused)
	return measured{
		share:           (after.worked - before.worked).Seconds() / (float64(s.slots) * span.Seconds()),
		refused:         refused / max(answered+refused, 1),
		tokensPerSecond: float64(after.tokens-before.tokens) / span.Seconds(),
		most:            after.most,
	}
}
