package workflows

import (
	"reflect"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/activities/promote"
	"rpo/schemas"
)

const promoteInput = `{"name":"tiny","model":"s3://rpo/model","evaluation":"s3://rpo/evaluation"}`

// promote refuses a minimum gain above the 0.23 that all evaluations of a world
// give, and otherwise makes the first version.
func (w *world) promote(in promote.Input) schemas.PromoteResult {
	out := schemas.PromoteResult{Decision: schemas.DecisionPromoted, Name: in.Name, Version: 1, Current: 1, Manifest: "s3://rpo/models/tiny/v000001.json",
		Evaluation: schemas.PromotedScore{Base: 0.61, Trained: 0.84, Difference: 0.23, Verdicts: 300},
		Outcomes:   []schemas.GateOutcome{{Gate: "min_gain", Passed: true, Value: 0.23, Bound: in.Gates.MinGain, Reason: "gain over the base: 0.23, at least 0"}}}
	if in.Gates.MinGain > 0.23 {
		out.Decision, out.Version, out.Current, out.Manifest = schemas.DecisionRefused, 0, 0, ""
		out.Outcomes[0].Passed, out.Outcomes[0].Reason = false, "gain over the base: 0.23, less than 0.5"
		out.Reasons = []string{"min_gain: gain over the base: 0.23, less than 0.5"}
	}
	return out
}

func TestAPromotionEndsWithItsDecision(t *testing.T) {
	for name, c := range map[string]struct{ gates, decision, status, stage, details string }{
		"promoted": {`{}`, schemas.DecisionPromoted, schemas.StatusDone, "promote", "promoted as version 1"},
		"refused":  {`{"min_gain":0.5}`, schemas.DecisionRefused, schemas.StatusRefused, "promote/min_gain", "| min_gain | **failed** | gain over the base: 0.23, less than 0.5 |"},
	} {
		t.Run(name, func(t *testing.T) {
			var env *testsuite.TestWorkflowEnvironment
			tr := try(t, newWorld(1, nil), PromoteModelName, object("%s", strings.TrimSuffix(promoteInput, "}")+`,"gates":`+c.gates+`}`),
				func(e *testsuite.TestWorkflowEnvironment) { env = e })
			var got schemas.PromoteResult
			tr.get(&got)
			if got.Decision != c.decision || (got.Version == 0) != (len(got.Reasons) > 0) {
				t.Errorf("got %+v", got)
			}
			if a := tr.seen.attributes[PromoteModelName]; a["RpoStatus"] != c.status || a["RpoStage"] != c.stage || a["RpoModel"] != "tiny" || a["RpoScore"] != 0.84 {
				t.Errorf("search attributes %v", a)
			}
			var status schemas.PromoteStatus
			v, err := env.QueryWorkflow(QueryStatus)
			if err == nil {
				err = v.Get(&status)
			}
			if err != nil || status.Status != c.status || !strings.Contains(promotionDetails(status), c.details) {
				t.Errorf("status %+v, %v; details %s", status, err, promotionDetails(status))
			}
			in := tr.seen.activities[0].args[0].(promote.Input)
			if in.By.WorkflowID != "default-test-workflow-id" || in.By.At == "" || in.Gates.MinVerdicts != 100 || in.Gates.MaxMalformed != 0.05 {
				t.Errorf("the activity was given %+v", in)
			}
		})
	}
}

func TestACancelledPromotionEndsCancelled(t *testing.T) {
	w := newWorld(1, nil)
	var env *testsuite.TestWorkflowEnvironment
	w.hold = map[string]func(){promoteModel: func() { env.CancelWorkflow() }}
	tr := try(t, w, PromoteModelName, object(promoteInput), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	if !temporal.IsCanceledError(tr.err) || tr.seen.attributes[PromoteModelName]["RpoStatus"] != schemas.StatusCanceled {
		t.Errorf("got %v, attributes %v", tr.err, tr.seen.attributes)
	}
}

func TestAMistakenPromotionIsRefusedByItsFieldsPath(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                            `field "name"`,
		`{"name":"a"}`:                  `field "model": is required`,
		`{"name":"a","model":"s3://m"}`: `field "evaluation": is required`,
		`{"name":"a/b","model":"s3://m","evaluation":"s3://e"}`:                           `field "name"`,
		`{"name":"a","model":"s3://m","evaluation":"s3://e","gates":{"min_gain":2}}`:      `field "gates.min_gain"`,
		`{"name":"a","model":"s3://m","evaluation":"s3://e","gates":{"min_gian":0.1}}`:    `unknown field "gates.min_gian"`,
		`{"name":"a","model":"s3://m","evaluation":"s3://e","gates":{"max_malformed":2}}`: `field "gates.max_malformed"`,
		`{"name":"a","model":"s3://m","restore":2}`:                                       `field "restore"`,
		`{"name":"a","restore":-2}`:                                                       `field "restore"`,
	} {
		if e := try(t, newWorld(1, nil), PromoteModelName, object("%s", in)).failure(); e.Type() != "InvalidInput" || !strings.Contains(e.Message(), want) {
			t.Errorf("%s: got %s: %s, want %s", in, e.Type(), e.Message(), want)
		}
	}
}

func TestAPipelineEndsWithAPromotionIfAskedTo(t *testing.T) {
	for name, c := range map[string]struct {
		gates, status string
		want          schemas.Promotion
	}{
		"promoted": {`{}`, schemas.StatusDone, schemas.Promotion{Decision: schemas.DecisionPromoted, Name: "tiny", Version: 1}},
		"refused":  {`{"min_gain":0.5}`, schemas.StatusRefused, schemas.Promotion{Decision: schemas.DecisionRefused, Name: "tiny", Reasons: []string{"min_gain: gain over the base: 0.23, less than 0.5"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var env *testsuite.TestWorkflowEnvironment
			tr := try(t, newWorld(2, nil), RunPipelineName, object("%s", strings.TrimSuffix(pipelineInput, "}")+`,"promote":"tiny","gates":`+c.gates+`}`),
				func(e *testsuite.TestWorkflowEnvironment) { env = e })
			var got schemas.Summary
			tr.get(&got)
			if got.Promotion == nil || !reflect.DeepEqual(*got.Promotion, c.want) {
				t.Errorf("got %+v", got.Promotion)
			}
			s := pipelineStatus(t, env)
			last := s.Stages[len(s.Stages)-1]
			if s.Status != schemas.StatusDone || last.Stage != "promote" || last.Status != c.status || last.WorkflowID != "default-test-workflow-id/promote" {
				t.Errorf("status %+v", s)
			}
			for _, call := range tr.seen.activities {
				if in, ok := call.args[0].(promote.Input); ok && (in.Model != got.Model || in.Evaluation != "s3://rpo/manifests/evaluate.json" || in.Dataset != "default") {
					t.Errorf("promoted with %+v", in)
				}
			}
		})
	}
}

func TestAPipelineRefusesGatesWithoutAModelToPromoteTo(t *testing.T) {
	if e := try(t, newWorld(1, nil), RunPipelineName, object(`{"profiles":"s3://rpo/p","gates":{"min_gain":0.5}}`)).failure(); !strings.Contains(e.Message(), `field "gates"`) {
		t.Errorf("got %s", e.Message())
	}
}
