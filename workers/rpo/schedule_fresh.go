package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"rpo/schemas"
	"rpo/workflows"
)

// freshness is how a schedule stands. Temporal says nothing when it skips a run,
// so the age of the last success is what tells that none comes to an end.
type freshness struct {
	ID       string `json:"id"`
	Workflow string `json:"workflow"`
	Paused   bool   `json:"paused"`
	// Stale says that more than one and a half of the longest pause between the
	// next runs has passed since the last success, or since the schedule was made.
	Stale bool `json:"stale"`
	// LastSuccess is when a run of the schedule completed last, null if none is on
	// record. AgeSeconds is the time since then, or since the schedule was made.
	LastSuccess *time.Time `json:"last_success"`
	AgeSeconds  float64    `json:"age_seconds"`
	Next        *time.Time `json:"next,omitempty"`
	Running     []string   `json:"running,omitempty"`
	// Skipped counts runs left out since the one before had not ended, Missed those
	// that came later than the catch-up window.
	Skipped int    `json:"skipped"`
	Missed  int    `json:"missed"`
	Note    string `json:"note,omitempty"`

	// patience is the age from which the schedule is stale, 0 for never.
	patience time.Duration
}

// longest is the longest pause between moments, 0 if there are fewer than two.
func longest(moments []time.Time) (pause time.Duration) {
	for i := 1; i < len(moments); i++ {
		pause = max(pause, moments[i].Sub(moments[i-1]))
	}
	return pause
}

func (f *freshness) judge(now, since time.Time, next []time.Time) {
	if f.LastSuccess != nil {
		since = *f.LastSuccess
	}
	age, pause := now.Sub(since), longest(next)
	f.AgeSeconds, f.patience = age.Seconds(), pause+pause/2
	f.Stale = pause > 0 && age > f.patience
	if len(next) > 0 {
		f.Next = &next[0]
	}
}

// freshness describes all schedules of our workflows.
func (s *schedules) freshness(ctx context.Context) (all []freshness, err error) {
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, err
	}
	known := workflows.Inputs()
	for _, id := range ids {
		_, d, err := s.describe(ctx, id)
		if schemas.TypeOf(err) == schemas.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		a, ok := d.Schedule.Action.(*client.ScheduleWorkflowAction)
		if !ok || known[fmt.Sprint(a.Workflow)] == nil {
			continue
		}
		f := freshness{ID: id, Workflow: fmt.Sprint(a.Workflow), Skipped: d.Info.NumActionsSkippedOverlap, Missed: d.Info.NumActionsMissedCatchupWindow}
		if d.Schedule.State != nil {
			f.Paused, f.Note = d.Schedule.State.Paused, d.Schedule.State.Note
		}
		for _, r := range d.Info.RunningWorkflows {
			f.Running = append(f.Running, r.WorkflowID)
		}
		if f.LastSuccess, err = s.lastSuccess(ctx, id); err != nil {
			return nil, err
		}
		f.judge(time.Now(), d.Info.CreatedAt, d.Info.NextActionTimes)
		all = append(all, f)
	}
	return all, nil
}

// lastSuccess is when a run of the schedule completed last. Closed runs are listed
// the newest first.
func (s *schedules) lastSuccess(ctx context.Context, id string) (*time.Time, error) {
	page, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: 1, Query: fmt.Sprintf("TemporalScheduledById = %q AND ExecutionStatus = 'Completed'", id)})
	if err != nil {
		return nil, fmt.Errorf("look for runs of schedule %s: %w", id, err)
	}
	if len(page.Executions) == 0 {
		return nil, nil
	}
	at := page.Executions[0].GetCloseTime().AsTime()
	return &at, nil
}

func listSchedules(ctx context.Context, flags *flag.FlagSet, args []string) error {
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	check := flags.Bool("check", false, "end with status 1 if a schedule is paused or STALE, for an alarm")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	s, err := dialSchedules(ctx)
	if err != nil {
		return err
	}
	defer s.client.Close()
	all, err := s.freshness(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		for _, f := range all {
			if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
				return err
			}
		}
	} else if err := printSchedules(os.Stdout, all); err != nil {
		return err
	}
	var late []string
	for _, f := range all {
		if f.Stale || f.Paused {
			late = append(late, f.ID)
		}
	}
	if *check && len(late) > 0 {
		return schemas.Errorf(schemas.Stalled, "paused or without a success for too long: %s", strings.Join(late, ", "))
	}
	return nil
}

func printSchedules(w io.Writer, all []freshness) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCHEDULE\tWORKFLOW\tSTATE\tLAST SUCCESS\tNEXT\tSKIPPED\tMISSED\tNOTE")
	for _, f := range all {
		var state []string
		if f.Stale {
			state = append(state, "STALE")
		}
		if f.Paused {
			state = append(state, "paused")
		}
		if len(f.Running) > 0 {
			state = append(state, "running")
		}
		last, next := "never", "none"
		if f.LastSuccess != nil {
			last = time.Duration(f.AgeSeconds*1e9).Round(time.Second).String() + " ago"
		}
		if f.Next != nil {
			next = f.Next.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", f.ID, f.Workflow, cmp.Or(strings.Join(state, ", "), "ok"), last, next, f.Skipped, f.Missed, f.Note)
	}
	return t.Flush()
}

// scheduleMetrics tells Prometheus how fresh the schedules are. Every worker of
// the workflow queue tells the same: take the maximum.
type scheduleMetrics struct {
	of *schedules

	mu    sync.Mutex
	asked time.Time
	known []freshness
}

// watchSchedules connects for metrics with a codec of its own, which does not wait
// for keys as a worker's does.
func watchSchedules(ctx context.Context, c config, logger *slog.Logger) (*scheduleMetrics, error) {
	secret, err := c.codec()
	if err != nil {
		return nil, err
	}
	temporal, err := dialWith(ctx, logger, secret, nil)
	if err != nil {
		return nil, err
	}
	return &scheduleMetrics{of: &schedules{client: temporal}}, nil
}

// askEvery spares the server where scrapes are frequent; askTimeout keeps a scrape
// from hanging.
const (
	askEvery   = time.Minute
	askTimeout = 5 * time.Second
)

var (
	ageDesc     = scheduleDesc("rpo_schedule_last_success_age_seconds", "Time since a run of the schedule completed, or since it was made.")
	staleDesc   = scheduleDesc("rpo_schedule_stale", "1 if no run completed for one and a half of the longest pause between runs.")
	pausedDesc  = scheduleDesc("rpo_schedule_paused", "1 if the schedule is paused, by a person or by a run that failed.")
	skippedDesc = scheduleDesc("rpo_schedule_skipped_total", "Runs left out since the one before had not ended, or since they were later than the catch-up window.")
)

func scheduleDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"schedule", "workflow"}, nil)
}

// Describe implements prometheus.Collector.
func (m *scheduleMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ageDesc, staleDesc, pausedDesc, skippedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While the server does not answer, what
// it said last grows older, and stale in the end.
func (m *scheduleMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.asked) > askEvery {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		if all, err := m.of.freshness(ctx); err == nil {
			m.known, m.asked = all, time.Now()
		}
	}
	for _, f := range m.known {
		gauge := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, f.ID, f.Workflow)
		}
		age := f.AgeSeconds + time.Since(m.asked).Seconds()
		gauge(ageDesc, age)
		gauge(staleDesc, number(f.Stale || f.patience > 0 && age > f.patience.Seconds()))
		gauge(pausedDesc, number(f.Paused))
		ch <- prometheus.MustNewConstMetric(skippedDesc, prometheus.CounterValue, float64(f.Skipped+f.Missed), f.ID, f.Workflow)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
