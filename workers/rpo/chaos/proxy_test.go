package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream is an S3 server as far as the proxy cares: conditional writes, reads,
// and a count of all that arrived whole.
type upstream struct {
	mu      sync.Mutex
	objects map[string]string
	whole   int
}

func (s *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return
	}
	s.whole++
	there, ok := s.objects[r.URL.Path]
	switch {
	case r.Method == http.MethodGet && !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		io.WriteString(w, there)
	case ok && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		s.objects[r.URL.Path] = string(body)
	}
}

// scene is a proxy before an upstream, and a worker's requests.
type scene struct {
	*proxy
	up      *upstream
	address string
}

func newScene(t *testing.T, faults ...fault) *scene {
	t.Helper()
	s := &scene{up: &upstream{objects: map[string]string{}}}
	server := httptest.NewServer(s.up)
	t.Cleanup(server.Close)
	s.proxy = newProxy(server.URL, "rpo", newDirector(nil, nil), newLedger())
	for _, f := range faults {
		s.arm(f)
	}
	address, end, err := s.listen(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	s.address = address
	return s
}

// ask makes one request; status 0 says that no whole answer came.
func (s *scene) ask(method, key, body string, conditional bool) (status int, got string) {
	r, err := http.NewRequest(method, s.address+"/rpo/"+key, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	if conditional {
		r.Header.Set("If-None-Match", "*")
	}
	reply, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer reply.Body.Close()
	data, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0, string(data)
	}
	return reply.StatusCode, string(data)
}

const record = "runs/job/judge/shard-00003.json"

func TestEachFaultOfTheProxyIsWhatItSaysAndEnds(t *testing.T) {
	const text = "a body that is long enough to be cut"
	for _, c := range []struct {
		fault       fault
		method      string
		conditional bool
		status      int
		stored      string
		got         string
	}{
		{fault{kind: loseAnswers, count: 1}, "PUT", false, 0, text, ""},
		{fault{kind: loseAnswers, count: 1}, "PUT", true, 0, text, ""},
		{fault{kind: repeatCommits, count: 1}, "PUT", true, 412, text, ""},
		{fault{kind: cutRequests, count: 1}, "PUT", false, 0, "", ""},
		{fault{kind: refuseS3, count: 1, status: 507}, "PUT", false, 507, "", ""},
		{fault{kind: cutAnswers, count: 1}, "GET", false, 0, text, text[:len(text)/2]},
	} {
		s := newScene(t, c.fault)
		if c.method == "GET" {
			s.up.objects["/rpo/"+record] = text
		}
		status, got := s.ask(c.method, record, text, c.conditional)
		if stored := s.up.objects["/rpo/"+record]; status != c.status || stored != c.stored || c.got != "" && got != c.got {
			t.Errorf("%s of a %s: status %d with %q, stored %q", c.fault, c.method, status, got, stored)
		}
		if status, got := s.ask("GET", record, "", false); c.stored != "" && (status != 200 || got != text) {
			t.Errorf("%s: the next request got %d with %q", c.fault, status, got)
		}
	}
}

func TestACommitThatIsCutOffIsTheSameRecordWhenItComesAgain(t *testing.T) {
	s := newScene(t, fault{kind: cutRequests, count: 1})
	s.ask("GET", record, "", false)
	for range 2 {
		s.ask("PUT", record, "one attempt's record", true)
	}
	if said := s.ledger.check(map[unit]string{{"judge", 3}: hash([]byte("one attempt's record"))}); len(said) > 0 {
		t.Errorf("the ledger says %v", said)
	}
}

func TestAFullDiskRefusesWritesOnly(t *testing.T) {
	s := newScene(t)
	s.up.objects["/rpo/there"] = "x"
	s.setFull(true)
	if status, _ := s.ask("PUT", "new", "x", false); status != 507 {
		t.Errorf("a write got %d", status)
	}
	if status, _ := s.ask("GET", "there", "", false); status != 200 {
		t.Errorf("a read got %d", status)
	}
	s.setFull(false)
	if status, _ := s.ask("PUT", "new", "x", false); status != 200 {
		t.Errorf("a write after it was freed got %d", status)
	}
}

func TestAHeldCommitLosesToTheNextOne(t *testing.T) {
	s := newScene(t)
	over := s.hold(unit{"judge", 3})
	first := make(chan int)
	go func() {
		status, _ := s.ask("PUT", record, "first", true)
		first <- status
	}()
	// The first one must have arrived before the second is sent.
	for taken := false; !taken; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		h := s.held[unit{"judge", 3}]
		taken = h != nil && h.taken
		s.mu.Unlock()
	}
	if status, _ := s.ask("PUT", record, "second", true); status != 200 {
		t.Errorf("the second got %d", status)
	}
	if status := <-first; status != 412 {
		t.Errorf("the first got %d", status)
	}
	<-over
	if got := s.up.objects["/rpo/"+record]; got != "second" {
		t.Errorf("stored %q", got)
	}
	if e := s.ledger.of(unit{"judge", 3}); e.created != 1 || !e.committed {
		t.Errorf("the ledger has %+v", e)
	}
}
