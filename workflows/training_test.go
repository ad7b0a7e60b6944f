package workflows

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rpo/activities/reference"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// given are the arguments with which an activity was scheduled, in order.
func given[T any](tr *trial, name string) (all []T) {
	for _, c := range tr.seen.activities {
		if c.name == name {
			all = append(all, c.args[0].(T))
		}
	}
	return all
}

func TestATrainingIsPlannedBeforeAnythingIsOpened(t *testing.T) {
	w := newWorld(1, nil)
	tr := try(t, w, TrainModelName, object(`{"manifest":"m","processes":2}`))
	var out schemas.TrainResult
	tr.get(&out)
	if out.Plan == nil || out.Plan.Processes != 2 || *out.Plan.Hours != 1.5 || *out.Plan.Cost != 3 || out.Init != schemas.InitBase || out.PairsPerBatch != 0 {
		t.Errorf("result %+v", out)
	}
	if first := tr.seen.activities[0].name; first != planTraining {
		t.Errorf("the first activity is %s", first)
	}
	text := planned(*out.Plan)
	for _, part := range []string{"46.06 of 85.90 GB a process on NVIDIA H100", "activations 30.00, weights 16.06", "at most 20000", "1h30m0s", "40 %", "cost 3.00"} {
		if !strings.Contains(text, part) {
			t.Errorf("the details %q do not say %q", text, part)
		}
	}
	if strings.Contains(text, "gathered") {
		t.Errorf("the details %q name a class that takes nothing", text)
	}
}

func TestATrainingThatCannotFitIsRefusedWithItsNumbersAndNotTriedAgain(t *testing.T) {
	w := newWorld(1, nil)
	w.fails = map[string]error{planTraining: schemas.Errorf(schemas.OutOfMemory, "plan of base: a process would need 93.0 GB of 80.0 GB")}
	tr := try(t, w, TrainModelName, object(`{"manifest":"m"}`))
	e := tr.failure()
	if e.Type() != string(schemas.OutOfMemory) || !e.NonRetryable() || !strings.Contains(e.Message(), "93.0 GB of 80.0 GB") {
		t.Errorf("failure %v", e)
	}
	if w.calls[planTraining] != 1 || w.calls[openStage]+w.calls[trainPolicy] != 0 {
		t.Errorf("calls %v", w.calls)
	}
}

func TestAPipelineThatCannotTrainComputesNoReference(t *testing.T) {
	w := newWorld(3, nil)
	w.fails = map[string]error{planTraining: schemas.Errorf(schemas.OutOfMemory, "plan of base: a process would need 93.0 GB of 80.0 GB")}
	tr := try(t, w, RunPipelineName, object("%s", pipelineInput))
	if e := tr.failure(); e.Type() != string(schemas.OutOfMemory) || w.calls[referencePairs] != 0 || w.calls[publishVersion] != 1 {
		t.Errorf("%v after %d reference passes", e, w.calls[referencePairs])
	}
}

// outOfMemory makes the world's training run out of memory so many times.
func outOfMemory(w *world, times int) {
	w.hold = map[string]func(){trainPolicy: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fails, trainPolicy)
		if w.calls[trainPolicy] < times {
			w.fails = map[string]error{trainPolicy: schemas.Errorf(schemas.OutOfMemory, "train: tried to allocate 9 GiB")}
		}
	}}
}

func TestATrainingThatRunsOutOfMemoryGoesOnWithHalfAsTheSameJob(t *testing.T) {
	for _, tt := range []struct {
		input         string
		times         int
		pairs, tokens []int
	}{
		{`{"manifest":"m","pairs_per_batch":16}`, 2, []int{16, 8, 4}, []int{0, 0, 0}},
		{`{"manifest":"m","tokens_per_batch":1400}`, 2, []int{2, 2, 2}, []int{1400, 700, 512}},
	} {
		w := newWorld(1, nil)
		outOfMemory(w, tt.times)
		tr := try(t, w, TrainModelName, object("%s", tt.input))
		var out schemas.TrainResult
		tr.get(&out)
		var pairs, tokens []int
		jobs := map[string]bool{}
		for _, in := range given[train.Input](tr, trainPolicy) {
			pairs, tokens = append(pairs, in.PairsPerBatch), append(tokens, in.TokensPerBatch)
			jobs[in.Job+in.ConfigHash] = true
		}
		if !slices.Equal(pairs, tt.pairs) || !slices.Equal(tokens, tt.tokens) || len(jobs) != 1 {
			t.Errorf("%s: went on with %v pairs, %v tokens in jobs %v", tt.input, pairs, tokens, jobs)
		}
		if last := len(pairs) - 1; out.PairsPerBatch != pairs[last] || out.TokensPerBatch != tokens[last] {
			t.Errorf("%s: the result says %d pairs, %d tokens", tt.input, out.PairsPerBatch, out.TokensPerBatch)
		}
		if n := w.calls[openStage]; n != 1 {
			t.Errorf("%s: opened %d times", tt.input, n)
		}
	}
}

func TestATrainingThatRunsOutOfMemoryWithOnePairFails(t *testing.T) {
	w := newWorld(1, nil)
	outOfMemory(w, forever)
	tr := try(t, w, TrainModelName, object(`{"manifest":"m","pairs_per_batch":2}`))
	if e := tr.failure(); e.Type() != string(schemas.OutOfMemory) || w.calls[trainPolicy] != 2 {
		t.Errorf("%v after %d calls", e, w.calls[trainPolicy])
	}
}

func TestTheVersionThatARunStartsFromIsSettledOnce(t *testing.T) {
	for _, name := range []string{TrainModelName, ComputeReferenceName} {
		tr := try(t, newWorld(1, nil), name, object(`{"manifest":"m","init":"shop@latest"}`))
		if tr.err != nil {
			t.Fatal(tr.err)
		}
		if all := given[train.DescribeBaseInput](tr, describeBase); len(all) != 1 || all[0].Init != "shop@v3" {
			t.Errorf("%s looks at %+v", name, all)
		}
	}
	w := newWorld(3, nil)
	in := strings.Replace(pipelineInput, "{", `{"init":"shop",`, 1)
	in = strings.Replace(in, `"init":"shop"`, `"init":"shop@latest"`, 1)
	tr := try(t, w, RunPipelineName, object("%s", in))
	if tr.err != nil {
		t.Fatal(tr.err)
	}
	if asked := given[string](tr, resolveInit); asked[0] != "shop@latest" || slices.Contains(asked[1:], "shop@latest") {
		t.Errorf("asked for %v", asked)
	}
	if r, m := given[reference.Input](tr, referencePairs), given[train.Input](tr, trainPolicy); r[0].Init != "shop@v3" || m[0].Init != "shop@v3" {
		t.Errorf("the reference is of %s, the training of %s", r[0].Init, m[0].Init)
	}
}

func TestTheArmsOfAnExperimentStartFromWhatIsSettledBeforeTheFirst(t *testing.T) {
	w := newWorld(2, nil)
	tr := try(t, w, RunExperimentName, object("%s", strings.Replace(experimentInput, "{", `{"init":"shop@latest",`, 1)))
	if tr.err != nil {
		t.Fatal(tr.err)
	}
	for _, in := range given[train.Input](tr, trainPolicy) {
		if in.Init != "shop@v3" {
			t.Errorf("an arm starts from %s", in.Init)
		}
	}
	if asked := given[string](tr, resolveInit); slices.Contains(asked[strings.Count(experimentInput, `"name"`):], "shop@latest") {
		t.Errorf("asked for %v", asked)
	}
}

func TestARunFromTheBaseLooksUpNoModel(t *testing.T) {
	w := newWorld(3, nil)
	if tr := try(t, w, RunPipelineName, object("%s", pipelineInput)); tr.err != nil || w.calls[resolveInit] != 0 {
		t.Errorf("%v, %d look-ups", tr.err, w.calls[resolveInit])
	}
}

func TestPromptsAreComparedWhereAnEndpointIsNamed(t *testing.T) {
	for input, want := range map[string]int{
		`{"manifest":"m"}`: 0, `{"manifest":"m","policy_endpoint":"none"}`: 0,
		`{"manifest":"m","policy_endpoint":"vllm"}`: 1, `{"manifest":"m","policy_endpoint":"silent"}`: 1,
	} {
		w := newWorld(1, nil)
		tr := try(t, w, TrainModelName, object("%s", input))
		var out schemas.TrainResult
		tr.get(&out)
		if w.calls[checkRendering] != want || (out.PromptsCompared > 0) != strings.Contains(input, "vllm") {
			t.Errorf("%s: compared %d times, %d prompts", input, w.calls[checkRendering], out.PromptsCompared)
		}
	}
	w := newWorld(1, nil)
	w.fails = map[string]error{checkRendering: schemas.Errorf(schemas.InvalidInput, "rendered differently")}
	tr := try(t, w, TrainModelName, object(`{"manifest":"m","policy_endpoint":"vllm"}`))
	if e := tr.failure(); !strings.Contains(e.Message(), "rendered differently") || w.calls[trainPolicy] != 0 {
		t.Errorf("%v, %d trainings", e, w.calls[trainPolicy])
	}
	// A pipeline compares with the endpoint that samples.
	w = newWorld(3, nil)
	tr = try(t, w, RunPipelineName, object("%s", pipelineInput))
	if all := given[train.RenderingInput](tr, checkRendering); len(all) != 1 || all[0].PolicyEndpoint != "policy" {
		t.Errorf("a pipeline compares %+v", all)
	}
}

func TestSupervisedFineTuningNeedsNoReference(t *testing.T) {
	w := newWorld(1, nil)
	tr := try(t, w, ComputeReferenceName, object(`{"manifest":"m","loss":"sft"}`))
	var out schemas.StageResult
	tr.get(&out)
	if out.Manifest != "m" || len(tr.seen.activities) != 0 {
		t.Errorf("%+v after %d activities", out, len(tr.seen.activities))
	}
}

func TestTheReferenceIsAnotherJobForAnotherLoss(t *testing.T) {
	configs := map[string]bool{}
	for _, loss := range []string{"rpo", "dpo", "kto"} {
		w := newWorld(1, nil)
		tr := try(t, w, ComputeReferenceName, object(`{"manifest":"m","loss":%q}`, loss))
		if tr.err != nil {
			t.Fatal(tr.err)
		}
		configs[configOf(t, tr)] = true
	}
	if len(configs) != 3 {
		t.Errorf("configurations %v", configs)
	}
}

// configOf is the configuration with which a stage was opened.
func configOf(t *testing.T, tr *trial) string {
	t.Helper()
	data, err := json.Marshal(given[store.OpenStageInput](tr, openStage)[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
