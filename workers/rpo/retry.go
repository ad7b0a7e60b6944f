package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"rpo/schemas"
	"rpo/workflows"
)

const (
	// parkedQuery finds the runs that wait for a person.
	parkedQuery = `RpoStatus = "` + schemas.StatusNeedsAttention + `" AND ExecutionStatus = "Running"`
	// retryAtOnce is how many runs are told at the same time.
	retryAtOnce = 8
	// retryAnswer bounds the wait for one run's answer, which its worker gives.
	retryAnswer = time.Minute
	maxRate     = 1000
	runsPerPage = 500
)

// retryOptions say which runs are told what, and how fast.
type retryOptions struct {
	query string
	// rate is in runs a second.
	rate   float64
	dryRun bool
	how    schemas.RetryFailed
}

// retryReport is one line of the report: what became of one run.
type retryReport struct {
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
	Workflow   string `json:"workflow"`
	// Accepted says that the run works on its failed shards again; FailedShards is
	// how many had failed. After a dry run it says that the run would be asked to.
	Accepted     bool   `json:"accepted"`
	FailedShards int    `json:"failed_shards"`
	Reason       string `json:"reason,omitempty"`
	ErrorType    string `json:"error_type,omitempty"`
}

// retryCommand sends retry_failed to every run that a query finds.
func retryCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("retry", flag.ContinueOnError)
	o := retryOptions{}
	flags.StringVar(&o.query, "query", parkedQuery, "visibility query that finds the runs")
	flags.Float64Var(&o.rate, "rate", 20, "runs a second")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the runs with their state and tell them nothing")
	flags.Func("error-type", "work only on shards that failed with this type, such as Overloaded; may be repeated", func(t string) error {
		o.how.ErrorTypes = append(o.how.ErrorTypes, t)
		return nil
	})
	flags.Func("shard", "work only on this shard of every run; may be repeated", func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return errors.New("want the number of a shard, which count from 0")
		}
		o.how.Shards = append(o.how.Shards, n)
		return nil
	})
	flags.StringVar(&o.how.Endpoint, "endpoint", "", "endpoint that replaces the one whose model the stage calls")
	flags.StringVar(&o.how.Model, "model", "", "model to ask that endpoint for")
	heartbeat := flags.Duration("heartbeat-timeout", 0, "heartbeat timeout that replaces the stage's")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	o.how.HeartbeatTimeout = schemas.Duration(*heartbeat)
	if err := o.how.Validate(); err != nil {
		return schemas.Errorf(usageError, "%w", err)
	}
	if !(o.rate > 0 && o.rate <= maxRate) {
		return schemas.Errorf(usageError, "flag --rate: %v is not above 0 and at most %d", o.rate, maxRate)
	}
	c, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return err
	}
	defer c.Close()
	return retryRuns(ctx, c, o, os.Stdout, os.Stderr)
}

// retryRuns reports on every run as one JSON line, and on all of them in a
// sentence. A run that cannot be told does not keep the next from being told; the
// error at the end counts them.
func retryRuns(ctx context.Context, c client.Client, o retryOptions, lines, summary io.Writer) error {
	// The list is complete before the first run is told: one that fails again
	// meanwhile is not told twice.
	runs, err := findRuns(ctx, c, o.query)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	told, shards := 0, 0
	var printing error
	out := json.NewEncoder(lines)
	atRate(ctx, o.rate, runs, func(r retryReport) {
		tell := tellRun
		if o.dryRun {
			tell = lookAtRun
		}
		r = tell(ctx, c, r, o.how)
		mu.Lock()
		defer mu.Unlock()
		if err := out.Encode(r); err != nil {
			printing = schemas.Errorf(schemas.Internal, "print the report: %w", err)
		}
		if r.Accepted {
			told++
			shards += r.FailedShards
		}
	})
	what := "work again"
	if o.dryRun {
		what = "would be told to work again"
	}
	fmt.Fprintf(summary, "%d of %d runs %s; %d of their shards had failed\n", told, len(runs), what, shards)
	switch {
	case ctx.Err() != nil:
		return schemas.Errorf(schemas.Stalled, "interrupted: runs without a line were not told: %w", context.Cause(ctx))
	case printing != nil:
		return printing
	case told < len(runs):
		return schemas.Errorf(schemas.InvalidInput, "%d of %d runs could not be told: their lines say why", len(runs)-told, len(runs))
	}
	return nil
}

// findRuns lists the runs of a visibility query.
func findRuns(ctx context.Context, c client.Client, query string) ([]retryReport, error) {
	var out []retryReport
	var next []byte
	for {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: runsPerPage, NextPageToken: next})
		if err != nil {
			return nil, schemas.Errorf(schemas.InvalidInput, "list the runs of query %.300q: %w", query, err)
		}
		for _, e := range page.GetExecutions() {
			out = append(out, retryReport{WorkflowID: e.GetExecution().GetWorkflowId(), RunID: e.GetExecution().GetRunId(), Workflow: e.GetType().GetName()})
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return out, nil
		}
	}
}

// atRate calls do for every run, retryAtOnce at a time, and begins no more than
// rate a second. It begins none after ctx has ended.
func atRate(ctx context.Context, rate float64, runs []retryReport, do func(retryReport)) {
	due := make(chan retryReport)
	var group sync.WaitGroup
	for range min(retryAtOnce, len(runs)) {
		group.Go(func() {
			for r := range due {
				do(r)
			}
		})
	}
	defer group.Wait()
	defer close(due)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i, r := range runs {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
		due <- r
	}
}

// tellRun sends the update to exactly this run: a later one of the same workflow
// may be parked for another reason.
func tellRun(ctx context.Context, c client.Client, r retryReport, how schemas.RetryFailed) retryReport {
	ctx, cancel := context.WithTimeout(ctx, retryAnswer)
	defer cancel()
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: r.WorkflowID, RunID: r.RunID, UpdateName: workflows.UpdateRetryFailed,
		Args: []any{how}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, &r.FailedShards)
	}
	return r.answered(ctx, err)
}

// lookAtRun asks a run for its state instead of telling it anything.
func lookAtRun(ctx context.Context, c client.Client, r retryReport, _ schemas.RetryFailed) retryReport {
	ctx, cancel := context.WithTimeout(ctx, retryAnswer)
	defer cancel()
	var s schemas.StageStatus
	v, err := c.QueryWorkflow(ctx, r.WorkflowID, r.RunID, workflows.QueryStatus)
	if err == nil {
		err = v.Get(&s)
	}
	r.FailedShards, r.Reason = s.Failed, s.Reason
	if err == nil && s.Status != schemas.StatusNeedsAttention {
		err = schemas.Errorf(schemas.InvalidInput, "it is %s: only a stage that needs attention takes this", s.Status)
	}
	return r.answered(ctx, err)
}

// answered completes a line by what came back.
func (r retryReport) answered(ctx context.Context, err error) retryReport {
	if r.Accepted = err == nil; r.Accepted {
		return r
	}
	r.FailedShards = 0
	if ctx.Err() == context.DeadlineExceeded {
		err = schemas.Errorf(schemas.Overloaded, "no answer within %s: is a worker of queue %s running?", retryAnswer, workflows.QueueWorkflows)
	}
	if _, ended := errors.AsType[*serviceerror.NotFound](err); ended {
		err = schemas.Errorf(schemas.NotFound, "the run has ended, or is gone")
	}
	err = plainFailure(err)
	r.Reason, r.ErrorType = err.Error(), string(schemas.TypeOf(err))
	return r
}
