package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"rpo/activities/collect"
	"rpo/schemas"
	"rpo/workflows"
)

// openRuns finds the runs of our workflows that have not ended, parked ones
// included, with their ids.
func openRuns(ctx context.Context, c client.Client) (open collect.Open, ids []string, err error) {
	open.Jobs = map[string]bool{}
	known := workflows.Inputs()
	var next []byte
	for {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'", PageSize: runsPerPage, NextPageToken: next})
		if err != nil {
			return open, nil, schemas.Errorf(schemas.Overloaded, "list the open runs: %w", err)
		}
		for _, e := range page.GetExecutions() {
			name := e.GetType().GetName()
			if known[name] == nil || name == workflows.ManageNodePoolName { // which lives on and reads no rows
				continue
			}
			open.Runs++
			ids = append(ids, e.GetExecution().GetWorkflowId())
			var job string
			if p := e.GetSearchAttributes().GetIndexedFields()["RpoJob"]; p != nil && converter.GetDefaultDataConverter().FromPayload(p, &job) == nil {
				open.Jobs[job] = true
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return open, ids, nil
		}
	}
}

// watchRuns connects to Temporal to ask for open runs, unless the caller vouches
// that there are none.
func watchRuns(ctx context.Context, vouched bool) (ask func(context.Context) (collect.Open, []string, error), done func(), err error) {
	if vouched {
		return func(context.Context) (collect.Open, []string, error) { return collect.Open{}, nil, nil }, func() {}, nil
	}
	c, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return nil, nil, schemas.Errorf(schemas.TypeOf(err), "%w; if no run is open and none starts meanwhile, say so by --no-open-runs", err)
	}
	return func(ctx context.Context) (collect.Open, []string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return openRuns(ctx, c)
	}, c.Close, nil
}

// refuseOpen is the error of what must not happen while runs are open.
func refuseOpen(what string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return schemas.Errorf(schemas.InvalidInput, "%s: %d runs are open, such as %s: let them end, or stop or cancel them, and pause the schedules",
		what, len(ids), strings.Join(ids[:min(len(ids), 3)], ", "))
}

const vouchHelp = "no run is open and none starts meanwhile; Temporal is not asked"
