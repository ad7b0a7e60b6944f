// Command bench measures what a stage costs in Temporal: events and payload bytes
// of its histories per shard, and shards per second with activities that do
// nothing, on a real server, beside the same work with one child workflow per
// shard.
//
//	go run ./workflows/bench [-shards 2000] [-children 1000] [-full]
//
// It needs bin/rpo-local. The last line is one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/proto"

	"log/slog"

	"rpo/activities/chat"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// rowsPerShard is what each shard says it has read: 200 responses of 40 turns.
const rowsPerShard = 40

// fullShards have 20 million responses.
const fullShards = 100_000

// result is the last line.
type result struct {
	Shards         int     `json:"shards"`
	EventsPerShard float64 `json:"events_per_shard"`
	// BytesPerShard are those of all payloads in the histories.
	BytesPerShard float64 `json:"bytes_per_shard"`
	ShardsPerS    float64 `json:"shards_per_s"`
	Runs          int     `json:"runs"`
	// BooksClosed says that every row of every shard was accounted for.
	BooksClosed bool    `json:"books_closed"`
	PeakHeapMB  float64 `json:"peak_heap_mb"`

	ChildShards         int     `json:"child_shards"`
	ChildPerShardEvents float64 `json:"child_per_shard_events"`
	ChildBytesPerShard  float64 `json:"child_bytes_per_shard"`
	ChildShardsPerS     float64 `json:"child_shards_per_s"`
}

func main() {
	shards := flag.Int("shards", 2000, "shards of the stage")
	children := flag.Int("children", 1000, "shards with a child workflow each")
	full := flag.Bool("full", false, "a stage of 100,000 shards")
	flag.Parse()
	if *full {
		*shards = fullShards
	}
	if err := run(*shards, *children); err != nil {
		fmt.Fprintln(os.Stderr, "bench stage:", err)
		os.Exit(1)
	}
}

func run(shards, children int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Hour)
	defer cancel()
	quiet := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	server, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{ExistingPath: "bin/rpo-local", Stderr: os.Stderr, ClientOptions: &client.Options{Logger: quiet}})
	if err != nil {
		return fmt.Errorf("start bin/rpo-local (make build makes it): %w", err)
	}
	defer server.Stop()
	c := server.Client()
	idle := &idle{shards: shards}
	for _, queue := range []string{workflows.QueueWorkflows, workflows.QueueIO, workflows.QueueLLM} {
		w := worker.New(c, queue, worker.Options{DisableRegistrationAliasing: true, MaxConcurrentActivityExecutionSize: 1000})
		workflows.Register(w)
		registerChildren(w)
		idle.register(w)
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Stop()
	}
	out := result{Shards: shards, ChildShards: children}
	if err := measureStage(ctx, c, &out); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if err := measureChildren(ctx, c, &out); err != nil {
		return fmt.Errorf("children: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// inFlight are the shards that both ways work on at once.
const inFlight = 100

func measureStage(ctx context.Context, c client.Client, out *result) error {
	peak := watchHeap()
	began := time.Now()
	handle, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "bench-stage", TaskQueue: workflows.QueueWorkflows},
		workflows.SampleResponsesName, map[string]any{"manifest": "s3://bench/imports/" + fmt.Sprintf("%064d", 0) + ".json", "shards_in_flight": inFlight})
	if err != nil {
		return err
	}
	first := handle.GetRunID() // the handle follows the continuations
	var done schemas.StageResult
	if err := handle.Get(ctx, &done); err != nil {
		return err
	}
	out.ShardsPerS = float64(out.Shards) / time.Since(began).Seconds()
	out.PeakHeapMB = peak()
	out.BooksClosed = done.Books.Closed() && done.Books.In == int64(out.Shards)*rowsPerShard
	size, runs, err := weigh(ctx, c, "bench-stage", first)
	if err != nil {
		return err
	}
	out.Runs = runs
	out.EventsPerShard, out.BytesPerShard = size.per(out.Shards)
	return nil
}

// idle is a stage whose activities do nothing. It keeps no list of shards.
type idle struct{ shards int }

func (i *idle) register(w worker.ActivityRegistry) {
	for name, a := range map[string]any{
		"DescribeModel": func(context.Context, chat.DescribeModelInput) (string, error) { return "model", nil },
		"OpenStage": func(context.Context, store.OpenStageInput) (store.OpenStageResult, error) {
			return store.OpenStageResult{Job: schemas.ID("job", "bench"), ConfigHash: fmt.Sprintf("%064d", 0), Shards: i.shards}, nil
		},
		"ListShards": func(_ context.Context, in store.ListShardsInput) (out store.ListShardsResult, err error) {
			for n := in.Offset; n < min(in.Offset+in.Limit, i.shards); n++ {
				out.Todo = append(out.Todo, n)
			}
			return out, nil
		},
		"SampleShard": func(_ context.Context, in sample.ShardInput) (schemas.ShardResult, error) {
			return schemas.ShardResult{Shard: in.Number, Books: schemas.Books{In: rowsPerShard, OK: rowsPerShard},
				Spent: schemas.Spending{Calls: rowsPerShard, PromptTokens: 40_000, CompletionTokens: 60_000}}, nil
		},
		"CloseStage": func(_ context.Context, in store.CloseStageInput) (schemas.StageResult, error) {
			rows := int64(i.shards) * rowsPerShard
			return schemas.StageResult{Stage: in.Stage, Job: in.Job, Shards: i.shards, Books: schemas.Books{In: rows, OK: rows}}, nil
		},
	} {
		w.RegisterActivityWithOptions(a, activity.RegisterOptions{Name: name})
	}
}

// size counts what histories hold.
type size struct{ events, bytes int }

func (s size) per(shards int) (events, bytes float64) {
	return float64(s.events) / float64(shards), float64(s.bytes) / float64(shards)
}

// weigh adds up the histories of a workflow and all its continuations.
func weigh(ctx context.Context, c client.Client, id, runID string) (total size, runs int, err error) {
	for runID != "" {
		runs++
		next := ""
		events := c.GetWorkflowHistory(ctx, id, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			if err != nil {
				return total, runs, err
			}
			total.events++
			total.bytes += payloadBytes(e)
			next = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
		}
		runID = next
	}
	return total, runs, nil
}

// payloadBytes are those of an event's inputs, results and summaries.
func payloadBytes(e *historypb.HistoryEvent) (n int) {
	for _, p := range []proto.Message{
		e.GetWorkflowExecutionStartedEventAttributes().GetInput(), e.GetWorkflowExecutionCompletedEventAttributes().GetResult(),
		e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetInput(),
		e.GetActivityTaskScheduledEventAttributes().GetInput(), e.GetActivityTaskCompletedEventAttributes().GetResult(),
		e.GetStartChildWorkflowExecutionInitiatedEventAttributes().GetInput(), e.GetChildWorkflowExecutionCompletedEventAttributes().GetResult(),
		e.GetUserMetadata(),
	} {
		n += proto.Size(p)
	}
	return n
}

// watchHeap returns a function that ends it and tells the most megabytes of heap
// that this process, the worker, held.
func watchHeap() func() float64 {
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		peak := 0.0
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, float64(m.HeapInuse)/1e6)
			select {
			case <-tick.C:
			case <-stop:
				most <- peak
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-most }
}
