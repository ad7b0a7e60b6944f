//go:build endtoend

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"rpo/activities/chat/scripted"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// program is a running command of bin/rpo that says in its log where it listens.
type program struct {
	cmd    *exec.Cmd
	exited <-chan error
	log    string
}

func (l *local) program(t *testing.T, args ...string) *program {
	t.Helper()
	log, err := os.CreateTemp(l.dir, args[0]+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &program{cmd: exec.Command(filepath.Join(l.root, "bin/rpo"), args...), log: log.Name()}
	p.cmd.Stderr = log
	if p.exited, err = train.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.end(t)
		if t.Failed() {
			data, _ := os.ReadFile(p.log)
			t.Logf("log of %s: %s", args[0], tail(data, 3000))
		}
	})
	return p
}

// end waits for the end.
func (p *program) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Errorf("the program did not end")
	}
}

// lines returns the log, which must be JSON.
func (p *program) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var fields map[string]any
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["level"] == nil || fields["msg"] == nil || fields["time"] == nil {
			t.Fatalf("the log has the line %q", line)
		}
		all = append(all, fields)
	}
	return all
}

// address waits until the program says where it listens.
func (p *program) address(t *testing.T) (url string) {
	t.Helper()
	await(t, "an address in the log", func() bool {
		for _, fields := range p.lines(t) {
			if address, ok := fields["address"].(string); ok {
				url = address
			}
		}
		return url != ""
	})
	return url
}

// get returns the status 0 for a server that is not there.
func get(url string) (int, string) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// history returns the events of a run as the server keeps them.
func history(t *testing.T, c client.Client, id string) (events []*historypb.HistoryEvent) {
	t.Helper()
	req := &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: "default", Execution: &commonpb.WorkflowExecution{WorkflowId: id}}
	for {
		page, err := c.WorkflowService().GetWorkflowExecutionHistory(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, page.GetHistory().GetEvents()...)
		if req.NextPageToken = page.NextPageToken; len(req.NextPageToken) == 0 {
			return events
		}
	}
}

func TestAWorkerIsWatchedDrainedAndServesRunsByTurns(t *testing.T) {
	l := startLocal(t)
	noTraces(t)
	traces := newCollector(t)
	t.Setenv(otlpEndpointEnv, traces.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	endpoint := scripted.New(t, slowly(150*time.Millisecond, scripted.PerChoice(answer)))
	config := l.config(t, endpoint.URL)
	manifest := l.importProfiles(t, profiles(t, l.dir, 72), "--profiles-per-shard", "8")
	c := l.client(t)
	p := l.program(t, "worker", "--config", config, "--metrics-address", "127.0.0.1:0")
	url := p.address(t)
	await(t, "readiness", func() bool { status, _ := get(url + "/readyz"); return status == 200 })

	var in schemas.SampleResponsesInput
	in.Manifest, in.MaxTokens = manifest, 48
	// A lost activity would be noticed after an hour.
	in.HeartbeatTimeout = schemas.Duration(time.Hour)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "nightly", TaskQueue: workflows.QueueWorkflows,
		Priority: temporal.Priority{PriorityKey: 5, FairnessKey: "team"}}, workflows.SampleResponsesName, in)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "some calls", func() bool { return endpoint.Stats().Answered >= 6 })
	p.cmd.Process.Signal(syscall.SIGTERM)
	await(t, "the drain", func() bool {
		status, body := get(url + "/readyz")
		return status == 503 && strings.Contains(body, "draining")
	})
	if status, _ := get(url + "/healthz"); status != 200 {
		t.Errorf("healthz is %d while the worker drains", status)
	}
	began := time.Now()
	p.end(t)
	if took := time.Since(began); took > roles[workflows.QueueLLM].finish {
		t.Errorf("the worker took %s to drain 64 calls of 150 ms", took)
	}
	p = l.program(t, "worker", "--config", config, "--metrics-address", "127.0.0.1:0")
	url = p.address(t)
	var done schemas.StageResult
	if err := run.Get(t.Context(), &done); err != nil {
		t.Fatal(plainFailure(err))
	}
	if got := endpoint.Stats(); done.Books.OK != 128 || got.Repeated != 0 {
		t.Errorf("%+v: %d calls were paid twice", done, got.Repeated)
	}

	_, body := get(url + "/metrics")
	expectLines(t, body, `rpo_activities_total{activity="SampleShard",outcome="done"} 4`, `rpo_rows_total{activity="SampleShard",outcome="ok"} 64`,
		`rpo_calls_under_way{endpoint="policy",model="scripted"} 0`)
	for _, part := range []string{"temporal_request_total{", "temporal_activity_execution_latency_seconds_bucket{", "rpo_tokens_total{", "rpo_call_seconds_sum{", "go_goroutines "} {
		if !strings.Contains(body, "\n"+part) {
			t.Errorf("the metrics have no %s", part)
		}
	}
	p.lines(t)
	shards := 0
	for _, e := range history(t, c, "nightly") {
		a := e.GetActivityTaskScheduledEventAttributes()
		if a == nil {
			continue
		}
		if a.Priority.GetFairnessKey() != "team" {
			t.Errorf("%s: priority %v", a.ActivityType.Name, a.Priority)
		}
		switch a.Priority.GetPriorityKey() {
		case 5:
			shards++
		case 4: // ahead of shards
		default:
			t.Errorf("%s: priority %v", a.ActivityType.Name, a.Priority)
		}
	}
	if shards != 8 {
		t.Errorf("%d shards at the run's own priority, want 8", shards)
	}
	flushTraces() // of this process
	for _, name := range []string{"StartWorkflow:SampleResponses", "RunWorkflow:SampleResponses", "RunActivity:SampleShard"} {
		await(t, "the span "+name, func() bool { return traces.has(name) })
	}
}

func TestAVersionedWorkerServesOnceItsVersionIsCurrent(t *testing.T) {
	l := startLocal(t)
	endpoint := scripted.New(t, scripted.PerChoice(answer))
	config := l.config(t, endpoint.URL)
	manifest := l.importProfiles(t, profiles(t, l.dir, 18), "--profiles-per-shard", "8")
	c := l.client(t)
	t.Setenv(deploymentEnv, "rpo")
	t.Setenv(buildEnv, "1.4")
	l.worker(t, config)
	var in schemas.SampleResponsesInput
	in.Manifest, in.MaxTokens = manifest, 48
	run := l.start(t, c, workflows.SampleResponsesName, in)
	await(t, "the version to be known", func() bool {
		_, err := c.WorkerDeploymentClient().GetHandle("rpo").SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: "1.4"})
		return err == nil
	})
	var done schemas.StageResult
	if err := run.Get(t.Context(), &done); err != nil || done.Books.OK != 32 {
		t.Fatalf("%+v, %v", done, err)
	}
	described, err := c.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := described.WorkflowExecutionInfo.GetVersioningInfo()
	if got.GetDeploymentVersion().GetBuildId() != "1.4" || got.GetBehavior() != enumspb.VERSIONING_BEHAVIOR_AUTO_UPGRADE {
		t.Errorf("it ran as %v", got)
	}
}
