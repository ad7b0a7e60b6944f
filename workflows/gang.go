package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// gang is a stage that is one activity: a set of processes that start, fail and
// go on from a checkpoint as one. Out is the activity's result.
type gang[Out outcome] struct {
	name     string
	activity string
	// base is the base model's name.
	base string
	// config is whatever the output depends on beside the input and the content
	// of the base model.
	config any
	// needs are the tables that the activity reads.
	needs []string
	// precision is the one asked for, "" for the node's own.
	precision string
	// input makes the activity's input; precision is the resolved one.
	input func(opened store.OpenStageResult, precision string) any
}

// run shows the same status as a stage of shards does, with no shards.
func (g gang[Out]) run(ctx workflow.Context, in schemas.StageInput) (out Out, err error) {
	status := schemas.StageStatus{Stage: g.name, Status: schemas.StatusRunning, Began: stamp(workflow.Now(ctx))}
	made := ""
	err = workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.StageStatus, error) { return status, nil },
		workflow.QueryHandlerOptions{Description: "Status of the stage, as JSON."})
	if err != nil {
		return out, err
	}
	show := func() error {
		at := placeOf(ctx)
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** on %s: %s, began %s\n%s", g.name, code(g.base), status.Status, moment(status.Began),
			list(line{status.Status == schemas.StatusRunning, "steps, loss and speed: the heartbeat of the " + at.pending("pending activity")}))+
			at.surroundings(status, in.Manifest, made))
		return workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(g.name), AttributeStatus.ValueSet(status.Status),
			AttributeJob.ValueSet(status.Job), AttributeModel.ValueSet(g.base))
	}
	if err := show(); err != nil {
		return out, err
	}
	opened, precision, err := g.open(ctx, in)
	if err == nil {
		status.Job = opened.Job
		err = show()
	}
	if err == nil {
		err = workflow.ExecuteActivity(withGang(ctx, g.name+" on "+g.base, in.RunOptions), g.activity, g.input(opened, precision)).Get(ctx, &out)
	}
	if status.Status = ended(err); err == nil {
		made = out.Made()
	}
	if showErr := show(); err == nil {
		err = showErr
	}
	return out, err
}

// open derives the stage's job from its configuration, its input and the content
// of the base model.
func (g gang[Out]) open(ctx workflow.Context, in schemas.StageInput) (opened store.OpenStageResult, precision string, err error) {
	var base train.Base
	err = workflow.ExecuteActivity(withLook(ctx, "look at model "+g.base), describeBase,
		train.DescribeBaseInput{Model: g.base, Precision: g.precision}).Get(ctx, &base)
	if err != nil {
		return opened, "", err
	}
	err = workflow.ExecuteActivity(withRecords(ctx, "open stage "+g.name), openStage, store.OpenStageInput{
		Stage: g.name, Manifest: in.Manifest, Split: schemas.SplitTrain, Needs: g.needs, Generation: in.Generation,
		Config: struct {
			Options any        `json:"options"`
			Base    train.Base `json:"base"`
		}{g.config, base},
	}).Get(ctx, &opened)
	return opened, base.Precision, err
}
