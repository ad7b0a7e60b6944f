package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"

	"go.temporal.io/sdk/client"

	"rpo/schemas"
)

// updateCommand sends one update to one workflow and prints what it returns.
func updateCommand(ctx context.Context, args []string) error {
	rest, err := parseArguments(flag.NewFlagSet("update", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	if len(rest) < 2 || len(rest) > 3 {
		return schemas.Errorf(usageError, "want WORKFLOW_ID NAME [JSON], got %d arguments", len(rest))
	}
	o := client.UpdateWorkflowOptions{WorkflowID: rest[0], UpdateName: rest[1], WaitForStage: client.WorkflowUpdateStageCompleted}
	if len(rest) == 3 {
		if !json.Valid([]byte(rest[2])) {
			return schemas.Errorf(schemas.InvalidInput, "the argument of %s is not valid JSON: %.200s", rest[1], rest[2])
		}
		o.Args = []any{json.RawMessage(rest[2])}
	}
	c, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return err
	}
	defer c.Close()
	handle, err := c.UpdateWorkflow(ctx, o)
	if err != nil {
		return notFound(rest[0], err)
	}
	var result json.RawMessage
	if err := handle.Get(ctx, &result); err != nil {
		return plainFailure(err)
	}
	return printJSON(result)
}
