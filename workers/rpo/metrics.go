package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rpo/activities/chat"
	"rpo/schemas"
)

// metrics are what a worker counts for Prometheus, beside what the SDK does. The
// names are public: dashboards and alarms select by them. Add, never rename.
type metrics struct {
	registry *prometheus.Registry
	sdk      *sdkMetrics

	activities, rows, cached *prometheus.CounterVec
	calls, tokens, cost      *prometheus.CounterVec
	underWay                 *prometheus.GaugeVec
	seconds                  *prometheus.HistogramVec
}

// seconds from a cached read to a training of days.
var timeBuckets = []float64{.005, .02, .1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 4 * 3600, 24 * 3600}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(), sdk: newSDKMetrics(),
		activities: counter("rpo_activities_total",
			"Attempts of activities that ended, by outcome: done, reused, estimated, cancelled, stopped or a type of error.", "activity", "outcome"),
		rows:   counter("rpo_rows_total", "Rows of the shards that were made, by outcome: ok, quarantined, skipped.", "activity", "outcome"),
		cached: counter("rpo_cached_choices_total", "Choices that the call cache answered, of shards that were made.", "activity"),
		calls:  counter("rpo_calls_total", "HTTP requests to models, refused and repeated ones included.", "endpoint", "model"),
		tokens: counter("rpo_tokens_total", "Tokens as the servers counted them, by kind: prompt, completion.", "endpoint", "model", "kind"),
		cost:   counter("rpo_cost_total", "Cost of these tokens, in the currency of the configured prices.", "endpoint", "model"),
		underWay: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rpo_calls_under_way",
			Help: "Calls to models that were begun and have not ended, those that wait for a slot included."}, []string{"endpoint", "model"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rpo_call_seconds", Buckets: timeBuckets,
			Help: "Time of a call to a model, repetitions and waiting included, by outcome: ok or a type of error."}, []string{"endpoint", "model", "outcome"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.sdk, m.activities, m.rows, m.cached, m.calls, m.tokens, m.cost, m.underWay, m.seconds)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// ended counts an attempt of an activity.
func (m *metrics) ended(ctx context.Context, name string, out any, err error) {
	m.activities.WithLabelValues(name, outcomeOf(ctx, out, err)).Inc()
	r, ok := out.(schemas.ShardResult)
	if err != nil || !ok || r.Reused || r.Estimate != nil {
		return
	}
	for outcome, n := range map[string]int64{"ok": r.Books.OK, "quarantined": r.Books.Quarantined, "skipped": r.Books.Skipped} {
		m.rows.WithLabelValues(name, outcome).Add(float64(n))
	}
	m.cached.WithLabelValues(name).Add(float64(r.Spent.Cached))
}

func outcomeOf(ctx context.Context, out any, err error) string {
	if err != nil {
		switch {
		case context.Cause(ctx) == errStopping:
			return "stopped"
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			return "cancelled"
		}
		return string(schemas.TypeOf(err))
	}
	switch r, _ := out.(schemas.ShardResult); {
	case r.Reused:
		return "reused"
	case r.Estimate != nil:
		return "estimated"
	}
	return "done"
}

// counted counts the calls of a Completer.
type counted struct {
	chat.Completer
	metrics         *metrics
	endpoint, model string
	price           *chat.Price
}

func (c counted) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	m := c.metrics
	underWay, began := m.underWay.WithLabelValues(c.endpoint, c.model), time.Now()
	underWay.Inc()
	defer underWay.Dec()
	resp, err := c.Completer.Complete(ctx, req)
	outcome := "ok"
	switch {
	case err != nil && ctx.Err() != nil:
		outcome = "cancelled"
	case err != nil:
		outcome = string(schemas.TypeOf(err))
	}
	m.seconds.WithLabelValues(c.endpoint, c.model, outcome).Observe(time.Since(began).Seconds())
	// A counter takes nothing negative, and what servers say is not trusted.
	prompt, completion := max(0, resp.Usage.PromptTokens), max(0, resp.Usage.CompletionTokens)
	m.calls.WithLabelValues(c.endpoint, c.model).Add(float64(resp.Calls))
	m.tokens.WithLabelValues(c.endpoint, c.model, "prompt").Add(float64(prompt))
	m.tokens.WithLabelValues(c.endpoint, c.model, "completion").Add(float64(completion))
	m.cost.WithLabelValues(c.endpoint, c.model).Add(c.price.Cost(prompt, completion))
	return resp, err
}
