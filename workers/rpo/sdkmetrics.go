package main

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// sdkMetrics keeps the metrics of Temporal's SDK for Prometheus, under the names
// that Temporal's own Prometheus exporters give them: counters end with _total,
// timers are histograms of seconds. The SDK uses one name with several sets of
// tags, so nothing is described beforehand: Collect tells what there is.
type sdkMetrics struct {
	mu sync.Mutex
	// vectors are by kind, name and names of labels.
	vectors map[string]prometheus.Collector
}

func newSDKMetrics() *sdkMetrics { return &sdkMetrics{vectors: map[string]prometheus.Collector{}} }

// Describe leaves the collector unchecked.
func (*sdkMetrics) Describe(chan<- *prometheus.Desc) {}

func (s *sdkMetrics) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	vectors := slices.Collect(maps.Values(s.vectors))
	s.mu.Unlock()
	for _, v := range vectors {
		v.Collect(ch)
	}
}

// vector returns the vector of a metric, made by create when it is first met.
func vector[V prometheus.Collector](s *sdkMetrics, name string, labels []string, create func() V) V {
	key := name + " " + strings.Join(labels, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.vectors[key].(V); ok {
		return v
	}
	v := create()
	s.vectors[key] = v
	return v
}

// tagged is the client.MetricsHandler of one set of tags.
type tagged struct {
	all *sdkMetrics
	// labels are sorted, values in their order.
	labels, values []string
	tags           map[string]string
}

func (s *sdkMetrics) handler() client.MetricsHandler { return &tagged{all: s} }

func (t *tagged) WithTags(tags map[string]string) client.MetricsHandler {
	out := &tagged{all: t.all, tags: map[string]string{}}
	maps.Copy(out.tags, t.tags)
	for name, value := range tags {
		out.tags[plainName(name)] = strings.ToValidUTF8(value, "?")
	}
	out.labels = slices.Sorted(maps.Keys(out.tags))
	for _, name := range out.labels {
		out.values = append(out.values, out.tags[name])
	}
	return out
}

func (t *tagged) Counter(name string) client.MetricsCounter {
	name = plainName(name) + "_total"
	v := vector(t.all, name, t.labels, func() *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: "Temporal SDK."}, t.labels)
	})
	return adder{v.WithLabelValues(t.values...)}
}

func (t *tagged) Gauge(name string) client.MetricsGauge {
	name = plainName(name)
	v := vector(t.all, name, t.labels, func() *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "Temporal SDK."}, t.labels)
	})
	return setter{v.WithLabelValues(t.values...)}
}

func (t *tagged) Timer(name string) client.MetricsTimer {
	name = plainName(name) + "_seconds"
	v := vector(t.all, name, t.labels, func() *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: "Temporal SDK.", Buckets: timeBuckets}, t.labels)
	})
	return observer{v.WithLabelValues(t.values...)}
}

type adder struct{ prometheus.Counter }

// Inc ignores what a counter cannot count.
func (a adder) Inc(n int64) { a.Add(float64(max(0, n))) }

type setter struct{ prometheus.Gauge }

func (s setter) Update(v float64) { s.Set(v) }

type observer struct{ prometheus.Observer }

func (o observer) Record(d time.Duration) { o.Observe(d.Seconds()) }

// plainName replaces what Prometheus takes in no name.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}
