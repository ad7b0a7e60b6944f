package workflows

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

// costly is a world whose shards take these tokens.
func costly(tokens ...int64) *world {
	w := newWorld(len(tokens), nil)
	w.needs, w.paid = map[int]int64{}, map[int]int64{}
	for i, n := range tokens {
		w.needs[number(i)] = n
	}
	return w
}

func (w *world) spent() (sum int64) {
	for _, n := range w.paid {
		sum += n
	}
	return sum
}

func TestAStageParksAtItsTokensAndGoesOnWhenTheyAreRaised(t *testing.T) {
	for name, raise := range map[string]func(*testsuite.TestWorkflowEnvironment){
		"update": func(env *testsuite.TestWorkflowEnvironment) {
			env.UpdateWorkflow(UpdateRaiseBudget, "", &decisions{}, schemas.BudgetOptions{BudgetTokens: 10_000})
		},
		"signal": func(env *testsuite.TestWorkflowEnvironment) {
			env.SignalWorkflow(UpdateRaiseBudget, schemas.BudgetOptions{BudgetTokens: 10_000})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := costly(500, 500, 500, 500)
			var parked schemas.StageStatus
			tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","budget_tokens":1234}`), func(env *testsuite.TestWorkflowEnvironment) {
				later(env, 1, func() { parked = statusOf(t, env); raise(env) })
			})
			var got schemas.StageResult
			tr.get(&got)
			if parked.Status != schemas.StatusNeedsAttention || !strings.Contains(parked.Reason, "next call") || parked.Failed != 0 ||
				parked.Spent.Tokens() != 1230 || parked.Budget.BudgetTokens != 1234 {
				t.Errorf("parked with %+v, want a budget spent to the last call", parked)
			}
			if got.Shards != 4 || len(got.Failed) != 0 || w.spent() != 2000 {
				t.Errorf("ended with %+v and %d tokens", got, w.spent())
			}
		})
	}
}

func TestWhateverTheCapNoStageExceedsItAndAllEndWhenItIsRaised(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		var tokens []int64
		var sum int64
		for range 1 + random.IntN(12) {
			tokens = append(tokens, callTokens*random.Int64N(40))
			sum += tokens[len(tokens)-1]
		}
		cap := 1 + random.Int64N(sum+2)
		inPages(t, []int{2, 3, 1000}[seed%3])
		w := costly(tokens...)
		var atPark int64
		hours := 0
		tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","budget_tokens":%d,"shards_in_flight":%d}`, cap, 1+random.IntN(6)),
			func(env *testsuite.TestWorkflowEnvironment) {
				for range 50 {
					hours++
					later(env, hours, func() {
						if s := statusOf(t, env); s.Status == schemas.StatusNeedsAttention {
							if atPark = w.spent(); atPark > s.Budget.BudgetTokens || s.Spent.Tokens() != atPark {
								t.Errorf("seed %d: spent %d, status says %d of a cap of %d", seed, atPark, s.Spent.Tokens(), s.Budget.BudgetTokens)
							}
							env.UpdateWorkflow(UpdateRaiseBudget, "", &decisions{}, schemas.BudgetOptions{BudgetTokens: s.Budget.BudgetTokens + 1 + random.Int64N(100)})
						}
					})
				}
			})
		var got schemas.StageResult
		tr.get(&got)
		if got.Shards != len(tokens) || len(got.Failed) != 0 || w.spent() != sum {
			t.Fatalf("seed %d, cap %d of %v: ended with %+v and %d tokens of %d", seed, cap, tokens, got, w.spent(), sum)
		}
	}
}

func TestAStageAtItsBudgetGoesOnWithoutTheRestOrEnds(t *testing.T) {
	for _, size := range []int{1000, 2} {
		inPages(t, size)
		w := costly(100, 100, 100, 100, 100)
		tell := func(decision string, d *decisions) func(*testsuite.TestWorkflowEnvironment) {
			return func(env *testsuite.TestWorkflowEnvironment) {
				refused := &decisions{}
				later(env, 1, func() { env.UpdateWorkflow(UpdateRetryFailed, "", refused) })
				later(env, 2, func() {
					if len(refused.rejected) != 1 || !strings.Contains(refused.rejected[0].Error(), UpdateRaiseBudget) {
						t.Errorf("retry_failed was not refused: %+v", refused)
					}
					env.UpdateWorkflow(decision, "", d)
				})
			}
		}
		input := object(`{"manifest":"m","budget_tokens":250,"shards_in_flight":1}`)
		tr := try(t, w, SampleResponsesName, input, tell(UpdateSkipFailed, &decisions{}))
		var got schemas.StageResult
		tr.get(&got)
		if got.Shards != 2 || len(got.Failed) != 3 || got.Failed[0].ErrorType != string(schemas.BudgetExceeded) {
			t.Errorf("pages of %d: went on with %+v", size, got)
		}
		tr = try(t, costly(100, 100, 100, 100, 100), SampleResponsesName, input, tell(UpdateStop, &decisions{}))
		if e := tr.failure(); e.Type() != string(schemas.BudgetExceeded) || !strings.Contains(e.Message(), "2 of 5 shards done") {
			t.Errorf("pages of %d: stopped with %s: %s", size, e.Type(), e.Message())
		}
	}
}

func TestAStageParksAtTheEndOfItsTimeAndCountsOnlyTheTimeAtWork(t *testing.T) {
	// The first shard takes 1 + 2 + 4 + 8 seconds of retries.
	w := newWorld(3, map[int]failure{number(0): {4, overloaded}})
	var seen []string
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","budget_time":"5s","shards_in_flight":1}`), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() {
			s := statusOf(t, env)
			seen = append(seen, s.Status+" "+s.Reason)
			env.UpdateWorkflow(UpdateRaiseBudget, "", &decisions{}, schemas.BudgetOptions{BudgetTime: schemas.Duration(20 * time.Minute)})
		})
	})
	var got schemas.StageResult
	tr.get(&got)
	if len(seen) != 1 || seen[0] != "NeedsAttention the stage worked for 15s of a budget_time of 5s" {
		t.Errorf("parked as %q", seen)
	}
	if got.Shards != 3 || len(got.Failed) != 0 {
		t.Errorf("ended with %+v", got)
	}
}

func TestCapsAreOnlyRaised(t *testing.T) {
	r := &stageRun{stage: stage{name: "sample"}, budget: budget{caps: schemas.BudgetOptions{BudgetTokens: 100}}}
	for text, c := range map[string]struct {
		to   schemas.BudgetOptions
		says string
	}{
		"nothing":       {schemas.BudgetOptions{}, "at least one"},
		"the same":      {schemas.BudgetOptions{BudgetTokens: 100}, "not above"},
		"less":          {schemas.BudgetOptions{BudgetTokens: 50}, "not above"},
		"of no cap":     {schemas.BudgetOptions{BudgetCost: 5}, "0 is none"},
		"negative":      {schemas.BudgetOptions{BudgetTokens: -5}, "negative"},
		"time of none":  {schemas.BudgetOptions{BudgetTime: schemas.Duration(time.Hour)}, "0s is none"},
		"more":          {schemas.BudgetOptions{BudgetTokens: 101}, ""},
		"more and cost": {schemas.BudgetOptions{BudgetTokens: 101, BudgetCost: 1}, "budget_cost"},
	} {
		err := r.mayRaise(c.to)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", text, err, c.says)
		}
	}
}

func TestAnEstimateIsMadeBeforeTheFirstCallAndShown(t *testing.T) {
	w := newWorld(7, nil)
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, w, ReverseConstraintsName, object(`{"manifest":"m","reverse_endpoint":"judge"}`), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	tr.get(&schemas.StageResult{})
	shown := statusOf(t, env)
	if shown.Estimate == nil {
		t.Fatal("no estimate in the status")
	}
	e := *shown.Estimate
	if e.Rows != 70 || e.Calls != 7*10*2 || e.PromptTokens != 7*1000*2 || e.CompletionTokensMax != 7*5000*2 || fmt.Sprint(e.CostMax) != "7" {
		t.Errorf("estimate %+v", e)
	}
	names := []string{}
	for _, a := range tr.seen.activities {
		if a.name == reverseShard {
			names = append(names, a.options.Summary)
		}
	}
	if len(names) != 8 || names[0] != "estimate stage reverse" || slices.Contains(names[1:], names[0]) {
		t.Errorf("activities %q, want one estimate before the shards", names)
	}
}
