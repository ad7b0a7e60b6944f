package workflows

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/evaluate"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
)

const pipelineInput = `{"profiles":"s3://rpo/profiles","judge_endpoint":"judge","reverse_endpoint":"judge","judge_model":"j"}`

func pipelineStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) (s schemas.PipelineStatus) {
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

func TestAPipelineRunsItsStagesInOrderAndSumsThemUp(t *testing.T) {
	w := newWorld(4, nil)
	w.commit("sample", 0, 1)
	var status schemas.PipelineStatus
	var env *testsuite.TestWorkflowEnvironment
	tr := try(t, w, RunPipelineName, object(pipelineInput), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	var got schemas.Summary
	tr.get(&got)
	status = pipelineStatus(t, env)

	accuracy := 0.75
	want := schemas.Summary{
		Dialogues: 40, Responses: 140, Verdicts: 420, Quarantined: 4*5 + 2 + 5,
		Pairs: 42, PairsByG: map[string]int64{"1": 12, "2": 20, "3": 10},
		TrainSteps: 12, LossFirst: 0.77096, LossLast: 0.5, RewardAccuracy: &accuracy,
		BaseSatisfaction: 0.61, TrainedSatisfaction: 0.84, EvalVerdicts: 300, EvalProfiles: 24,
		Difference: 0.23, DifferenceCI95: [2]float64{0.18, 0.28},
		Dataset: "default", DatasetHash: fmt.Sprintf("%064d", 7), DatasetVersion: 3,
		Report: "s3://rpo/reports/default-test-workflow-id", Card: "s3://rpo/card", Model: "s3://rpo/models/1",
		Families: got.Families, Stages: got.Stages,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(got.Families) != 25 {
		t.Errorf("%d families", len(got.Families))
	}
	var stages []string
	for _, s := range got.Stages {
		stages = append(stages, s.Stage)
	}
	if !slices.Equal(stages, pipelineStages) || got.Stages[0].Reused != 2 {
		t.Errorf("stages %v, %d shards of the first reused, want %v and 2", stages, got.Stages[0].Reused, pipelineStages)
	}
	if status.Status != schemas.StatusDone || len(status.Stages) != len(pipelineStages) {
		t.Errorf("status %+v", status)
	}
	for i, s := range status.Stages {
		want := schemas.PipelineStage{Stage: pipelineStages[i], Status: schemas.StatusDone, WorkflowID: "default-test-workflow-id/" + pipelineStages[i]}
		want.Shards, want.Tokens, want.Cost = got.Stages[i].Shards, got.Stages[i].Tokens(), got.Stages[i].Cost
		want.Began, want.Ended = s.Began, s.Ended
		if s != want || s.Began == "" || s.Ended < s.Began {
			t.Errorf("status of a stage %+v, want %+v", s, want)
		}
	}
	if a := tr.seen.attributes[RunPipelineName]; a["RpoStatus"] != "Done" || a["RpoDataset"] != "default" {
		t.Errorf("search attributes %v", a)
	}
	if a := tr.seen.attributes[EvaluateModelName]; a["RpoScore"] != 0.84 {
		t.Errorf("search attributes of the evaluation %v", a)
	}
}

func TestEachStageOfAPipelineStartsFromWhatTheOneBeforeMade(t *testing.T) {
	w := newWorld(2, nil)
	tr := try(t, w, RunPipelineName, object(pipelineInput))
	tr.get(&schemas.Summary{})
	want := map[string]string{"sample": "s3://rpo/profiles", "judge": "sample", "reverse": "judge", "pair": "reverse",
		"reference": "pair", "train": "reference", "evaluate": "s3://rpo/profiles"}
	opened := 0
	for _, c := range tr.seen.activities {
		switch in := c.args[0].(type) {
		case sample.ShardInput:
			if in.Responses != 5 {
				t.Errorf("sampled %d responses", in.Responses)
			}
		case evaluate.ShardInput:
			if in.Responses != 2 || in.TrainedModel != "s3://rpo/models/1" {
				t.Errorf("evaluated %d responses of %s", in.Responses, in.TrainedModel)
			}
		}
		if c.name != openStage {
			continue
		}
		in := c.args[0].(store.OpenStageInput)
		if in.Stage == "pipeline" { // the look for both splits
			continue
		}
		opened++
		from := want[in.Stage]
		if !strings.HasPrefix(from, "s3://") {
			from = "s3://rpo/manifests/" + from + ".json"
		}
		split := schemas.SplitTrain
		if in.Stage == "evaluate" {
			split = schemas.SplitEval
		}
		if in.Manifest != from || in.Split != split {
			t.Errorf("stage %s read %s of split %s, want %s of %s", in.Stage, in.Manifest, in.Split, from, split)
		}
	}
	if opened != len(want) {
		t.Errorf("opened %d stages", opened)
	}
	for _, o := range tr.seen.children {
		if o.TaskQueue != QueueWorkflows || !o.WaitForCancellation || o.RetryPolicy != nil || o.WorkflowExecutionTimeout != 0 || o.StaticSummary == "" {
			t.Errorf("options of child %s: %+v", o.WorkflowID, o)
		}
	}
}

func TestAPipelineFailsWithTheInnermostMessageOfTheStageThatFailed(t *testing.T) {
	of := map[string]string{"sample": listShards, "pair": publishVersion, "reference": referencePairs, "train": trainPolicy, "evaluate": compareArms}
	for stage, name := range of {
		t.Run(stage, func(t *testing.T) {
			w := newWorld(2, nil)
			w.fails = map[string]error{name: schemas.Errorf(schemas.CorruptData, "object 42 is broken")}
			var env *testsuite.TestWorkflowEnvironment
			tr := try(t, w, RunPipelineName, object(pipelineInput), func(e *testsuite.TestWorkflowEnvironment) {
				env = e
				if stage == "reference" || stage == "train" { // they park
					later(e, 1, func() { e.SignalWorkflowByID("default-test-workflow-id/"+stage, UpdateStop, nil) })
				}
			})
			if e := tr.failure(); e.Type() != "CorruptData" || e.Message() != "object 42 is broken" {
				t.Errorf("got %s: %s", e.Type(), e.Message())
			}
			if !strings.Contains(tr.err.Error(), "object 42 is broken") {
				t.Errorf("the failure %v does not show its cause", tr.err)
			}
			s := pipelineStatus(t, env)
			if s.Status != schemas.StatusFailed {
				t.Errorf("status %s", s.Status)
			}
			failed := slices.Index(pipelineStages, stage)
			for i, got := range s.Stages {
				want := schemas.StatusDone
				if i == failed {
					want = schemas.StatusFailed
				} else if i > failed {
					want = schemas.StatusPending
				}
				if got.Status != want {
					t.Errorf("stage %s is %s, want %s", got.Stage, got.Status, want)
				}
			}
			if w.calls[writeReport] != 0 {
				t.Error("a failed pipeline wrote a report")
			}
		})
	}
}

func TestAPipelineChecksAllEndpointsBeforeItWritesAnything(t *testing.T) {
	w := newWorld(2, nil)
	w.fails = map[string]error{describeModel: schemas.Errorf(schemas.InvalidInput, "endpoint policy is not in the configuration")}
	tr := try(t, w, RunPipelineName, object(pipelineInput))
	if e := tr.failure(); e.Message() != "endpoint policy is not in the configuration" {
		t.Errorf("got %s", e.Message())
	}
	if len(w.calls) != 1 {
		t.Errorf("calls %v, want none but the check", w.calls)
	}
}

func TestAPipelineLooksForBothSplitsBeforeItSamples(t *testing.T) {
	w := newWorld(2, nil)
	w.fails = map[string]error{openStage: schemas.Errorf(schemas.InvalidInput, "manifest m has no profiles of split eval")}
	tr := try(t, w, RunPipelineName, object(pipelineInput))
	if e := tr.failure(); e.Message() != "manifest m has no profiles of split eval" {
		t.Errorf("got %s", e.Message())
	}
	for _, c := range tr.seen.activities {
		if c.name == listShards || c.name == sampleShard {
			t.Errorf("%s was started all the same", c.name)
		}
	}
}

func TestAPipelineRefusesToCompareUnrelatedModels(t *testing.T) {
	w := newWorld(3, nil)
	tr := try(t, w, RunPipelineName, object(`{"profiles":"m","eval_endpoint":"unrelated"}`))
	failure := tr.failure()
	if failure.Type() != string(schemas.InvalidInput) || !strings.Contains(failure.Message(), `field "eval_endpoint"`) {
		t.Errorf("failure %v", failure)
	}
	for _, c := range tr.seen.activities {
		if c.name == openStage {
			t.Error("the profiles were read all the same")
		}
	}
}

func TestACancelledPipelineCancelsItsRunningStage(t *testing.T) {
	for _, name := range []string{judgeShard, trainPolicy} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(3, nil)
			held := make(chan struct{})
			defer close(held)
			var cancelled []string
			var env *testsuite.TestWorkflowEnvironment
			w.hold = map[string]func(){name: func() {
				env.CancelWorkflow()
				<-held
			}}
			tr := try(t, w, RunPipelineName, object(pipelineInput), func(e *testsuite.TestWorkflowEnvironment) {
				env = e
				e.SetOnChildWorkflowCanceledListener(func(i *workflow.Info) { cancelled = append(cancelled, i.WorkflowType.Name) })
				e.SetOnChildWorkflowCompletedListener(func(i *workflow.Info, _ converter.EncodedValue, err error) {
					if temporal.IsCanceledError(err) {
						cancelled = append(cancelled, i.WorkflowType.Name)
					}
				})
			})
			if !temporal.IsCanceledError(tr.err) {
				t.Errorf("got %v, want a cancelled workflow", tr.err)
			}
			want := map[string]string{judgeShard: JudgeResponsesName, trainPolicy: TrainModelName}[name]
			if !slices.Contains(cancelled, want) {
				t.Errorf("cancelled children %v, want %s", cancelled, want)
			}
			for _, workflow := range []string{want, RunPipelineName} {
				if got := tr.seen.attributes[workflow]["RpoStatus"]; got != schemas.StatusCanceled {
					t.Errorf("search attribute of %s: %v, want Canceled", workflow, got)
				}
			}
			s := pipelineStatus(t, env)
			i := slices.IndexFunc(s.Stages, func(s schemas.PipelineStage) bool { return s.Status == schemas.StatusCanceled })
			if s.Status != schemas.StatusCanceled || i < 0 || !strings.HasSuffix(s.Stages[i].WorkflowID, map[string]string{judgeShard: "/judge", trainPolicy: "/train"}[name]) {
				t.Errorf("status of the pipeline %+v, want it and its stage Canceled", s)
			}
		})
	}
}

func TestAStageThatIsOneProcessShowsItsStatus(t *testing.T) {
	for name, stage := range map[string]string{ComputeReferenceName: "reference", TrainModelName: "train"} {
		for _, fails := range []bool{false, true} {
			w := newWorld(2, nil)
			want := schemas.StageStatus{Stage: stage, Status: schemas.StatusDone, Job: jobOf(stage), Began: "2026-11-23T17:00:00Z"}
			if fails {
				w.fails = map[string]error{referencePairs: invalid, trainPolicy: invalid}
				want.Status = schemas.StatusFailed
			}
			var env *testsuite.TestWorkflowEnvironment
			tr := try(t, w, name, object(`{"manifest":"m"}`), func(e *testsuite.TestWorkflowEnvironment) {
				env = e
				env.SetStartTime(time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC))
			})
			if got := statusOf(t, env); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: status %+v, want %+v", name, got, want)
			}
			a := tr.seen.attributes[name]
			if a["RpoStage"] != stage || a["RpoStatus"] != want.Status || a["RpoJob"] != jobOf(stage) || a["RpoModel"] != "base" {
				t.Errorf("%s: search attributes %v", name, a)
			}
		}
	}
}
