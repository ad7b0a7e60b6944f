package workflows

import (
	"go.temporal.io/sdk/workflow"

	"rpo/activities/reference"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

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

// recipe is what of the options determines a trained model. The precision is the
// node's to resolve.
func recipe(o schemas.TrainOptions) schemas.TrainOptions {
	o = o.Recipe()
	o.Precision = ""
	return o
}
