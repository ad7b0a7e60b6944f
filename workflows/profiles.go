package workflows

import (
	"go.temporal.io/sdk/workflow"

	"rpo/activities/chat"
	"rpo/activities/dialogue"
	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// GenerateProfiles makes profiles and personas of a manifest of seeds, for both
// splits.
func GenerateProfiles(ctx workflow.Context, in schemas.GenerateProfilesInput) (schemas.StageResult, error) {
	identities := map[string]string{}
	return stage{
		identities: identities,
		// What was written is checked by a second call.
		name: "profile", activity: generateShard, queue: QueueLLM, callsPerRow: 2,
		needs: []string{schemas.TableSeed},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities,
				chat.DescribeModelInput{Endpoint: in.GenerateEndpoint, Model: in.GenerateModel},
				chat.DescribeModelInput{Endpoint: in.CheckEndpoint, Model: in.CheckModel})
			return struct {
				schemas.GenerateOptions
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{in.GenerateOptions, models, append(profile.PromptVersions(), ruleVersions()...)}, err
		},
		input: func(s store.Shard) any { return profile.ShardInput{Shard: s, GenerateOptions: in.GenerateOptions} },
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, GenerateProfilesName, in)
		},
	}.run(ctx, in.StageInput)
}

// BuildDialogues plays dialogues with the profiles of a manifest, for both
// splits, and so makes their turns.
func BuildDialogues(ctx workflow.Context, in schemas.BuildDialoguesInput) (schemas.StageResult, error) {
	identities := map[string]string{}
	judge := schemas.JudgeOptions{JudgeEndpoint: in.JudgeEndpoint, JudgeModel: in.JudgeModel}
	return stage{
		identities: identities,
		name:       "dialogue", activity: dialogueShard, queue: QueueLLM, callsPerRow: 1,
		needs: []string{schemas.TableProfile},
		config: func() (any, error) {
			models, err := describeAll(ctx, identities, append(judges(judge),
				chat.DescribeModelInput{Endpoint: in.UserEndpoint, Model: in.UserModel},
				chat.DescribeModelInput{Endpoint: in.ResponderEndpoint, Model: in.ResponderModel})...)
			if err != nil {
				return nil, err
			}
			var personas string
			err = workflow.ExecuteActivity(withRecords(ctx, "look at the personas"), describePersonas, in.Personas).Get(ctx, &personas)
			options := in.DialogueOptions
			options.Personas = "" // its content counts, not its address
			return struct {
				schemas.DialogueOptions
				schemas.JudgeOptions
				Personas   string   `json:"personas"`
				Identities []string `json:"identities"`
				Versions   []string `json:"versions"`
			}{options, judge, personas, models, append(dialogue.PromptVersions(), ruleVersions()...)}, err
		},
		input: func(s store.Shard) any {
			return dialogue.ShardInput{Shard: s, DialogueOptions: in.DialogueOptions, JudgeOptions: judge}
		},
		again: func(p *schemas.StageProgress) error {
			in.Progress = p
			return workflow.NewContinueAsNewError(ctx, BuildDialoguesName, in)
		},
	}.run(ctx, in.StageInput)
}
