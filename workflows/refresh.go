package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/refresh"
	"rpo/schemas"
)

// refreshStages are the stages of RefreshDataset in their order.
var refreshStages = pipelineStages[:4]

// attributeScheduledTime is set by the server on what a schedule starts, also by a
// backfill: the time that the run stands for.
var attributeScheduledTime = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// Once a run may give way, its stage is told so again and again, ever more rarely:
// one that is at work does not take it.
const (
	firstStopInterval = time.Minute
	lastStopInterval  = time.Hour
)

// RefreshDataset extends a data set by the pairs of those profiles of a source
// that its newest version has not consumed. The stages are those of RunPipeline,
// on a manifest of the new profiles alone, so that the same new profiles are the
// same jobs; what an earlier run committed or paid for is not done again.
func RefreshDataset(ctx workflow.Context, in schemas.RefreshDatasetInput) (schemas.RefreshResult, error) {
	r := &refreshRun{in: in, status: schemas.PipelineStatus{Status: schemas.StatusRunning}, out: schemas.RefreshResult{Dataset: in.Dataset}}
	if at, ok := workflow.GetTypedSearchAttributes(ctx).GetTime(attributeScheduledTime); ok {
		r.out.ScheduledTime = at.UTC().Format(time.RFC3339)
		r.giveWay = workflow.Now(ctx).Add(time.Duration(in.ParkTimeout))
	}
	for _, s := range refreshStages {
		r.status.Stages = append(r.status.Stages, schemas.PipelineStage{Stage: s, Status: schemas.StatusPending})
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.PipelineStatus, error) { return r.status, nil },
		workflow.QueryHandlerOptions{Description: "The stages and their workflows, as JSON."})
	if err != nil {
		return r.out, err
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(schemas.StatusRunning), AttributeDataset.ValueSet(in.Dataset)); err != nil {
		return r.out, err
	}
	err = r.run(ctx)
	r.status.Status = ended(err)
	r.show(ctx)
	if upsertErr := workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(r.status.Status)); err == nil {
		err = upsertErr
	}
	if err != nil && (r.gaveWay || !r.giveWay.IsZero() && isOutage(err)) {
		// Ended as cancelled, not as failed: a schedule that pauses on failure would
		// keep silent on the nights after. What was done so far goes with it.
		return r.out, temporal.NewCanceledError(err.Error(), r.out)
	}
	return r.out, err
}

type refreshRun struct {
	in     schemas.RefreshDatasetInput
	status schemas.PipelineStatus
	out    schemas.RefreshResult
	// giveWay is when a run that a schedule started no longer waits for a person,
	// zero for one that a person started; gaveWay that a stage was told so.
	giveWay time.Time
	gaveWay bool
}

func (r *refreshRun) run(ctx workflow.Context) error {
	in := r.in
	r.show(ctx)
	err := workflow.ExecuteActivity(withRecords(ctx, "look for new profiles"), findNewProfiles, refresh.FindInput{
		Dataset: in.Dataset, Source: in.Source, EvalFraction: in.EvalFraction, Generation: in.Generation,
	}).Get(ctx, &r.out.FoundProfiles)
	if err != nil {
		return err
	}
	r.out.Version = r.out.Parent
	if r.out.New == 0 {
		return nil
	}
	// Every endpoint is checked before the first stage writes anything. One that is
	// out for now is none's mistake: the stage that calls it waits for it.
	for _, e := range [][2]string{{in.Endpoint, in.Model}, {in.JudgeEndpoint, in.JudgeModel}, {in.ReverseEndpoint, in.ReverseModel}} {
		if _, err := describe(ctx, e[0], e[1], ""); err != nil && !isOutage(err) {
			return err
		}
	}
	stageInput := func(manifest string) schemas.StageInput {
		return schemas.StageInput{Manifest: manifest, RunOptions: in.RunOptions}
	}
	var sampled, reversed schemas.StageResult
	var judged schemas.JudgeResult
	var paired schemas.PairResult
	if err := r.child(ctx, 0, SampleResponsesName,
		schemas.SampleResponsesInput{StageInput: stageInput(r.out.Manifest), SampleOptions: in.SampleOptions}, &sampled); err != nil {
		return err
	}
	if err := r.child(ctx, 1, JudgeResponsesName,
		schemas.JudgeResponsesInput{StageInput: stageInput(sampled.Manifest), JudgeOptions: in.JudgeOptions}, &judged); err != nil {
		return err
	}
	if err := r.child(ctx, 2, ReverseConstraintsName,
		schemas.ReverseConstraintsInput{StageInput: stageInput(judged.Manifest), ReverseOptions: in.ReverseOptions}, &reversed); err != nil {
		return err
	}
	if err := r.child(ctx, 3, BuildPairsName, schemas.BuildPairsInput{StageInput: stageInput(reversed.Manifest), PairOptions: in.PairOptions,
		Extends: &r.out.Extension}, &paired); err != nil {
		return err
	}
	r.out.Version, r.out.Hash, r.out.Pairs, r.out.Total = paired.Version, paired.Hash, paired.Pairs, paired.Total
	r.out.DatasetManifest, r.out.Baselines = paired.DatasetManifest, paired.Baselines
	return nil
}

// child runs a stage as a child workflow of a name derived from the run's own and
// keeps its result, with few of its failed shards.
func (r *refreshRun) child(ctx workflow.Context, i int, workflowType string, input any, result outcome) error {
	name := refreshStages[i]
	id := workflow.GetInfo(ctx).WorkflowExecution.ID + "/" + name
	r.status.Stages[i] = running(ctx, name, id)
	r.show(ctx)
	child := workflow.ExecuteChildWorkflow(withStage(ctx, id, name+" stage"), workflowType, input)
	err := r.wait(ctx, child, name)
	if err == nil {
		err = child.Get(ctx, result)
	}
	r.status.Stages[i] = over(ctx, r.status.Stages[i], result, err)
	if err == nil {
		r.gaveWay = false
		kept := result.Outcome()
		kept.Failed = kept.Failed[:min(len(kept.Failed), 1)]
		r.out.Stages = append(r.out.Stages, kept)
		fit(r.out.Stages, func() any { return r.out })
	}
	r.show(ctx)
	return err
}

// wait returns when a stage has ended. Once a run that a schedule started is to
// give way it sends the stage `stop`, which only one that needs attention takes.
func (r *refreshRun) wait(ctx workflow.Context, child workflow.ChildWorkflowFuture, name string) error {
	if r.giveWay.IsZero() {
		return nil // Get waits
	}
	patience := max(r.giveWay.Sub(workflow.Now(ctx)), firstStopInterval)
	for interval := firstStopInterval; ; interval = min(2*interval, lastStopInterval) {
		ended, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: patience,
			TimerOptions: workflow.TimerOptions{Summary: "how long " + name + " may wait for a person"}}, child.IsReady)
		if ended || err != nil {
			return nil // a cancelled run waits for its stage, too
		}
		patience, r.gaveWay = interval, true
		if err := child.SignalChildWorkflow(ctx, UpdateStop, nil).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("the stage did not get the signal", "stage", name, "error", err)
		}
	}
}

func (r *refreshRun) show(ctx workflow.Context) {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**, data set %s", r.status.Status, code(r.in.Dataset))
	if r.out.ScheduledTime != "" {
		fmt.Fprintf(&b, ", scheduled for %s", r.out.ScheduledTime)
	}
	fmt.Fprintf(&b, "\n\n%d new profiles since version %d", r.out.New, r.out.Parent)
	if r.out.Waiting > 0 {
		fmt.Fprintf(&b, "; %d held out for evaluation wait for others", r.out.Waiting)
	}
	at := placeOf(ctx)
	b.WriteString("\n\n" + at.table(r.status.Stages))
	b.WriteString(list(line{true, "source " + code(r.in.Source)},
		line{r.out.Version > r.out.Parent, fmt.Sprintf("made version %d: %s pairs, of which %s are new", r.out.Version, count(r.out.Total), count(r.out.Pairs))}))
	if r.out.Refused > 0 {
		fmt.Fprintf(&b, "\n%d objects of the source were refused:\n", r.out.Refused)
	}
	for _, o := range r.out.RefusedFirst {
		fmt.Fprintf(&b, "\n- %s: %s", code(o.Key), code(o.Reason))
	}
	workflow.SetCurrentDetails(ctx, b.String())
}
