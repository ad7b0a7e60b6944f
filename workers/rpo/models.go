package main

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// flushTimeout bounds the write of finished calls when work on a shard or the
// worker ends.
const flushTimeout = 30 * time.Second

// models is the worker's registry of endpoints. It implements chat.Models.
type models struct {
	config config
	store  store.Store
	node   train.Node
	cache  *cache.Cache
	// metrics counts the calls.
	metrics *metrics

	mu      sync.Mutex
	servers map[string]*server            // by endpoint and model
	clients map[clientKey]chat.Connection // for the life of the process
}

// clientKey names the one client of a model at an address: what it learns of the
// server is everybody's.
type clientKey struct{ endpoint, url, model string }

func newModels(c config, s store.Store, counts *metrics) *models {
	return &models{
		config: c, store: s, node: c.node(), cache: cache.New(s, newLogger(slog.LevelWarn)), metrics: counts,
		servers: map[string]*server{}, clients: map[clientKey]chat.Connection{},
	}
}

// Model finds a model. One that the worker serves itself is started when it is
// first asked for and stopped a while after the last release. A release writes
// the finished calls, however the work ended.
func (m *models) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	f, release, err := m.found(ctx, use.Endpoint, use.Model)
	if err != nil {
		return chat.Model{}, nil, err
	}
	if err = use.Meter.Allows(use.Endpoint, use.Model, f.identity); err == nil {
		err = m.cache.Open(ctx, f.identity)
	}
	if err != nil {
		release()
		return chat.Model{}, nil, err
	}
	client := draining{counted{f.client, m.metrics, use.Endpoint, f.Model, f.Price}}
	c := m.cache.Completer(chat.Metered(client, use.Meter, f.terms()),
		cache.Use{Identity: f.identity, Endpoint: use.Endpoint, Generation: use.Generation, Hit: use.Meter.Cached})
	return chat.Model{Completer: c, Name: f.Model}, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		m.cache.Flush(ctx) // what fails is logged, kept and written later
		release()
	}, nil
}

// found is a model that answers, without cache and meter.
type found struct {
	chat.Endpoint
	client   chat.Connection
	identity string
}

// terms are the configured price and the measured rate.
func (f found) terms() chat.Terms {
	t := chat.Terms{Price: f.Price}
	t.TokensPerSecond, _ = f.client.Rate()
	return t
}

func (m *models) found(ctx context.Context, name, model string) (found, func(), error) {
	e, err := m.find(name)
	if err != nil {
		return found{}, nil, err
	}
	f := found{Endpoint: e.remote(name)}
	f.Model = cmp.Or(model, e.Model)
	f.identity = f.Identity()
	release := func() {}
	if e.Serve != nil {
		var srv *server
		if srv, release, err = m.serve(ctx, name, *e.Serve, model); err != nil {
			return found{}, nil, err
		}
		f.URL, f.Model, f.identity = srv.url, srv.name, srv.identity
	}
	if f.client, err = m.clientOf(f.Endpoint); err != nil {
		release()
		return found{}, nil, err
	}
	return f, release, nil
}

// clientOf returns the client of an endpoint's model. A server that was started
// again has another address, and the client of the old one goes.
func (m *models) clientOf(e chat.Endpoint) (chat.Connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := clientKey{e.Name, e.URL, e.Model}
	if c, ok := m.clients[key]; ok {
		return c, nil
	}
	c, err := chat.Open(e)
	if err != nil {
		return nil, err
	}
	for k, old := range m.clients {
		if k.endpoint == key.endpoint && k.model == key.model {
			old.Close()
			delete(m.clients, k)
		}
	}
	m.clients[key] = c
	return c, nil
}

// close writes the finished calls and stops all servers.
func (m *models) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	m.cache.Close(ctx) // what fails is logged
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.clients {
		c.Close()
	}
	m.stopServers()
}

// Identify checks the endpoint. Of a served model the identity is the hash of
// its weights, else the name and revision that the configuration gives it.
func (m *models) Identify(ctx context.Context, name, model string) (string, error) {
	e, err := m.find(name)
	if err != nil {
		return "", err
	}
	if e.Serve != nil {
		return m.servedIdentity(ctx, *e.Serve, model)
	}
	remote := e.remote(name)
	remote.Model = cmp.Or(model, e.Model)
	if remote.Model == "" {
		return "", schemas.Errorf(schemas.InvalidInput, "endpoint %q names no model: set model in the worker's configuration or in the input", name)
	}
	c, err := m.clientOf(remote)
	if err != nil {
		return "", err
	}
	return remote.Identity(), c.Check(ctx)
}

// Evaluates holds for an endpoint that the worker serves itself from the same
// weights as the base model's: else an evaluation would compare two unrelated
// models.
func (m *models) Evaluates(ctx context.Context, name, base string) error {
	e, err := m.find(name)
	if err != nil {
		return err
	}
	if e.Serve == nil {
		return schemas.Errorf(schemas.InvalidInput, "field \"eval_endpoint\": endpoint %q cannot load a trained model: "+
			"name an endpoint that the worker's configuration serves itself (serve)", name)
	}
	want, err := m.node.Identity(ctx, base)
	if err != nil {
		return err
	}
	served, err := m.node.Identity(ctx, e.Serve.Model)
	if err == nil && served != want {
		err = schemas.Errorf(schemas.InvalidInput, "field \"eval_endpoint\": endpoint %q serves model %q, which is not base_model %q: "+
			"the evaluation would compare two unrelated models", name, e.Serve.Model, base)
	}
	return err
}

func (m *models) find(name string) (endpoint, error) {
	e, ok := m.config.Endpoints[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(m.config.Endpoints)), ", ")
		return e, schemas.Errorf(schemas.InvalidInput, "the worker's configuration has no endpoint %q, only: %s",
			name, cmp.Or(known, "none (set "+configEnv+" to a configuration file)"))
	}
	return e, nil
}

func timeout(e endpoint) time.Duration { return time.Duration(e.Timeout) }
