package workflows

import (
	"go.temporal.io/sdk/workflow"

	"rpo/activities/chat"
	"rpo/activities/evaluate"
	"rpo/activities/judge"
	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// BuildPairs builds training pairs and publishes them as a version of a data set.
func BuildPairs(ctx workflow.Context, in schemas.BuildPairsInput) (schemas.PairResult, error) {
	identities := map[string]string{}
	var out schemas.PairResult
	queue, calls := QueueIO, int64(0)
	if in.CheckOpposites {
		queue, calls = QueueLLM, 1
	}
	done, err := stage{
		identities: identities,
		name:       "pair", activity: pairShard, queue: queue, split: schemas.SplitTrain, callsPerRow: calls,
		needs: []string{schemas.TableTurn, schemas.TableResponse, schemas.TableVerdict, schemas.TableOpposite},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, chat.DescribeModelInput{Endpoint: in.OppositeJudgeEndpoint, Model: in.OppositeJudgeModel})
			return struct {
				schemas.PairOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.PairOptions.Recipe(), models, append(judge.PromptVersions(), ruleVersions()...)}, err
		},
		input:    func(s store.Shard) any { return pair.ShardInput{Shard: s, PairOptions: in.PairOptions} },
		endpoint: func(endpoint, model string) { in.OppositeJudgeEndpoint, in.OppositeJudgeModel = endpoint, model },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, BuildPairsName, in)
		},
		then: func(done schemas.StageResult) error {
			return workflow.ExecuteActivity(withRecords(ctx, "publish a version of "+in.Dataset), publishVersion,
				pair.PublishInput{Dataset: in.Dataset, Manifest: done.Manifest, Extends: in.Extends}).Get(ctx, &out)
		},
	}.run(ctx, in.StageInput)
	out.StageResult = done
	return out, err
}

// EvaluateModel compares a trained model with its base on the evaluation turns
// of a manifest.
func EvaluateModel(ctx workflow.Context, in schemas.EvaluateModelInput) (schemas.EvaluationResult, error) {
	identities := map[string]string{}
	var out schemas.EvaluationResult
	in.Responses = in.EvalResponses
	done, err := stage{
		identities: identities,
		// The first arm's samples stand for those of both.
		name: "evaluate", activity: evaluateShard, queue: QueueLLM, split: schemas.SplitEval, callsPerRow: 2,
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, append(judges(in.JudgeOptions),
				chat.DescribeModelInput{Endpoint: in.Endpoint, Model: in.Model},
				chat.DescribeModelInput{Endpoint: in.Endpoint, Model: in.TrainedModel})...)
			return struct {
				schemas.SampleOptions
				schemas.JudgeOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.SampleOptions, in.JudgeOptions, models, append(judge.PromptVersions(), ruleVersions()...)}, err
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
	stages := []schemas.StageResult{done}
	fit(stages, func() any { out.StageResult = stages[0]; return out })
	out.StageResult = stages[0]
	return out, err
}
