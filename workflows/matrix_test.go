package workflows

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"rpo/activities/sample"
	"rpo/schemas"
)

// steps are the numbers of shards after which a run is made to continue as new.
var steps = []int{1000, 1, 2, 3, 5, 7}

// scenario is one story of a stage. Whenever the stage waits for a person, it is
// told the next cue of its script.
type scenario struct {
	world  func() *world
	input  string // what it is started with, beside its manifest and shards in flight
	script []cue
	// during, if not nil, prepares every run.
	during func(*world, *testsuite.TestWorkflowEnvironment)
	// alone is for what depends on how many shards are in flight together, reordered
	// for a shard that a page puts behind its others and so is tried again later.
	alone, reordered bool
	// ends is what must come of it.
	ends func(ending) bool
}

// cue is what a person does: to the world, then to the stage.
type cue struct {
	mend   bool
	update string
	how    any
	signal bool
}

const shards = 13

// ending is all that must not depend on how often a stage continued.
type ending struct {
	Result string
	Failed string // how it failed, if it did
	Given  []schemas.ShardFailure
	// Attempts counts the attempts by shard, Models says which model answered it.
	Attempts map[int]int
	Models   map[int]string
	Paid     int64
	Status   any
	Waited   []string // the reason each time that a person was asked
	Unheard  int      // lines of the script that were never asked for
	Opened   int
	Closed   int
}

func (s scenario) play(t *testing.T, inFlight int) (out ending, runs int) {
	w, said := s.world(), 0
	tr := try(t, w, SampleResponsesName, object(`{"manifest":"m","shards_in_flight":%d%s}`, inFlight, s.input), func(env *testsuite.TestWorkflowEnvironment) {
		if s.during != nil {
			s.during(w, env)
		}
		for hour := range 40 {
			later(env, hour+1, func() {
				status := statusOf(t, env)
				if status.Status != schemas.StatusNeedsAttention && status.Status != schemas.StatusPaused || said == len(s.script) {
					return
				}
				out.Waited = append(out.Waited, status.Status+": "+status.Reason)
				l := s.script[said]
				said++
				if l.mend {
					w.heal()
				}
				switch {
				case l.update == "cancel":
					env.CancelWorkflow()
				case l.signal:
					env.SignalWorkflow(l.update, l.how)
				case l.how == nil:
					env.UpdateWorkflow(l.update, fmt.Sprint(said), &decisions{})
				default:
					env.UpdateWorkflow(l.update, fmt.Sprint(said), &decisions{}, l.how)
				}
			})
		}
	})
	if out.Result = string(tr.seen.result); tr.err != nil {
		out.Failed = tr.err.Error()[strings.Index(tr.err.Error(), "): ")+3:] // without the run's id
	}
	if len(w.given) > 0 {
		out.Given = w.given[0]
	}
	out.Attempts, out.Paid, out.Models = w.attempts[jobOf("sample")], w.spent(), map[int]string{}
	for _, c := range tr.seen.activities {
		if in, ok := c.args[0].(sample.ShardInput); ok && !in.Allowance.EstimateOnly {
			out.Models[in.Number] = in.Endpoint + " " + in.Model + " " + c.options.HeartbeatTimeout.String()
		}
	}
	out.Status, out.Unheard = tr.seen.attributes[SampleResponsesName]["RpoStatus"], len(s.script)-said
	out.Opened, out.Closed = w.calls[openStage], w.calls[closeStage]
	return out, tr.runs
}

func TestEveryStoryOfAStageEndsTheSameHoweverOftenItContinues(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			for _, inFlight := range []int{1, 3} {
				if s.alone && inFlight > 1 {
					continue
				}
				var want ending
				for i, size := range steps {
					inPages(t, size)
					got, runs := s.play(t, inFlight)
					if s.reordered {
						got.Attempts, got.Waited = nil, nil
					}
					if i == 0 {
						if want = got; !s.ends(got) || got.Unheard != 0 {
							t.Fatalf("%d in flight: ended with %+v", inFlight, got)
						}
					} else if size < 3 && runs < 2 {
						t.Errorf("%d in flight, after %d: never continued", inFlight, size)
					}
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%d in flight, after %d:\ngot  %+v\nwant %+v", inFlight, size, got, want)
					}
				}
			}
		})
	}
}

func (o ending) result() (r schemas.StageResult) {
	if json.Unmarshal([]byte(o.Result), &r) != nil {
		r.Shards = -1
	}
	return r
}

// whole is the end of a stage that made everything.
func whole(o ending) bool {
	r := o.result()
	return r.Shards == shards && r.FailedShards == 0 && r.Books.Closed() && r.Books.In == shards*rowsPerShard && o.Status == "Done" && o.Opened == 1 && o.Closed == 1
}

// lacking is the end of one that went on without some shards.
func lacking(numbers ...int) func(ending) bool {
	return func(o ending) bool {
		r := o.result()
		var gave []int
		for _, f := range o.Given {
			gave = append(gave, f.Shard)
		}
		return r.Shards == shards-len(numbers) && r.FailedShards == len(numbers) && slices.Equal(gave, numbers) && o.Status == "Done" && o.Closed == 1
	}
}

// failedAs is the end of one that failed.
func failedAs(status string, says ...string) func(ending) bool {
	return func(o ending) bool {
		for _, s := range says {
			if !strings.Contains(o.Failed, s) {
				return false
			}
		}
		return o.Result == "" && o.Status == status && o.Closed == 0
	}
}

// at calls do in the nth shard activity of a world, n from 1.
func at(n int, do func(*testsuite.TestWorkflowEnvironment)) func(*world, *testsuite.TestWorkflowEnvironment) {
	return func(w *world, env *testsuite.TestWorkflowEnvironment) {
		w.hold = map[string]func(){sampleShard: func() {
			w.mu.Lock()
			now := w.calls[sampleShard] == n-1
			w.mu.Unlock()
			if now {
				do(env)
			}
		}}
	}
}

func scenarios() map[string]scenario {
	some := func() *world {
		return newWorld(shards, map[int]failure{number(1): {forever, overloaded}, number(4): {forever, invalid}, number(9): {forever, overloaded}, number(12): {forever, invalid}})
	}
	calm := func() *world { return newWorld(shards, nil) }
	paying := func() *world { return costly(60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60) }
	lastModel := func(model string, numbers ...int) func(ending) bool {
		return func(o ending) bool {
			for _, n := range numbers {
				if o.Models[n] != model {
					return false
				}
			}
			return whole(o)
		}
	}
	budget := func(tokens int64) schemas.BudgetOptions { return schemas.BudgetOptions{BudgetTokens: tokens} }
	return map[string]scenario{
		"nothing happens": {world: calm, ends: whole},
		"failures that pass": {world: func() *world {
			return newWorld(shards, map[int]failure{number(0): {2, overloaded}, number(7): {5, overloaded}, number(12): {1, overloaded}})
		}, ends: whole},
		"few failures": {world: some, input: `,"max_failed_fraction":0.5`, ends: lacking(number(1), number(4), number(9), number(12))},
		"retry all":    {world: some, script: []cue{{mend: true, update: UpdateRetryFailed}}, ends: whole},
		"retry by signal": {world: some, script: []cue{{mend: true, update: UpdateRetryFailed, signal: true}},
			ends: whole},
		"retry in vain, thrice, then mend": {world: some,
			script: []cue{{update: UpdateRetryFailed}, {update: UpdateRetryFailed}, {update: UpdateRetryFailed}, {mend: true, update: UpdateRetryFailed}}, ends: whole},
		"retry by shard, by type, then skip": {world: some, script: []cue{
			{mend: true, update: UpdateRetryFailed, how: schemas.RetryFailed{Shards: []int{number(4)}}},
			{update: UpdateRetryFailed, how: schemas.RetryFailed{ErrorTypes: []string{"Stalled"}}},
			{update: UpdateRetryFailed, how: schemas.RetryFailed{ErrorTypes: []string{"Overloaded"}}},
			{update: UpdateSkipFailed}}, ends: lacking(number(12))},
		"retry elsewhere": {world: some, script: []cue{
			{update: UpdateRetryFailed, how: schemas.RetryFailed{Endpoint: "other", Model: "larger", HeartbeatTimeout: schemas.Duration(5 * time.Minute)}},
			{mend: true, update: UpdateRetryFailed}},
			ends: lastModel("other larger 5m0s", number(1), number(4), number(9), number(12))},
		"retry elsewhere, twice": {world: some, script: []cue{
			{update: UpdateRetryFailed, how: schemas.RetryFailed{Endpoint: "other"}},
			{mend: true, update: UpdateRetryFailed, how: schemas.RetryFailed{Endpoint: "third", ErrorTypes: []string{"Overloaded", "InvalidInput"}}}},
			ends: lastModel("third  30s", number(1), number(12))},
		"skip":                     {world: some, script: []cue{{update: UpdateSkipFailed}}, ends: lacking(number(1), number(4), number(9), number(12))},
		"stop":                     {world: some, script: []cue{{update: UpdateStop}}, ends: failedAs("Failed", "stage sample stopped with 4 of 13 shards failed, the first, 5:")},
		"stop after a vain retry":  {world: some, script: []cue{{update: UpdateRetryFailed}, {update: UpdateStop, signal: true}}, ends: failedAs("Failed", "4 of 13 shards failed")},
		"cancel while parked":      {world: some, script: []cue{{update: "cancel"}}, ends: failedAs("Canceled", "canceled")},
		"cancel after a retry":     {world: some, script: []cue{{update: UpdateRetryFailed}, {update: "cancel"}}, ends: failedAs("Canceled", "canceled")},
		"cancel at work":           {world: calm, alone: true, during: at(6, (*testsuite.TestWorkflowEnvironment).CancelWorkflow), ends: failedAs("Canceled", "canceled")},
		"pause at work and resume": {world: calm, during: at(6, func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(UpdatePause, nil) }), script: []cue{{update: UpdateResume}}, ends: whole},
		"pause, resume, then park": {world: some, during: at(1, func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(UpdatePause, nil) }),
			script: []cue{{update: UpdateResume, signal: true}, {mend: true, update: UpdateRetryFailed}}, ends: whole},
		"a budget of tokens, raised twice": {world: paying, alone: true, reordered: true, input: `,"budget_tokens":130`, ends: whole,
			script: []cue{{update: UpdateRaiseBudget, how: budget(300)}, {update: UpdateRaiseBudget, how: budget(5000), signal: true}}},
		"a budget of tokens, skipped": {world: paying, alone: true, input: `,"budget_tokens":310`, script: []cue{{update: UpdateSkipFailed}}, ends: func(o ending) bool {
			r := o.result()
			return r.Shards == 5 && r.FailedShards == shards-5 && r.Failed[0].ErrorType == string(schemas.BudgetExceeded) && o.Paid == 310
		}},
		"a budget of tokens, stopped": {world: paying, alone: true, input: `,"budget_tokens":310`, script: []cue{{update: UpdateStop}},
			ends: failedAs("Failed", "stage sample stopped with 5 of 13 shards done")},
		"a budget of time, raised": {world: func() *world { return newWorld(shards, map[int]failure{number(3): {4, overloaded}}) }, alone: true, input: `,"budget_time":"5s"`,
			script: []cue{{update: UpdateRaiseBudget, how: schemas.BudgetOptions{BudgetTime: schemas.Duration(20 * time.Minute)}}}, ends: whole},
		"books that do not close": {world: func() *world {
			w := calm()
			w.result = func(r *schemas.ShardResult) {
				if r.Shard == number(5) {
					r.Books.Quarantined++
				}
			}
			return w
		}, script: []cue{{update: UpdateSkipFailed}}, ends: func(o ending) bool { return len(o.Waited) == 1 && strings.Contains(o.Waited[0], "1 of 13") }},
		"an outage of the store": {world: func() *world {
			w := calm()
			w.fails = map[string]error{closeStage: outage}
			return w
		}, during: func(w *world, _ *testsuite.TestWorkflowEnvironment) {
			w.hold = map[string]func(){closeStage: func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.calls[closeStage] == 35 {
					w.fails = nil
				}
			}}
		}, ends: func(o ending) bool { r := o.result(); return r.Shards == shards && o.Closed == 36 }},
	}
}
