package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"rpo/activities/train"
	"rpo/schemas"
)

const (
	// serveSlots is how many requests a model server answers at once unless told.
	serveSlots = 16
	// startWithin bounds the start of a model server.
	startWithin = 10 * time.Minute
	// idleAfter is how long a server outlives its last user: the next shard
	// comes soon.
	idleAfter = time.Minute
)

// server is one running model server, llama.cpp's own, on loopback.
type server struct {
	url, name string
	// identity is the hash of the weights.
	identity string

	once  sync.Once
	err   error
	users int
	idle  *time.Timer
	stop  func()
}

// serve returns the running server of a model, starting it if need be.
func (m *models) serve(ctx context.Context, endpointName string, s serve, model string) (*server, func(), error) {
	key := endpointName + "\x00" + model
	m.mu.Lock()
	srv := m.servers[key]
	if srv == nil {
		srv = &server{}
		m.servers[key] = srv
	}
	srv.users++
	if srv.idle != nil {
		srv.idle.Stop()
	}
	m.mu.Unlock()
	release := func() { m.release(key, srv) }
	srv.once.Do(func() { srv.err = m.start(ctx, srv, s, model) })
	if srv.err != nil {
		m.forget(srv) // the next one tries again
		return nil, nil, srv.err
	}
	return srv, release, nil
}

// forget drops a server that does not run.
func (m *models) forget(srv *server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.servers, func(_ string, s *server) bool { return s == srv })
}

func (m *models) release(key string, srv *server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if srv.users--; srv.users > 0 {
		return
	}
	srv.idle = time.AfterFunc(idleAfter, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if srv.users == 0 && m.servers[key] == srv {
			delete(m.servers, key)
			srv.stop()
		}
	})
}

// stopServers stops all servers. The caller holds mu.
func (m *models) stopServers() {
	for key, srv := range m.servers {
		if srv.stop != nil {
			srv.stop()
		}
		delete(m.servers, key)
	}
}

// start starts the server and waits until it answers. The process dies with the
// worker, however the worker ends.
func (m *models) start(ctx context.Context, srv *server, s serve, model string) error {
	path, err := m.weights(ctx, s, model)
	if err != nil {
		return err
	}
	// The name stands in the provenance of every row, so it says which weights.
	digest, err := m.servedIdentity(ctx, s, model)
	if err != nil {
		return err
	}
	srv.identity, srv.name = digest, servedModelName(s, model, digest)
	log, err := os.CreateTemp(m.config.WorkDir, "model-server-*.log")
	if err != nil {
		return schemas.Errorf(schemas.Internal, "open model server log: %w", err)
	}
	cmd := exec.Command(m.config.Python, "-m", "rpo_trainer.serve", "--model", path, "--port", "0", "--alias", srv.name,
		"--parallel", strconv.Itoa(cmp.Or(s.Slots, serveSlots)), "--context", strconv.Itoa(cmp.Or(s.Context, 4096)),
		"--threads", strconv.Itoa(cmp.Or(s.Threads, 2)), "--cache", filepath.Join(m.config.WorkDir, "models"))
	cmd.Env = append(os.Environ(), m.node.Env()...)
	cmd.Stderr = log
	ready := make(chan []byte, 1)
	cmd.Stdout = &firstLine{line: ready}
	exited, err := train.Start(cmd)
	log.Close() // the server has its own copy
	if err != nil {
		return err
	}
	stop := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	m.mu.Lock()
	srv.stop = stop
	m.mu.Unlock()
	select {
	case line := <-ready:
		var at struct {
			URL string `json:"url"`
		}
		if err := json.Unmarshal(line, &at); err != nil || at.URL == "" {
			stop()
			return schemas.Errorf(schemas.Internal, "the model server of %s said %.200q instead of its address; see %s", path, line, log.Name())
		}
		srv.url = at.URL
		// One that dies is forgotten, so that the next one who asks starts another.
		go func() {
			<-exited
			m.forget(srv)
		}()
		return nil
	case <-exited:
		return schemas.Errorf(schemas.Internal, "the model server of %s ended before it answered; see %s", path, log.Name())
	case <-time.After(startWithin):
		stop()
		return schemas.Errorf(schemas.Stalled, "the model server of %s did not answer within %s; see %s", path, startWithin, log.Name())
	case <-ctx.Done():
		stop()
		return context.Cause(ctx)
	}
}

// firstLine is a writer that sends the first line it gets and drops the rest.
type firstLine struct {
	line chan<- []byte
	got  []byte
	sent bool
}

func (f *firstLine) Write(data []byte) (int, error) {
	if !f.sent {
		f.got = append(f.got, data...)
		if end := bytes.IndexByte(f.got, '\n'); end >= 0 {
			f.line <- f.got[:end]
			f.sent = true
		}
	}
	return len(data), nil
}

// weights returns the local path of the model to serve: the endpoint's own
// folder, or the GGUF file of a trained model that is fetched from the store.
func (m *models) weights(ctx context.Context, s serve, model string) (string, error) {
	if model == "" {
		return m.node.Folder(s.Model)
	}
	r, err := train.Record(ctx, m.store, model)
	if err != nil {
		return "", err
	}
	paths, err := train.Fetch(ctx, m.store, []schemas.Object{r.Outputs["model.gguf"]}, filepath.Join(m.config.WorkDir, "models"))
	if err != nil {
		return "", err
	}
	return paths[0], nil
}

// servedIdentity is the hash of the weights that would be served.
func (m *models) servedIdentity(ctx context.Context, s serve, model string) (string, error) {
	if model == "" {
		return m.node.Identity(ctx, s.Model)
	}
	r, err := train.Record(ctx, m.store, model)
	if err != nil {
		return "", err
	}
	return r.Outputs["model.gguf"].SHA256, nil
}
