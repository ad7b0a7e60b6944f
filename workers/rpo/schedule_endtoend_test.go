//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
)

// expect runs the program and returns what it printed, or what it complained.
func (l *local) expect(t *testing.T, status int, args ...string) string {
	t.Helper()
	out, errOut, got := l.rpo(t, args...)
	if got != status {
		t.Fatalf("rpo %s ended with %d, want %d: %s%s", strings.Join(args, " "), got, status, out, errOut)
	}
	if status != 0 {
		return errOut
	}
	return strings.TrimSpace(out)
}

// runsOf are the results of all completed runs of a schedule by run id: runs that
// are started in the same second have one workflow id.
func runsOf(t *testing.T, c client.Client, id string) map[string]schemas.RefreshResult {
	t.Helper()
	page, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("TemporalScheduledById = %q AND ExecutionStatus = 'Completed'", id)})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]schemas.RefreshResult{}
	for _, e := range page.Executions {
		var r schemas.RefreshResult
		if err := c.GetWorkflow(t.Context(), e.Execution.WorkflowId, e.Execution.RunId).Get(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		out[e.Execution.RunId] = r
	}
	return out
}

func TestASchedulesFileIsAppliedAndItsNightsRefreshTheDataset(t *testing.T) {
	l := startLocal(t)
	policy := scripted.New(t, scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
		return []string{"the river runs by the town", "no water, none", "a river", "a hill, a town, a river, a road", "towns and hills"}[seed%5] + " " + p.Last()
	}))
	l.worker(t, l.config(t, policy.URL))
	c, s := l.client(t), l.store(t)
	arrive := func(name string, n int) {
		data, err := os.ReadFile(profiles(t, t.TempDir(), n))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "incoming/"+name, data); err != nil {
			t.Fatal(err)
		}
	}
	file := func(jitter string) string {
		return writeFile(t, l.dir, "schedules.yaml", `schedules:
  - id: nightly
    workflow: RefreshDataset
    every: 24h
    jitter: `+jitter+`
    time_zone: Europe/Berlin
    input:
      source: s3://`+l.Bucket+`/incoming/
      dataset: nightly
`)
	}
	for i, want := range []string{"created nightly", "unchanged nightly", "updated nightly", "unchanged nightly"} {
		if got := l.expect(t, 0, "schedule", "apply", file([]string{"1s", "1000ms", "2s", "2s"}[i])); got != want {
			t.Errorf("apply %d says %q, want %q", i, got, want)
		}
	}
	d, err := c.ScheduleClient().GetHandle(t.Context(), "nightly").Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := d.Schedule.Policy; p.CatchupWindow != 12*time.Hour || !p.PauseOnFailure || p.Overlap != overlaps["skip"] ||
		d.Schedule.Spec.Jitter != 2*time.Second || d.Schedule.Spec.TimeZoneName != "Europe/Berlin" {
		t.Errorf("policy %+v, spec %+v", p, d.Schedule.Spec)
	}

	seen := map[string]bool{}
	night := func() (out schemas.RefreshResult) {
		t.Helper()
		l.expect(t, 0, "schedule", "trigger", "nightly")
		await(t, "a run of the schedule", func() bool {
			for id, r := range runsOf(t, c, "nightly") {
				if !seen[id] {
					seen[id], out = true, r
					return true
				}
			}
			return false
		})
		return out
	}
	arrive("1.jsonl", 4)
	first := night()
	if first.New != 4 || first.Version != 1 || first.Pairs == 0 || first.ScheduledTime == "" {
		t.Errorf("the first night gave %+v", first)
	}
	calls := policy.Stats().Answered
	if second := night(); second.New != 0 || second.Version != 1 || policy.Stats().Answered != calls {
		t.Errorf("a night without new profiles gave %+v and took calls", second)
	}
	arrive("2.jsonl", 3)
	third := night()
	v, err := store.Version(t.Context(), s, "nightly", 2)
	if err != nil {
		t.Fatal(err)
	}
	if third.New != 3 || third.Version != 2 || v.Parent != 1 || v.Watermark != third.Watermark || third.Total <= first.Total {
		t.Errorf("a night with 3 new profiles gave %+v, version %+v", third, v)
	}

	l.expect(t, 0, "schedule", "backfill", "nightly", "--from", "2026-10-31T23:00:00Z", "--to", "2026-11-02T12:00:00Z")
	var times []string
	await(t, "the backfilled runs", func() bool {
		times = nil
		for id, r := range runsOf(t, c, "nightly") {
			if !seen[id] {
				times = append(times, r.ScheduledTime[:len("2026-11-01T00:00")])
			}
		}
		return len(times) == 2
	})
	if slices.Sort(times); !slices.Equal(times, []string{"2026-11-01T00:00", "2026-11-02T00:00"}) {
		t.Errorf("backfilled for %v", times)
	}

	if list := l.expect(t, 0, "schedule", "list", "--check"); !strings.Contains(list, "nightly") || !strings.Contains(list, " ago ") {
		t.Errorf("the list says\n%s", list)
	}
	l.expect(t, 0, "schedule", "pause", "nightly", "--note", "the bucket moves")
	if got := l.expect(t, 0, "schedule", "apply", file("3s")); got != "updated nightly" {
		t.Errorf("apply says %q", got)
	}
	var f freshness
	if err := json.Unmarshal([]byte(l.expect(t, 0, "schedule", "list", "--json")), &f); err != nil {
		t.Fatal(err)
	}
	if !f.Paused || f.Note != "the bucket moves" || f.LastSuccess == nil || f.Stale {
		t.Errorf("a paused schedule that was applied again is %+v", f)
	}
	if complaint := l.expect(t, 1, "schedule", "list", "--check"); !strings.Contains(complaint, "nightly") {
		t.Errorf("the check of a paused schedule says %q", complaint)
	}
	l.expect(t, 0, "schedule", "unpause", "nightly")
	l.expect(t, 0, "schedule", "delete", "nightly")
	await(t, "the deletion", func() bool { return !strings.Contains(l.expect(t, 0, "schedule", "list"), "nightly") })
	if complaint := l.expect(t, 1, "schedule", "trigger", "nightly"); !strings.Contains(complaint, "no such schedule") {
		t.Errorf("a deleted schedule says %q", complaint)
	}
	if complaint := l.expect(t, 1, "schedule", "apply", writeFile(t, l.dir, "bad.yaml", strings.Replace(mustRead(t, file("1s")), "every: 24h", `cron: "99 2 * * *"`, 1))); !strings.Contains(complaint, "the server refuses it") {
		t.Errorf("a cron expression that only the server understands says %q", complaint)
	}
}

// The server pauses a schedule for what failed, not for what gave way.
func TestANightThatParksPausesNoScheduleAndTheNextOneGoesOn(t *testing.T) {
	l := startLocal(t)
	var forbidden atomic.Bool
	forbidden.Store(true)
	answer := scripted.PerChoice(func(_ scripted.Parsed, seed int64) string { return []string{"a river", "no water, none"}[seed%2] })
	policy := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if forbidden.Load() {
			return scripted.Refuse(http.StatusForbidden, "the key is locked")
		}
		return answer(p)
	})
	l.worker(t, l.config(t, policy.URL))
	c, s := l.client(t), l.store(t)
	if err := s.Put(t.Context(), "incoming/1.jsonl", []byte(mustRead(t, profiles(t, l.dir, 2)))); err != nil {
		t.Fatal(err)
	}
	l.expect(t, 0, "schedule", "apply", writeFile(t, l.dir, "schedules.yaml", `schedules:
  - {id: nightly, workflow: RefreshDataset, every: 24h, input: {source: "s3://`+l.Bucket+`/incoming/", dataset: nightly, park_timeout: 1m}}
`))
	l.expect(t, 0, "schedule", "trigger", "nightly")
	await(t, "the night to give way", func() bool {
		n, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: `TemporalScheduledById = "nightly" AND ExecutionStatus = "Canceled" AND RpoStatus = "Failed"`})
		return err == nil && n.Count == 1
	})
	forbidden.Store(false)
	h := c.ScheduleClient().GetHandle(t.Context(), "nightly")
	await(t, "the schedule to see its end", func() bool {
		d, err := h.Describe(t.Context())
		return err == nil && len(d.Info.RunningWorkflows) == 0
	})
	l.expect(t, 0, "schedule", "list", "--check") // not paused
	l.expect(t, 0, "schedule", "trigger", "nightly")
	await(t, "the next night", func() bool { return len(runsOf(t, c, "nightly")) == 1 })
	for _, r := range runsOf(t, c, "nightly") {
		if r.New != 2 || r.Version != 1 || r.Pairs == 0 {
			t.Errorf("the next night gave %+v", r)
		}
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
