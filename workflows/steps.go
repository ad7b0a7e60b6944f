package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/activities/judge/rules"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
)

// SampleResponses samples the policy's responses to the training turns of a
// manifest.
func SampleResponses(ctx workflow.Context, in schemas.SampleResponsesInput) (schemas.StageResult, error) {
	identities := map[string]string{}
	return stage{
		identities: identities,
		name:       "sample", activity: sampleShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: 1,
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, chat.DescribeModelInput{Endpoint: in.Endpoint, Model: in.Model})
			return struct {
				schemas.SampleOptions
				Identities []string `json:"identities"`
			}{in.SampleOptions, models}, err
		},
		input:    func(s store.Shard) any { return sample.ShardInput{Shard: s, SampleOptions: in.SampleOptions} },
		endpoint: func(endpoint, model string) { in.Endpoint, in.Model = endpoint, model },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, SampleResponsesName, in)
		},
	}.run(ctx, in.StageInput)
}

// JudgeResponses judges the responses of a manifest, and its judges if asked to.
func JudgeResponses(ctx workflow.Context, in schemas.JudgeResponsesInput) (schemas.JudgeResult, error) {
	identities := map[string]string{}
	var out schemas.JudgeResult
	done, err := stage{
		identities: identities,
		name:       "judge", activity: judgeShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: one(in.JudgeEndpoint),
		needs: []string{schemas.TableTurn, schemas.TableResponse},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, judges(in.JudgeOptions)...)
			return struct {
				schemas.JudgeOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.JudgeOptions, models, append(judge.PromptVersions(), ruleVersions()...)}, err
		},
		input:    func(s store.Shard) any { return judge.ShardInput{Shard: s, JudgeOptions: in.JudgeOptions} },
		endpoint: func(endpoint, model string) { in.JudgeEndpoint, in.JudgeModel = endpoint, model },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, JudgeResponsesName, in)
		},
		then: func(done schemas.StageResult) error {
			if !in.Calibrate {
				return nil
			}
			err := workflow.ExecuteActivity(withRecords(ctx, "compare the judge with the rules"), calibrateJudge, done.Manifest).Get(ctx, &out.Calibration)
			if err != nil {
				return err
			}
			// The families are in the report: together with failed shards they
			// would outgrow a payload.
			out.Calibration.Families = slices.DeleteFunc(out.Calibration.Families, func(f schemas.FamilyCalibration) bool { return f.Family != "" })
			return nil
		},
	}.run(ctx, in.StageInput)
	out.StageResult = done
	return out, err
}

func judges(o schemas.JudgeOptions) []chat.DescribeModelInput {
	return []chat.DescribeModelInput{
		{Endpoint: o.JudgeEndpoint, Model: o.JudgeModel},
		{Endpoint: o.SecondJudgeEndpoint, Model: o.SecondJudgeModel},
	}
}

// one is 1 if an endpoint is named, and 0 if no model is called.
func one(endpoint string) int64 {
	if endpoint == "" {
		return 0
	}
	return 1
}

// ReverseConstraints makes the opposites of the constraints of a manifest.
func ReverseConstraints(ctx workflow.Context, in schemas.ReverseConstraintsInput) (schemas.StageResult, error) {
	identities := map[string]string{}
	return stage{
		identities: identities,
		// Each opposite is checked by a second call.
		name: "reverse", activity: reverseShard, queue: QueueLLM, split: schemas.SplitTrain, callsPerRow: 2 * one(in.ReverseEndpoint),
		needs: []string{schemas.TableTurn},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, reversers(in.ReverseOptions)...)
			return struct {
				schemas.ReverseOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.ReverseOptions, models, append(reverse.PromptVersions(), ruleVersions()...)}, err
		},
		input: func(s store.Shard) any { return reverse.ShardInput{Shard: s, ReverseOptions: in.ReverseOptions} },
		endpoint: func(endpoint, model string) {
			if in.OppositeCheckEndpoint == in.ReverseEndpoint && in.OppositeCheckModel == in.ReverseModel {
				in.OppositeCheckEndpoint, in.OppositeCheckModel = endpoint, model
			}
			in.ReverseEndpoint, in.ReverseModel = endpoint, model
		},
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, ReverseConstraintsName, in)
		},
	}.run(ctx, in.StageInput)
}

func reversers(o schemas.ReverseOptions) []chat.DescribeModelInput {
	return []chat.DescribeModelInput{
		{Endpoint: o.ReverseEndpoint, Model: o.ReverseModel},
		{Endpoint: o.OppositeCheckEndpoint, Model: o.OppositeCheckModel},
	}
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

// describeAll checks endpoints, returns their models' identities in order and
// notes them by name.
func describeAll(ctx workflow.Context, noted map[string]string, models ...chat.DescribeModelInput) ([]string, error) {
	identities := make([]string, len(models))
	for i, m := range models {
		var err error
		if identities[i], err = describe(ctx, m.Endpoint, m.Model, ""); err != nil {
			return nil, err
		}
		if m.Endpoint != "" {
			noted[schemas.ModelKey(m.Endpoint, m.Model)] = identities[i]
		}
	}
	return identities, nil
}

// ruleVersions are the versions of all rule profiles: a verdict depends on them.
func ruleVersions() []string {
	return []string{rules.Version("rpo"), rules.Version("ifeval"), rules.Version("multi_if")}
}
