package cache_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/schemas"
)

// model is a Completer whose choices depend on the prompt and the seed alone. It
// counts what is paid.
type model struct {
	// before, if set, may fail or delay a call.
	before func(ctx context.Context, req chat.Request) error
	// most, if not 0, is the number of choices after which a call fails.
	most int

	mu    sync.Mutex
	calls int
	paid  map[string]int // choices by prompt and seed
}

func newModel() *model { return &model{paid: map[string]int{}} }

func (m *model) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	resp := chat.Response{Model: "served", Calls: 1, Usage: chat.Usage{Known: true}}
	m.mu.Lock()
	m.calls++
	m.mu.Unlock()
	if m.before != nil {
		if err := m.before(ctx, req); err != nil {
			return resp, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range max(req.N, 1) {
		if m.most != 0 && i == m.most {
			return resp, schemas.Errorf(schemas.Overloaded, "queue is full")
		}
		resp.Choices = append(resp.Choices, answer(req, i))
		resp.Usage.CompletionTokens++
		m.paid[fmt.Sprint(req.Messages[0].Content, req.Seed+int64(i))]++
	}
	return resp, nil
}

// answer is what an uncached model says.
func answer(req chat.Request, i int) chat.Choice {
	seed := req.Seed + int64(i)
	return chat.Choice{Text: fmt.Sprintf("%s %d", req.Messages[0].Content, seed), FinishReason: []string{"stop", "length"}[seed&1]}
}

func (m *model) total() (calls, paid, twice int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.paid {
		paid += n
		twice += n - 1
	}
	return m.calls, paid, twice
}

func ask(prompt string, n int) chat.Request {
	return chat.Request{Messages: []schemas.Message{{Role: "user", Content: prompt}}, N: n, MaxTokens: 9, Temperature: 1, Seed: 1000}
}

// check compares a response with what an uncached model says.
func check(t testing.TB, req chat.Request, resp chat.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", req.Messages[0].Content, err)
	}
	if len(resp.Choices) != max(req.N, 1) || resp.Model != "served" {
		t.Fatalf("%+v: got %+v", req, resp)
	}
	for i, c := range resp.Choices {
		if c != answer(req, i) {
			t.Fatalf("choice %d is %+v, want %+v", i, c, answer(req, i))
		}
	}
}

// process is a cache that can be killed: nothing it does reaches the store then.
type process struct {
	*cache.Cache
	store.Store
	dead atomic.Bool
	// deleted gets one for each object that this process deleted.
	deleted chan struct{}
}

func start(t testing.TB, s store.Store) *process {
	p := &process{Store: s, deleted: make(chan struct{}, 10000)}
	p.Cache = cache.New(p, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() {
		p.kill()
		p.Close(context.Background())
	})
	return p
}

func (p *process) kill() { p.dead.Store(true) }

func (p *process) alive() error {
	if p.dead.Load() {
		return schemas.Errorf(schemas.Overloaded, "the process was killed")
	}
	return nil
}

func (p *process) Put(ctx context.Context, key string, data []byte) error {
	if err := p.alive(); err != nil {
		return err
	}
	return p.Store.Put(ctx, key, data)
}

func (p *process) Delete(ctx context.Context, key string) error {
	if err := p.alive(); err != nil {
		return err
	}
	err := p.Store.Delete(ctx, key)
	if err == nil {
		p.deleted <- struct{}{}
	}
	return err
}

func (p *process) completer(m chat.Completer) chat.Completer {
	return p.Completer(m, cache.Use{Identity: "m@1", Endpoint: "e"})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
