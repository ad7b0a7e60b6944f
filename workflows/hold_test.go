package workflows

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

var outage = schemas.Errorf(schemas.Overloaded, "bucket rpo cannot be reached")

// out makes an activity fail until so many calls of it were made.
func out(name string, calls int) *world {
	w := newWorld(5, map[int]failure{number(1): {1, invalid}})
	w.fails = map[string]error{name: outage}
	w.hold = map[string]func(){name: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.calls[name] >= calls {
			w.fails = nil
		}
	}}
	return w
}

// held are the activities that a stage cannot do without, with their attempts.
var held = map[string]int{describeModel: 3, openStage: 10, listShards: 10, recordFailures: 10, closeStage: 10, compareArms: 10}

const heldInput = `{"manifest":"m","trained_model":"m","judge_endpoint":"judge","max_failed_fraction":0.5}`

func TestAStageWaitsForWhatItCannotDoWithoutAndGoesOnByItself(t *testing.T) {
	for name, attempts := range held {
		t.Run(name, func(t *testing.T) {
			var want, got schemas.EvaluationResult
			try(t, newWorld(5, map[int]failure{number(1): {1, invalid}}), EvaluateModelName, object(heldInput)).get(&want)
			w := out(name, 2*attempts+1)
			tr := try(t, w, EvaluateModelName, object(heldInput))
			tr.get(&got)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if want := prefixed(EvaluateModelName, []string{"Running", "NeedsAttention", "Running", "Done"}); !slices.Equal(tr.seen.statuses, want) &&
				!slices.Equal(tr.seen.statuses, want[1:]) { // held before it first said that it runs
				t.Errorf("statuses %v", tr.seen.statuses)
			}
		})
	}
}

func TestAHeldStageTakesARetryOrAStopAndNothingElse(t *testing.T) {
	for name := range held {
		for _, decision := range []string{UpdateRetryFailed, UpdateStop} {
			t.Run(name+" "+decision, func(t *testing.T) {
				w := out(name, 1<<30)
				refused, told := &decisions{}, &decisions{}
				tr := try(t, w, EvaluateModelName, object(heldInput), func(env *testsuite.TestWorkflowEnvironment) {
					later(env, 12, func() {
						s := statusOf(t, env)
						if s.Status != schemas.StatusNeedsAttention || !strings.Contains(s.Reason, outage.Message) || !slices.Equal(s.Updates, []string{"retry_failed", "stop"}) ||
							!strings.Contains(details(s, false), "tries again by itself") || strings.Contains(details(s, false), "skip_failed") {
							t.Errorf("status %+v", s)
						}
						env.UpdateWorkflow(UpdateSkipFailed, "skip", refused)
						env.UpdateWorkflow(UpdateRetryFailed, "other", refused, schemas.RetryFailed{Endpoint: "other"})
						env.UpdateWorkflow(UpdateRaiseBudget, "raise", refused, schemas.BudgetOptions{BudgetTokens: 5})
						if decision == UpdateRetryFailed {
							w.mu.Lock()
							w.fails = nil
							w.mu.Unlock()
						}
						env.UpdateWorkflow(decision, "told", told, schemas.RetryFailed{ErrorTypes: []string{"Overloaded"}})
					})
				})
				if len(refused.rejected) != 3 || len(told.accepted) != 1 {
					t.Errorf("refused %v, accepted %d", refused.rejected, len(told.accepted))
				}
				if decision == UpdateRetryFailed {
					tr.get(&schemas.EvaluationResult{})
				} else if e := tr.failure(); e.Type() != "Overloaded" || e.Message() != outage.Message || tr.seen.attributes[EvaluateModelName]["RpoStatus"] != "Failed" {
					t.Errorf("ended with %s: %s", e.Type(), e.Message())
				}
			})
		}
	}
}

func TestAHeldStageThatIsCancelledEndsCancelled(t *testing.T) {
	tr := try(t, out(closeStage, 1<<30), EvaluateModelName, object(heldInput), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 12, env.CancelWorkflow)
	})
	if !temporal.IsCanceledError(tr.err) || tr.seen.attributes[EvaluateModelName]["RpoStatus"] != schemas.StatusCanceled {
		t.Errorf("ended with %v", tr.err)
	}
}

func TestANightDuringAnOutagePausesNoSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		fails   string
		err     error
		cancels bool
	}{
		"the store is out":          {findNewProfiles, outage, true},
		"a model is out":            {describeModel, outage, true},
		"a model is not configured": {describeModel, invalid, false},
		"the program is wrong":      {findNewProfiles, schemas.Errorf(schemas.Internal, "index out of range"), false},
	} {
		w := refreshed(2)
		w.fails = map[string]error{c.fails: c.err}
		tr := try(t, w, RefreshDatasetName, object(refreshInput), startedAt(firstNight))
		if temporal.IsCanceledError(tr.err) != c.cancels || tr.seen.attributes[RefreshDatasetName]["RpoStatus"] != schemas.StatusFailed {
			t.Errorf("%s: ended with %v", name, tr.err)
		}
	}
	// One that is out for an hour only costs that hour.
	w := refreshed(2)
	calls := 0
	w.fails = map[string]error{describeModel: outage}
	w.hold = map[string]func(){describeModel: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if calls++; calls > 20 {
			w.fails = nil
		}
	}}
	var got schemas.RefreshResult
	try(t, w, RefreshDatasetName, object(refreshInput), startedAt(firstNight)).get(&got)
	if got.Version != 3 {
		t.Errorf("after an outage: %+v", got)
	}
}
