package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/activities/experiment"
	"rpo/activities/train"
	"rpo/schemas"
)

const experimentInput = `{"manifest":"s3://rpo/pairs","profiles":"s3://rpo/profiles","epochs":1,"arms":[
	{"name":"rpo"},{"name":"gamma-0","gamma":1e-9},{"name":"dpo","loss":"dpo"},{"name":"sft","loss":"sft"}],"promote":"tiny"}`

func (w *world) openExperiment(in experiment.OpenInput) experiment.Opened {
	out := experiment.Opened{Tables: map[string]string{}}
	for _, loss := range in.Losses {
		out.Tables[loss] = schemas.TablePair
	}
	return out
}

// tabulate gives the arms that ended with a model ever more gain in their order.
func (w *world) tabulate(in experiment.TableInput) schemas.ExperimentResult {
	out := schemas.ExperimentResult{Base: 0.61, Verdicts: 300, Profiles: 24, Table: "s3://rpo/experiments/" + schemas.ID("x") + ".json", Page: "s3://rpo/experiments/" + schemas.ID("x") + ".html"}
	for i, a := range in.Arms {
		r := schemas.ArmResult{Arm: a.Arm, Status: a.Status, Error: a.Error, Model: a.Model}
		if a.Status == schemas.StatusDone {
			accuracy := 0.7512345678901234
			r.Trained, r.Gain, r.CI95, r.Malformed = 0.8+float64(i)/100, 0.2345, [2]float64{0.1234, 0.2345}, 0.0123
			r.OverFirst, r.RewardAccuracy, r.LossLast, r.Tokens, r.Hours = &schemas.Difference{Value: -0.1234, CI95: [2]float64{-0.2345, 0.1234}}, &accuracy, 0.6789, 123456789012, 123.456789
			out.Best = a.Arm
		}
		out.Arms = append(out.Arms, r)
	}
	return out
}

func experimentStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) (s schemas.ExperimentStatus) {
	t.Helper()
	v, err := env.QueryWorkflow(QueryStatus)
	if err == nil {
		err = v.Get(&s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// childIDs are the ids of the children of the run in the order of their start,
// without its own id.
func (tr *trial) childIDs() (ids []string) {
	for _, c := range tr.seen.children {
		ids = append(ids, strings.TrimPrefix(c.WorkflowID, "default-test-workflow-id/"))
	}
	return ids
}

func TestAnExperimentTrainsEveryArmOnOneReferenceAndPromotesTheBest(t *testing.T) {
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, newWorld(2, nil), RunExperimentName, object(experimentInput), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	var got schemas.ExperimentResult
	tr.get(&got)
	if len(got.Arms) != 4 || got.Best != "sft" || got.Promotion == nil || got.Promotion.Version != 1 || got.Table == "" {
		t.Errorf("got %+v", got)
	}
	children := tr.childIDs()
	for _, want := range []string{"reference", "rpo/train", "rpo/evaluate", "gamma-0/train", "dpo/train", "sft/train", "sft/evaluate", "promote"} {
		if n := len(slices.DeleteFunc(slices.Clone(children), func(c string) bool { return c != want })); n != 1 {
			t.Errorf("%d children %s in %v", n, want, children)
		}
	}
	if len(children) != 1+4+4+1 {
		t.Errorf("children %v", children)
	}
	trained := map[string]schemas.TrainOptions{}
	for _, c := range tr.seen.activities {
		if in, ok := c.args[0].(train.Input); ok {
			name := fmt.Sprint(in.Loss, " ", in.Gamma)
			if trained[name] = in.TrainOptions; in.Epochs != 1 {
				t.Errorf("%s: %d epochs", name, in.Epochs)
			}
			want := "s3://rpo/manifests/reference.json"
			if in.Loss == "sft" {
				want = "s3://rpo/pairs"
			}
			if in.Manifest != want {
				t.Errorf("%s trains on %s, want %s", name, in.Manifest, want)
			}
		}
	}
	if len(trained) != 4 || trained["rpo 1e-09"].Gamma != 1e-9 || trained["sft 0.05"].LearningRate != 5e-5 || trained["rpo 0.05"].LearningRate != 5e-4 {
		t.Errorf("trained %v", trained)
	}
	if a := tr.seen.attributes[RunExperimentName]; a["RpoStatus"] != "Done" || a["RpoModel"] != "base" || a["RpoScore"] != got.Arms[3].Trained {
		t.Errorf("search attributes %v", a)
	}
	s := experimentStatus(t, env)
	for _, a := range s.Arms {
		if a.Status != schemas.StatusDone || a.Stage != "evaluate" || a.Gain == nil || *a.Gain != 0.23 {
			t.Errorf("status of an arm %+v", a)
		}
	}
	if text := experimentDetails(place{}, s, got); !strings.Contains(text, "| **sft** |") || !strings.Contains(text, "+0.2300 | +0.1800 to +0.2800 |") {
		t.Errorf("details %s", text)
	}
}

func TestTheExamplesOfExperimentsDecode(t *testing.T) {
	for _, name := range []string{"RunExperiment.json", "RunExperiment-gamma.json"} {
		data, err := os.ReadFile(filepath.Join("../examples", name))
		var in schemas.RunExperimentInput
		if err == nil {
			err = schemas.DecodeInput(data, &in)
		}
		if err != nil || len(in.Arms) != 5 {
			t.Errorf("%s has %d arms, %v", name, len(in.Arms), err)
		}
	}
}

func TestAnArmThatFailsEndsNoOtherOne(t *testing.T) {
	w := newWorld(2, nil)
	w.real = map[string]any{trainPolicy: w.trainBut("dpo")}
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, w, RunExperimentName, object(experimentInput), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	var got schemas.ExperimentResult
	tr.get(&got)
	s := experimentStatus(t, env)
	for i, want := range []string{schemas.StatusDone, schemas.StatusDone, schemas.StatusFailed, schemas.StatusDone} {
		if got.Arms[i].Status != want || s.Arms[i].Status != want {
			t.Errorf("arm %d is %s, by the status %s, want %s", i, got.Arms[i].Status, s.Arms[i].Status, want)
		}
	}
	if got.Arms[2].Error != "CorruptData: the rows of dpo are broken" || !strings.Contains(experimentDetails(place{}, s, got), "- dpo: `CorruptData: the rows of dpo are broken`") {
		t.Errorf("arm %+v", got.Arms[2])
	}
	w.fails = map[string]error{compareArms: schemas.Errorf(schemas.CorruptData, "no rows")}
	if e := try(t, w, RunExperimentName, object(experimentInput)).failure(); !strings.Contains(e.Message(), "no arm ended with a model: arm rpo is Failed: CorruptData: no rows") {
		t.Errorf("got %s", e.Message())
	}
}

// trainBut trains with every loss but one.
func (w *world) trainBut(loss string) any {
	ok := w.activities()[trainPolicy].(func(ctx context.Context, in train.Input) (schemas.TrainResult, error))
	return func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
		if in.Loss == loss {
			return schemas.TrainResult{}, schemas.Errorf(schemas.CorruptData, "the rows of %s are broken", loss)
		}
		return ok(ctx, in)
	}
}

func TestAnArmThatParksGivesWayAndAPersonMayBeFaster(t *testing.T) {
	broken := func() (*world, *bool) {
		w, healed := newWorld(1, nil), new(bool)
		ok := w.activities()[trainPolicy].(func(ctx context.Context, in train.Input) (schemas.TrainResult, error))
		w.real = map[string]any{trainPolicy: func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
			if in.Loss == "dpo" && !*healed {
				return schemas.TrainResult{}, schemas.Errorf(schemas.CorruptData, "the rows of dpo are broken")
			}
			return ok(ctx, in)
		}}
		return w, healed
	}
	var got schemas.ExperimentResult
	w, _ := broken()
	began := time.Time{}
	took := time.Duration(0)
	in := strings.Replace(experimentInput, `"epochs":1`, `"epochs":1,"max_parallel":1,"park_timeout":"10m"`, 1)
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, w, RunExperimentName, object("%s", in), func(e *testsuite.TestWorkflowEnvironment) { env, began = e, e.Now() })
	tr.get(&got)
	if took = env.Now().Sub(began); took < 10*time.Minute || took > 11*time.Minute || got.Arms[2].Status != schemas.StatusFailed || got.Arms[3].Status != schemas.StatusDone {
		t.Errorf("after %s: %+v", took, got.Arms)
	}
	w, healed := broken()
	tr = try(t, w, RunExperimentName, object("%s", in), func(e *testsuite.TestWorkflowEnvironment) {
		e.RegisterDelayedCallback(func() {
			*healed = true
			if err := e.SignalWorkflowByID("default-test-workflow-id/dpo/train", UpdateRetryFailed, nil); err != nil {
				t.Error(err)
			}
		}, 5*time.Minute)
	})
	tr.get(&got)
	if got.Arms[2].Status != schemas.StatusDone {
		t.Errorf("after a retry: %+v", got.Arms[2])
	}
}

func TestNoMoreArmsAreAtWorkThanAskedForAndTheFirstEvaluationIsAlone(t *testing.T) {
	for limit := 1; limit <= 3; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			w := newWorld(2, nil)
			var env *testsuite.TestWorkflowEnvironment
			most, evaluated := 0, 0
			look := func(name string) func() {
				return func() {
					busy, measuring := 0, 0
					for _, a := range experimentStatus(t, env).Arms {
						if a.Status == schemas.StatusRunning {
							busy++
							if a.Stage == "evaluate" {
								measuring++
							}
						}
					}
					most = max(most, busy)
					if evaluated == 0 && measuring > 1 {
						t.Errorf("%d arms are evaluated at once before one was", measuring)
					}
					if name == compareArms {
						evaluated++
					}
				}
			}
			w.hold = map[string]func(){trainPolicy: look(trainPolicy), evaluateShard: look(evaluateShard), compareArms: look(compareArms)}
			tr := try(t, w, RunExperimentName, object("%s", strings.TrimSuffix(experimentInput, "}")+fmt.Sprintf(`,"max_parallel":%d}`, limit)),
				func(e *testsuite.TestWorkflowEnvironment) { env = e })
			tr.get(&schemas.ExperimentResult{})
			if most > limit || limit == 1 && most != 1 {
				t.Errorf("%d arms at once", most)
			}
		})
	}
}

func TestACancelledExperimentCancelsItsArmsAndComparesNothing(t *testing.T) {
	w := newWorld(2, nil)
	var env *testsuite.TestWorkflowEnvironment
	w.hold = map[string]func(){trainPolicy: func() { env.CancelWorkflow() }}
	tr := try(t, w, RunExperimentName, object(experimentInput), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	if !temporal.IsCanceledError(tr.err) || w.calls[tabulateArms] != 0 {
		t.Errorf("ended with %v after %d tables", tr.err, w.calls[tabulateArms])
	}
	s := experimentStatus(t, env)
	for _, a := range s.Arms {
		if a.Status != schemas.StatusCanceled || a.Error != "cancelled" {
			t.Errorf("arm %+v", a)
		}
	}
	if s.Status != schemas.StatusCanceled || tr.seen.attributes[RunExperimentName]["RpoStatus"] != schemas.StatusCanceled {
		t.Errorf("status %s, attributes %v", s.Status, tr.seen.attributes[RunExperimentName])
	}
}

func TestAnExperimentThatIsToldToStopComparesTheArmsThatWereAtWork(t *testing.T) {
	w := newWorld(2, nil)
	var env *testsuite.TestWorkflowEnvironment
	told := &decisions{}
	w.hold = map[string]func(){trainPolicy: func() { env.UpdateWorkflow(UpdateStop, "", told) }}
	tr := try(t, w, RunExperimentName, object("%s", strings.Replace(experimentInput, `"epochs":1`, `"epochs":1,"max_parallel":1`, 1)), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	var got schemas.ExperimentResult
	tr.get(&got)
	if len(told.rejected) > 0 || got.Best != "rpo" || got.Arms[0].Status != schemas.StatusDone || got.Arms[3].Status != schemas.StatusSkipped {
		t.Errorf("told %+v, got %+v", told, got)
	}
}

func TestAPausedExperimentStartsNoArmUntilItResumes(t *testing.T) {
	w := newWorld(2, nil)
	var env *testsuite.TestWorkflowEnvironment
	var atWork []string
	w.hold = map[string]func(){openExperiment: func() { env.SignalWorkflow(UpdatePause, nil) }}
	tr := try(t, w, RunExperimentName, object(experimentInput), func(e *testsuite.TestWorkflowEnvironment) {
		env = e
		later(env, 30, func() {
			for _, a := range experimentStatus(t, env).Arms {
				atWork = append(atWork, a.Status)
			}
			env.UpdateWorkflow(UpdateResume, "", &decisions{})
		})
	})
	tr.get(&schemas.ExperimentResult{})
	if want := []string{"Pending", "Pending", "Pending", "Pending"}; !slices.Equal(atWork, want) {
		t.Errorf("while paused %v", atWork)
	}
}

func TestNoPayloadOfAnExperimentExceedsItsLimit(t *testing.T) {
	in := map[string]any{}
	if err := json.Unmarshal(fullInput(t, RunExperimentName), &in); err != nil {
		t.Fatal(err)
	}
	var arms []any
	for i := range 10 {
		arms = append(arms, map[string]any{"name": fmt.Sprint(i) + strings.Repeat("n", 31), "gamma": 0.01 * float64(i+1), "learning_rate": 0.000123456789, "base_model": strings.Repeat("b", 60)})
	}
	in["arms"], in["profiles"], in["promote"] = arms, "s3://rpo/profiles", strings.Repeat("p", 64)
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(2, nil)
	ok := w.activities()[trainPolicy].(func(ctx context.Context, in train.Input) (schemas.TrainResult, error))
	w.real = map[string]any{trainPolicy: func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
		out, err := ok(ctx, in)
		if out.Model = "s3://" + strings.Repeat("b", 63) + "/runs/" + schemas.ID("job") + "/train/shard-00000.json"; in.Gamma > 0.05 {
			err = nasty // half of the arms
		}
		return out, err
	}}
	tr := try(t, w, RunExperimentName, json.RawMessage(data))
	var got schemas.ExperimentResult
	tr.get(&got)
	if n := len(tr.seen.heaviest); n > maxPayload || len(got.Arms) != 10 || got.Arms[9].Error == "" || got.Arms[0].Error != "" {
		t.Errorf("a payload weighs %d bytes: %.600s", n, tr.seen.heaviest)
	}
	t.Logf("%d payloads, the heaviest of %d bytes", tr.seen.payloads, len(tr.seen.heaviest))
}

func TestAMistakenExperimentIsRefusedByItsFieldsPath(t *testing.T) {
	arms := func(list string) string {
		return `{"manifest":"s3://m","profiles":"s3://p","arms":` + list + `}`
	}
	for in, want := range map[string]string{
		arms(`[]`): `field "arms": is required`,
		arms(`[{"name":"a"},{"name":"b","loss":"ppo"}]`):                             `field "arms[1].loss"`,
		arms(`[{"name":"a"},{"name":"b","lsos":"dpo"}]`):                             `unknown field "arms[1].lsos"`,
		arms(`[{"name":"a"},{"name":"a","loss":"dpo"}]`):                             `field "arms[1].name"`,
		arms(`[{"name":"a"},{"name":"b","gamma":0.05}]`):                             `field "arms[1]": "b" is the same training as "a"`,
		arms(`[{"name":"a"},{"name":"b","gamma":0}]`):                                `sets gamma to 0, which would mean the default`,
		`{"manifest":"m","profiles":"p","arms":[{"name":"a"}],"park_timeout":"1ms"}`: `field "park_timeout"`,
		arms(`[{"name":"a b"}]`):                                                     `field "arms[0].name"`,
		`{"manifest":"m","profiles":"p","arms":[{"name":"a"}],"max_parallel":11}`:    `field "max_parallel"`,
		`{"manifest":"m","profiles":"p","arms":[{"name":"a"}],"promote":"a/b"}`:      `field "promote"`,
	} {
		if e := try(t, newWorld(1, nil), RunExperimentName, object("%s", in)).failure(); e.Type() != "InvalidInput" || !strings.Contains(e.Message(), want) {
			t.Errorf("%s: got %s: %s, want %s", in, e.Type(), e.Message(), want)
		}
	}
}

// armFailed is a world in which no arm with loss dpo can be trained.
func armFailed() *world {
	w := newWorld(1, nil)
	w.real = map[string]any{trainPolicy: w.trainBut("dpo")}
	return w
}
