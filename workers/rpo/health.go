package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rpo/schemas"
)

const (
	// checkTimeout bounds a check of readiness, checkEvery is how long its result
	// holds: whoever may ask must not be able to load Temporal or the bucket.
	checkTimeout = 5 * time.Second
	checkEvery   = 2 * time.Second
)

// health says whether a worker lives and whether it takes work.
type health struct {
	// checks are what work needs, by name.
	checks []check

	serving, ending atomic.Bool

	// mu guards the last result; it is held during a check.
	mu      sync.Mutex
	checked time.Time
	failure error
}

type check struct {
	name string
	run  func(context.Context) error
}

// started says that the worker polls its queues, draining that it takes no more.
func (h *health) started() { h.serving.Store(true) }

func (h *health) draining() { h.ending.Store(true) }

// ready returns why the worker takes no work, or nil.
func (h *health) ready(ctx context.Context) error {
	switch {
	case h.ending.Load():
		return errors.New("draining: the worker is shutting down")
	case !h.serving.Load():
		return errors.New("starting")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.checked) < checkEvery {
		return h.failure
	}
	// An asker that goes away must not leave its impatience as the result.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	h.failure = nil
	for _, c := range h.checks {
		if err := c.run(ctx); err != nil {
			h.failure = schemas.Errorf(schemas.Overloaded, "%s: %w", c.name, err)
			break
		}
	}
	h.checked = time.Now()
	return h.failure
}

// handler serves /healthz, /readyz and, with the given handler, /metrics.
func (h *health) handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body) // whoever asked is gone: nothing to do
	}
	type state struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, state{Status: "alive"}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := h.ready(r.Context()); err != nil {
			answer(w, http.StatusServiceUnavailable, state{"not ready", err.Error()})
			return
		}
		answer(w, http.StatusOK, state{Status: "ready"})
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

// listen opens a TCP address; one without a host means loopback, not every
// interface.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, schemas.Errorf(usageError, "address %q is not HOST:PORT", address)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "listen at %s: %w", address, err)
	}
	return l, nil
}

// serveHTTP serves until stop is called.
func serveHTTP(l net.Listener, h http.Handler) (stop func()) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	return func() {
		s.Close()
		serving.Wait()
	}
}
