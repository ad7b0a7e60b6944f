package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rpo/schemas"
)

// entry is a schedules file of one entry with some lines of its own.
func entry(lines ...string) string {
	return "schedules:\n  - id: nightly\n    workflow: RefreshDataset\n    input: {source: \"s3://rpo/incoming/\"}\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestASchedulesFileIsRefusedWithThePathOfWhatIsWrong(t *testing.T) {
	cron := `cron: "0 2 * * *"`
	for what, c := range map[string]struct {
		text string
		says []string
	}{
		"an unknown key":          {entry(cron, "jiter: 5m"), []string{"schedules[0]", `unknown field "jiter"`, "jitter"}},
		"an unknown top key":      {"schedule: []\n", []string{`unknown field "schedule"`}},
		"a number as duration":    {entry(cron, "jitter: 5"), []string{"schedules[0]", `"jitter"`, `such as "30m"`}},
		"neither cron nor every":  {entry("jitter: 5m"), []string{"schedules[0]", "cron", "every"}},
		"cron and every":          {entry(cron, "every: 1h"), []string{"schedules[0]", "either"}},
		"three cron fields":       {entry(`cron: "0 2 *"`), []string{`field "cron"`, "3 fields"}},
		"a zone in cron":          {entry(`cron: "CRON_TZ=Asia/Tokyo 0 2 * * *"`), []string{`field "cron"`, "time_zone"}},
		"an unknown zone":         {entry(cron, "time_zone: Europe/Berln"), []string{`field "time_zone"`, "Europe/Berln"}},
		"the local zone":          {entry(cron, "time_zone: Local"), []string{`field "time_zone"`}},
		"a short interval":        {entry("every: 1s"), []string{`field "every"`}},
		"a long offset":           {entry("every: 1h", "offset: 1h"), []string{`field "offset"`}},
		"an offset of cron":       {entry(cron, "offset: 1h"), []string{`field "offset"`}},
		"a negative jitter":       {entry(cron, "jitter: -5m"), []string{`field "jitter"`}},
		"an unknown overlap":      {entry(cron, "overlap: allow_all"), []string{`field "overlap"`, "skip"}},
		"a tiny catch-up window":  {entry(cron, "catchup_window: 1s"), []string{`field "catchup_window"`}},
		"a priority of 6":         {entry(cron, "priority: 6"), []string{`field "priority"`}},
		"an unknown workflow":     {strings.Replace(entry(cron), "RefreshDataset", "RefreshDatasets", 1), []string{`field "workflow"`, "RunPipeline"}},
		"no id":                   {strings.Replace(entry(cron), "nightly", `""`, 1), []string{"schedules[0]", `field "id"`}},
		"a slash in the id":       {strings.Replace(entry(cron), "nightly", "a/b", 1), []string{`field "id"`}},
		"an unknown input key":    {strings.Replace(entry(cron), "source:", "sorce:", 1), []string{"schedules[0]", "input", `"sorce"`, "source"}},
		"a wrong input value":     {strings.Replace(entry(cron), "s3://rpo/incoming/", "incoming", 1), []string{"input", `field "source"`}},
		"no input":                {strings.Replace(entry(cron), `input: {source: "s3://rpo/incoming/"}`, "note: x", 1), []string{"input", `field "source"`, "is required"}},
		"an id twice":             {entry(cron) + strings.TrimPrefix(entry(cron), "schedules:\n"), []string{"schedules[1]", `"nightly"`}},
		"a key twice":             {entry(cron, cron), []string{"already defined"}},
		"no schedules":            {"schedules: []\n", []string{"schedules"}},
		"an empty file":           {"", []string{"schedules"}},
		"a scalar":                {"nightly\n", []string{"cannot unmarshal"}},
		"an entry that is a text": {"schedules: [nightly]\n", []string{"schedules[0]", "string"}},
		"two documents":           {entry(cron) + "---\n" + entry(cron), []string{"one YAML document"}},
		"no YAML":                 {"schedules: [", []string{"yaml"}},
	} {
		_, err := readSchedules([]byte(c.text))
		if schemas.TypeOf(err) != schemas.InvalidInput || err == nil {
			t.Errorf("%s gives %v", what, err)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s says %q, want it to name %q", what, err, part)
			}
		}
	}
}

func TestTheDefaultsOfAScheduleAreTheDocumentedOnes(t *testing.T) {
	all, err := readSchedules([]byte(entry(`cron: "0 2 * * *"`)))
	if err != nil {
		t.Fatal(err)
	}
	s := all[0]
	p, spec, a := s.policy(), s.spec(), s.action("hash")
	if p.Overlap != overlaps["skip"] || p.CatchupWindow != 12*time.Hour || !p.PauseOnFailure || !strings.Contains(s.Note, "rpo schedule unpause nightly") {
		t.Errorf("policy %+v, note %q", p, s.Note)
	}
	if !reflect.DeepEqual(spec.CronExpressions, []string{"0 2 * * *"}) || spec.TimeZoneName != "" || spec.Jitter != 0 {
		t.Errorf("spec %+v", spec)
	}
	if a.ID != "nightly" || a.Workflow != "RefreshDataset" || a.TaskQueue != "rpo" || a.Priority.PriorityKey != 5 {
		t.Errorf("action %+v", a)
	}
	all, err = readSchedules([]byte(entry("every: 6h", "offset: 30m", "pause_on_failure: false", "overlap: buffer_one", "time_zone: Asia/Tokyo")))
	if err != nil {
		t.Fatal(err)
	}
	if i := all[0].spec().Intervals[0]; i.Every != 6*time.Hour || i.Offset != 30*time.Minute || all[0].policy().PauseOnFailure {
		t.Errorf("interval %+v, policy %+v", i, all[0].policy())
	}
}

func TestASchedulesHashIsOfWhatItMeansAndNotOfHowItIsWritten(t *testing.T) {
	hash := func(text string) string {
		t.Helper()
		all, err := readSchedules([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		h, err := all[0].hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base := hash(entry(`cron: "0 2 * * *"`, "jitter: 60s"))
	for _, same := range []string{entry("jitter: 1m", "overlap: skip", `cron: 0 2 * * *`), "# why\n" + entry(`cron: '0 2 * * *'`, "jitter: 1m", "catchup_window: 12h0m")} {
		if hash(same) != base {
			t.Errorf("%s is another schedule", same)
		}
	}
	for _, other := range []string{entry(`cron: "0 3 * * *"`, "jitter: 60s"), entry(`cron: "0 2 * * *"`),
		strings.Replace(entry(`cron: "0 2 * * *"`, "jitter: 60s"), "incoming", "other", 1)} {
		if hash(other) == base {
			t.Errorf("%s is the same schedule", other)
		}
	}
}

func TestTheExampleSchedulesAreWellFormed(t *testing.T) {
	data, err := os.ReadFile("../../examples/schedules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readSchedules(data); err != nil {
		t.Error(err)
	}
}

func TestAScheduleIsStaleOnceOneAndAHalfPausesPassedWithoutSuccess(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	nightly := []time.Time{now.Add(14 * time.Hour), now.Add(38 * time.Hour), now.Add(62 * time.Hour)}
	weekdays := []time.Time{now.Add(14 * time.Hour), now.Add(38 * time.Hour), now.Add(110 * time.Hour)}
	for what, c := range map[string]struct {
		success *time.Time
		made    time.Duration
		next    []time.Time
		stale   bool
	}{
		"ran last night":                    {ago(9 * time.Hour), 9000 * time.Hour, nightly, false},
		"one night late, at work":           {ago(34 * time.Hour), 9000 * time.Hour, nightly, false},
		"one night was silently skipped":    {ago(37 * time.Hour), 9000 * time.Hour, nightly, true},
		"over the weekend":                  {ago(80 * time.Hour), 9000 * time.Hour, weekdays, false},
		"longer than a weekend":             {ago(110 * time.Hour), 9000 * time.Hour, weekdays, true},
		"new, never ran":                    {nil, 5 * time.Hour, nightly, false},
		"old, never succeeded":              {nil, 50 * time.Hour, nightly, true},
		"over, or paused: no pause to tell": {ago(500 * time.Hour), 9000 * time.Hour, nil, false},
	} {
		f := freshness{LastSuccess: c.success}
		f.judge(now, now.Add(-c.made), c.next)
		if f.Stale != c.stale {
			t.Errorf("%s: stale %v, age %v s", what, f.Stale, f.AgeSeconds)
		}
	}
}

func TestTheListMarksWhatNeedsAPerson(t *testing.T) {
	at := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	var b strings.Builder
	err := printSchedules(&b, []freshness{
		{ID: "good", Workflow: "RefreshDataset", LastSuccess: &at, AgeSeconds: 3600, Next: &at},
		{ID: "late", Workflow: "RefreshDataset", Stale: true, Running: []string{"late-1"}, Skipped: 3},
		{ID: "held", Workflow: "RunPipeline", Paused: true, Note: "paused due to workflow failure"},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, parts := range [][]string{{"SCHEDULE", "STATE"}, {"good", " ok ", "1h0m0s ago", "2026-11-24T02:00:00Z"}, {"late", "STALE, running", "never", " 3 "}, {"held", "paused", "none", "workflow failure"}} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %q lacks %q", lines[i], part)
			}
		}
	}
}

func TestWorkersTellPrometheusHowFreshSchedulesAre(t *testing.T) {
	m := &scheduleMetrics{asked: time.Now(), known: []freshness{{ID: "late", Workflow: "RefreshDataset", Stale: true, AgeSeconds: 200, Skipped: 2, Missed: 1}}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		v := f.GetMetric()[0]
		got[f.GetName()] = v.GetGauge().GetValue() + v.GetCounter().GetValue()
	}
	if age := got["rpo_schedule_last_success_age_seconds"]; age < 200 || age > 260 {
		t.Errorf("age %v", age)
	}
	if got["rpo_schedule_stale"] != 1 || got["rpo_schedule_paused"] != 0 || got["rpo_schedule_skipped_total"] != 3 {
		t.Errorf("got %v", got)
	}
}

// Whoever watches for silence must not fall silent with the server.
func TestAScheduleGrowsStaleWhileTheServerDoesNotAnswer(t *testing.T) {
	now := time.Now()
	last := now.Add(-36*time.Hour + 20*time.Second)
	f := freshness{ID: "nightly", LastSuccess: &last}
	f.judge(now, last, []time.Time{now.Add(time.Hour), now.Add(25 * time.Hour)})
	for since, want := range map[time.Duration]float64{10 * time.Second: 0, 30 * time.Second: 1} {
		m := &scheduleMetrics{asked: now.Add(-since), known: []freshness{f}}
		registry := prometheus.NewRegistry()
		registry.MustRegister(m)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if got := family.GetMetric()[0].GetGauge().GetValue(); family.GetName() == "rpo_schedule_stale" && got != want {
				t.Errorf("stale is %v %s after the server was asked", got, since)
			}
		}
	}
}

func TestMomentsOfABackfillAreDaysOrMoments(t *testing.T) {
	for text, want := range map[string]string{"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T02:00:00+01:00": "2026-11-01T01:00:00Z"} {
		if got, err := moment(text); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "1.11.2026"} {
		if _, err := moment(text); err == nil {
			t.Errorf("%q is a moment", text)
		}
	}
}
