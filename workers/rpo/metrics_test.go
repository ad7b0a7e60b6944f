package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
)

// scrape returns the lines of /metrics.
func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func expectLines(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "rpo_") && !strings.Contains(line, "_bucket{") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func TestTheMetricsOfTheSDKAreServedWithTheirTags(t *testing.T) {
	m := newMetrics()
	base := m.sdk.handler().WithTags(map[string]string{"namespace": "default"})
	queue := base.WithTags(map[string]string{"task_queue": "rpo-llm", "odd-name": "a\xff\"b"})
	base.Counter("temporal_request").Inc(2)
	queue.Counter("temporal_request").Inc(3)
	queue.WithTags(map[string]string{"task_queue": "rpo"}).Counter("temporal_request").Inc(1)
	queue.Counter("temporal_request").Inc(-7)
	base.Gauge("temporal_worker_task_slots_available").Update(4)
	base.Timer("temporal_request_latency").Record(1500 * time.Millisecond)
	m.sdk.handler().Counter("bare").Inc(1)
	expectLines(t, scrape(t, m.handler()),
		`temporal_request_total{namespace="default"} 2`,
		`temporal_request_total{namespace="default",odd_name="a?\"b",task_queue="rpo-llm"} 3`,
		`temporal_request_total{namespace="default",odd_name="a?\"b",task_queue="rpo"} 1`,
		`temporal_worker_task_slots_available{namespace="default"} 4`,
		`temporal_request_latency_seconds_bucket{namespace="default",le="1"} 0`,
		`temporal_request_latency_seconds_bucket{namespace="default",le="2"} 1`,
		`temporal_request_latency_seconds_sum{namespace="default"} 1.5`,
		`bare_total 1`)
}

func TestMetricsMayBeCountedAndReadAtOnce(t *testing.T) {
	m := newMetrics()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, queue := range []string{"a", "b", "c"} {
				m.sdk.handler().WithTags(map[string]string{"task_queue": queue}).Counter("n").Inc(1)
				scrape(t, m.handler())
			}
		})
	}
	all.Wait()
	expectLines(t, scrape(t, m.handler()), `n_total{task_queue="a"} 8`, `n_total{task_queue="b"} 8`, `n_total{task_queue="c"} 8`)
}

func TestActivitiesAreCountedByOutcome(t *testing.T) {
	m := newMetrics()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	stopping, stop := context.WithCancelCause(t.Context())
	stop(errStopping)
	books := schemas.Books{In: 10, OK: 7, Quarantined: 2, Skipped: 1}
	for _, c := range []struct {
		ctx context.Context
		out any
		err error
	}{
		{t.Context(), schemas.ShardResult{Books: books, Spent: schemas.Spending{Cached: 4}}, nil},
		{t.Context(), schemas.ShardResult{Books: books, Reused: true, Spent: schemas.Spending{Cached: 100}}, nil},
		{t.Context(), schemas.ShardResult{Estimate: &schemas.Estimate{}}, nil},
		{t.Context(), "not a shard's", nil},
		{t.Context(), nil, schemas.Errorf(schemas.RateLimited, "slow down")},
		{t.Context(), nil, errors.New("unclassified")},
		{cancelled, nil, schemas.Errorf(schemas.Internal, "given up: %w", context.Canceled)},
		{stopping, nil, stopped(stopping, errors.New("given up"))},
	} {
		m.ended(c.ctx, "JudgeShard", c.out, c.err)
	}
	expectLines(t, scrape(t, m.handler()),
		`rpo_activities_total{activity="JudgeShard",outcome="done"} 2`,
		`rpo_activities_total{activity="JudgeShard",outcome="reused"} 1`,
		`rpo_activities_total{activity="JudgeShard",outcome="estimated"} 1`,
		`rpo_activities_total{activity="JudgeShard",outcome="RateLimited"} 1`,
		`rpo_activities_total{activity="JudgeShard",outcome="Internal"} 1`,
		`rpo_activities_total{activity="JudgeShard",outcome="cancelled"} 1`,
		`rpo_activities_total{activity="JudgeShard",outcome="stopped"} 1`,
		`rpo_rows_total{activity="JudgeShard",outcome="ok"} 7`,
		`rpo_rows_total{activity="JudgeShard",outcome="quarantined"} 2`,
		`rpo_rows_total{activity="JudgeShard",outcome="skipped"} 1`,
		`rpo_cached_choices_total{activity="JudgeShard"} 4`)
}

func TestCallsTokensAndCostAreCountedByEndpointAndModel(t *testing.T) {
	server := scripted.New(t, scripted.PerChoice(func(p scripted.Parsed, seed int64) string { return p.Last() }))
	c := config{Endpoints: map[string]endpoint{"e": {URL: server.URL, Model: "scripted", Price: &chat.Price{Completion: 1e6}}}}
	counts := newMetrics()
	m := newModels(c, store.NewMemory("rpo"), counts)
	defer m.close()
	counts.registry.MustRegister(m)
	meter := chat.NewMeter(t.Context(), schemas.Allowance{})
	model, release, err := m.Model(t.Context(), chat.Use{Endpoint: "e", Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 2 { // the second is answered by the call cache
		if _, err := model.Complete(t.Context(), chat.Request{Messages: []schemas.Message{{Role: "user", Content: "one two"}}, N: 2, MaxTokens: 9}); err != nil {
			t.Fatal(err)
		}
	}
	got := scrape(t, counts.handler())
	expectLines(t, got,
		`rpo_calls_total{endpoint="e",model="scripted"} 1`,
		`rpo_tokens_total{endpoint="e",kind="completion",model="scripted"} 4`,
		`rpo_cost_total{endpoint="e",model="scripted"} 4`,
		`rpo_calls_under_way{endpoint="e",model="scripted"} 0`,
		`rpo_call_seconds_count{endpoint="e",model="scripted",outcome="ok"} 1`,
		`rpo_request_level{endpoint="e",model="scripted",replica="0"} 4`,
		`rpo_requests_under_way{endpoint="e",model="scripted",replica="0"} 0`,
		`rpo_requests_waiting{endpoint="e",model="scripted",replica="0"} 0`,
		`rpo_requests_total{endpoint="e",model="scripted",outcome="refused",replica="0"} 0`,
		`rpo_breaker{endpoint="e",model="scripted",replica="0",state="closed"} 1`,
		`rpo_breaker{endpoint="e",model="scripted",replica="0",state="open"} 0`,
		`rpo_breaker_opened_total{endpoint="e",model="scripted",replica="0"} 0`)
	if spent := meter.Spent(); spent.Calls != 1 || spent.Cost != 4 {
		t.Errorf("the books say %+v", spent)
	}
	if strings.Contains(got, server.URL) {
		t.Error("the metrics show an address")
	}
}
