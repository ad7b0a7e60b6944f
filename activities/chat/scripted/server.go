package scripted

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what does not depend on the request. The zero Config is a server
// that serves model "scripted", asks for no key and refuses nothing.
type Config struct {
	// Models is what /models lists; empty means "scripted".
	Models []string
	// NoModels makes /models answer 404.
	NoModels bool
	// Key, if not "", is the bearer token without which every request gets 401.
	Key string
	// MaxChoices, if not 0, is the most choices of one reply; the rest of a
	// larger n is ignored.
	MaxChoices int
	// RefuseN answers 400 to every n above 1.
	RefuseN bool
	// Capacity, if not 0, is the number of requests in flight above which
	// requests get 503.
	Capacity int
	// FailFirst, if not nil, is what the first request with a given body gets
	// instead of its reply, once per body, so that every exchange fails once.
	FailFirst *Reply
	// Refuse names keys for which a request is refused. RefuseStatus 422 names all
	// of them, as a validator does, and 400, which 0 means, the first.
	Refuse       []string
	RefuseStatus int
	// Schema says which form of response_format is heeded.
	Schema SchemaKind
	// IgnoreSeed answers equal probes differently. It does not change replies,
	// which are the handler's.
	IgnoreSeed bool
	// Queue, if not nil, says what the server takes and how long it works.
	Queue *Queue
}

// SchemaKind says what the server does with response_format.
type SchemaKind int

const (
	// SchemaNested heeds OpenAI's form, SchemaFlat that of older versions of
	// llama.cpp's server; either ignores the other.
	SchemaNested SchemaKind = iota
	SchemaFlat
	SchemaIgnored
	SchemaRefused
)

// Stats counts chat completion requests; /models is not among them, and probes
// are in Probes only.
type Stats struct {
	Requests int
	// Answered had status 200 and a whole body, Refused a status of 400 or more.
	Answered, Refused int
	// Repeated had a body that was answered before: work done twice.
	Repeated int
	// Abandoned are those whose caller went away before the reply.
	Abandoned int
	// InFlight is now, MaxInFlight the most there ever was.
	InFlight, MaxInFlight int
	// Probes asked about the server itself.
	Probes int
}

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Cleanup(func())
}

// Server is a running endpoint.
type Server struct {
	// URL is the base address, ending in /v1.
	URL string

	config  Config
	handler func(Parsed) Reply
	queue   *queue
	http    *httptest.Server

	connections atomic.Int64

	mu       sync.Mutex
	stats    Stats
	changed  chan struct{} // closed and replaced when stats change
	released chan struct{} // closed and replaced by Release
	failures []Reply
	probes   []Reply // what the next probes get
	answered map[[sha256.Size]byte]bool
	seen     map[[sha256.Size]byte]bool
}

// New starts a server with the zero Config. It ends with the test; t may be nil,
// then the caller closes it. The handler must be a pure function of the request
// and safe for concurrent calls.
func New(t TB, handler func(Parsed) Reply) *Server { return Start(t, Config{}, handler) }

// Start is New with a Config.
func Start(t TB, config Config, handler func(Parsed) Reply) *Server {
	s := &Server{
		config: config, handler: handler,
		changed: make(chan struct{}), released: make(chan struct{}),
		answered: map[[sha256.Size]byte]bool{}, seen: map[[sha256.Size]byte]bool{},
	}
	if config.Queue != nil {
		s.queue = newQueue(*config.Queue)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("POST /v1/chat/completions", s.completions)
	s.http = httptest.NewUnstartedServer(mux)
	s.http.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.http.Start()
	s.URL = s.http.URL + "/v1"
	if t != nil {
		t.Helper()
		t.Cleanup(s.Close)
	}
	return s
}

// Close hangs up on everyone and stops listening.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.Release()
	s.http.Close()
}

// Release lets all requests that hang now be answered.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
	s.released = make(chan struct{})
}

// Fail makes the next requests get these replies, one each in order, instead of
// what the handler says.
func (s *Server) Fail(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, replies...)
}

// FailProbes makes the next probes get these replies, one each in order. Without
// it they are answered as the Config says.
func (s *Server) FailProbes(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes = append(s.probes, replies...)
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Connections returns how many connections callers have made.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Await returns when the counts satisfy done, or ctx's error.
func (s *Server) Await(ctx context.Context, done func(Stats) bool) error {
	for {
		s.mu.Lock()
		ok, changed := done(s.stats), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// count changes the counts and wakes who awaits them.
func (s *Server) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	if s.config.NoModels {
		http.NotFound(w, r)
		return
	}
	if !s.authorized(r) {
		s.write(w, r, s.wrongKey(), Parsed{}, nil, func() {})
		return
	}
	ids := s.config.Models
	if len(ids) == 0 {
		ids = []string{"scripted"}
	}
	list := make([]map[string]string, len(ids))
	for i, id := range ids {
		list[i] = map[string]string{"id": id, "object": "model"}
	}
	s.write(w, r, Reply{Body: encode(map[string]any{"object": "list", "data": list})}, Parsed{}, nil, func() {})
}

func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.UserAgent(), "(probe)") {
		s.probe(w, r)
		return
	}
	var busy bool
	var released <-chan struct{}
	s.count(func(c *Stats) {
		c.Requests++
		c.InFlight++
		c.MaxInFlight = max(c.MaxInFlight, c.InFlight)
		busy = s.config.Capacity > 0 && c.InFlight > s.config.Capacity
		released = s.released
	})
	abandoned := func() { s.count(func(c *Stats) { c.InFlight--; c.Abandoned++ }) }
	// Nothing is answered before the body is read, since net/http notices a
	// caller that goes away only after that.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		abandoned()
		return
	}
	p, err := s.parse(body)
	p.Key = bearer(r)
	digest := sha256.Sum256(body)
	reply := s.decide(r, p, digest, err, busy)
	if reply.Delay > 0 && !wait(r, nil, reply.Delay) || reply.Hang && !wait(r, released, 0) {
		abandoned()
		return
	}
	if s.queue != nil && reply.Status < http.StatusBadRequest {
		switch s.queue.serve(r.Context(), tokensOf(reply)) {
		case servedNot:
			reply = s.queue.refusal()
		case servedGone:
			abandoned()
			return
		}
	}
	settled := func() {
		s.count(func(c *Stats) {
			c.InFlight--
			switch {
			case reply.Status >= 400:
				c.Refused++
			case !reply.Truncate:
				c.Answered++
				if s.answered[digest] {
					c.Repeated++
				}
				s.answered[digest] = true
			}
		})
	}
	if !s.write(w, r, reply, p, released, settled) {
		abandoned()
	}
}

// wait returns true when released is closed or d has elapsed, whichever is given,
// and false if the caller goes away before.
func wait(r *http.Request, released <-chan struct{}, d time.Duration) bool {
	var elapsed <-chan time.Time
	if d > 0 {
		elapsed = time.After(d)
	}
	select {
	case <-released:
	case <-elapsed:
	case <-r.Context().Done():
		return false
	}
	return true
}

// decide picks the reply to a parsed request.
func (s *Server) decide(r *http.Request, p Parsed, digest [sha256.Size]byte, invalid error, busy bool) Reply {
	s.mu.Lock()
	first := !s.seen[digest]
	s.seen[digest] = true
	var failure *Reply
	if len(s.failures) > 0 {
		failure, s.failures = &s.failures[0], s.failures[1:]
	}
	s.mu.Unlock()
	switch {
	case !s.authorized(r):
		return s.wrongKey()
	case invalid != nil:
		return Refuse(http.StatusBadRequest, invalid.Error())
	case failure != nil:
		return *failure
	case busy:
		return Overloaded()
	case s.config.FailFirst != nil && first:
		return *s.config.FailFirst
	}
	if refusal := s.refusal(p); refusal != nil {
		return *refusal
	}
	reply := s.handler(p)
	if len(p.Stop) > 0 {
		reply.Texts = stopped(reply.Texts, p.Stop)
	}
	if most := s.config.MaxChoices; most > 0 && len(reply.Texts) > most {
		reply.Texts = reply.Texts[:most]
	}
	return reply
}

// stopped cuts each text before the first of the stops in it.
func stopped(texts, stops []string) []string {
	out := slices.Clone(texts)
	for i := range out {
		for _, stop := range stops {
			out[i], _, _ = strings.Cut(out[i], stop)
		}
	}
	return out
}

func (s *Server) authorized(r *http.Request) bool {
	return s.config.Key == "" || bearer(r) == s.config.Key
}

func (s *Server) wrongKey() Reply { return Refuse(http.StatusUnauthorized, "wrong API key") }

func bearer(r *http.Request) string {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}
