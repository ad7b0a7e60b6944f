package workflows

import (
	"regexp"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

func TestAStageEndsWhenTheShardsLeftHaveTakenAsLongAsThoseBefore(t *testing.T) {
	now := time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name       string
		worked     time.Duration
		made, left int
		want       time.Time
	}{
		{"half done", time.Hour, 50, 50, now.Add(time.Hour)},
		{"the first of a hundred", time.Minute, 1, 99, now.Add(99 * time.Minute)},
		{"nothing left", time.Hour, 50, 0, time.Time{}},
		{"all that is done was reused", time.Hour, 0, 50, time.Time{}},
		{"no time has passed", 0, 3, 50, time.Time{}},
	} {
		if got := ends(now, c.worked, c.made, c.left); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAStageThatContinuesAsNewBeganWhenItsFirstRunDid(t *testing.T) {
	inPages(t, 2)
	at := time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC)
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, newWorld(9, nil), SampleResponsesName, object(`{"manifest":"m"}`), func(e *testsuite.TestWorkflowEnvironment) {
		env = e
		env.SetStartTime(at)
		at = at.Add(time.Hour)
	})
	tr.get(&schemas.StageResult{})
	if got := statusOf(t, env).Began; tr.runs < 4 || got != "2026-11-23T17:00:00Z" {
		t.Errorf("after %d runs the stage began at %s", tr.runs, got)
	}
}

func TestDetailsShowWhatPeopleAskForAndLinkToWhatBelongsToIt(t *testing.T) {
	seconds := 600.0
	s := schemas.StageStatus{
		Stage: "judge", Status: schemas.StatusNeedsAttention, Job: "job 1", Total: 12345, Done: 1200, Reused: 7, Failed: 3,
		Failures: []schemas.ShardFailure{{Shard: 5, ErrorType: "Overloaded", Message: "a `queue` | is full\n# of <b>calls</b>"}},
		Reason:   "3 of 12345 shards *failed*", Began: "2026-11-23T17:00:00Z", Ends: "2026-11-24T01:30:00Z",
		Spent:    schemas.Spending{Calls: 1000, PromptTokens: 1_000_000, CompletionTokens: 234_567, Cost: 1.5},
		Estimate: &schemas.Estimate{Calls: 5000, PromptTokens: 5_000_000, CompletionTokensMax: 1_000_000, CostMax: 9, Seconds: &seconds},
		Budget:   schemas.BudgetOptions{BudgetCost: 40},
	}
	p := place{namespace: "de fault", id: "run", run: "r1", parent: "a/b"}
	got := details(s, false) + p.surroundings(s, "s3://rpo/in.json", "s3://rpo/out.json")
	for _, want := range []string{
		"**judge**: NeedsAttention, began Nov 23 17:00 UTC\n",
		"| judge | 1,200 of 12,345 (7 reused) | 3 | 1,000 | 1,234,567 | 1.5 | about Nov 24 01:30 |\n",
		"| estimate | 12,345 | | 5,000 | at most 6,000,000 | at most 9 | after at most 10m0s |\n",
		"| budget | | | | none | 40 | none |\n",
		"\n**3 of 12345 shards \\*failed\\*.** Mend the cause, then send the update `retry_failed` (",
		"\n- shard 5: **Overloaded**: `a 'queue' | is full # of <b>calls</b>`\n- and 2 more\n",
		"\n- part of [`a/b`](namespaces/de%20fault/workflows/a%2Fb)\n",
		"\n- job [`job 1`](namespaces/de%20fault/workflows?query=RpoJob+%3D+%22job+1%22)\n",
		"\n- made `s3://rpo/out.json`\n",
		"\n- next: [ReverseConstraints](namespaces/de%20fault/workflows/start-workflow?taskQueue=rpo&workflowType=ReverseConstraints) with `{\"manifest\": \"s3://rpo/out.json\"}`\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if over := details(s, true); !strings.Contains(over, "`raise_budget`") || strings.Contains(over, "`retry_failed`") {
		t.Errorf("at its budget a stage is told to\n%s", over)
	}
	if bare := details(schemas.StageStatus{Stage: "pair", Status: schemas.StatusRunning}, false); strings.Contains(bare, "estimate") || strings.Contains(bare, "\n- ") {
		t.Errorf("a stage that has just begun shows\n%s", bare)
	}
}

func TestURIsAreLinksOnlyWhereAnAddressIsKnown(t *testing.T) {
	t.Cleanup(func() { LinkObjects("") })
	for _, c := range []struct{ address, uri, want string }{
		{"", "s3://rpo/runs/a b/m.json", "`s3://rpo/runs/a b/m.json`"},
		{"https://files.example/rpo/", "s3://rpo/runs/a b/m.json", "[`s3://rpo/runs/a b/m.json`](https://files.example/rpo/runs/a%20b/m.json)"},
		{"https://files.example/rpo/", "m", "`m`"},
	} {
		if LinkObjects(c.address); stored(c.uri) != c.want {
			t.Errorf("%q at %q: %s, want %s", c.uri, c.address, stored(c.uri), c.want)
		}
	}
}

func TestEveryRowOfATableHasAsManyCellsAsItsHead(t *testing.T) {
	s := schemas.StageStatus{Stage: "x", Ends: "2026-11-24T01:30:00Z", Estimate: &schemas.Estimate{}, Budget: schemas.BudgetOptions{BudgetTokens: 1}}
	p := place{namespace: "n"}
	for name, text := range map[string]string{
		"stage": details(s, false),
		"pipeline": p.table([]schemas.PipelineStage{{Stage: "sample", Status: schemas.StatusPending},
			{Stage: "judge", Status: schemas.StatusDone, WorkflowID: "a|b/judge", Shards: 3, Began: "2026-11-23T17:00:00Z", Ended: "2026-11-23T17:01:30Z"}}),
	} {
		var cells int
		for row := range strings.Lines(text) {
			if n := strings.Count(row, "|"); n > 0 && cells > 0 && n != cells {
				t.Errorf("%s: %d bars instead of %d in %q", name, n, cells, row)
			} else if n > 0 {
				cells = n
			}
		}
	}
	if got := p.table([]schemas.PipelineStage{{Began: "2026-11-23T17:00:00Z", Ended: "2026-11-23T17:01:30Z"}}); !strings.Contains(got, "| Nov 23 17:00 | 1m30s |") {
		t.Errorf("a stage that ended shows %s", got)
	}
}

// summaries are what an event of a history shows in the timeline for each thing
// that a workflow begins.
var summaries = map[enumspb.EventType]string{
	enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:                  "activity",
	enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: "child",
	enumspb.EVENT_TYPE_TIMER_STARTED:                            "timer",
}

func TestEveryActivityChildAndTimerSaysInTheTimelineWhatItIsFor(t *testing.T) {
	readable := regexp.MustCompile(`^[a-z][^\n]{5,119}$`)
	begun := map[string]int{}
	for _, path := range recorded(t) {
		for _, e := range readHistory(t, path).Events {
			what, begins := summaries[e.EventType]
			if !begins {
				continue
			}
			begun[what]++
			if got := summaryOf(t, e); !readable.MatchString(got) {
				t.Errorf("%s: the summary of %s %d is %q", path, what, e.EventId, got)
			}
		}
	}
	if len(begun) != len(summaries) {
		t.Errorf("the histories have only %v", begun)
	}
}

func summaryOf(t *testing.T, e *historypb.HistoryEvent) (text string) {
	t.Helper()
	if s := e.GetUserMetadata().GetSummary(); s != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(s, &text); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

func TestEveryQueryUpdateAndSignalIsDescribed(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			var env *testsuite.TestWorkflowEnvironment
			try(t, newWorld(2, nil), name, required[name], func(e *testsuite.TestWorkflowEnvironment) { env = e }, endsPool(name))
			v, err := env.QueryWorkflow("__temporal_workflow_metadata")
			if err != nil {
				t.Fatal(err)
			}
			var m sdkpb.WorkflowMetadata
			if err := v.Get(&m); err != nil {
				t.Fatal(err)
			}
			d := m.GetDefinition()
			if len(d.GetQueryDefinitions()) == 0 {
				t.Error("it answers no query")
			}
			for _, handlers := range [][]*sdkpb.WorkflowInteractionDefinition{d.GetQueryDefinitions(), d.GetUpdateDefinitions(), d.GetSignalDefinitions()} {
				for _, h := range handlers {
					if !strings.HasPrefix(h.Name, "__") && !strings.HasSuffix(h.Description, ".") {
						t.Errorf("%s is described as %q", h.Name, h.Description)
					}
				}
			}
			if m.CurrentDetails == "" {
				t.Error("it shows no current details")
			}
		})
	}
}
