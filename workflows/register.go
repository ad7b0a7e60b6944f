package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// Register adds all workflows to a worker under their public names.
func Register(w worker.WorkflowRegistry) {
	for name, run := range map[string]any{
		RunPipelineName:        strict(RunPipeline),
		GenerateProfilesName:   strict(GenerateProfiles),
		BuildDialoguesName:     strict(BuildDialogues),
		SampleResponsesName:    strict(SampleResponses),
		JudgeResponsesName:     strict(JudgeResponses),
		ReverseConstraintsName: strict(ReverseConstraints),
		BuildPairsName:         strict(BuildPairs),
		ComputeReferenceName:   strict(ComputeReference),
		TrainModelName:         strict(TrainModel),
		EvaluateModelName:      strict(EvaluateModel),
		RefreshDatasetName:     strict(RefreshDataset),
		ManageNodePoolName:     strict(ManageNodePool),
		PromoteModelName:       strict(PromoteModel),
		RunExperimentName:      strict(RunExperiment),
	} {
		w.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: name})
	}
}

// Inputs returns a new input of every workflow type by its name.
func Inputs() map[string]schemas.Input {
	return map[string]schemas.Input{
		RunPipelineName:        &schemas.RunPipelineInput{},
		GenerateProfilesName:   &schemas.GenerateProfilesInput{},
		BuildDialoguesName:     &schemas.BuildDialoguesInput{},
		SampleResponsesName:    &schemas.SampleResponsesInput{},
		JudgeResponsesName:     &schemas.JudgeResponsesInput{},
		ReverseConstraintsName: &schemas.ReverseConstraintsInput{},
		BuildPairsName:         &schemas.BuildPairsInput{},
		ComputeReferenceName:   &schemas.ComputeReferenceInput{},
		TrainModelName:         &schemas.TrainModelInput{},
		EvaluateModelName:      &schemas.EvaluateModelInput{},
		RefreshDatasetName:     &schemas.RefreshDatasetInput{},
		ManageNodePoolName:     &schemas.ManageNodePoolInput{},
		PromoteModelName:       &schemas.PromoteModelInput{},
		RunExperimentName:      &schemas.RunExperimentInput{},
	}
}
