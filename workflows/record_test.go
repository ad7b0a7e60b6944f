package workflows

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"rpo/schemas"
)

// recording is one workflow whose history is kept.
type recording struct {
	file, workflow, input string
	world                 *world
	// drive acts on the running workflow.
	drive func(context.Context, client.Client, client.WorkflowRun, *world) error
	// ends is how the workflow ends, if not with a result.
	ends func(error) bool
	// scheduled has a schedule start it.
	scheduled bool
	// queues are served beside the usual ones.
	queues []string
}

func recordings() []recording {
	committed := newWorld(501, nil)
	for i := range 501 {
		committed.commit("pair", i)
	}
	cancelled := newWorld(2, nil)
	training := make(chan struct{})
	cancelled.hold = map[string]func(){trainPolicy: func() { close(training); select {} }}
	unmended := refreshed(2)
	unmended.failures = map[int]failure{number(1): {forever, invalid}}
	once := func() *world {
		return newWorld(5, map[int]failure{number(1): {1, overloaded}, number(3): {1, invalid}})
	}
	return []recording{
		{file: "RunPipeline", workflow: RunPipelineName, input: pipelineInput, world: newWorld(3, nil)},
		{file: "GenerateProfiles", workflow: GenerateProfilesName, input: `{"manifest":"m","generate_endpoint":"writer"}`, world: newWorld(2, nil)},
		{file: "BuildDialogues", workflow: BuildDialoguesName, input: `{"manifest":"m","personas":"p","user_endpoint":"writer"}`, world: newWorld(2, nil)},
		{file: "SampleResponses-budget", workflow: SampleResponsesName, input: `{"manifest":"m","shards_in_flight":2,"budget_tokens":250,"budget_time":"1h"}`,
			world: costly(100, 100, 100), drive: raiseBudget},
		{file: "SampleResponses", workflow: SampleResponsesName, input: `{"manifest":"m","shards_in_flight":2}`, world: once(), drive: decide(UpdateRetryFailed)},
		{file: "JudgeResponses", workflow: JudgeResponsesName, input: `{"manifest":"m","judge_endpoint":"judge"}`, world: once(), drive: signalSkip},
		{file: "JudgeResponses-stopped", workflow: JudgeResponsesName, input: `{"manifest":"m"}`, world: once(), drive: decide(UpdateStop), ends: failed},
		{file: "ReverseConstraints", workflow: ReverseConstraintsName, input: `{"manifest":"m","reverse_endpoint":"judge"}`, world: newWorld(3, nil)},
		{file: "BuildPairs", workflow: BuildPairsName, input: `{"manifest":"m"}`, world: committed},
		{file: "ComputeReference", workflow: ComputeReferenceName, input: `{"manifest":"m"}`, world: newWorld(1, nil)},
		{file: "TrainModel", workflow: TrainModelName, input: `{"manifest":"m","policy_endpoint":"policy"}`, world: newWorld(1, nil)},
		{file: "EvaluateModel", workflow: EvaluateModelName, input: `{"manifest":"m","trained_model":"m"}`, world: newWorld(2, nil)},
		{file: "RunPipeline-promoted", workflow: RunPipelineName, input: strings.TrimSuffix(pipelineInput, "}") + `,"promote":"tiny"}`, world: newWorld(1, nil)},
		{file: "RunExperiment-arm-failed", workflow: RunExperimentName, input: strings.Replace(experimentInput, `"epochs":1`, `"epochs":1,"park_timeout":"1s"`, 1), world: armFailed()},
		{file: "RunExperiment", workflow: RunExperimentName, input: experimentInput, world: newWorld(2, nil)},
		{file: "PromoteModel", workflow: PromoteModelName, input: promoteInput, world: newWorld(1, nil)},
		{file: "RefreshDataset", workflow: RefreshDatasetName, input: refreshInput, world: refreshed(2)},
		{file: "RefreshDataset-gave-way", workflow: RefreshDatasetName, input: `{"source":"s3://rpo/incoming/","park_timeout":"1m"}`,
			world: unmended, scheduled: true, ends: func(err error) bool { return temporal.IsCanceledError(err) }},
		{file: "RunPipeline-cancelled", workflow: RunPipelineName, input: pipelineInput, world: cancelled, ends: failed,
			drive: func(ctx context.Context, c client.Client, run client.WorkflowRun, _ *world) error {
				select {
				case <-training:
					return c.CancelWorkflow(ctx, run.GetID(), "")
				case <-ctx.Done():
					return ctx.Err()
				}
			}},
	}
}

func failed(err error) bool { return err != nil }

// raiseBudget lets a stage that is parked at its budget go on.
func raiseBudget(ctx context.Context, c client.Client, run client.WorkflowRun, _ *world) error {
	if err := parked(ctx, c, run.GetID()); err != nil {
		return err
	}
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: UpdateRaiseBudget,
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{schemas.BudgetOptions{BudgetTokens: 5000}}})
	if err != nil {
		return err
	}
	return h.Get(ctx, nil)
}

// parked waits until a stage needs attention.
func parked(ctx context.Context, c client.Client, id string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		v, err := c.QueryWorkflow(ctx, id, "", QueryStatus)
		if err != nil {
			continue
		}
		var s schemas.StageStatus
		if err := v.Get(&s); err != nil || s.Status == schemas.StatusNeedsAttention {
			return err
		}
	}
}

func decide(decision string) func(context.Context, client.Client, client.WorkflowRun, *world) error {
	return func(ctx context.Context, c client.Client, run client.WorkflowRun, w *world) error {
		if err := parked(ctx, c, run.GetID()); err != nil {
			return err
		}
		w.heal()
		_, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: decision, WaitForStage: client.WorkflowUpdateStageCompleted})
		return err
	}
}

func signalSkip(ctx context.Context, c client.Client, run client.WorkflowRun, _ *world) error {
	if err := parked(ctx, c, run.GetID()); err != nil {
		return err
	}
	return c.SignalWorkflow(ctx, run.GetID(), "", UpdateSkipFailed, nil)
}

// record runs every recording whose name begins so on a local server and keeps the
// histories under this release.
func record(prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	server, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{ExistingPath: "../bin/rpo-local", Stderr: os.Stderr,
		ClientOptions: &client.Options{Identity: "recorder", Logger: silent{}}})
	if err != nil {
		return err
	}
	folder := filepath.Join("testdata", "replay", "v"+schemas.CodeVersion)
	err = os.MkdirAll(folder, 0o755)
	for _, r := range append(recordings(), gangRecordings()...) {
		if err == nil && strings.HasPrefix(r.file, prefix) {
			if err = r.run(ctx, server.Client(), folder); err != nil {
				err = fmt.Errorf("record %s: %w", r.file, err)
			}
		}
	}
	return errors.Join(err, server.Stop())
}

func (r recording) run(ctx context.Context, c client.Client, folder string) error {
	for _, queue := range append([]string{QueueWorkflows, QueueIO, QueueLLM, QueueGPU}, r.queues...) {
		w := worker.New(c, queue, worker.Options{Identity: "recorder", DisableRegistrationAliasing: true})
		if queue == QueueWorkflows {
			Register(w)
		} else {
			r.world.register(w)
		}
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Stop()
	}
	run, err := r.start(ctx, c)
	if err != nil {
		return err
	}
	first := run.GetRunID()
	if r.drive != nil {
		if err := r.drive(ctx, c, run, r.world); err != nil {
			return err
		}
	}
	if err := run.Get(ctx, nil); (r.ends == nil && err != nil) || (r.ends != nil && !r.ends(err)) {
		return fmt.Errorf("ended with %v", err)
	}
	last, err := c.DescribeWorkflowExecution(ctx, run.GetID(), "")
	if err != nil {
		return err
	}
	if id := last.WorkflowExecutionInfo.Execution.RunId; id != first {
		if err := keep(ctx, c, run.GetID(), first, filepath.Join(folder, r.file+"-continued.json.gz")); err != nil {
			return err
		}
		first = id
	}
	return keep(ctx, c, run.GetID(), first, filepath.Join(folder, r.file+".json.gz"))
}

func (r recording) start(ctx context.Context, c client.Client) (client.WorkflowRun, error) {
	id := "recorded-" + r.file
	if !r.scheduled {
		return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: QueueWorkflows}, r.workflow, object("%s", r.input))
	}
	s, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: id, TriggerImmediately: true,
		Spec:   client.ScheduleSpec{CronExpressions: []string{"0 2 * * *"}},
		Action: &client.ScheduleWorkflowAction{ID: id, Workflow: r.workflow, TaskQueue: QueueWorkflows, Args: []any{object("%s", r.input)}}})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		d, err := s.Describe(ctx)
		if err != nil {
			return nil, err
		}
		if a := d.Info.RecentActions; len(a) > 0 && a[0].StartWorkflowResult != nil {
			return c.GetWorkflow(ctx, a[0].StartWorkflowResult.WorkflowID, a[0].StartWorkflowResult.FirstExecutionRunID), nil
		}
	}
}

// keep writes the history of one run.
func keep(ctx context.Context, c client.Client, id, runID, path string) error {
	var h historypb.History
	events := c.GetWorkflowHistory(ctx, id, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		// A worker's own queue is named by its machine.
		if q := e.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue(); q.GetNormalName() != "" {
			q.Name = "sticky"
		}
		h.Events = append(h.Events, e)
	}
	data, err := protojson.Marshal(&h)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zipped, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err == nil {
		_, err = zipped.Write(data)
	}
	return errors.Join(err, zipped.Close(), f.Close())
}
