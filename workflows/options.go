package workflows

import (
	"cmp"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// Priorities go from 1, the most urgent, to 5. What a stage cannot go on without
// and soon ends goes one step ahead of the shards of its own queue, so that a
// small run is not kept waiting by a large one.
const (
	usualPriority = 3
	withRun       = 0
	aheadOfRun    = 1
)

// maxFairnessKey is the server's limit in bytes.
const maxFairnessKey = 64

// precedence is what tells the server whose task comes next in a full queue. The
// priority is the one that the run was started with; a nightly refresh may be
// started with 5, an evaluation that a person waits for with 1. Runs of one
// priority take turns by fairness key: the starter's (a data set, an owner), else
// the whole run's id, so that a run of 10,000 shards does not hold up one of ten.
func precedence(ctx workflow.Context, ahead int) temporal.Priority {
	info := workflow.GetInfo(ctx)
	p := info.Priority
	p.PriorityKey = max(1, cmp.Or(p.PriorityKey, usualPriority)-ahead)
	if p.FairnessKey == "" {
		p.FairnessKey = info.WorkflowExecution.ID
		if info.RootWorkflowExecution != nil {
			p.FairnessKey = info.RootWorkflowExecution.ID
		}
	}
	p.FairnessKey = strings.ToValidUTF8(p.FairnessKey[:min(len(p.FairnessKey), maxFairnessKey)], "")
	return p
}

// runKey finds the RunOptions of a workflow's input in its context.
type runKey struct{}

// ofRun keeps a workflow's RunOptions, if its input has them, for the option sets
// of all that it starts.
func ofRun(ctx workflow.Context, in any) workflow.Context {
	if o, ok := in.(interface{ Run() schemas.RunOptions }); ok {
		return workflow.WithValue(ctx, runKey{}, o.Run())
	}
	return ctx
}

// heartbeat is the run's heartbeat timeout, at most the usual one: heartbeats
// come from a ticker, whatever the activity does.
func heartbeat(ctx workflow.Context, usual time.Duration) time.Duration {
	if o, ok := ctx.Value(runKey{}).(schemas.RunOptions); ok {
		return min(usual, time.Duration(o.HeartbeatTimeout))
	}
	return usual
}

// withStage is for a child workflow. It has no timeout and no retry policy of its
// own: a stage parks where it cannot go on.
func withStage(ctx workflow.Context, id, summary string) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: QueueWorkflows, StaticSummary: summary, Priority: precedence(ctx, withRun),
		// Otherwise a cancelled parent ends at once and its end terminates the
		// child, which then cannot say how it ended.
		WaitForCancellation: true,
	})
}

// withRecords is for activities that read and write records in the store. They
// outlast an outage of two and a half minutes; a stage then waits for as long as it
// takes (insist), and says so.
func withRecords(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueIO, Summary: summary, Priority: precedence(ctx, aheadOfRun),
		StartToCloseTimeout: 10 * time.Minute, HeartbeatTimeout: heartbeat(ctx, time.Minute),
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second, MaximumAttempts: 10},
	})
}

// withShard is for the work on one shard. See RetryOptions for how long an outage
// may last before the shard counts as failed and the stage parks.
func withShard(ctx workflow.Context, queue, summary string, o schemas.RunOptions) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, Summary: summary, Priority: precedence(ctx, withRun),
		StartToCloseTimeout: 6 * time.Hour, HeartbeatTimeout: time.Duration(o.HeartbeatTimeout),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Duration(o.RetryInterval), BackoffCoefficient: 2,
			MaximumInterval: 60 * time.Duration(o.RetryInterval), MaximumAttempts: int32(o.MaxAttempts),
		},
	})
}

// withProbe is for a check that a person waits for: it gives up soon.
func withProbe(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, Summary: summary, Priority: precedence(ctx, aheadOfRun),
		StartToCloseTimeout: 2 * time.Minute, HeartbeatTimeout: heartbeat(ctx, 30*time.Second),
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second, MaximumAttempts: 3},
	})
}

// withLook is for a look at a base model, whose weights are read once.
func withLook(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: lookQueue(ctx), Summary: summary, Priority: precedence(ctx, aheadOfRun),
		StartToCloseTimeout: 2 * time.Hour, HeartbeatTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second, MaximumAttempts: 3},
	})
}

// withGang is for a process that may run for days. A crash goes on from the last
// checkpoint, so many attempts are cheap; a defect has fewer (AttemptError).
func withGang(ctx workflow.Context, summary string, o schemas.RunOptions) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueGPU, Summary: summary, Priority: precedence(ctx, withRun),
		StartToCloseTimeout: 14 * 24 * time.Hour, HeartbeatTimeout: time.Duration(o.HeartbeatTimeout),
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute, MaximumAttempts: 40},
	})
}

// poolKey finds the pool of a gang in its context.
type poolKey struct{}

// inPool has looks at a model made by the hosts of a pool, if one is named.
func inPool(ctx workflow.Context, pool string) workflow.Context {
	return workflow.WithValue(ctx, poolKey{}, pool)
}

func lookQueue(ctx workflow.Context) string {
	if pool, _ := ctx.Value(poolKey{}).(string); pool != "" {
		return PoolQueue(pool)
	}
	return QueueGPU
}

// nodeAnswers is how long a host that a pool has just given may take to begin.
const nodeAnswers = 2 * time.Minute

// withNode is for what one host of a gang does before the others. Only on the
// queue of one host is waiting in vain possible, so it has an end.
func withNode(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, Summary: summary, Priority: precedence(ctx, withRun),
		StartToCloseTimeout: 2 * time.Minute, ScheduleToStartTimeout: nodeAnswers, HeartbeatTimeout: heartbeat(ctx, 30*time.Second),
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second, MaximumAttempts: 3},
	})
}

// withRank is for one host of a gang. It is tried once: when one fails all go on
// from the last checkpoint, together. A cancelled one is waited for, since its
// host must be free when it is given back.
func withRank(ctx workflow.Context, queue, summary string, o schemas.RunOptions) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, Summary: summary, Priority: precedence(ctx, withRun),
		StartToCloseTimeout: 14 * 24 * time.Hour, ScheduleToStartTimeout: nodeAnswers, HeartbeatTimeout: time.Duration(o.HeartbeatTimeout),
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute, MaximumAttempts: 1},
	})
}
