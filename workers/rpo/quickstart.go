package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// quickstart is one run of the whole method on a local stack.
type quickstart struct {
	once, json              bool
	dir                     string
	profiles, input, worker string
	ports                   ports
}

func quickstartCommand(ctx context.Context, args []string) error {
	var q quickstart
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.BoolVar(&q.once, "once", false, "end the local stack after the run")
	flags.BoolVar(&q.json, "json", false, "print the summary as JSON on the last line")
	flags.StringVar(&q.dir, "dir", ".rpo", "folder for all state")
	flags.StringVar(&q.profiles, "profiles", "examples/tiny/profiles.jsonl", "profiles to import")
	flags.StringVar(&q.input, "input", "examples/tiny/quickstart.json", "input of RunPipeline, without profiles")
	flags.StringVar(&q.worker, "worker", "examples/tiny/worker.json", "worker configuration")
	flags.IntVar(&q.ports.temporal, "port", 7233, "Temporal's port; 0 for a free one")
	flags.IntVar(&q.ports.ui, "ui-port", 8233, "the web UI's port; 0 for a free one")
	flags.IntVar(&q.ports.s3, "s3-port", 9000, "the S3 server's port; 0 for a free one")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	summary, err := q.run(ctx)
	if err == nil && q.json {
		data, err := json.Marshal(summary)
		if err != nil {
			return schemas.Errorf(schemas.Internal, "encode summary: %w", err)
		}
		fmt.Println(string(data))
	}
	return err
}

// run starts the stack, runs the pipeline and stops the stack again: after the
// run with --once, else when the user interrupts.
func (q quickstart) run(ctx context.Context) (schemas.Summary, error) {
	var summary schemas.Summary
	in, err := q.readInput()
	if err != nil {
		return summary, err
	}
	imported, err := readProfiles(q.profiles, "", defaultEvalFraction)
	if err != nil {
		return summary, err
	}
	if _, err := loadConfig(q.worker); err != nil {
		return summary, err
	}
	if q.dir, err = filepath.Abs(q.dir); err == nil {
		err = os.MkdirAll(q.dir, 0o700)
	}
	if err != nil {
		return summary, schemas.Errorf(schemas.InvalidInput, "make --dir: %w", err)
	}
	fmt.Println("starting Temporal, its web UI and an S3 server")
	stack, err := startStack(ctx, q.dir, q.ports)
	if stack != nil {
		defer stack.stop()
	}
	if err != nil {
		return summary, err
	}
	s, err := openStore(ctx, stack.Bucket)
	if err != nil {
		return summary, err
	}
	if in.Profiles, err = writeProfiles(ctx, s, imported, 0); err != nil {
		return summary, err
	}
	temporal, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return summary, err
	}
	defer temporal.Close()
	worker, err := stack.startWorker(q.worker)
	if err != nil {
		return summary, err
	}
	run, err := startPipeline(ctx, temporal, in)
	if err != nil {
		return summary, err
	}
	link := fmt.Sprintf("%s/namespaces/%s/workflows/%s", stack.UI, stack.Namespace, run.GetID())
	fmt.Printf("running %s on %d profiles: %s\n\n", workflows.RunPipelineName, len(imported.Profiles), link)
	err = follow(ctx, temporal, run, worker, &summary)
	if err == nil {
		err = q.fetchReport(ctx, s, &summary)
	}
	if err == nil {
		printSummary(os.Stdout, summary)
	} else if ctx.Err() != nil {
		return summary, schemas.Errorf(schemas.InvalidInput, "interrupted: the same command goes on from here")
	}
	if q.once {
		return summary, err
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nrpo quickstart: %v\n", err)
		err = errors.Join(err, errPrinted)
	}
	fmt.Printf("\n  run in the web UI  %s\n  report             %s\n\nThe local stack stays up. Press Ctrl-C to end it. In another shell:\n\n%s", link, summary.Report, stack.exports())
	<-ctx.Done()
	return summary, err
}

func (q quickstart) readInput() (schemas.RunPipelineInput, error) {
	var in schemas.RunPipelineInput
	data, err := os.ReadFile(q.input)
	if err != nil {
		return in, schemas.Errorf(schemas.NotFound, "read --input: %w", err)
	}
	if err := schemas.DecodeStrict(data, &in); err != nil {
		return in, schemas.Errorf(schemas.InvalidInput, "--input %s: %w", q.input, err)
	}
	check := in
	check.Profiles = "imported later"
	check.SetDefaults()
	if err := check.Validate(); err != nil {
		return in, schemas.Errorf(schemas.InvalidInput, "--input %s: %w", q.input, err)
	}
	return in, nil
}

// startPipeline starts the run, or finds the one that an interrupted quickstart
// left: the id is a function of the input.
func startPipeline(ctx context.Context, c client.Client, in schemas.RunPipelineInput) (client.WorkflowRun, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "encode input: %w", err)
	}
	sum := sha256.Sum256(data)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "quickstart-" + hex.EncodeToString(sum[:4]), TaskQueue: workflows.QueueWorkflows,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.RunPipelineName, in)
	if err != nil {
		return nil, fmt.Errorf("start the pipeline: %w", err)
	}
	return run, nil
}

// fetchReport brings the report to local disk, where a browser can open it.
func (q quickstart) fetchReport(ctx context.Context, s store.Store, summary *schemas.Summary) error {
	key, err := s.Key(summary.Report)
	if err != nil {
		return err
	}
	page, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	summary.Report = filepath.Join(q.dir, "report.html")
	if err := os.WriteFile(summary.Report, page, 0o644); err != nil {
		return schemas.Errorf(schemas.Internal, "write report: %w", err)
	}
	return nil
}
