package workflows

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"rpo/activities/sample"
	"rpo/schemas"
)

func TestFailedShardsAreRetriedByShardAndByErrorType(t *testing.T) {
	for name, c := range map[string]struct {
		how  schemas.RetryFailed
		left []int
	}{
		"all":            {schemas.RetryFailed{}, nil},
		"one type":       {schemas.RetryFailed{ErrorTypes: []string{"Overloaded"}}, []int{1, 3}},
		"two types":      {schemas.RetryFailed{ErrorTypes: []string{"Overloaded", "InvalidInput"}}, nil},
		"by shard":       {schemas.RetryFailed{Shards: []int{number(0), number(3), number(7)}}, []int{1, 2}},
		"shard and type": {schemas.RetryFailed{Shards: []int{number(0), number(3)}, ErrorTypes: []string{"Overloaded"}}, []int{1, 2, 3}},
		"none of them":   {schemas.RetryFailed{ErrorTypes: []string{"Stalled"}}, []int{0, 1, 2, 3}},
	} {
		for _, size := range []int{1000, 3, 1} {
			t.Run(fmt.Sprintf("%s, pages of %d", name, size), func(t *testing.T) {
				inPages(t, size)
				w := newWorld(9, map[int]failure{number(0): {forever, overloaded}, number(1): {forever, invalid}, number(2): {forever, overloaded}, number(3): {forever, invalid}})
				var left []int
				tr := try(t, w, SampleResponsesName, object(`{"manifest":"m"}`), func(env *testsuite.TestWorkflowEnvironment) {
					later(env, 1, func() {
						if statusOf(t, env).Failed == 4 {
							w.heal()
							env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{}, c.how)
						}
					})
					later(env, 2, func() {
						if s := statusOf(t, env); s.Status == schemas.StatusNeedsAttention {
							for _, f := range s.Failures {
								left = append(left, slices.IndexFunc([]int{0, 1, 2, 3}, func(i int) bool { return number(i) == f.Shard }))
							}
							env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{})
						}
					})
				})
				var got schemas.StageResult
				tr.get(&got)
				if !slices.Equal(left, c.left) || got.Shards != 9 || got.FailedShards != 0 {
					t.Errorf("left %v, want %v; ended with %+v", left, c.left, got)
				}
			})
		}
	}
}

func TestARetryGoesToTheEndpointAndWithTheTimeoutThatItNames(t *testing.T) {
	inPages(t, 2)
	w := newWorld(5, map[int]failure{number(4): {forever, invalid}})
	how := schemas.RetryFailed{Endpoint: "other", Model: "larger", HeartbeatTimeout: schemas.Duration(5 * time.Minute)}
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m"}`), func(e *testsuite.TestWorkflowEnvironment) {
		env = e
		later(env, 1, func() { w.heal(); env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{}, how) })
	})
	tr.get(&schemas.StageResult{})
	s := statusOf(t, env)
	if want := (schemas.StageOverride{Endpoint: "other", Model: "larger", HeartbeatTimeout: how.HeartbeatTimeout}); tr.runs < 3 || s.Override == nil || *s.Override != want ||
		!strings.Contains(details(s, false), "endpoint `other` since") {
		t.Errorf("after %d runs the status says %+v", tr.runs, s.Override)
	}
	last := activityCall{}
	for _, c := range tr.seen.activities {
		if c.name == sampleShard {
			last = c
		}
	}
	in := last.args[0].(sample.ShardInput)
	if in.Number != number(4) || in.Endpoint != "other" || in.Model != "larger" || last.options.HeartbeatTimeout != 5*time.Minute || in.Job != jobOf("sample") {
		t.Errorf("retried as %+v with %+v", in, last.options)
	}
}

func TestAMisspeltArgumentIsRefusedAndChangesNothing(t *testing.T) {
	w := newWorld(4, map[int]failure{number(2): {1, invalid}})
	wrong := map[string]json.RawMessage{
		UpdateRetryFailed: json.RawMessage(`{"endpoints":"other"}`), UpdateRaiseBudget: json.RawMessage(`{"budget_cots":5}`), UpdateStop: json.RawMessage(`["now"]`),
	}
	refused := map[string]*decisions{}
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","budget_cost":1}`), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() {
			for name, argument := range wrong {
				refused[name] = &decisions{}
				env.UpdateWorkflow(name, name, refused[name], argument)
				env.SignalWorkflow(name, argument)
			}
		})
		later(env, 2, func() { env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{}) })
	})
	var got schemas.StageResult
	tr.get(&got)
	for name, d := range refused {
		if len(d.rejected) != 1 || !strings.Contains(d.rejected[0].Error(), "argument") {
			t.Errorf("%s: rejected %v", name, d.rejected)
		}
	}
	if got.Shards != 4 {
		t.Errorf("ended with %+v", got)
	}
}

func TestEveryShardNamesTheModelsThatTheStageOpenedWith(t *testing.T) {
	inPages(t, 1)
	tr := try(t, newWorld(3, nil), SampleResponsesName, object(`{"manifest":"m","model":"adapter"}`))
	tr.get(&schemas.StageResult{})
	shards := 0
	for _, c := range tr.seen.activities {
		if c.name == sampleShard {
			shards++
			in := c.args[0].(sample.ShardInput)
			if got := in.Allowance.Identities[schemas.ModelKey("policy", "adapter")]; got != "identity of policy adapter" {
				t.Errorf("shard %d may call %v", in.Number, in.Allowance.Identities)
			}
		}
	}
	if shards != 4 {
		t.Errorf("%d activities, want an estimate and 3 shards", shards)
	}
}

func TestARetryThatCannotBeMeantIsRefused(t *testing.T) {
	r := &stageRun{stage: stage{name: "pair"}, status: schemas.StatusNeedsAttention}
	for says, how := range map[string]schemas.RetryFailed{
		"no one model":        {Endpoint: "other"},
		"not one of":          {ErrorTypes: []string{"Overlaoded"}},
		"needs endpoint":      {Model: "larger"},
		"between 1s and 1h":   {HeartbeatTimeout: 1},
		"choose by error_typ": {Shards: make([]int, 501)},
	} {
		if err := r.mayDecide(UpdateRetryFailed, how); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: got %v, want %q", how, err, says)
		}
	}
}

func TestAStageWhoseShardsAllFailParksBeforeItHasTriedAll(t *testing.T) {
	for _, size := range []int{1000, 7} {
		for decision, want := range map[string]int{UpdateRetryFailed: 100, UpdateSkipFailed: 100 - 10} {
			inPages(t, size)
			w := newWorld(100, failing(100, invalid))
			tried := 0
			tr := try(t, w, JudgeResponsesName, object(`{"manifest":"m","shards_in_flight":3}`), func(env *testsuite.TestWorkflowEnvironment) {
				later(env, 1, func() {
					if s := statusOf(t, env); tried == 0 && s.Status == schemas.StatusNeedsAttention {
						tried = s.Failed
						if !strings.Contains(s.Reason, "the last") {
							t.Errorf("reason %q", s.Reason)
						}
						w.heal()
						env.UpdateWorkflow(decision, "", &decisions{})
					}
				})
				// What was skipped is looked at again when all others are done.
				later(env, 2, func() {
					if statusOf(t, env).Status == schemas.StatusNeedsAttention {
						env.UpdateWorkflow(UpdateSkipFailed, "", &decisions{})
					}
				})
			})
			var got schemas.StageResult
			tr.get(&got)
			if tried < 10 || tried > 10+3 || got.Shards < want-3 || got.Shards > want {
				t.Errorf("pages of %d, %s: parked after %d of 100 shards and ended with %d, want %d", size, decision, tried, got.Shards, want)
			}
		}
	}
}

func TestAStageThatFailsAndReachesItsBudgetAtOnceTakesARetryFirst(t *testing.T) {
	// Eight attempts take two minutes, so the twentieth failure in a row and the
	// end of the budget are seen together.
	w := newWorld(40, failing(40, overloaded))
	retry, raised := &decisions{}, false
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","shards_in_flight":10,"budget_time":"150s","max_attempts":8}`), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() {
			w.heal()
			env.UpdateWorkflow(UpdateRetryFailed, "", retry)
		})
		later(env, 2, func() {
			if s := statusOf(t, env); s.Status == schemas.StatusNeedsAttention && strings.Contains(s.Reason, "budget_time") {
				raised = true
				env.UpdateWorkflow(UpdateRaiseBudget, "", &decisions{}, schemas.BudgetOptions{BudgetTime: schemas.Duration(time.Hour)})
			}
		})
	})
	var got schemas.StageResult
	tr.get(&got)
	if len(retry.rejected) != 0 || !raised || got.Shards != 40 {
		t.Errorf("retry refused with %v, raised %v, ended with %+v", retry.rejected, raised, got)
	}
}

func TestAPausedStageStartsNothingUntilItIsResumed(t *testing.T) {
	w := newWorld(6, nil)
	var paused schemas.StageStatus
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","shards_in_flight":2}`), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() {
			env.UpdateWorkflow(UpdatePause, "", &decisions{})
			env.SignalWorkflow(UpdatePause, nil)
		}, 0)
		later(env, 1, func() {
			paused = statusOf(t, env)
			env.UpdateWorkflow(UpdateResume, "", &decisions{})
			env.SignalWorkflow(UpdateResume, nil)
		})
	})
	var got schemas.StageResult
	tr.get(&got)
	if paused.Status != schemas.StatusPaused || paused.Done > 2 || got.Shards != 6 {
		t.Errorf("paused with %+v and ended with %+v", paused, got)
	}
}
