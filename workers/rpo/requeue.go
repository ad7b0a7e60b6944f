package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"rpo/activities/requeue"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// requeueCommand writes the chosen rows as a supplement and, with --input, works on
// it until its pairs are in a new version of the data set.
func requeueCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("quarantine requeue", flag.ContinueOnError)
	choice := choiceFlags(flags)
	input := flags.String("input", "", "input of RunPipeline: run its stages up to the pairs on these rows alone and merge the pairs into its data set")
	generation := flags.Int64("generation", 0, "generation of the stage that set the rows aside (default: that of the input, plus 1)")
	rest, err := parseArguments(flags, args)
	if err != nil {
		return err
	}
	if len(rest) < 1 || len(rest) > 2 {
		return schemas.Errorf(usageError, "want 1 or 2 arguments (MANIFEST|JOB [FILE]), got %d", len(rest))
	}
	c := choice()
	var mended requeue.Mended
	if len(rest) == 2 {
		if c.Rows, mended, err = readQuarantineFile(rest[1]); err != nil {
			return err
		}
	}
	var in *schemas.RunPipelineInput
	if *input != "" {
		if in, err = readPipelineInput(*input); err != nil {
			return err
		}
	}
	s, uri, _, err := openQuarantine(ctx, rest[0])
	if err != nil {
		return err
	}
	made, err := requeue.Supplement(ctx, s, uri, c, mended)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "requeued %d rows of stage %s as %d shards\n", made.Rows, made.Stage, made.Shards)
	if in == nil {
		fmt.Fprintf(os.Stderr, "start %s on this manifest, with a higher generation where an endpoint's refusal was kept\n", made.Workflow)
		data, err := json.Marshal(made)
		if err != nil {
			return schemas.Errorf(schemas.Internal, "encode the result: %w", err)
		}
		return printJSON(data)
	}
	return finishSupplement(ctx, s, made.Manifest, *in, cmp.Or(*generation, in.Generation+1))
}

// mergeCommand works on a manifest until its pairs are in a new version.
func mergeCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("quarantine merge", flag.ContinueOnError)
	input := flags.String("input", "", "input of RunPipeline, whose data set gets a new version; required")
	rest, err := parseFlags(flags, args, "MANIFEST")
	if err != nil {
		return err
	}
	if *input == "" {
		return schemas.Errorf(usageError, "flag --input is required: the input of RunPipeline whose data set gets a new version")
	}
	in, err := readPipelineInput(*input)
	if err != nil {
		return err
	}
	s, uri, _, err := openQuarantine(ctx, rest[0])
	if err != nil {
		return err
	}
	return finishSupplement(ctx, s, uri, *in, in.Generation)
}

func readQuarantineFile(path string) (map[string]bool, requeue.Mended, error) {
	if path == "-" {
		return readQuarantine("standard input", os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, schemas.Errorf(schemas.NotFound, "requeue: %w", err)
	}
	defer f.Close()
	return readQuarantine(path, f)
}

func readPipelineInput(path string) (*schemas.RunPipelineInput, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "read input: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "read input: %w", err)
	}
	in := &schemas.RunPipelineInput{}
	if err := schemas.DecodeInput(data, in); err != nil {
		return nil, schemas.Errorf(schemas.TypeOf(err), "input of %s: %w", workflows.RunPipelineName, err)
	}
	return in, nil
}

// supplementDataset is where the pair stage of a supplement publishes: its pairs
// alone are no version of the data set itself.
func supplementDataset(dataset string) string { return dataset + "-requeued" }

// finishSupplement runs the stages that a manifest still lacks and merges what they
// made. generation is that of the first of them. Every stage has a workflow id of
// its own that follows from the manifest, so that the command, repeated, goes on.
func finishSupplement(ctx context.Context, s store.Store, uri string, in schemas.RunPipelineInput, generation int64) error {
	if !strings.HasPrefix(uri, s.URI("")) {
		return schemas.Errorf(schemas.InvalidInput, "manifest %s is of another bucket", uri)
	}
	c, err := dial(ctx, newLogger(slog.LevelError))
	if err != nil {
		return err
	}
	defer c.Close()
	first, dataset := true, in.Dataset
	in.Dataset = supplementDataset(dataset)
	for {
		m, err := store.GetManifest(ctx, s, uri)
		if err != nil {
			return err
		}
		workflow, input, err := nextStage(m, uri, in, first, generation)
		if err != nil {
			return err
		}
		if workflow == "" {
			break
		}
		if uri, err = runStage(ctx, c, workflow, "requeue-"+m.Job+"-"+strconv.FormatInt(generation, 10)+"/"+workflow, input); err != nil {
			return err
		}
		first = false
	}
	merged, err := requeue.Merge(ctx, s, dataset, uri)
	if err != nil {
		return err
	}
	v := merged.Versions[0]
	fmt.Fprintf(os.Stderr, "data set %s version %d: %d pairs added, %d of their turns' earlier pairs replaced\n", v.Dataset, v.Number, merged.Added, merged.Replaced)
	data, err := json.Marshal(merged.Versions)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode the versions: %w", err)
	}
	return printJSON(data)
}

// nextStage says which stage works on a manifest next, by the tables that it has
// not, "" for none. The first stage asks anew for what an endpoint had refused.
func nextStage(m schemas.Manifest, uri string, in schemas.RunPipelineInput, first bool, generation int64) (workflow string, input any, err error) {
	if len(m.Shards) == 0 {
		return "", nil, schemas.Errorf(schemas.InvalidInput, "manifest %s has no shards: all of them failed or are of another split", uri)
	}
	of := schemas.StageInput{Manifest: uri, RunOptions: in.RunOptions}
	if first {
		of.Generation = generation
	}
	has := func(table string) bool { _, ok := m.Shards[0].Objects[table]; return ok }
	switch {
	case has(schemas.TablePair):
		return "", nil, nil
	case !has(schemas.TableTurn):
		return "", nil, schemas.Errorf(schemas.InvalidInput,
			"manifest %s has no turns yet: start GenerateProfiles or BuildDialogues on it, then `rpo quarantine merge` on what that made", uri)
	case !has(schemas.TableResponse):
		return workflows.SampleResponsesName, schemas.SampleResponsesInput{StageInput: of, SampleOptions: in.SampleOptions}, nil
	case !has(schemas.TableVerdict):
		return workflows.JudgeResponsesName, schemas.JudgeResponsesInput{StageInput: of, JudgeOptions: in.JudgeOptions}, nil
	case !has(schemas.TableOpposite):
		return workflows.ReverseConstraintsName, schemas.ReverseConstraintsInput{StageInput: of, ReverseOptions: in.ReverseOptions}, nil
	}
	return workflows.BuildPairsName, schemas.BuildPairsInput{StageInput: of, PairOptions: in.PairOptions}, nil
}

// runStage starts a stage, or waits for the one that an earlier command started,
// and returns its manifest.
func runStage(ctx context.Context, c client.Client, name, id string, input any) (string, error) {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.QueueWorkflows,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING}, name, input)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", id, err)
	}
	fmt.Fprintf(os.Stderr, "%s is %s\n", name, id)
	var done schemas.StageResult
	if err := run.Get(ctx, &done); err != nil {
		return "", plainFailure(err)
	}
	if done.Books.Quarantined > 0 || done.FailedShards > 0 {
		fmt.Fprintf(os.Stderr, "%s set %d rows aside and %d shards failed: list them with rpo quarantine list %s\n",
			name, done.Books.Quarantined, done.FailedShards, done.Job)
	}
	return done.Manifest, nil
}
