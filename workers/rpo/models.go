package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// models is the worker's registry of endpoints. It implements chat.Models.
type models struct {
	config config
	store  store.Store
	node   train.Node

	mu      sync.Mutex
	slots   map[string]chan struct{} // by endpoint
	servers map[string]*server       // by endpoint and model
}

func newModels(c config, s store.Store) *models {
	return &models{config: c, store: s, node: c.node(), slots: map[string]chan struct{}{}, servers: map[string]*server{}}
}

// Model finds a model. One that the worker serves itself is started when it is
// first asked for and stopped a while after the last release.
func (m *models) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	name, model := use.Endpoint, use.Model
	e, err := m.find(name)
	if err != nil {
		return chat.Model{}, nil, err
	}
	release := func() {}
	remote := e.remote(name)
	remote.Model = cmp.Or(model, e.Model)
	if e.Serve != nil {
		var srv *server
		if srv, release, err = m.serve(ctx, name, *e.Serve, model); err != nil {
			return chat.Model{}, nil, err
		}
		remote.URL, remote.Model = srv.url, srv.name
	}
	c, err := chat.New(remote)
	if err != nil {
		release()
		return chat.Model{}, nil, err
	}
	return chat.Model{Completer: chat.Metered(c, use.Meter, chat.Terms{}), Name: remote.Model, Slots: m.slotsOf(name, e)}, func() { c.Close(); release() }, nil
}

// Identify checks the endpoint. Of a served model the identity is the hash of
// its weights, else the name that the server knows it by.
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
	c, err := chat.New(remote)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return remote.Model, c.Check(ctx)
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

func (m *models) slotsOf(name string, e endpoint) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots[name] == nil {
		m.slots[name] = make(chan struct{}, cmp.Or(e.Concurrency, 16))
	}
	return m.slots[name]
}

func timeout(e endpoint) time.Duration { return time.Duration(e.Timeout) }
