package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// gang is a stage that is one activity, or one on each of several hosts: a set of
// processes that start, fail and go on from a checkpoint as one. Out is the
// activity's result.
type gang[Out outcome] struct {
	name     string
	activity string
	// options name the model that the run starts from. prepare and open resolve in
	// them what is not settled yet.
	options *schemas.TrainOptions
	// config is whatever the output depends on beside the input and the content
	// of the model that it starts from.
	config any
	// needs are the tables that the activity reads.
	needs []string
	// prepare, if not nil, is what must hold before anything is opened. note is
	// Markdown for the current details.
	prepare func(workflow.Context) (note string, err error)
	// input makes the activity's input of the settled options.
	input func(opened store.OpenStageResult) any
	// mend, if not nil, changes the options after a failure so that the same job
	// may go on, and says what it changed; false if it cannot.
	mend func(error) (note string, ok bool)
}

// run shows the same status as a stage of shards does, with no shards. Like one it
// parks where it cannot go on.
func (g gang[Out]) run(ctx workflow.Context, in schemas.StageInput) (out Out, err error) {
	status := schemas.StageStatus{Stage: g.name, Status: schemas.StatusRunning, Began: stamp(workflow.Now(ctx))}
	made, notes := "", ""
	err = workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.StageStatus, error) { return status, nil },
		workflow.QueryHandlerOptions{Description: "Status of the stage, as JSON."})
	if err != nil {
		return out, err
	}
	told, err := openDesk(ctx, &status)
	if err != nil {
		return out, err
	}
	ctx = inPool(ctx, g.options.Pool)
	tell := func() {
		at := placeOf(ctx)
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** on %s: %s, began %s UTC\n%s", g.name, code(g.options.BaseModel), status.Status, moment(status.Began),
			list(line{status.Status == schemas.StatusRunning, "steps, loss and speed: the heartbeat of the " + at.pending("pending activity")}))+
			told.tells()+notes+at.surroundings(status, in.Manifest, made))
	}
	show := func() error {
		tell()
		return workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(g.name), AttributeStatus.ValueSet(status.Status),
			AttributeJob.ValueSet(status.Job), AttributeModel.ValueSet(g.options.BaseModel))
	}
	if err := show(); err != nil {
		return out, err
	}
	var opened store.OpenStageResult
	if g.prepare != nil {
		var note string
		note, err = g.prepare(ctx)
		notes += note
	}
	if err == nil {
		opened, err = g.open(ctx, in)
	}
	for again := true; err == nil && again; {
		status.Job = opened.Job
		if err = show(); err == nil {
			out, err = g.work(ctx, &in.RunOptions, opened, told, tell, show)
		}
		again = false
		if err != nil && g.mend != nil {
			var note string
			if note, again = g.mend(err); again {
				notes, err = notes+note, nil
			}
		}
	}
	if status.Status = ended(err); err == nil {
		made = out.Made()
	}
	if showErr := show(); err == nil {
		err = showErr
	}
	return out, err
}

// work runs the gang until it has ended or failed for good.
func (g gang[Out]) work(ctx workflow.Context, run *schemas.RunOptions, opened store.OpenStageResult, d *desk, tell func(), show func() error) (out Out, err error) {
	for {
		if g.options.Nodes == 0 {
			err = workflow.ExecuteActivity(withGang(ctx, g.name+" on "+g.options.BaseModel, *run), g.activity, g.input(opened)).Get(ctx, &out)
		} else {
			out, err = (&together[Out]{name: g.name, activity: g.activity, job: opened.Job, options: *g.options, run: *run,
				input: g.input(opened).(placed), desk: d, tell: tell}).do(ctx)
		}
		if err == nil || ctx.Err() != nil || temporal.IsCanceledError(err) || !mendable(err) {
			return out, err
		}
		if err = d.park(ctx, err, run, show); err != nil {
			return out, err
		}
	}
}

// open derives the stage's job from its configuration, its input and the content
// of the model that it starts from.
func (g gang[Out]) open(ctx workflow.Context, in schemas.StageInput) (opened store.OpenStageResult, err error) {
	var base train.Base
	err = workflow.ExecuteActivity(withLook(ctx, "look at model "+g.options.BaseModel), describeBase,
		train.DescribeBaseInput{Model: g.options.BaseModel, Precision: g.options.Precision, Init: g.options.Init}).Get(ctx, &base)
	if err != nil {
		return opened, err
	}
	g.options.Precision = base.Precision
	err = workflow.ExecuteActivity(withRecords(ctx, "open stage "+g.name), openStage, store.OpenStageInput{
		Stage: g.name, Manifest: in.Manifest, Split: schemas.SplitTrain, Needs: g.needs, Generation: in.Generation,
		Config: struct {
			Options any        `json:"options"`
			Base    train.Base `json:"base"`
		}{g.config, base},
	}).Get(ctx, &opened)
	return opened, err
}
