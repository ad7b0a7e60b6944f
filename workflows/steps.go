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
	return stage{
		name: "sample", activity: sampleShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: 1,
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			model, err := describe(ctx, in.Endpoint, in.Model, "")
			return struct {
				schemas.SampleOptions
				Identity string `json:"identity"`
			}{in.SampleOptions, model}, err
		},
		input: func(s store.Shard) any { return sample.ShardInput{Shard: s, SampleOptions: in.SampleOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, SampleResponsesName, in)
		},
	}.run(ctx, in.StageInput)
}

// JudgeResponses judges the responses of a manifest.
func JudgeResponses(ctx workflow.Context, in schemas.JudgeResponsesInput) (schemas.StageResult, error) {
	var calls int64
	if in.JudgeEndpoint != "" {
		calls = 1
	}
	return stage{
		name: "judge", activity: judgeShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: calls,
		needs: []string{schemas.TableTurn, schemas.TableResponse},
		config: func() (any, error) {
			model, err := describe(ctx, in.JudgeEndpoint, in.JudgeModel, "")
			return struct {
				schemas.JudgeOptions
				Identity string   `json:"identity"`
				Versions []string `json:"versions"`
			}{in.JudgeOptions, model, append([]string{judge.PromptVersion}, ruleVersions()...)}, err
		},
		input: func(s store.Shard) any { return judge.ShardInput{Shard: s, JudgeOptions: in.JudgeOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, JudgeResponsesName, in)
		},
	}.run(ctx, in.StageInput)
}

// ReverseConstraints makes the opposites of the constraints of a manifest.
func ReverseConstraints(ctx workflow.Context, in schemas.ReverseConstraintsInput) (schemas.StageResult, error) {
	var calls int64
	if in.ReverseEndpoint != "" {
		calls = 2 // each opposite is checked by a second one
	}
	return stage{
		name: "reverse", activity: reverseShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: calls,
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			model, err := describe(ctx, in.ReverseEndpoint, in.ReverseModel, "")
			return struct {
				schemas.ReverseOptions
				Identity string   `json:"identity"`
				Versions []string `json:"versions"`
			}{in.ReverseOptions, model, append([]string{reverse.PromptVersion}, ruleVersions()...)}, err
		},
		input: func(s store.Shard) any { return reverse.ShardInput{Shard: s, ReverseOptions: in.ReverseOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, ReverseConstraintsName, in)
		},
	}.run(ctx, in.StageInput)
}

// BuildPairs builds training pairs and publishes them as a version of a data set.
func BuildPairs(ctx workflow.Context, in schemas.BuildPairsInput) (schemas.PairResult, error) {
	var out schemas.PairResult
	done, err := stage{
		name: "pair", activity: pairShard, queue: QueueIO, split: schemas.SplitTrain,
		needs: []string{schemas.TableTurn, schemas.TableResponse, schemas.TableVerdict, schemas.TableOpposite},
		config: func() (any, error) {
			return struct {
				MinMargin int      `json:"min_margin"`
				Versions  []string `json:"versions"`
			}{in.MinMargin, ruleVersions()}, nil
		},
		input: func(s store.Shard) any { return pair.ShardInput{Shard: s, PairOptions: in.PairOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, BuildPairsName, in)
		},
		then: func(done schemas.StageResult) error {
			return workflow.ExecuteActivity(withRecords(ctx, "publish a version of "+in.Dataset), publishVersion,
				pair.PublishInput{Dataset: in.Dataset, Manifest: done.Manifest}).Get(ctx, &out)
		},
	}.run(ctx, in.StageInput)
	out.StageResult = done
	return out, err
}

// ComputeReference computes the reference log-probabilities of a manifest's pairs.
func ComputeReference(ctx workflow.Context, in schemas.ComputeReferenceInput) (schemas.StageResult, error) {
	return gang[schemas.StageResult]{
		name: "reference", activity: referencePairs, base: in.BaseModel, precision: in.Precision, needs: []string{schemas.TablePair},
		config: struct {
			MaxLength int `json:"max_length"`
		}{in.MaxLength},
		input: func(o store.OpenStageResult, precision string) any {
			in.Precision = precision
			return reference.Input{Job: o.Job, ConfigHash: o.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}
		},
	}.run(ctx, in.StageInput)
}

// TrainModel trains a model on a manifest of pairs and reference values.
func TrainModel(ctx workflow.Context, in schemas.TrainModelInput) (schemas.TrainResult, error) {
	needs := []string{schemas.TablePair, schemas.TableReference}
	if in.Loss == "sft" {
		needs = needs[:1]
	}
	return gang[schemas.TrainResult]{
		name: "train", activity: trainPolicy, base: in.BaseModel, precision: in.Precision, needs: needs, config: recipe(in.TrainOptions),
		input: func(o store.OpenStageResult, precision string) any {
			in.Precision = precision
			return train.Input{Job: o.Job, ConfigHash: o.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}
		},
	}.run(ctx, in.StageInput)
}

// EvaluateModel compares a trained model with its base on the evaluation turns
// of a manifest.
func EvaluateModel(ctx workflow.Context, in schemas.EvaluateModelInput) (schemas.EvaluationResult, error) {
	var out schemas.EvaluationResult
	in.Responses = in.EvalResponses
	done, err := stage{
		// The first arm's samples stand for those of both.
		name: "evaluate", activity: evaluateShard, queue: QueueLLM, split: schemas.SplitEval, callsPerRow: 2,
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			identities := make([]string, 3)
			for i, d := range []chat.DescribeModelInput{
				{Endpoint: in.Endpoint, Model: in.Model},
				{Endpoint: in.Endpoint, Model: in.TrainedModel},
				{Endpoint: in.JudgeEndpoint, Model: in.JudgeModel},
			} {
				var err error
				if identities[i], err = describe(ctx, d.Endpoint, d.Model, ""); err != nil {
					return nil, err
				}
			}
			return struct {
				schemas.SampleOptions
				schemas.JudgeOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.SampleOptions, in.JudgeOptions, identities, append([]string{judge.PromptVersion}, ruleVersions()...)}, nil
		},
		input: func(s store.Shard) any {
			return evaluate.ShardInput{Shard: s, SampleOptions: in.SampleOptions, JudgeOptions: in.JudgeOptions, TrainedModel: in.TrainedModel}
		},
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, EvaluateModelName, in)
		},
		then: func(done schemas.StageResult) error {
			err := workflow.ExecuteActivity(withRecords(ctx, "compare base and trained"), compareArms, done.Manifest).Get(ctx, &out)
			if err != nil {
				return err
			}
			return workflow.UpsertTypedSearchAttributes(ctx, AttributeScore.ValueSet(out.Trained))
		},
	}.run(ctx, in.StageInput)
	out.StageResult = done
	return out, err
}

// describe checks an endpoint and returns its model's identity, "" for none.
// evaluates, if not "", demands that it can load models trained from that base.
func describe(ctx workflow.Context, endpoint, model, evaluates string) (identity string, err error) {
	if endpoint == "" {
		return "", nil
	}
	err = workflow.ExecuteActivity(withProbe(ctx, QueueLLM, "check endpoint "+endpoint), describeModel,
		chat.DescribeModelInput{Endpoint: endpoint, Model: model, Evaluates: evaluates}).Get(ctx, &identity)
	return identity, err
}

// ruleVersions are the versions of all rule profiles: a verdict depends on them.
func ruleVersions() []string {
	return []string{rules.Version("rpo"), rules.Version("ifeval"), rules.Version("multi_if")}
}

// recipe is what of the options determines a trained model. The precision is the
// node's to resolve.
func recipe(o schemas.TrainOptions) schemas.TrainOptions {
	o = o.Recipe()
	o.Precision = ""
	return o
}
