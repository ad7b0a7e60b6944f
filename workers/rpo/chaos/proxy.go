package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// holdCommit bounds how long a commit is held back for another worker's.
const holdCommit = 12 * time.Second

// proxy stands between the workers and the S3 server. Each worker has a listener
// of its own, so that the proxy knows who asks.
type proxy struct {
	upstream, bucket string
	director         *director
	ledger           *ledger
	transport        http.RoundTripper

	mu    sync.Mutex
	armed []*armed
	// full says that the disk is full where there is none to fill.
	full bool
	// held are the shards whose next commit is held back.
	held map[unit]*hold
}

// hold ends when another worker's commit of the shard has been answered. taken
// says that there is a commit that waits for that.
type hold struct {
	taken bool
	over  chan struct{}
}

// armed is a fault that waits for requests.
type armed struct {
	fault
	left int
}

func newProxy(upstream, bucket string, d *director, l *ledger) *proxy {
	return &proxy{
		upstream: strings.TrimPrefix(upstream, "http://"), bucket: bucket, director: d, ledger: l,
		// A connection that a killed server left behind would fail a later request,
		// and not the one that is being disturbed.
		transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
		held:      map[unit]*hold{},
	}
}

// listen opens the address of one worker.
func (p *proxy) listen(worker int) (address string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, worker) })}
	go s.Serve(l)
	return "http://" + l.Addr().String(), func() { s.Close() }, nil
}

// arm makes the next requests that a fault is for meet it, until it is disarmed.
func (p *proxy) arm(f fault) (disarm func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &armed{f, f.count}
	p.armed = append(p.armed, a)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		a.left = 0
	}
}

// setFull has every write refused as a server with a full disk does.
func (p *proxy) setFull(full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = full
}

// hold keeps the next commit of a shard back until a further one is answered, at
// most holdCommit. over is closed when it is passed on.
func (p *proxy) hold(u unit) (over <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &hold{over: make(chan struct{})}
	p.held[u] = h
	return h.over
}

// await waits if the commit is held back.
func (p *proxy) await(u unit) {
	p.mu.Lock()
	h := p.held[u]
	waits := h != nil && !h.taken
	if waits {
		h.taken = true
	}
	p.mu.Unlock()
	if waits {
		late := time.AfterFunc(holdCommit, func() { p.release(u) })
		<-h.over
		late.Stop()
	}
}

// release lets the commit that is held back go.
func (p *proxy) release(u unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.held[u]; h != nil && h.taken {
		delete(p.held, u)
		close(h.over)
	}
}

// request is a worker's request, whole.
type request struct {
	*http.Request
	worker      int
	body        []byte
	key         string
	conditional bool
	unit        unit
	record      bool // the key is a commit record's
	// sum is of the whole body, of which a part may be passed on.
	sum string
}

// take returns the fault that a request meets, if any.
func (p *proxy) take(r request) (fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full && r.Method == http.MethodPut {
		return fault{kind: refuseS3, status: http.StatusInsufficientStorage}, true
	}
	for _, a := range p.armed {
		hits := false
		switch a.kind {
		case loseAnswers, cutRequests:
			hits = r.Method == http.MethodPut
		case repeatCommits:
			hits = r.Method == http.MethodPut && r.conditional
		case cutAnswers:
			hits = r.Method == http.MethodGet
		case refuseS3:
			hits = true
		}
		if hits && a.left > 0 {
			a.left--
			return a.fault, true
		}
	}
	return fault{}, false
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// hangUp ends a request without an answer, like a server that died.
func hangUp() { panic(http.ErrAbortHandler) }

func (p *proxy) serve(w http.ResponseWriter, raw *http.Request, worker int) {
	body, err := io.ReadAll(raw.Body)
	if err != nil {
		hangUp()
	}
	r := request{Request: raw, worker: worker, body: body, conditional: raw.Header.Get("If-None-Match") == "*", sum: hash(body)}
	r.key = strings.TrimPrefix(raw.URL.Path, "/"+p.bucket+"/")
	r.unit, r.record = unitOf(r.key)
	p.director.on(onRequest, worker, r.unit)
	commit := r.record && r.Method == http.MethodPut
	if commit {
		p.director.on(onCommit, worker, r.unit)
		p.await(r.unit)
	}
	f, struck := p.take(r)
	if struck && f.kind == refuseS3 {
		refuse(w, f.status)
		return
	}
	if struck && f.kind == cutRequests {
		r.body = r.body[:len(r.body)/2]
	}
	got, err := p.forward(r)
	if err != nil {
		hangUp()
	}
	if struck && f.kind == repeatCommits {
		if got, err = p.forward(r); err != nil {
			hangUp()
		}
	}
	if struck && f.kind == loseAnswers {
		hangUp()
	}
	for name, values := range got.header {
		w.Header()[name] = values
	}
	w.WriteHeader(got.status)
	if struck && f.kind == cutAnswers {
		w.Write(got.body[:len(got.body)/2])
		http.NewResponseController(w).Flush()
		hangUp()
	}
	w.Write(got.body)
}

// answer is S3's, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

var errBroken = errors.New("no answer")

// forward passes a request on and notes what became of it.
func (p *proxy) forward(r request) (answer, error) {
	whole := int64(len(r.body))
	if r.ContentLength > whole {
		whole = r.ContentLength // it is cut off
	}
	out := &http.Request{
		Method: r.Method, Host: r.Host, Header: r.Header.Clone(), ContentLength: whole, Body: http.NoBody,
		URL: &url.URL{Scheme: "http", Host: p.upstream, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
	}
	out.Header.Del("Connection")
	out.Header.Del("Expect")
	if whole > 0 {
		out.Body = io.NopCloser(bytes.NewReader(r.body))
	}
	known := r.record && p.ledger.known(r.unit)
	got, err := p.exchange(out)
	commit := r.record && r.Method == http.MethodPut
	switch {
	case commit:
		p.ledger.wrote(r.worker, r.unit, known, r.conditional, r.sum, got.status)
		if got.status == http.StatusOK {
			p.director.on(onCommitted, r.worker, r.unit)
		}
		if got.status != 0 {
			p.release(r.unit)
		}
	case r.record && r.Method == http.MethodGet && got.status == http.StatusNotFound:
		p.ledger.looked(r.worker, r.unit, known, "")
	case r.record && r.Method == http.MethodGet && got.status == http.StatusOK:
		p.ledger.looked(r.worker, r.unit, known, hash(got.body))
	}
	return got, err
}

func (p *proxy) exchange(out *http.Request) (answer, error) {
	reply, err := p.transport.RoundTrip(out)
	if err != nil {
		return answer{}, errBroken
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return answer{}, errBroken
	}
	reply.Header.Del("Connection")
	return answer{reply.StatusCode, reply.Header, body}, nil
}

// refuse answers as an S3 server does.
func refuse(w http.ResponseWriter, status int) {
	code := map[int]string{500: "InternalError", 503: "SlowDown", 507: "InsufficientStorage"}[status]
	body := fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>chaos</Message></Error>", code)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}
