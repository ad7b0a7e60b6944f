package workflows

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// checkOptions holds the options of an activity to Temporal's own advice.
func checkOptions(t *testing.T, what string, o workflow.ActivityOptions) {
	t.Helper()
	r := o.RetryPolicy
	if strings.HasPrefix(o.TaskQueue, QueueGPU+"-") || strings.HasPrefix(o.TaskQueue, "rpo-pool-") {
		checkHost(t, what, o)
		o.ScheduleToStartTimeout, o.TaskQueue, o.WaitForCancellation = 0, QueueGPU, false
		r = &temporal.RetryPolicy{InitialInterval: r.InitialInterval, BackoffCoefficient: r.BackoffCoefficient, MaximumInterval: r.MaximumInterval, MaximumAttempts: 2}
	}
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
	case len(r.NonRetryableErrorTypes) > 0:
		t.Errorf("%s: names errors that are not retried: schemas.Retryable decides", what)
	case o.WaitForCancellation || o.DisableEagerExecution || o.VersioningIntent != 0:
		t.Errorf("%s: says more than it must: %+v", what, o)
	}
	checkPrecedence(t, what, o.Priority)
}

// checkHost holds the options of an activity on the queue of one host or pool to
// what is different there: its worker may never come, and the hosts of a gang are
// not tried again one by one.
func checkHost(t *testing.T, what string, o workflow.ActivityOptions) {
	t.Helper()
	host := strings.HasPrefix(o.TaskQueue, QueueGPU+"-")
	switch {
	case host && (o.ScheduleToStartTimeout < time.Minute || o.ScheduleToStartTimeout > 5*time.Minute):
		t.Errorf("%s: it waits %s for a host that may be gone", what, o.ScheduleToStartTimeout)
	case !host && o.ScheduleToStartTimeout != 0:
		t.Errorf("%s: a pool without a free host is no failure", what)
	case o.RetryPolicy.MaximumAttempts < 1 || o.WaitForCancellation != (o.RetryPolicy.MaximumAttempts == 1):
		t.Errorf("%s: only a host of a gang is tried once, and waited for: %+v", what, o)
	}
}

func checkPrecedence(t *testing.T, what string, p temporal.Priority) {
	t.Helper()
	if p.PriorityKey < 1 || p.PriorityKey > 5 || p.FairnessKey == "" || len(p.FairnessKey) > 64 || !utf8.ValidString(p.FairnessKey) || p.FairnessWeight != 0 {
		t.Errorf("%s: precedence %+v", what, p)
	}
}

// checkChild holds the options of a child workflow to Temporal's own advice. What
// starts a child's activities again is in the child.
func checkChild(t *testing.T, what string, o workflow.ChildWorkflowOptions) {
	t.Helper()
	switch {
	case o.WorkflowExecutionTimeout != 0 || o.WorkflowRunTimeout != 0 || o.WorkflowTaskTimeout != 0:
		t.Errorf("%s: it has a timeout: a parked stage may wait for weeks", what)
	case o.RetryPolicy != nil:
		t.Errorf("%s: it has a retry policy, which would start everything anew", what)
	case o.CronSchedule != "":
		t.Errorf("%s: schedules are Temporal's schedules", what)
	case o.WorkflowID == "" || o.TaskQueue != QueueWorkflows || !o.WaitForCancellation:
		t.Errorf("%s: options %+v", what, o)
	case o.StaticSummary == "" || len(o.StaticSummary) > 200:
		t.Errorf("%s: summary %q", what, o.StaticSummary)
	}
}

// inWorkflow calls do in a workflow.
func inWorkflow(t *testing.T, do func(workflow.Context)) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		do(ctx)
		return nil
	})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
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
		"withNode":    func(ctx workflow.Context) workflow.Context { return withNode(ctx, HostQueue("gpu-1"), "s") },
		"withRank":    func(ctx workflow.Context) workflow.Context { return withRank(ctx, HostQueue("gpu-1"), "s", run) },
		"withGang":    func(ctx workflow.Context) workflow.Context { return withGang(ctx, "s", run) },
	}
	file, err := parser.ParseFile(token.NewFileSet(), "options.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && strings.HasPrefix(f.Name.Name, "with") && f.Name.Name != "withStage" && sets[f.Name.Name] == nil {
			t.Errorf("option set %s is not tested", f.Name.Name)
		}
	}
	inWorkflow(t, func(ctx workflow.Context) {
		for name, set := range sets {
			o := workflow.GetActivityOptions(set(ctx))
			checkOptions(t, name, o)
			if o.HeartbeatTimeout < 30*time.Second || o.HeartbeatTimeout > time.Minute {
				t.Errorf("%s: a heartbeat is due after %s: a dead worker is to be noticed within a minute, and a slow one is not dead", name, o.HeartbeatTimeout)
			}
		}
		child := workflow.GetChildWorkflowOptions(withStage(ctx, "run/judge", "judge stage"))
		checkChild(t, "withStage", child)
		checkPrecedence(t, "withStage", child.Priority)
	})
}

func TestOptionsAreSetInOnePlaceOnly(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "options.go" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, setter := range []string{"WithActivityOptions(", "WithLocalActivityOptions(", "WithRetryPolicy(", "WithStartToCloseTimeout(", "WithHeartbeatTimeout("} {
			if strings.Contains(string(data), "workflow."+setter) {
				t.Errorf("%s calls workflow.%s: name an option set in options.go, where it is tested", name, setter)
			}
		}
	}
}

func TestRunsTakeTurnsAndShortWorkGoesAheadOfShards(t *testing.T) {
	var run schemas.RunOptions
	var none temporal.Priority
	for _, tt := range []struct {
		name                   string
		started                temporal.Priority
		root                   string
		records, shards, child int
		key                    string
	}{
		{"a run that was started plainly", none, "", 2, 3, 3, "default-test-workflow-id"},
		{"a stage of a pipeline", none, "nightly", 2, 3, 3, "nightly"},
		{"a nightly refresh", temporal.Priority{PriorityKey: 5, FairnessKey: "team"}, "nightly", 4, 5, 5, "team"},
		{"an urgent run", temporal.Priority{PriorityKey: 1}, "", 1, 1, 1, "default-test-workflow-id"},
		{"a long id", none, strings.Repeat("x", 63) + "é", 2, 3, 3, strings.Repeat("x", 63)},
	} {
		inWorkflow(t, func(ctx workflow.Context) {
			info := workflow.GetInfo(ctx)
			info.Priority = tt.started
			if tt.root != "" {
				info.RootWorkflowExecution = &workflow.Execution{ID: tt.root}
			}
			records := workflow.GetActivityOptions(withRecords(ctx, "s")).Priority
			shard := workflow.GetActivityOptions(withShard(ctx, QueueLLM, "s", run)).Priority
			child := workflow.GetChildWorkflowOptions(withStage(ctx, "id", "s")).Priority
			if records.PriorityKey != tt.records || shard.PriorityKey != tt.shards || child.PriorityKey != tt.child {
				t.Errorf("%s: records %d, shards %d, child %d", tt.name, records.PriorityKey, shard.PriorityKey, child.PriorityKey)
			}
			for _, p := range []temporal.Priority{records, shard, child} {
				if p.FairnessKey != tt.key {
					t.Errorf("%s: fairness key %q, want %q", tt.name, p.FairnessKey, tt.key)
				}
			}
		})
	}
}

func TestEveryActivityThatAWorkflowStartsFollowsTheRules(t *testing.T) {
	want := map[string]string{sampleShard: QueueLLM, judgeShard: QueueLLM, reverseShard: QueueLLM, evaluateShard: QueueLLM, describeModel: QueueLLM,
		generateShard: QueueLLM, dialogueShard: QueueLLM, describePersonas: QueueIO,
		pairShard: QueueIO, openStage: QueueIO, listShards: QueueIO, closeStage: QueueIO, publishVersion: QueueIO, compareArms: QueueIO, writeReport: QueueIO,
		describeBase: QueueGPU, planTraining: QueueGPU, checkRendering: QueueGPU, resolveInit: QueueIO, referencePairs: QueueGPU, trainPolicy: QueueGPU,
		promoteModel: QueueIO, openExperiment: QueueIO, tabulateArms: QueueIO}
	for _, name := range []string{RunPipelineName, GenerateProfilesName, BuildDialoguesName} {
		tr := try(t, newWorld(3, nil), name, fullInput(t, name))
		tr.get(&json.RawMessage{})
		for _, c := range tr.seen.activities {
			checkOptions(t, c.workflow+" "+c.name, c.options)
			if c.options.TaskQueue != want[c.name] {
				t.Errorf("%s runs on queue %s, want %s", c.name, c.options.TaskQueue, want[c.name])
			}
			if strings.ContainsAny(c.options.Summary, "\n{") {
				t.Errorf("%s: summary %q", c.name, c.options.Summary)
			}
		}
		for _, o := range tr.seen.children {
			checkChild(t, name+" "+o.WorkflowID, o)
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

func TestRetriesAreThoseAskedForAndADeadWorkerIsNoticedInAllThatARunStarts(t *testing.T) {
	tr := try(t, newWorld(1, nil), JudgeResponsesName, object(`{"manifest":"m","judge_endpoint":"judge","heartbeat_timeout":"3s","retry_interval":"200ms","max_attempts":4}`))
	seen := map[string]bool{}
	for _, c := range tr.seen.activities {
		seen[c.name] = true
		if c.options.HeartbeatTimeout != 3*time.Second {
			t.Errorf("%s: heartbeat timeout %s", c.name, c.options.HeartbeatTimeout)
		}
		// The endpoint's estimate of a shard is a probe, as the summary says.
		if c.name == judgeShard && !strings.HasPrefix(c.options.Summary, "estimate") {
			if r := c.options.RetryPolicy; r.InitialInterval != 200*time.Millisecond || r.MaximumInterval != 12*time.Second || r.MaximumAttempts != 4 {
				t.Errorf("%s: %+v", c.options.Summary, *r)
			}
		}
	}
	for _, name := range []string{judgeShard, openStage, closeStage, describeModel} {
		if !seen[name] {
			t.Errorf("%s was not started", name)
		}
	}
}
