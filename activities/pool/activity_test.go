package pool

import (
	"context"
	"errors"
	"fmt"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

// cluster is a Temporal that knows workflows by their status and notes signals.
type cluster struct {
	status  map[string]enumspb.WorkflowExecutionStatus
	signals []string
	down    error
}

func (c *cluster) SignalWithStartWorkflow(_ context.Context, id, signal string, arg any, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	c.signals = append(c.signals, fmt.Sprintf("%v %s on %s: %s %+v, started with %+v", workflow, id, o.TaskQueue, signal, arg, args))
	return nil, c.down
}

func (c *cluster) SignalWorkflow(_ context.Context, id, _, signal string, arg any) error {
	if _, known := c.status[id]; !known && c.down == nil {
		return serviceerror.NewNotFound("no workflow " + id)
	}
	c.signals = append(c.signals, fmt.Sprintf("%s: %s %+v", id, signal, arg))
	return c.down
}

func (c *cluster) DescribeWorkflow(_ context.Context, id, _ string) (*client.WorkflowExecutionDescription, error) {
	status, known := c.status[id]
	if !known {
		return nil, serviceerror.NewNotFound("no workflow " + id)
	}
	d := &client.WorkflowExecutionDescription{}
	d.Status = status
	return d, c.down
}

func do[Out any](t *testing.T, c *cluster, activity func(*Activities) any, in any) (out Out, err error) {
	t.Helper()
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment()
	a := &Activities{Temporal: c, Workflow: "ManageNodePool", Queue: "rpo", Lease: "lease_nodes", Release: "release_nodes"}
	env.RegisterActivity(a)
	value, err := env.ExecuteActivity(activity(a), in)
	if err == nil && value.HasValue() {
		err = value.Get(&out)
	}
	return out, err
}

func TestARequestStartsThePoolThatItIsFor(t *testing.T) {
	c := &cluster{}
	_, err := do[any](t, c, func(a *Activities) any { return a.RequestNodes }, LeaseInput{Pool: "h100", LeaseNodes: schemas.LeaseNodes{Holder: "run/train", Request: "1", Want: 2}})
	if err != nil || len(c.signals) != 1 {
		t.Fatalf("%v, %v", c.signals, err)
	}
	want := "ManageNodePool pool-h100 on rpo: lease_nodes {Holder:run/train Request:1 Want:2 GPUs:0 Priority:0 Suspects:[]}, started with [{Pool:h100 CheckEvery:0 State:<nil>}]"
	if c.signals[0] != want {
		t.Errorf("got  %s\nwant %s", c.signals[0], want)
	}
	c.down = errors.New("no connection")
	if _, err := do[any](t, c, func(a *Activities) any { return a.RequestNodes }, LeaseInput{Pool: "h100"}); err == nil {
		t.Error("a request that nobody got is no failure")
	}
}

func TestNodesOfAPoolThatIsGoneNeedNotBeGivenBack(t *testing.T) {
	c := &cluster{status: map[string]enumspb.WorkflowExecutionStatus{}}
	back := ReleaseInput{Pool: "h100", ReleaseNodes: schemas.ReleaseNodes{Holder: "run/train"}}
	giveBack := func(a *Activities) any { return a.ReturnNodes }
	if _, err := do[any](t, c, giveBack, back); err != nil {
		t.Error(err)
	}
	c.status["pool-h100"] = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	if _, err := do[any](t, c, giveBack, back); err != nil || len(c.signals) != 1 || c.signals[0] != "pool-h100: release_nodes {Holder:run/train Request:}" {
		t.Errorf("%v, %v", c.signals, err)
	}
	c.down = errors.New("no connection")
	if _, err := do[any](t, c, giveBack, back); err == nil {
		t.Error("nodes that nobody took back are no failure")
	}
}

func TestAHolderIsGoneWhenItsWorkflowHasEndedOrIsUnknown(t *testing.T) {
	c := &cluster{status: map[string]enumspb.WorkflowExecutionStatus{
		"runs": enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, "paused": enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		"done": enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, "terminated": enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
	}}
	var in FindGoneInput
	for _, holder := range []string{"runs", "done", "paused", "unknown", "terminated"} {
		in.Holders = append(in.Holders, schemas.ReleaseNodes{Holder: holder, Request: "1"})
	}
	find := func(a *Activities) any { return a.FindGoneHolders }
	gone, err := do[[]schemas.ReleaseNodes](t, c, find, in)
	if err != nil || fmt.Sprint(gone) != "[{done 1} {unknown 1} {terminated 1}]" {
		t.Errorf("gone are %v, %v", gone, err)
	}
	c.down = errors.New("no connection")
	if gone, err := do[[]schemas.ReleaseNodes](t, c, find, in); err == nil {
		t.Errorf("without an answer %v are gone", gone)
	}
}
