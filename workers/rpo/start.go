package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"rpo/schemas"
	"rpo/workflows"
)

// startCommand checks the input here, so that a mistake is seen at once, and
// starts the workflow with it as it stands.
func startCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	file := flags.String("input", "", "file with the input, one JSON object; - for standard input")
	id := flags.String("id", "", "workflow id (default: the type and a random part)")
	wait := flags.Bool("wait", false, "wait for the result and print it")
	rest, err := parseFlags(flags, args, "WORKFLOW")
	if err != nil {
		return err
	}
	inputs := workflows.Inputs()
	in, ok := inputs[rest[0]]
	if !ok {
		return schemas.Errorf(usageError, "unknown workflow %q, known are %s", rest[0], strings.Join(slices.Sorted(maps.Keys(inputs)), ", "))
	}
	data := []byte("{}")
	switch *file {
	case "":
	case "-":
		data, err = io.ReadAll(os.Stdin)
	default:
		data, err = os.ReadFile(*file)
	}
	if err != nil {
		return schemas.Errorf(schemas.NotFound, "read input: %w", err)
	}
	if err := schemas.DecodeInput(data, in); err != nil {
		return schemas.Errorf(schemas.TypeOf(err), "input of %s: %w", rest[0], err)
	}
	c, err := dial(ctx, newLogger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer c.Close()
	if *id == "" {
		*id = rest[0] + "-" + uuid.NewString()[:8]
	}
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: *id, TaskQueue: workflows.QueueWorkflows, WorkflowExecutionErrorWhenAlreadyStarted: true},
		rest[0], json.RawMessage(data))
	if err != nil {
		return fmt.Errorf("start %s: %w", *id, err)
	}
	fmt.Fprintf(os.Stderr, "started %s, run %s\n", run.GetID(), run.GetRunID())
	if !*wait {
		fmt.Println(run.GetID())
		return nil
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go tellParked(watching, c, *id)
	var result json.RawMessage
	if err := run.Get(ctx, &result); err != nil {
		return plainFailure(err)
	}
	return printJSON(result)
}

// tellParked says on the terminal when a run, or a stage of it, waits for a
// person, since it would wait in silence for ever.
func tellParked(ctx context.Context, c client.Client, id string) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	told := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := parkedIn(ctx, c, id)
		for at, reason := range now {
			if reason != told[at] {
				fmt.Fprintf(os.Stderr, "%s needs attention: %s: see rpo status %s, then rpo update\n", at, reason, at)
			}
		}
		told = now
	}
}

// parkedIn says why a run, or stages of it, wait for a person, by their ids.
func parkedIn(ctx context.Context, c client.Client, id string) map[string]string {
	ids := []string{id}
	var whole schemas.PipelineStatus
	if query(ctx, c, id, &whole) == nil {
		for _, s := range whole.Stages {
			if s.Status == schemas.StatusRunning {
				ids = append(ids, s.WorkflowID)
			}
		}
	}
	parked := map[string]string{}
	for _, id := range ids {
		var s schemas.StageStatus
		if query(ctx, c, id, &s) == nil && s.Status == schemas.StatusNeedsAttention {
			parked[id] = s.Reason
		}
	}
	return parked
}

func statusCommand(ctx context.Context, args []string) error {
	rest, err := parseFlags(flag.NewFlagSet("status", flag.ContinueOnError), args, "WORKFLOW_ID")
	if err != nil {
		return err
	}
	c, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return err
	}
	defer c.Close()
	var status json.RawMessage
	if err := query(ctx, c, rest[0], &status); err != nil {
		return err
	}
	if err := printJSON(status); err != nil {
		return err
	}
	d, err := c.DescribeWorkflowExecution(ctx, rest[0], "")
	if err != nil {
		return notFound(rest[0], err)
	}
	if at := d.GetWorkflowExecutionInfo().GetStatus(); at != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && at != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		fmt.Fprintf(os.Stderr, "%s ended as %s: %v\n", rest[0], at, plainFailure(c.GetWorkflow(ctx, rest[0], "").Get(ctx, nil)))
	}
	return nil
}

func query(ctx context.Context, c client.Client, id string, into any) error {
	v, err := c.QueryWorkflow(ctx, id, "", workflows.QueryStatus)
	if err != nil {
		return notFound(id, err)
	}
	return v.Get(into)
}

func printJSON(v json.RawMessage) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode result: %w", err)
	}
	fmt.Println(string(data))
	return nil
}
