package main

import (
	"strings"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
)

func TestAnotherWorkerAnswersFromTheCallsOfTheFirst(t *testing.T) {
	s := store.NewMemory("rpo")
	server := scripted.New(t, scripted.PerChoice(func(p scripted.Parsed, seed int64) string { return p.Last() }))
	c := config{Endpoints: map[string]endpoint{"e": {URL: server.URL, Model: "scripted", Revision: "1", Price: &chat.Price{Completion: 1e6}}}}
	ask := func(m *models, generation int64) schemas.Spending {
		t.Helper()
		meter := chat.NewMeter(t.Context(), schemas.Allowance{})
		model, release, err := m.Model(t.Context(), chat.Use{Endpoint: "e", Generation: generation, Meter: meter})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		resp, err := model.Complete(t.Context(), chat.Request{Messages: []schemas.Message{{Role: "user", Content: "one two"}}, N: 2, MaxTokens: 9})
		if err != nil || len(resp.Choices) != 2 || resp.Choices[1].Text != "one two" {
			t.Fatalf("got %+v, %v", resp, err)
		}
		return meter.Spent()
	}
	first := newModels(c, s, newMetrics())
	if paid := ask(first, 0); paid.Calls != 1 || paid.Cached != 0 || paid.Cost != 4 {
		t.Errorf("the first worker spent %+v", paid)
	}
	// It is killed here: what it released a model after is written.
	second := newModels(c, s, newMetrics())
	defer second.close()
	if free := ask(second, 0); free != (schemas.Spending{Cached: 2}) {
		t.Errorf("the second worker spent %+v", free)
	}
	if paid := ask(second, 1); paid.Calls != 1 {
		t.Errorf("another generation spent %+v", paid)
	}
	other := chat.NewMeter(t.Context(), schemas.Allowance{Identities: map[string]string{schemas.ModelKey("e", ""): "scripted@2"}})
	if _, _, err := second.Model(t.Context(), chat.Use{Endpoint: "e", Meter: other}); schemas.TypeOf(err) != schemas.Overloaded ||
		!strings.Contains(err.Error(), "scripted@2") {
		t.Errorf("a worker with another model took the work: %v", err)
	}
	if len(second.clients) != 1 {
		t.Errorf("%d clients", len(second.clients))
	}
	if identity, err := second.Identify(t.Context(), "e", ""); err != nil || identity != "scripted@1" {
		t.Errorf("identity %q, %v", identity, err)
	}
}
