package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/reference"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// ComputeReference computes the reference log-probabilities of a manifest's rows,
// those that the loss trains on. Supervised fine-tuning needs none.
func ComputeReference(ctx workflow.Context, in schemas.ComputeReferenceInput) (schemas.StageResult, error) {
	if in.Loss == "sft" {
		return noReference(ctx, in)
	}
	return gang[schemas.StageResult]{
		name: "reference", activity: referencePairs, options: &in.TrainOptions, needs: []string{schemas.TablePair},
		config: struct {
			MaxLength int    `json:"max_length"`
			Loss      string `json:"loss"`
		}{in.MaxLength, in.Loss},
		prepare: func(ctx workflow.Context) (string, error) { return startFrom(ctx, &in.TrainOptions) },
		input: func(o store.OpenStageResult) any {
			return reference.Input{Job: o.Job, ConfigHash: o.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}
		},
	}.run(ctx, in.StageInput)
}

// noReference ends a stage that has nothing to do.
func noReference(ctx workflow.Context, in schemas.ComputeReferenceInput) (schemas.StageResult, error) {
	status := schemas.StageStatus{Stage: "reference", Status: schemas.StatusDone}
	workflow.SetCurrentDetails(ctx, "**reference**: loss sft needs none")
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.StageStatus, error) { return status, nil },
		workflow.QueryHandlerOptions{Description: "Status of the stage, as JSON."})
	if err == nil {
		err = workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(status.Stage), AttributeStatus.ValueSet(status.Status))
	}
	return schemas.StageResult{Stage: status.Stage, Manifest: in.Manifest}, err
}

// TrainModel trains a model on a manifest of rows and reference values. It plans
// first, and refuses what cannot fit.
func TrainModel(ctx workflow.Context, in schemas.TrainModelInput) (schemas.TrainResult, error) {
	needs := []string{schemas.TablePair}
	if in.Loss == "rpo" {
		needs = append(needs, schemas.TableReference)
	}
	var plan schemas.TrainPlan
	compared := 0
	asked := in.TrainOptions
	out, err := gang[schemas.TrainResult]{
		name: "train", activity: trainPolicy, options: &in.TrainOptions, needs: needs, config: recipe(in.TrainOptions),
		prepare: func(ctx workflow.Context) (string, error) {
			notes, err := startFrom(ctx, &in.TrainOptions)
			if err == nil {
				plan, err = planOf(ctx, in.Manifest, in.TrainOptions)
			}
			if err != nil {
				return notes, err
			}
			rendering, same, err := sameRendering(ctx, in)
			compared = same.Prompts
			return notes + planned(plan) + rendering, err
		},
		input: func(o store.OpenStageResult) any {
			return train.Input{Job: o.Job, ConfigHash: o.ConfigHash, Manifest: in.Manifest, TrainOptions: in.TrainOptions}
		},
		mend: func(err error) (string, bool) { return smaller(&in.TrainOptions, err) },
	}.run(ctx, in.StageInput)
	if err != nil {
		return out, err
	}
	out.Init, out.Plan, out.PromptsCompared = in.Init, &plan, compared
	if in.PairsPerBatch != asked.PairsPerBatch || in.TokensPerBatch != asked.TokensPerBatch {
		out.PairsPerBatch, out.TokensPerBatch = in.PairsPerBatch, in.TokensPerBatch
	}
	return out, nil
}

// recipe is what of the options determines a trained model. The precision is the
// node's to resolve.
func recipe(o schemas.TrainOptions) schemas.TrainOptions {
	o = o.Recipe()
	o.Precision = ""
	return o
}

// startFrom settles which version of a model a run starts from: the latest one
// may be another tomorrow.
func startFrom(ctx workflow.Context, o *schemas.TrainOptions) (note string, err error) {
	if o.Init == schemas.InitBase {
		return "", nil
	}
	asked := o.Init
	err = workflow.ExecuteActivity(withRecords(ctx, "look up model "+asked), resolveInit, asked).Get(ctx, &o.Init)
	return list(line{true, "starts from " + code(o.Init) + ", asked for as " + code(asked)}), err
}

// sameRendering compares the endpoint's rendering of prompts with the trainer's.
func sameRendering(ctx workflow.Context, in schemas.TrainModelInput) (note string, r train.Rendering, err error) {
	if in.PolicyEndpoint == "" || in.PolicyEndpoint == schemas.NoEndpoint {
		return "", r, nil
	}
	err = workflow.ExecuteActivity(withLook(ctx, "compare prompts with endpoint "+in.PolicyEndpoint), checkRendering,
		train.RenderingInput{Manifest: in.Manifest, TrainOptions: in.TrainOptions}).Get(ctx, &r)
	if err != nil {
		return "", r, err
	}
	at := "prompts: endpoint " + code(in.PolicyEndpoint)
	return list(line{r.Through == "", at + " offers no way to compare its rendering with the trainer's"},
		line{r.Through != "", fmt.Sprintf("%s renders %d of them to the trainer's tokens (asked by %s)", at, r.Prompts, r.Through)}), r, nil
}

// planOf predicts what a training on a manifest's rows takes, and refuses one that
// cannot fit.
func planOf(ctx workflow.Context, manifest string, o schemas.TrainOptions) (plan schemas.TrainPlan, err error) {
	err = workflow.ExecuteActivity(withLook(inPool(ctx, o.Pool), "plan the training of "+o.BaseModel), planTraining,
		train.PlanInput{Manifest: manifest, TrainOptions: o}).Get(ctx, &plan)
	return plan, err
}

// planned shows what is predicted.
func planned(p schemas.TrainPlan) string {
	var parts []string
	for _, name := range workflow.DeterministicKeys(p.MemoryGB) {
		if gb := p.MemoryGB[name]; gb >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.2f", name, gb))
		}
	}
	memory := fmt.Sprintf("plan: %.2f of %.2f GB a process on %s (%s), tokens_per_batch at most %d, checkpoints of %.2f GB",
		p.TotalGB, p.LimitGB, p.Device, strings.Join(parts, ", "), p.LargestTokensPerBatch, p.CheckpointGB)
	if p.Hours == nil {
		return list(line{true, memory})
	}
	took := time.Duration(*p.Hours * float64(time.Hour)).Round(time.Second)
	hours := fmt.Sprintf("prediction: %s for %s rows of about %.0f tokens on %d processes, at an assumed %.0f %% of the peak",
		took, count(p.Pairs), p.TokensPerPair, p.Processes, 100*p.Efficiency)
	if p.Cost != nil {
		hours += fmt.Sprintf(", cost %.2f", *p.Cost)
	}
	return list(line{true, memory}, line{true, hours})
}

// smallestTokens is the token budget that is not halved any more.
const smallestTokens = 512

// smaller halves what a process holds at once, after it ran out of memory. It
// changes no result, so the job stays the same and goes on from its checkpoint.
func smaller(o *schemas.TrainOptions, err error) (note string, ok bool) {
	failure, message := failureOf(err)
	if failure != string(schemas.OutOfMemory) {
		return "", false
	}
	field, to := "pairs_per_batch", &o.PairsPerBatch
	least := 1
	if o.TokensPerBatch > 0 {
		field, to, least = "tokens_per_batch", &o.TokensPerBatch, smallestTokens
	}
	if *to <= least {
		return "", false
	}
	*to = max(least, *to/2)
	return list(line{true, fmt.Sprintf("out of memory, goes on with %s %d: %s", field, *to, clip(message))}), true
}
