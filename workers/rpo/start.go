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

	"github.com/google/uuid"
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
	var result json.RawMessage
	if err := run.Get(ctx, &result); err != nil {
		return plainFailure(err)
	}
	return printJSON(result)
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
	return printJSON(status)
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
