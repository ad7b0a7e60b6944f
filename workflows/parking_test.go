package workflows

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

// later runs f when the workflow has nothing to do but wait: the clock of the
// test environment moves on only then.
func later(env *testsuite.TestWorkflowEnvironment, hours int, f func()) {
	env.RegisterDelayedCallback(f, time.Duration(hours)*time.Hour)
}

func statusOf(t *testing.T, env *testsuite.TestWorkflowEnvironment) (s schemas.StageStatus) {
	t.Helper()
	v, err := env.QueryWorkflow(QueryStatus)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Get(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// routes are the two ways to tell a stage a decision.
var routes = map[string]func(env *testsuite.TestWorkflowEnvironment, decision string, d *decisions){
	"update": func(env *testsuite.TestWorkflowEnvironment, decision string, d *decisions) {
		env.UpdateWorkflow(decision, "", d)
	},
	"signal": func(env *testsuite.TestWorkflowEnvironment, decision string, _ *decisions) {
		env.SignalWorkflow(decision, nil)
	},
}

const parkingInput = `{"manifest":"s3://rpo/m","max_failed_fraction":0.2}`

func parkingWorld() *world {
	return newWorld(8, map[int]failure{number(1): {forever, overloaded}, number(6): {forever, invalid}})
}

func TestAStageWithTooManyFailedShardsParksAndRetriesOnlyThose(t *testing.T) {
	for route, tell := range routes {
		for _, size := range []int{1000, 3} {
			t.Run(fmt.Sprintf("%s, pages of %d", route, size), func(t *testing.T) {
				inPages(t, size)
				w := parkingWorld()
				d := &decisions{}
				parked := false
				tr := try(t, w, JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
					later(env, 1, func() {
						s := statusOf(t, env)
						if parked = s.Status == schemas.StatusNeedsAttention; !parked {
							t.Errorf("status %+v", s)
						}
						w.heal()
						tell(env, UpdateRetryFailed, d)
					})
				})
				var got schemas.StageResult
				tr.get(&got)
				if !parked {
					t.Error("was never parked")
				}
				if len(got.Failed) != 0 || got.Shards != 8 || got.Books.In != 8*rowsPerShard {
					t.Errorf("got %+v, want all 8 shards", got)
				}
				for i := range 8 {
					want := map[int]int{1: mostAttempts + 1, 6: 2}[i] // 40 attempts or 1 before, 1 after
					if got := w.attempts[jobOf("judge")][number(i)]; got != max(want, 1) {
						t.Errorf("shard %d: %d attempts, want %d", number(i), got, max(want, 1))
					}
				}
				if want := []string{"Running", "NeedsAttention", "Running", "Done"}; !slices.Equal(tr.seen.statuses, prefixed(JudgeResponsesName, want)) {
					t.Errorf("statuses %v, want %v", tr.seen.statuses, want)
				}
				if route == "update" && fmt.Sprint(d.results) != "[2]" {
					t.Errorf("the update returned %v, want 2", d.results)
				}
			})
		}
	}
}

func prefixed(name string, statuses []string) []string {
	out := make([]string, len(statuses))
	for i, s := range statuses {
		out[i] = name + " " + s
	}
	return out
}

func TestAParkedStageGoesOnWithoutItsFailedShards(t *testing.T) {
	for route, tell := range routes {
		t.Run(route, func(t *testing.T) {
			w := parkingWorld()
			tr := try(t, w, JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
				later(env, 1, func() { tell(env, UpdateSkipFailed, &decisions{}) })
			})
			var got schemas.StageResult
			tr.get(&got)
			want := []schemas.ShardFailure{{Shard: number(1), ErrorType: "Overloaded", Message: overloaded.Message}, {Shard: number(6), ErrorType: "InvalidInput", Message: invalid.Message}}
			if !slices.Equal(got.Failed, want) || got.Shards != 6 || got.Books.In != 6*rowsPerShard {
				t.Errorf("got %+v, want 6 shards and failures %+v", got, want)
			}
			if got := tr.seen.attributes[JudgeResponsesName]["RpoShardsFailed"]; got != int64(2) {
				t.Errorf("RpoShardsFailed is %v, want 2", got)
			}
		})
	}
}

func TestAStoppedStageFailsWithItsFirstFailure(t *testing.T) {
	for route, tell := range routes {
		t.Run(route, func(t *testing.T) {
			w := parkingWorld()
			tr := try(t, w, JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
				later(env, 1, func() { tell(env, UpdateStop, &decisions{}) })
			})
			e := tr.failure()
			want := "stage judge stopped with 2 of 8 shards failed, the first, 5: endpoint policy cannot answer now"
			if e.Type() != "Overloaded" || e.Message() != want {
				t.Errorf("got %s: %s, want %s", e.Type(), e.Message(), want)
			}
			if got := tr.seen.attributes[JudgeResponsesName]["RpoStatus"]; got != schemas.StatusFailed {
				t.Errorf("status %v, want Failed", got)
			}
			if w.calls[closeStage] != 0 {
				t.Error("a stopped stage wrote a manifest")
			}
		})
	}
}

func TestAStageParksAsOftenAsShardsFail(t *testing.T) {
	w := newWorld(4, map[int]failure{number(2): {3, invalid}})
	var counts []int
	tr := try(t, w, JudgeResponsesName, object(`{"manifest":"m"}`), func(env *testsuite.TestWorkflowEnvironment) {
		for hour := 1; hour <= 3; hour++ {
			later(env, hour, func() {
				counts = append(counts, statusOf(t, env).Failed)
				env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{})
			})
		}
	})
	var got schemas.StageResult
	tr.get(&got)
	if !slices.Equal(counts, []int{1, 1, 1}) || got.Shards != 4 {
		t.Errorf("parked with %v failures and ended with %+v", counts, got)
	}
	if n := w.calls[judgeShard]; n != 4+3 {
		t.Errorf("%d activities, want one for each shard and one for each retry", n)
	}
}

func TestOnlyAParkedStageTakesADecisionAndOnlyOne(t *testing.T) {
	w := parkingWorld()
	early, first, second, third := &decisions{}, &decisions{}, &decisions{}, &decisions{}
	tr := try(t, w, JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() {
			env.UpdateWorkflow(UpdateStop, "early", early)
			env.SignalWorkflow(UpdateStop, nil)
		}, 0)
		later(env, 1, func() {
			w.heal()
			env.UpdateWorkflow(UpdateRetryFailed, "first", first)
			env.UpdateWorkflow(UpdateStop, "second", second)
			env.SignalWorkflow(UpdateStop, nil)
			env.UpdateWorkflow(UpdateRetryFailed, "third", third)
		})
	})
	var got schemas.StageResult
	tr.get(&got)
	if got.Shards != 8 {
		t.Errorf("got %+v, want all 8 shards", got)
	}
	if len(first.accepted) != 1 || len(first.rejected) != 0 {
		t.Errorf("the first decision: %d accepted, rejected %v", len(first.accepted), first.rejected)
	}
	for name, d := range map[string]*decisions{"early": early, "second": second, "third": third} {
		if len(d.accepted) != 0 || len(d.rejected) != 1 {
			t.Errorf("%s decision: %d accepted, rejected %v, want it rejected", name, len(d.accepted), d.rejected)
			continue
		}
		// What a client sees is the validator's error.
		if e := (&trial{t: t, err: d.rejected[0]}).failure(); e.Type() != string(schemas.InvalidInput) || !strings.HasPrefix(e.Message(), "stage judge ") {
			t.Errorf("%s decision rejected with %v", name, d.rejected[0])
		}
	}
	for i := range 8 {
		want := max(1, map[int]int{1: mostAttempts + 1, 6: 2}[i])
		if got := w.attempts[jobOf("judge")][number(i)]; got != want {
			t.Errorf("shard %d: %d attempts, want %d", number(i), got, want)
		}
	}
}

func TestDecisionsThatArriveTogetherAreOneDecision(t *testing.T) {
	r := &stageRun{stage: stage{name: "judge"}}
	for _, c := range []struct {
		status, decision string
		takes            bool
	}{
		{schemas.StatusRunning, "", false},
		{schemas.StatusNeedsAttention, "", true},
		{schemas.StatusNeedsAttention, UpdateStop, false},
		{schemas.StatusDone, "", false},
		{schemas.StatusFailed, "", false},
	} {
		r.status, r.decision = c.status, c.decision
		if err := r.mayDecide(UpdateStop, schemas.RetryFailed{}); (err == nil) != c.takes {
			t.Errorf("%s, told %q: got %v", c.status, c.decision, err)
		}
	}
}

func TestAParkedStageThatIsToldToRetryContinuesWhenItsHistoryIsLong(t *testing.T) {
	w := parkingWorld()
	tr := try(t, w, JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() {
			w.heal()
			env.SetContinueAsNewSuggested(true)
			env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{})
		})
	})
	var got schemas.StageResult
	tr.get(&got)
	if tr.runs != 2 || got.Shards != 8 || w.calls[openStage] != 1 {
		t.Errorf("%d runs, opened %d times, got %+v", tr.runs, w.calls[openStage], got)
	}
}

func TestACancelledStageEndsCancelledAndShowsIt(t *testing.T) {
	for name, cancel := range map[string]func(env *testsuite.TestWorkflowEnvironment){
		"parked": func(env *testsuite.TestWorkflowEnvironment) { later(env, 1, env.CancelWorkflow) },
		"at work": func(env *testsuite.TestWorkflowEnvironment) {
			env.RegisterDelayedCallback(env.CancelWorkflow, time.Second) // in the first wait to repeat
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := parkingWorld()
			var env *testsuite.TestWorkflowEnvironment
			tr := try(t, w, JudgeResponsesName, object(parkingInput), cancel, func(e *testsuite.TestWorkflowEnvironment) { env = e })
			if !temporal.IsCanceledError(tr.err) {
				t.Errorf("got %v, want a cancelled workflow", tr.err)
			}
			if got := tr.seen.attributes[JudgeResponsesName]["RpoStatus"]; got != schemas.StatusCanceled {
				t.Errorf("search attribute %v, want Canceled", got)
			}
			if s := statusOf(t, env); s.Status != schemas.StatusCanceled || !strings.Contains(details(s, false), ": Canceled") {
				t.Errorf("status %+v, want Canceled", s)
			}
			if w.calls[closeStage] != 0 {
				t.Error("a cancelled stage wrote a manifest")
			}
		})
	}
}

func TestTheStatusOfAParkedStageIsTheGoldenOne(t *testing.T) {
	var got string
	try(t, parkingWorld(), JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
		env.SetStartTime(time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC))
		later(env, 1, func() {
			v, err := env.QueryWorkflow(QueryStatus)
			if err != nil {
				t.Fatal(err)
			}
			var raw converter.RawValue
			if err := v.Get(&raw); err != nil {
				t.Fatal(err)
			}
			got = string(raw.Payload().GetData())
			env.UpdateWorkflow(UpdateSkipFailed, "", &decisions{})
		})
	}).get(&schemas.StageResult{})
	golden(t, "status.json", got)
}

func TestTheSearchAttributesOfAParkedStageSayWhatToLookFor(t *testing.T) {
	var tr trial
	var seen map[string]any
	tr.seen.attributes = map[string]map[string]any{}
	tr.run(t, parkingWorld(), JudgeResponsesName, object(parkingInput), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() {
			seen = maps.Clone(tr.seen.attributes[JudgeResponsesName])
			env.UpdateWorkflow(UpdateSkipFailed, "", &decisions{})
		})
	})
	want := map[string]any{"RpoStage": "judge", "RpoStatus": "NeedsAttention", "RpoJob": "job-judge", "RpoShardsTotal": int64(8), "RpoShardsFailed": int64(2)}
	if !maps.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

// golden compares with a file of testdata, which -golden writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *writeGolden {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("got  %s\nwant %s(run with -golden if the change is meant)", got, want)
	}
}
