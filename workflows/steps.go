package workflows

import (
	"go.temporal.io/sdk/workflow"

	"rpo/activities/chat"
	"rpo/activities/evaluate"
	"rpo/activities/judge"
	"rpo/activities/judge/rules"
	"rpo/activities/pair"
	"rpo/activities/reference"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// SampleResponses samples the policy's responses to the training turns of a
// manifest.
func SampleResponses(ctx workflow.Context, in schemas.SampleResponsesInput) (schemas.StageResult, error) {
	model, err := describe(ctx, in.Endpoint, in.Model, false)
	if err != nil {
		return schemas.StageResult{}, err
	}
	return stage{
		name: "sample", activity: sampleShard, queue: QueueLLM, split: schemas.SplitTrain,
		config: struct {
			schemas.SampleOptions
			Identity string `json:"identity"`
		}{in.SampleOptions, model},
		input: func(s store.Shard) any { return sample.ShardInput{Shard: s, SampleOptions: in.SampleOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, SampleResponsesName, in)
		},
	}.run(ctx, in.StageInput)
}

// JudgeResponses judges the responses of a manifest.
func JudgeResponses(ctx workflow.Context, in schemas.JudgeResponsesInput) (schemas.StageResult, error) {
	model, err := describe(ctx, in.JudgeEndpoint, in.JudgeModel, false)
	if err != nil {
		return schemas.StageResult{}, err
	}
	return stage{
		name: "judge", activity: judgeShard, queue: QueueLLM, split: schemas.SplitTrain,
		config: struct {
			schemas.JudgeOptions
			Identity string   `json:"identity"`
			Versions []string `json:"versions"`
		}{in.JudgeOptions, model, []string{judge.PromptVersion, rules.Version("rpo"), rules.Version("ifeval")}},
		input: func(s store.Shard) any { return judge.ShardInput{Shard: s, JudgeOptions: in.JudgeOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, JudgeResponsesName, in)
		},
	}.run(ctx, in.StageInput)
}

// ReverseConstraints makes the opposites of the constraints of a manifest.
func ReverseConstraints(ctx workflow.Context, in schemas.ReverseConstraintsInput) (schemas.StageResult, error) {
	model, err := describe(ctx, in.ReverseEndpoint, in.ReverseModel, false)
	if err != nil {
		return schemas.StageResult{}, err
	}
	return stage{
		name: "reverse", activity: reverseShard, queue: QueueLLM, split: schemas.SplitTrain,
		config: struct {
			schemas.ReverseOptions
			Identity string   `json:"identity"`
			Versions []string `json:"versions"`
		}{in.ReverseOptions, model, []string{reverse.PromptVersion, rules.Version("rpo"), rules.Version("ifeval")}},
		input: func(s store.Shard) any { return reverse.ShardInput{Shard: s, ReverseOptions: in.ReverseOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, ReverseConstraintsName, in)
		},
	}.run(ctx, in.StageInput)
}

// BuildPairs builds training pairs and publishes them as a version of a data set.
func BuildPairs(ctx workflow.Context, in schemas.BuildPairsInput) (schemas.PairResult, error) {
	done, err := stage{
		name: "pair", activity: pairShard, queue: QueueIO, split: schemas.SplitTrain,
		config: struct {
			MinMargin int `json:"min_margin"`
		}{in.MinMargin},
		input: func(s store.Shard) any { return pair.ShardInput{Shard: s, PairOptions: in.PairOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, BuildPairsName, in)
		},
	}.run(ctx, in.StageInput)
	if err != nil {
		return schemas.PairResult{}, err
	}
	var out schemas.PairResult
	err = workflow.ExecuteActivity(withRecords(ctx, "publish a version of "+in.Dataset), publishVersion,
		pair.PublishInput{Dataset: in.Dataset, Manifest: done.Manifest}).Get(ctx, &out)
	out.StageResult = done
	return out, err
}

// ComputeReference computes the reference log-probabilities of a manifest's pairs.
func ComputeReference(ctx workflow.Context, in schemas.ComputeReferenceInput) (schemas.StageResult, error) {
	var out schemas.StageResult
	opened, err := openGang(ctx, "reference", in.StageInput, in.BaseModel, struct {
		MaxLength int    `json:"max_length"`
		Precision string `json:"precision"`
	}{in.MaxLength, in.Precision})
	if err != nil {
		return out, err
	}
	err = workflow.ExecuteActivity(withGang(ctx, "reference log-probabilities", in.RunOptions), referencePairs,
		reference.Input{Job: opened.Job, ConfigHash: opened.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}).Get(ctx, &out)
	return out, err
}

// TrainModel trains a model on a manifest of pairs and reference values.
func TrainModel(ctx workflow.Context, in schemas.TrainModelInput) (schemas.TrainResult, error) {
	var out schemas.TrainResult
	opened, err := openGang(ctx, "train", in.StageInput, in.BaseModel, in.TrainOptions)
	if err != nil {
		return out, err
	}
	err = workflow.ExecuteActivity(withGang(ctx, "train "+in.BaseModel+" with "+in.Loss, in.RunOptions), trainPolicy,
		train.Input{Job: opened.Job, ConfigHash: opened.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}).Get(ctx, &out)
	return out, err
}

// openGang derives the job of a stage that is one process, from its
// configuration, its input and the content of the base model.
func openGang(ctx workflow.Context, name string, in schemas.StageInput, base string, config any) (store.OpenStageResult, error) {
	var opened store.OpenStageResult
	var identity string
	err := workflow.ExecuteActivity(withProbe(ctx, QueueGPU, "look at model "+base), describeBase, base).Get(ctx, &identity)
	if err != nil {
		return opened, err
	}
	err = workflow.ExecuteActivity(withRecords(ctx, "open stage "+name), openStage, store.OpenStageInput{
		Stage: name, Manifest: in.Manifest, Split: schemas.SplitTrain, Generation: in.Generation,
		Config: struct {
			Options  any    `json:"options"`
			Identity string `json:"identity"`
		}{config, identity},
	}).Get(ctx, &opened)
	if err != nil {
		return opened, err
	}
	workflow.SetCurrentDetails(ctx, "**"+name+"**: job `"+opened.Job+"` on `"+base+"`")
	return opened, workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(name), AttributeJob.ValueSet(opened.Job), AttributeModel.ValueSet(base))
}

// EvaluateModel compares a trained model with its base on the evaluation turns
// of a manifest.
func EvaluateModel(ctx workflow.Context, in schemas.EvaluateModelInput) (schemas.EvaluationResult, error) {
	var out schemas.EvaluationResult
	in.Responses = in.EvalResponses
	identities := make([]string, 3)
	for i, d := range []chat.DescribeModelInput{
		{Endpoint: in.Endpoint, Model: in.Model},
		{Endpoint: in.Endpoint, Model: in.TrainedModel},
		{Endpoint: in.JudgeEndpoint, Model: in.JudgeModel},
	} {
		var err error
		if identities[i], err = describe(ctx, d.Endpoint, d.Model, false); err != nil {
			return out, err
		}
	}
	done, err := stage{
		name: "evaluate", activity: evaluateShard, queue: QueueLLM, split: schemas.SplitEval,
		config: struct {
			schemas.SampleOptions
			schemas.JudgeOptions
			Identities []string `json:"identities"`
			Versions   []string `json:"versions"`
		}{in.SampleOptions, in.JudgeOptions, identities, []string{judge.PromptVersion, rules.Version("rpo"), rules.Version("ifeval")}},
		input: func(s store.Shard) any {
			return evaluate.ShardInput{Shard: s, SampleOptions: in.SampleOptions, JudgeOptions: in.JudgeOptions, TrainedModel: in.TrainedModel}
		},
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, EvaluateModelName, in)
		},
	}.run(ctx, in.StageInput)
	if err != nil {
		return out, err
	}
	err = workflow.ExecuteActivity(withRecords(ctx, "compare base and trained"), compareArms, done.Manifest).Get(ctx, &out)
	if err != nil {
		return out, err
	}
	out.StageResult = done
	return out, workflow.UpsertTypedSearchAttributes(ctx, AttributeScore.ValueSet(out.Trained))
}

// describe checks an endpoint and returns its model's identity, "" for none.
// loads demands that it can load trained models.
func describe(ctx workflow.Context, endpoint, model string, loads bool) (identity string, err error) {
	if endpoint == "" {
		return "", nil
	}
	err = workflow.ExecuteActivity(withProbe(ctx, QueueLLM, "check endpoint "+endpoint), describeModel,
		chat.DescribeModelInput{Endpoint: endpoint, Model: model, Loads: loads}).Get(ctx, &identity)
	return identity, err
}
