package main

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// The way that the engine does not go: a child workflow for each shard.
const (
	parentName = "ChildPerShard"
	childName  = "OneShard"
)

func registerChildren(w worker.WorkflowRegistry) {
	w.RegisterWorkflowWithOptions(parent, workflow.RegisterOptions{Name: parentName})
	w.RegisterWorkflowWithOptions(child, workflow.RegisterOptions{Name: childName})
}

func parent(ctx workflow.Context, shards int) (rows int64, err error) {
	selector := workflow.NewSelector(ctx)
	running := 0
	for next := 0; next < shards || running > 0; {
		for ; next < shards && running < inFlight; next++ {
			running++
			options := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: fmt.Sprintf("bench-child-%d", next), TaskQueue: workflows.QueueWorkflows})
			selector.AddFuture(workflow.ExecuteChildWorkflow(options, childName, next), func(f workflow.Future) {
				running--
				var done schemas.ShardResult
				if failed := f.Get(ctx, &done); failed != nil {
					err = failed
				}
				rows += done.Books.In
			})
		}
		selector.Select(ctx)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func child(ctx workflow.Context, number int) (done schemas.ShardResult, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: workflows.QueueLLM, StartToCloseTimeout: time.Hour, HeartbeatTimeout: 30 * time.Second, Summary: fmt.Sprintf("sample shard %d", number)})
	in := sample.ShardInput{Shard: store.Shard{Job: schemas.ID("job", "bench"), Stage: "sample", ConfigHash: fmt.Sprintf("%064d", 0),
		Manifest: "s3://bench/imports/" + fmt.Sprintf("%064d", 0) + ".json", Number: number}}
	in.SetDefaults()
	return done, workflow.ExecuteActivity(ctx, "SampleShard", in).Get(ctx, &done)
}

func measureChildren(ctx context.Context, c client.Client, out *result) error {
	if out.ChildShards == 0 {
		return nil
	}
	began := time.Now()
	handle, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "bench-parent", TaskQueue: workflows.QueueWorkflows}, parentName, out.ChildShards)
	if err != nil {
		return err
	}
	var rows int64
	if err := handle.Get(ctx, &rows); err != nil {
		return err
	}
	if want := int64(out.ChildShards) * rowsPerShard; rows != want {
		return fmt.Errorf("%d rows, want %d", rows, want)
	}
	out.ChildShardsPerS = float64(out.ChildShards) / time.Since(began).Seconds()
	total, _, err := weigh(ctx, c, "bench-parent", handle.GetRunID())
	if err != nil {
		return err
	}
	for number := range out.ChildShards {
		one, err := weighChild(ctx, c, fmt.Sprintf("bench-child-%d", number))
		if err != nil {
			return err
		}
		total.events += one.events
		total.bytes += one.bytes
	}
	out.ChildPerShardEvents, out.ChildBytesPerShard = total.per(out.ChildShards)
	return nil
}

func weighChild(ctx context.Context, c client.Client, id string) (one size, err error) {
	events := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return one, err
		}
		one.events++
		one.bytes += payloadBytes(e)
	}
	return one, nil
}
