package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/experiment"
	"rpo/schemas"
)

// RunExperiment trains the arms of an experiment on the same rows, a few at once,
// evaluates each on the same held-out turns and compares them. An arm that fails
// ends no other one; started again, the experiment does what is missing.
func RunExperiment(ctx workflow.Context, in schemas.RunExperimentInput) (schemas.ExperimentResult, error) {
	e := &experimentRun{in: in, status: schemas.ExperimentStatus{Status: schemas.StatusRunning}, references: map[referenceKey]*sharedReference{}}
	for _, arm := range in.Arms {
		e.status.Arms = append(e.status.Arms, schemas.ArmStatus{Arm: arm.Name, Status: schemas.StatusPending})
		e.ended = append(e.ended, experiment.EndedArm{Arm: arm.Name})
	}
	if err := e.handle(ctx); err != nil {
		return e.out, err
	}
	e.show(ctx)
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(schemas.StatusRunning), AttributeModel.ValueSet(in.BaseModel)); err != nil {
		return e.out, err
	}
	err := e.run(ctx)
	e.status.Status = ended(err)
	e.show(ctx)
	attributes := []temporal.SearchAttributeUpdate{AttributeStatus.ValueSet(e.status.Status)}
	if i := slices.IndexFunc(e.out.Arms, func(a schemas.ArmResult) bool { return a.Arm == e.out.Best }); i >= 0 {
		attributes = append(attributes, AttributeScore.ValueSet(e.out.Arms[i].Trained))
	}
	if upsertErr := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err == nil {
		err = upsertErr
	}
	return e.out, err
}

type experimentRun struct {
	in     schemas.RunExperimentInput
	status schemas.ExperimentStatus
	// ended is what became of each arm, in their order.
	ended []experiment.EndedArm
	out   schemas.ExperimentResult
	// tables are those that the losses train on.
	tables     map[string]string
	references map[referenceKey]*sharedReference
	stopped    bool
	// measuring says that an arm is being evaluated, measured that one was: the base
	// model's answers to the held-out turns are then in the call cache.
	measuring, measured bool
}

// referenceKey is what reference values depend on, beside the rows' content.
type referenceKey struct {
	base, init, precision, table string
	maxLength                    int
}

// sharedReference is one reference pass for all arms that need the same.
type sharedReference struct {
	ended    bool
	manifest string
	err      error
}

func (e *experimentRun) run(ctx workflow.Context) error {
	in := e.in
	// Every endpoint, model and table is looked at before the first arm starts.
	for _, judge := range judges(in.JudgeOptions) {
		if _, err := describe(ctx, judge.Endpoint, judge.Model, ""); err != nil {
			return err
		}
	}
	// What an arm starts from is settled before anything is trained.
	for i := range in.Arms {
		if _, err := startFrom(ctx, &in.Arms[i].TrainOptions); err != nil {
			return err
		}
	}
	var losses, bases []string
	for _, arm := range in.Arms {
		if !slices.Contains(losses, arm.Loss) {
			losses = append(losses, arm.Loss)
		}
		if !slices.Contains(bases, arm.BaseModel) {
			bases = append(bases, arm.BaseModel)
		}
	}
	for _, base := range bases {
		if _, err := describe(ctx, in.Endpoint, "", base); err != nil {
			return err
		}
	}
	var opened experiment.Opened
	err := workflow.ExecuteActivity(withRecords(ctx, "look for the rows of every loss"), openExperiment,
		experiment.OpenInput{Manifest: in.Manifest, Profiles: in.Profiles, Losses: losses}).Get(ctx, &opened)
	if err != nil {
		return err
	}
	e.tables = opened.Tables
	if err := e.arms(ctx); err != nil {
		return err
	}
	err = workflow.ExecuteActivity(withRecords(ctx, "compare the arms"), tabulateArms, experiment.TableInput{
		Manifest: in.Manifest, Profiles: in.Profiles, Experiment: workflow.GetInfo(ctx).WorkflowExecution.ID, Arms: e.ended}).Get(ctx, &e.out)
	if err != nil {
		return err
	}
	if e.out.Best == "" {
		i := max(0, slices.IndexFunc(e.status.Arms, func(a schemas.ArmStatus) bool { return a.Status == schemas.StatusFailed }))
		return ApplicationError(schemas.Errorf(schemas.InvalidInput, "no arm ended with a model: arm %s is %s: %s", in.Arms[i].Name, e.status.Arms[i].Status, e.status.Arms[i].Error))
	}
	return e.promote(ctx)
}

// arms works on all arms, MaxParallel at once, and returns when each has ended.
func (e *experimentRun) arms(ctx workflow.Context) error {
	free := workflow.NewSemaphore(ctx, int64(e.in.MaxParallel))
	left := len(e.in.Arms)
	for i := range e.in.Arms {
		workflow.GoNamed(ctx, "arm "+e.in.Arms[i].Name, func(ctx workflow.Context) {
			defer func() { left-- }()
			err := free.Acquire(ctx, 1)
			if err == nil {
				defer free.Release(1)
				err = e.start(ctx, i)
			}
			e.close(ctx, i, err)
		})
	}
	// A cancelled experiment waits for its arms, too: they must say how they ended.
	waiting, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := workflow.Await(waiting, func() bool { return left == 0 }); err != nil {
		return err
	}
	return ctx.Err()
}

// start works on one arm once nobody holds the experiment back.
func (e *experimentRun) start(ctx workflow.Context, i int) error {
	if err := workflow.Await(ctx, func() bool { return !e.status.Paused || e.stopped }); err != nil {
		return err
	}
	if e.stopped {
		e.status.Arms[i].Status = schemas.StatusSkipped
		return nil
	}
	e.status.Arms[i].Status = schemas.StatusRunning
	return e.arm(ctx, i)
}

// arm computes what an arm's training needs, trains and evaluates it.
func (e *experimentRun) arm(ctx workflow.Context, i int) error {
	in, arm := e.in, e.in.Arms[i]
	rows := in.Manifest
	if arm.Loss != "sft" {
		var err error
		if rows, err = e.reference(ctx, i); err != nil {
			return err
		}
	}
	var trained schemas.TrainResult
	err := e.child(ctx, i, "train", arm.Name+"/train", TrainModelName,
		schemas.TrainModelInput{StageInput: e.stageInput(rows), TrainOptions: arm.TrainOptions}, &trained)
	if err != nil {
		return err
	}
	e.ended[i].Model = trained.Model
	// The first evaluation is alone, so that the base model is sampled once: those
	// after it find its answers in the call cache.
	if err := workflow.Await(ctx, func() bool { return e.measured || !e.measuring }); err != nil {
		return err
	}
	e.measuring = true
	var evaluated schemas.EvaluationResult
	err = e.child(ctx, i, "evaluate", arm.Name+"/evaluate", EvaluateModelName, schemas.EvaluateModelInput{StageInput: e.stageInput(in.Profiles),
		SampleOptions: in.SampleOptions, JudgeOptions: in.JudgeOptions, EvaluateOptions: in.EvaluateOptions, TrainedModel: trained.Model}, &evaluated)
	e.measuring, e.measured = false, e.measured || err == nil
	if err != nil {
		return err
	}
	e.ended[i].Evaluation = evaluated.Manifest
	e.status.Arms[i].Gain, e.status.Arms[i].CI95 = &evaluated.Difference, &evaluated.CI95
	return nil
}

// reference returns the manifest of an arm's rows with their reference values. The
// first arm that needs them has them computed, the others wait.
func (e *experimentRun) reference(ctx workflow.Context, i int) (string, error) {
	o := e.in.Arms[i].TrainOptions
	table := e.tables[o.Loss]
	key := referenceKey{base: o.BaseModel, init: o.Init, precision: o.Precision, table: table, maxLength: o.MaxLength}
	if r := e.references[key]; r != nil {
		if err := workflow.Await(ctx, func() bool { return r.ended }); err != nil {
			return "", err
		}
		return r.manifest, r.err
	}
	r := &sharedReference{}
	e.references[key] = r
	name := "reference"
	if n := len(e.references); n > 1 {
		name = fmt.Sprintf("reference-%d", n)
	}
	var out schemas.StageResult
	r.err = e.child(ctx, i, "reference", name, ComputeReferenceName,
		schemas.ComputeReferenceInput{StageInput: e.stageInput(e.in.Manifest), TrainOptions: o.ForReference(table)}, &out)
	r.ended, r.manifest = true, out.Manifest
	return r.manifest, r.err
}

func (e *experimentRun) stageInput(manifest string) schemas.StageInput {
	return schemas.StageInput{Manifest: manifest, RunOptions: e.in.RunOptions}
}

// child runs one stage of an arm. One that parks holds up its arm, and the others'
// slots: so each is told to stop, which only one that needs attention takes, first
// after ParkTimeout and then ever more rarely. What it did stays, and the same
// experiment started again goes on from there.
func (e *experimentRun) child(ctx workflow.Context, i int, stage, name, workflowType string, input, result any) error {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID + "/" + name
	s := &e.status.Arms[i]
	s.Stage, s.Workflow = stage, id
	e.show(ctx)
	child := workflow.ExecuteChildWorkflow(withStage(ctx, id, s.Arm+": "+stage), workflowType, input)
	patience := time.Duration(e.in.ParkTimeout)
	for interval := patience; ; interval = min(2*interval, max(patience, lastStopInterval)) {
		ended, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: interval,
			TimerOptions: workflow.TimerOptions{Summary: "how long " + s.Arm + ": " + stage + " may wait for a person"}}, child.IsReady)
		if ended || err != nil {
			return child.Get(ctx, result) // a cancelled experiment waits for it, too
		}
		if err := child.SignalChildWorkflow(ctx, UpdateStop, nil).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("the stage did not get the signal", "stage", id, "error", err)
		}
	}
}

// close notes how an arm ended.
func (e *experimentRun) close(ctx workflow.Context, i int, err error) {
	s := &e.status.Arms[i]
	if s.Status != schemas.StatusSkipped {
		s.Status = ended(err)
	}
	if err != nil {
		errorType, message := failureOf(err)
		s.Error = clip(errorType + ": " + message)
		if s.Status == schemas.StatusCanceled {
			s.Error = "cancelled"
		}
	}
	e.ended[i].Status, e.ended[i].Error = s.Status, s.Error
	e.show(ctx)
}

// promote promotes the best arm if that was asked for. A refusal is a result.
func (e *experimentRun) promote(ctx workflow.Context) error {
	if e.in.Promote == "" {
		return nil
	}
	i := slices.IndexFunc(e.ended, func(a experiment.EndedArm) bool { return a.Arm == e.out.Best })
	e.status.Promotion = workflow.GetInfo(ctx).WorkflowExecution.ID + "/promote"
	e.show(ctx)
	out, err := promoteAs(ctx, e.status.Promotion, schemas.PromoteModelInput{
		Name: e.in.Promote, Model: e.ended[i].Model, Evaluation: e.ended[i].Evaluation, Dataset: e.in.Dataset, Gates: e.in.Gates})
	e.out.Promotion = out
	return err
}
