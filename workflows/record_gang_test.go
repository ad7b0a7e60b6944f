package workflows

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	nodepool "rpo/activities/pool"
	"rpo/activities/train"
	"rpo/schemas"
)

// gangRecordings are of pools and of those who use them.
func gangRecordings() []recording {
	together := newGang(func(_ context.Context, p train.Place) error {
		if p.Attempt == 1 && p.Rank == 1 {
			return schemas.Errorf(schemas.Internal, "a rank died")
		}
		return nil
	})
	together.real[requestNodes] = func(ctx context.Context, in nodepool.LeaseInput) error {
		given := schemas.NodesLeased{Request: in.Request}
		for i := range in.Want {
			given.Nodes = append(given.Nodes, schemas.LeasedNode{Host: fmt.Sprint("gpu-", i), Address: "127.0.0.1"})
		}
		return activity.GetClient(ctx).SignalWorkflow(ctx, in.Holder, "", SignalNodesLeased, given)
	}
	broken := newWorld(1, nil)
	broken.fails = map[string]error{trainPolicy: schemas.Errorf(schemas.NotFound, "the model's folder is gone")}
	return []recording{
		{file: "ManageNodePool", workflow: ManageNodePoolName, input: `{"check_every":"1s"}`, world: newWorld(1, nil), drive: usePool,
			ends: func(err error) bool { return temporal.IsCanceledError(err) }},
		{file: "TrainModel-gang", workflow: TrainModelName, input: twoNodes, world: together.world,
			queues: []string{HostQueue("gpu-0"), HostQueue("gpu-1"), PoolQueue(schemas.DefaultPool)}},
		{file: "TrainModel-parked", workflow: TrainModelName, input: `{"manifest":"m"}`, world: broken, drive: mendModel},
	}
}

// usePool has nodes come and go, a holder that is not there, and one that waits
// until it is looked at.
func usePool(ctx context.Context, c client.Client, run client.WorkflowRun, w *world) error {
	looked := make(chan struct{}, 100)
	w.mu.Lock()
	w.hold = map[string]func(){findGoneHolders: func() { looked <- struct{}{} }}
	w.mu.Unlock()
	for _, s := range []struct {
		name string
		arg  any
	}{
		{SignalRegisterNode, schemas.RegisterNode{Host: "gpu-0", Address: "127.0.0.1", ValidFor: schemas.Duration(time.Hour)}},
		{SignalRegisterNode, schemas.RegisterNode{Host: "gpu-1", Address: "127.0.0.1", ValidFor: schemas.Duration(time.Hour)}},
		{SignalLeaseNodes, schemas.LeaseNodes{Holder: "vanished", Request: "1", Want: 2}},
		{SignalLeaseNodes, schemas.LeaseNodes{Holder: "waits", Request: "1", Want: 3}},
		{SignalNodeLeaves, schemas.NodeName{Host: "gpu-1"}},
	} {
		if err := c.SignalWorkflow(ctx, run.GetID(), "", s.name, s.arg); err != nil {
			return err
		}
	}
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: UpdateDrain,
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{schemas.NodeName{Host: "gpu-0"}}})
	if err == nil {
		err = h.Get(ctx, nil)
	}
	if err != nil {
		return err
	}
	select {
	case <-looked:
		return c.CancelWorkflow(ctx, run.GetID(), "")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mendModel lets a parked training go on.
func mendModel(ctx context.Context, c client.Client, run client.WorkflowRun, w *world) error {
	if err := parked(ctx, c, run.GetID()); err != nil {
		return err
	}
	w.mu.Lock()
	w.fails = nil
	w.mu.Unlock()
	_, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: UpdateRetryFailed, WaitForStage: client.WorkflowUpdateStageCompleted})
	return err
}
