package workflows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// checkOptions holds the options of an activity to Temporal's own advice.
func checkOptions(t *testing.T, what string, o workflow.ActivityOptions) {
	t.Helper()
	r := o.RetryPolicy
	switch {
	case o.StartToCloseTimeout <= 0:
		t.Errorf("%s: StartToClose is not set", what)
	case o.ScheduleToStartTimeout != 0:
		t.Errorf("%s: ScheduleToStart is set: a busy queue is no failure", what)
	case o.ScheduleToCloseTimeout != 0:
		t.Errorf("%s: ScheduleToClose is set: attempts are bounded by their number", what)
	case r == nil:
		t.Errorf("%s: no explicit retry policy", what)
	case r.MaximumAttempts < 2:
		t.Errorf("%s: %d attempts: not retried or retried for ever", what, r.MaximumAttempts)
	case r.InitialInterval < time.Second || r.BackoffCoefficient <= 1 || r.MaximumInterval < r.InitialInterval:
		t.Errorf("%s: it does not back off: %+v", what, *r)
	case o.HeartbeatTimeout <= 0 && o.StartToCloseTimeout > 30*time.Second:
		t.Errorf("%s: takes up to %s without a heartbeat", what, o.StartToCloseTimeout)
	case float64(o.HeartbeatTimeout) > 0.8*float64(o.StartToCloseTimeout):
		t.Errorf("%s: heartbeat %s is not well under StartToClose %s", what, o.HeartbeatTimeout, o.StartToCloseTimeout)
	case !slices.Contains([]string{QueueIO, QueueLLM, QueueGPU}, o.TaskQueue):
		t.Errorf("%s: queue %q", what, o.TaskQueue)
	case o.Summary == "" || len(o.Summary) > 200:
		t.Errorf("%s: summary %q: it shows in the web UI, which takes 200 bytes", what, o.Summary)
	}
}

func TestEveryOptionSetFollowsTheRules(t *testing.T) {
	var run schemas.RunOptions
	run.SetDefaults()
	sets := map[string]func(workflow.Context) workflow.Context{
		"withRecords": func(ctx workflow.Context) workflow.Context { return withRecords(ctx, "s") },
		"withShard":   func(ctx workflow.Context) workflow.Context { return withShard(ctx, QueueLLM, "s", run) },
		"withProbe":   func(ctx workflow.Context) workflow.Context { return withProbe(ctx, QueueGPU, "s") },
		"withLook":    func(ctx workflow.Context) workflow.Context { return withLook(ctx, "s") },
		"withGang":    func(ctx workflow.Context) workflow.Context { return withGang(ctx, "s", run) },
	}
	file, err := parser.ParseFile(token.NewFileSet(), "options.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && sets[f.Name.Name] == nil {
			t.Errorf("option set %s is not tested", f.Name.Name)
		}
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		for name, set := range sets {
			checkOptions(t, name, workflow.GetActivityOptions(set(ctx)))
		}
		return nil
	})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryActivityThatAWorkflowStartsFollowsTheRules(t *testing.T) {
	w := newWorld(3, nil)
	tr := try(t, w, RunPipelineName, fullInput(t, RunPipelineName))
	tr.get(&schemas.Summary{})
	want := map[string]string{sampleShard: QueueLLM, judgeShard: QueueLLM, reverseShard: QueueLLM, evaluateShard: QueueLLM, describeModel: QueueLLM,
		pairShard: QueueIO, openStage: QueueIO, listShards: QueueIO, closeStage: QueueIO, publishVersion: QueueIO, compareArms: QueueIO, writeReport: QueueIO,
		describeBase: QueueGPU, referencePairs: QueueGPU, trainPolicy: QueueGPU}
	for _, c := range tr.seen.activities {
		checkOptions(t, c.workflow+" "+c.name, c.options)
		if c.options.TaskQueue != want[c.name] {
			t.Errorf("%s runs on queue %s, want %s", c.name, c.options.TaskQueue, want[c.name])
		}
		if strings.ContainsAny(c.options.Summary, "\n{") {
			t.Errorf("%s: summary %q", c.name, c.options.Summary)
		}
	}
}

func TestTheHeartbeatTimeoutIsTheOneAskedFor(t *testing.T) {
	for name, activity := range map[string]string{JudgeResponsesName: judgeShard, TrainModelName: trainPolicy} {
		tr := try(t, newWorld(1, nil), name, object(`{"manifest":"m","heartbeat_timeout":"1m30s"}`))
		found := false
		for _, c := range tr.seen.activities {
			if c.name == activity {
				found = c.options.HeartbeatTimeout == 90*time.Second
			}
		}
		if !found {
			t.Errorf("%s: heartbeat timeout is not 1m30s", activity)
		}
	}
}
