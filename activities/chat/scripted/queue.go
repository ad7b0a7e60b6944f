package scripted

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Queue is a model of what a server takes: Slots requests are worked on at a
// time, Length more wait, and what comes beyond is refused. A request is worked
// on for PerRequest and PerToken for each token of all choices of its reply, one
// per word. So the capacity is known exactly: Slots divided by that time.
type Queue struct {
	Slots int
	// Length is -1 for a queue without end, as vLLM's was until 2026.
	Length               int
	PerRequest, PerToken time.Duration
	// Status refuses, 503 if it is 0, with RetryAfter if that is at least a second.
	Status     int
	RetryAfter time.Duration
}

// Work returns the slot time of a reply with so many tokens.
func (q Queue) Work(tokens int) time.Duration {
	return q.PerRequest + time.Duration(tokens)*q.PerToken
}

// QueueStats says what a queue did until now. Shares of capacity are exact, since
// requests that are being worked on count for the time that they had.
type QueueStats struct {
	Answered, Refused int
	// Worked is slot time as Work says, Held that for which requests had slots:
	// more, by what the machine was late.
	Worked, Held time.Duration
	// Running and Waiting are now, MostWaiting is the most there ever were.
	Running, Waiting, MostWaiting int
	// At is when these counts were taken.
	At time.Time
}

// QueueStats returns the counts so far of a server with a Queue.
func (s *Server) QueueStats() QueueStats { return s.queue.stats(time.Now()) }

type queue struct {
	Queue
	mu      sync.Mutex
	active  map[*service]bool
	waiting []*service
	done    QueueStats
}

func newQueue(q Queue) *queue { return &queue{Queue: q, active: map[*service]bool{}} }

// service is a request with a slot, or waiting for one.
type service struct {
	work time.Duration
	// start is when it got its slot, which closes begun.
	start time.Time
	begun chan struct{}
}

// end is when the work should be done.
func (s *service) end() time.Time { return s.start.Add(s.work) }

type served int

const (
	servedWhole served = iota
	servedNot          // refused
	servedGone         // the caller went away
)

// serve works on a request with so many tokens.
func (q *queue) serve(ctx context.Context, tokens int) served {
	s := &service{work: q.Work(tokens), begun: make(chan struct{})}
	q.mu.Lock()
	switch {
	case len(q.active) < q.Slots:
		q.begin(s, time.Now())
	case q.Length >= 0 && len(q.waiting) >= q.Length:
		q.done.Refused++
		q.mu.Unlock()
		return servedNot
	default:
		q.waiting = append(q.waiting, s)
		q.done.MostWaiting = max(q.done.MostWaiting, len(q.waiting))
	}
	q.mu.Unlock()
	outcome := servedWhole
	select {
	case <-s.begun:
		timer := time.NewTimer(time.Until(s.end()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			outcome = servedGone
		}
	case <-ctx.Done():
		outcome = servedGone
	}
	q.leave(s, outcome)
	return outcome
}

func (q *queue) begin(s *service, at time.Time) {
	s.start = at
	q.active[s] = true
	close(s.begun)
}

// leave gives the slot to who waits. It is theirs from when it should have been
// free, so that a late timer costs the queue nothing.
func (q *queue) leave(s *service, outcome served) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, s); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return
	}
	now := time.Now()
	delete(q.active, s)
	q.done.Held += now.Sub(s.start)
	free := now
	if outcome == servedWhole {
		q.done.Answered++
		q.done.Worked += s.work
		free = s.end()
	}
	if len(q.waiting) > 0 {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.begin(next, free)
	}
}

func (q *queue) stats(now time.Time) QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.done
	out.At, out.Running, out.Waiting = now, len(q.active), len(q.waiting)
	for s := range q.active {
		held := now.Sub(s.start)
		out.Held += held
		out.Worked += min(held, s.work)
	}
	return out
}

// refusal is what a full queue says.
func (q *queue) refusal() Reply {
	status := cmp.Or(q.Status, http.StatusServiceUnavailable)
	reply := Refuse(status, fmt.Sprintf("the request queue is full: %d running, %d waiting", q.Slots, max(q.Length, 0)))
	reply.RetryAfter = q.RetryAfter
	return reply
}

// tokensOf counts the tokens of all choices.
func tokensOf(r Reply) int {
	n := 0
	for _, text := range r.Texts {
		n += tokens(text)
	}
	return n
}
