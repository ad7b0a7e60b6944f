package workflows

import (
	"cmp"
	"fmt"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/report"
	"rpo/activities/store"
	"rpo/schemas"
)

// pipelineStages are the stages of RunPipeline in their order.
var pipelineStages = []string{"sample", "judge", "reverse", "pair", "reference", "train", "evaluate"}

// RunPipeline runs the whole method on imported profiles: each stage is a child
// workflow that could have been started alone from the manifest of the one
// before, with the same job and so the same commit records.
func RunPipeline(ctx workflow.Context, in schemas.RunPipelineInput) (schemas.Summary, error) {
	p := &pipeline{in: in, status: schemas.PipelineStatus{Status: schemas.StatusRunning}}
	for _, s := range pipelineStages {
		p.status.Stages = append(p.status.Stages, schemas.PipelineStage{Stage: s, Status: schemas.StatusPending})
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.PipelineStatus, error) { return p.status, nil },
		workflow.QueryHandlerOptions{Description: "The stages and their workflows, as JSON."})
	if err != nil {
		return schemas.Summary{}, err
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(schemas.StatusRunning), AttributeDataset.ValueSet(in.Dataset)); err != nil {
		return schemas.Summary{}, err
	}
	out, err := p.run(ctx)
	p.status.Status = ended(err)
	p.show(ctx)
	if upsertErr := workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(p.status.Status)); err == nil {
		err = upsertErr
	}
	return out, err
}

type pipeline struct {
	in     schemas.RunPipelineInput
	status schemas.PipelineStatus
	out    schemas.Summary
}

func (p *pipeline) run(ctx workflow.Context) (schemas.Summary, error) {
	in := p.in
	// All stages start from the version that is the latest now.
	if _, err := startFrom(ctx, &in.TrainOptions); err != nil {
		return p.out, err
	}
	// Every endpoint is checked before the first stage writes anything.
	for _, e := range [][2]string{{in.Endpoint, in.Model}, {in.JudgeEndpoint, in.JudgeModel}, {in.ReverseEndpoint, in.ReverseModel}} {
		if _, err := describe(ctx, e[0], e[1], ""); err != nil {
			return p.out, err
		}
	}
	if _, err := describe(ctx, in.EvalEndpoint, "", in.BaseModel); err != nil {
		return p.out, err
	}
	// So are the profiles of both splits: without the one there is nothing to train
	// on, without the other the run would fail only after training.
	for _, split := range []string{schemas.SplitTrain, schemas.SplitEval} {
		err := workflow.ExecuteActivity(withRecords(ctx, "look for "+split+" profiles"), openStage, store.OpenStageInput{
			Stage: "pipeline", Manifest: in.Profiles, Split: split, Needs: []string{schemas.TableTurn},
		}).Get(ctx, nil)
		if err != nil {
			return p.out, err
		}
	}
	evalOptions := in.SampleOptions
	if evalOptions.Endpoint != in.EvalEndpoint {
		evalOptions.Endpoint, evalOptions.Model = in.EvalEndpoint, ""
	}
	stageInput := func(manifest string) schemas.StageInput {
		return schemas.StageInput{Manifest: manifest, RunOptions: in.RunOptions}
	}
	var sampled, judged, reversed, referenced schemas.StageResult
	var paired schemas.PairResult
	var trained schemas.TrainResult
	var evaluated schemas.EvaluationResult
	if err := p.child(ctx, "sample", SampleResponsesName,
		schemas.SampleResponsesInput{StageInput: stageInput(in.Profiles), SampleOptions: in.SampleOptions}, &sampled); err != nil {
		return p.out, err
	}
	if err := p.child(ctx, "judge", JudgeResponsesName,
		schemas.JudgeResponsesInput{StageInput: stageInput(sampled.Manifest), JudgeOptions: in.JudgeOptions}, &judged); err != nil {
		return p.out, err
	}
	if err := p.child(ctx, "reverse", ReverseConstraintsName,
		schemas.ReverseConstraintsInput{StageInput: stageInput(judged.Manifest), ReverseOptions: in.ReverseOptions}, &reversed); err != nil {
		return p.out, err
	}
	if err := p.child(ctx, "pair", BuildPairsName,
		schemas.BuildPairsInput{StageInput: stageInput(reversed.Manifest), PairOptions: in.PairOptions}, &paired); err != nil {
		return p.out, err
	}
	// What cannot be trained needs no reference values.
	if _, err := planOf(ctx, paired.Manifest, in.TrainOptions); err != nil {
		return p.out, err
	}
	if err := p.child(ctx, "reference", ComputeReferenceName,
		schemas.ComputeReferenceInput{StageInput: stageInput(paired.Manifest), TrainOptions: in.TrainOptions}, &referenced); err != nil {
		return p.out, err
	}
	training := in.TrainOptions
	training.PolicyEndpoint = cmp.Or(in.PolicyEndpoint, in.Endpoint)
	if err := p.child(ctx, "train", TrainModelName,
		schemas.TrainModelInput{StageInput: stageInput(referenced.Manifest), TrainOptions: training}, &trained); err != nil {
		return p.out, err
	}
	if err := p.child(ctx, "evaluate", EvaluateModelName,
		schemas.EvaluateModelInput{StageInput: stageInput(in.Profiles), SampleOptions: evalOptions, JudgeOptions: in.JudgeOptions,
			EvaluateOptions: in.EvaluateOptions, TrainedModel: trained.Model}, &evaluated); err != nil {
		return p.out, err
	}
	stages := []schemas.StageResult{sampled, judged, reversed, paired.StageResult, referenced, trained.StageResult, evaluated.StageResult}
	p.out = summarize(stages, paired, trained, evaluated)
	var written report.Written
	write := report.WriteInput{Summary: p.out, Profiles: in.Profiles, WorkflowID: workflow.GetInfo(ctx).WorkflowExecution.ID, Input: in}
	fit(p.out.Stages, func() any { return write })
	err := workflow.ExecuteActivity(withRecords(ctx, "write report and dataset card"), writeReport, write).Get(ctx, &written)
	p.out.Report, p.out.Card = written.Report, written.Card
	p.out.Quarantined += written.ImportQuarantined
	if err == nil && in.Promote != "" {
		err = p.promote(ctx, schemas.PromoteModelInput{Name: in.Promote, Model: trained.Model, Evaluation: evaluated.Manifest, Dataset: paired.Dataset, Gates: in.Gates})
	}
	return p.out, err
}

// promote promotes the trained model. A refusal is a result.
func (p *pipeline) promote(ctx workflow.Context, in schemas.PromoteModelInput) (err error) {
	i := len(p.status.Stages)
	p.status.Stages = append(p.status.Stages, running(ctx, "promote", workflow.GetInfo(ctx).WorkflowExecution.ID+"/promote"))
	p.show(ctx)
	p.out.Promotion, err = promoteAs(ctx, p.status.Stages[i].WorkflowID, in)
	s := &p.status.Stages[i]
	if s.Status, s.Ended = ended(err), stamp(workflow.Now(ctx)); err == nil && p.out.Promotion.Decision == schemas.DecisionRefused {
		s.Status = schemas.StatusRefused
	}
	p.show(ctx)
	return err
}

// child runs one stage as a child workflow of a name derived from the run's own.
func (p *pipeline) child(ctx workflow.Context, name, workflowType string, input any, result outcome) error {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID + "/" + name
	i := 0
	for p.status.Stages[i].Stage != name {
		i++
	}
	p.status.Stages[i] = running(ctx, name, id)
	p.show(ctx)
	err := workflow.ExecuteChildWorkflow(withStage(ctx, id, name+" stage"), workflowType, input).Get(ctx, result)
	p.status.Stages[i] = over(ctx, p.status.Stages[i], result, err)
	p.show(ctx)
	return err
}

func (p *pipeline) show(ctx workflow.Context) {
	at := placeOf(ctx)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s**, data set %s\n\n", p.status.Status, code(p.in.Dataset))+at.table(p.status.Stages)+
		list(line{true, "input " + stored(p.in.Profiles)},
			line{p.out.DatasetVersion > 0, fmt.Sprintf("version %d of the data set", p.out.DatasetVersion)},
			line{p.out.Report != "", "report " + stored(p.out.Report)}))
}

// maxSummaryFailures bounds the failed shards that a summary lists over all
// stages; each stage's own result lists more.
const maxSummaryFailures = 3

func summarize(stages []schemas.StageResult, paired schemas.PairResult, trained schemas.TrainResult, evaluated schemas.EvaluationResult) schemas.Summary {
	sampled, judged := stages[0], stages[1]
	out := schemas.Summary{
		Dialogues: sampled.Books.In, Responses: sampled.Counts["responses"], Verdicts: judged.Counts["verdicts"],
		Pairs: paired.Pairs, PairsByG: paired.PairsByG,
		TrainSteps: trained.TrainSteps, LossFirst: trained.LossFirst, LossLast: trained.LossLast, RewardAccuracy: trained.RewardAccuracy,
		BaseSatisfaction: evaluated.Base, TrainedSatisfaction: evaluated.Trained, EvalVerdicts: evaluated.Verdicts,
		EvalProfiles: evaluated.Profiles, Difference: evaluated.Difference, DifferenceCI95: evaluated.CI95, Families: evaluated.Families,
		Dataset: paired.Dataset, DatasetHash: paired.Hash, DatasetVersion: paired.Version, Model: trained.Model, Stages: stages,
	}
	listed := 0
	for i, s := range stages {
		out.Quarantined += s.Books.Quarantined
		out.Stages[i].Failed = s.Failed[:min(len(s.Failed), maxSummaryFailures-listed)]
		listed += len(out.Stages[i].Failed)
	}
	return out
}
