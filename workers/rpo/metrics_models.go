package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"rpo/activities/chat"
)

func modelDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"endpoint", "model"}, labels...), nil)
}

// What the clients know of the servers behind their endpoints. A replica is the
// number of an address in the configuration: the address itself is nobody's
// business who may read metrics.
var (
	rateDesc     = modelDesc("rpo_tokens_per_second", "Rate of completion tokens of late, of the models that have one.")
	levelDesc    = modelDesc("rpo_request_level", "Requests that may be under way at once, as found out so far.", "replica")
	underWayDesc = modelDesc("rpo_requests_under_way", "HTTP requests that were sent and have not ended.", "replica")
	waitingDesc  = modelDesc("rpo_requests_waiting", "Calls that wait for their turn to send a request.", "replica")
	endedDesc    = modelDesc("rpo_requests_total", "HTTP requests that ended: answered, rejected (a reply that is no answer), "+
		"refused (for want of capacity), failed (no reply, or a broken server), given_up.", "replica", "outcome")
	breakerDesc = modelDesc("rpo_breaker", "1 for the state of the circuit breaker, 0 for the others: closed, open, trying.", "replica", "state")
	openedDesc  = modelDesc("rpo_breaker_opened_total", "How often the circuit breaker opened.", "replica")
)

// Describe and Collect tell what the clients know now.
func (m *models) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{rateDesc, levelDesc, underWayDesc, waitingDesc, endedDesc, breakerDesc, openedDesc} {
		ch <- d
	}
}

func (m *models) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, c := range m.clients {
		if rate, known := c.Rate(); known {
			ch <- prometheus.MustNewConstMetric(rateDesc, prometheus.GaugeValue, rate, key.endpoint, key.model)
		}
		for i, s := range c.States() {
			collectState(ch, s, key.endpoint, key.model, strconv.Itoa(i))
		}
	}
}

func collectState(ch chan<- prometheus.Metric, s chat.State, labels ...string) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, more ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, append(labels[:len(labels):len(labels)], more...)...)
	}
	send(levelDesc, prometheus.GaugeValue, float64(s.Level))
	send(underWayDesc, prometheus.GaugeValue, float64(s.UnderWay))
	send(waitingDesc, prometheus.GaugeValue, float64(s.Waiting))
	send(openedDesc, prometheus.CounterValue, float64(s.Opened))
	for outcome, n := range map[string]int64{"answered": s.Ended.Answered, "rejected": s.Ended.Rejected, "refused": s.Ended.Refused,
		"failed": s.Ended.Failed, "given_up": s.Ended.GivenUp} {
		send(endedDesc, prometheus.CounterValue, float64(n), outcome)
	}
	for _, state := range chat.BreakerStates {
		is := 0.0
		if state == s.Breaker {
			is = 1
		}
		send(breakerDesc, prometheus.GaugeValue, is, state)
	}
}
