package pool

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"rpo/schemas"
)

// Temporal is what this package asks of a Temporal client.
type Temporal interface {
	SignalWithStartWorkflow(ctx context.Context, id, signal string, arg any, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, id, run, signal string, arg any) error
	DescribeWorkflow(ctx context.Context, id, run string) (*client.WorkflowExecutionDescription, error)
}

// Activities of a pool. Workflow and Queue are the type and the task queue of the
// workflow that manages one; Lease and Release name its signals.
type Activities struct {
	Workflow, Queue, Lease, Release string
	// Temporal, if not nil, stands in for the client of the worker.
	Temporal Temporal
}

func (a *Activities) temporal(ctx context.Context) Temporal {
	if a.Temporal != nil {
		return a.Temporal
	}
	return activity.GetClient(ctx)
}

// WorkflowID is the id of the workflow that manages a pool.
func WorkflowID(pool string) string { return "pool-" + pool }

// Start starts the workflow of a pool, unless it runs, with a signal.
func Start(ctx context.Context, t Temporal, workflow, queue, pool, signal string, arg any) error {
	_, err := t.SignalWithStartWorkflow(ctx, WorkflowID(pool), signal, arg, client.StartWorkflowOptions{
		TaskQueue: queue, StaticSummary: "nodes of pool " + pool,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, workflow, schemas.ManageNodePoolInput{Pool: pool})
	if err != nil {
		return schemas.Errorf(schemas.Overloaded, "signal pool %s: %w", pool, err)
	}
	return nil
}

// LeaseInput asks a pool for nodes.
type LeaseInput struct {
	Pool string `json:"pool"`
	schemas.LeaseNodes
}

// RequestNodes asks a pool for nodes, which it sends as a signal to the holder. It
// starts the pool if there is none; asking twice is asking once.
func (a *Activities) RequestNodes(ctx context.Context, in LeaseInput) error {
	return Start(ctx, a.temporal(ctx), a.Workflow, a.Queue, in.Pool, a.Lease, in.LeaseNodes)
}

// ReleaseInput gives nodes back to a pool.
type ReleaseInput struct {
	Pool string `json:"pool"`
	schemas.ReleaseNodes
}

// ReturnNodes gives nodes back. A pool that is not there has nothing to take.
func (a *Activities) ReturnNodes(ctx context.Context, in ReleaseInput) error {
	err := a.temporal(ctx).SignalWorkflow(ctx, WorkflowID(in.Pool), "", a.Release, in.ReleaseNodes)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err == nil || gone {
		return nil
	}
	return schemas.Errorf(schemas.Overloaded, "give nodes back to pool %s: %w", in.Pool, err)
}

// FindGoneInput lists who has or waits for nodes.
type FindGoneInput struct {
	Holders []schemas.ReleaseNodes `json:"holders"`
}

// FindGoneHolders returns those of the holders whose workflow has ended or is not
// known. What cannot be found out counts as alive.
func (a *Activities) FindGoneHolders(ctx context.Context, in FindGoneInput) ([]schemas.ReleaseNodes, error) {
	var gone []schemas.ReleaseNodes
	for i, h := range in.Holders {
		activity.RecordHeartbeat(ctx, schemas.Heartbeat{Done: i, Total: len(in.Holders)})
		d, err := a.temporal(ctx).DescribeWorkflow(ctx, h.Holder, "")
		if _, unknown := errors.AsType[*serviceerror.NotFound](err); unknown {
			gone = append(gone, h)
			continue
		}
		if err != nil {
			return gone, schemas.Errorf(schemas.Overloaded, "describe workflow %s: %w", h.Holder, err)
		}
		if d.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && d.Status != enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
			gone = append(gone, h)
		}
	}
	return gone, nil
}
