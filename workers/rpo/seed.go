package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/examples"
	"rpo/schemas"
	"rpo/workflows"
)

// example is how the example run of one workflow type is made: from the input in
// examples/, with this laid over it.
type example struct {
	workflow string
	// after are the examples whose results the input takes.
	after []string
	input func(*seeding) map[string]any
	// endless says that the workflow never completes: it is cancelled once it runs.
	endless bool
}

// exampleRuns are all examples in an order in which each finds what it takes. Those of
// the pipeline's stages come after it: they find their shards committed.
var exampleRuns = []example{
	{workflow: workflows.GenerateProfilesName, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.seeds, "generate_endpoint": s.judge}
	}},
	{workflow: workflows.BuildDialoguesName, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.profiles, "personas": s.personas, "user_endpoint": s.judge, "responder_endpoint": s.endpoint, "judge_endpoint": s.judge, "max_turns": 2, "dialogue_max_tokens": 256}
	}},
	{workflow: workflows.RunPipelineName, input: func(s *seeding) map[string]any {
		return map[string]any{"profiles": s.profiles, "dataset": exampleName, "endpoint": s.endpoint, "eval_endpoint": s.eval, "base_model": s.base}
	}},
	{workflow: workflows.SampleResponsesName, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.profiles, "endpoint": s.endpoint}
	}},
	{workflow: workflows.JudgeResponsesName, after: []string{workflows.SampleResponsesName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.SampleResponsesName].Manifest}
	}},
	{workflow: workflows.ReverseConstraintsName, after: []string{workflows.JudgeResponsesName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.JudgeResponsesName].Manifest}
	}},
	{workflow: workflows.BuildPairsName, after: []string{workflows.ReverseConstraintsName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.ReverseConstraintsName].Manifest, "dataset": exampleName}
	}},
	{workflow: workflows.ComputeReferenceName, after: []string{workflows.BuildPairsName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.BuildPairsName].Manifest, "base_model": s.base}
	}},
	{workflow: workflows.TrainModelName, after: []string{workflows.ComputeReferenceName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.ComputeReferenceName].Manifest, "base_model": s.base}
	}},
	{workflow: workflows.EvaluateModelName, after: []string{workflows.TrainModelName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.profiles, "trained_model": s.made[workflows.TrainModelName].Model, "endpoint": s.eval}
	}},
	{workflow: workflows.PromoteModelName, after: []string{workflows.TrainModelName, workflows.EvaluateModelName}, input: func(s *seeding) map[string]any {
		return map[string]any{"name": exampleName, "model": s.made[workflows.TrainModelName].Model, "evaluation": s.made[workflows.EvaluateModelName].Manifest}
	}},
	{workflow: workflows.RefreshDatasetName, input: func(s *seeding) map[string]any {
		return map[string]any{"source": s.source, "dataset": exampleName + "-nightly", "endpoint": s.endpoint}
	}},
	{workflow: workflows.RunExperimentName, after: []string{workflows.BuildPairsName}, input: func(s *seeding) map[string]any {
		return map[string]any{"manifest": s.made[workflows.BuildPairsName].Manifest, "profiles": s.profiles, "endpoint": s.eval, "base_model": s.base,
			"arms": []map[string]any{{"name": "rpo"}, {"name": "gamma-0.1", "gamma": 0.1}}}
	}},
	{workflow: workflows.ManageNodePoolName, endless: true, input: func(*seeding) map[string]any { return map[string]any{"pool": exampleName} }},
}

// exampleName is the data set and the prefix of the workflow ids of examples.
const exampleName = "example"

func exampleID(workflowType string) string { return exampleName + "-" + workflowType }

// seeding is what examples are made of.
type seeding struct {
	client client.Client
	// endpoint is sampled from, judge writes and judges, eval can load trained models;
	// base is the base model's name.
	endpoint, judge, eval, base string
	patience                    time.Duration
	// seeds, profiles and personas are manifests, source is a prefix of profiles.
	seeds, profiles, personas, source string
	// made are the results so far by workflow type.
	made map[string]made
}

// made is what of a result other examples take.
type made struct {
	Manifest string `json:"manifest"`
	Model    string `json:"model"`
}

func seedCommand(ctx context.Context, args []string) error {
	s := seeding{made: map[string]made{}}
	flags := flag.NewFlagSet("seed", flag.ContinueOnError)
	flags.StringVar(&s.endpoint, "endpoint", "policy", "endpoint that is sampled from")
	flags.StringVar(&s.judge, "judge-endpoint", "", "endpoint that writes profiles, plays users and judges (default --endpoint)")
	flags.StringVar(&s.eval, "eval-endpoint", "", "endpoint that can load trained models (default --endpoint)")
	flags.StringVar(&s.base, "base-model", "base", "base model that is trained")
	flags.DurationVar(&s.patience, "patience", 15*time.Minute, "how long to wait for each run before going on with those that do not need it")
	only, err := parseArguments(flags, args)
	if err != nil {
		return err
	}
	if s.judge == "" {
		s.judge = s.endpoint
	}
	if s.eval == "" {
		s.eval = s.endpoint
	}
	chosen, err := chooseExamples(only)
	if err != nil {
		return err
	}
	c, err := loadConfig("")
	if err != nil {
		return err
	}
	bucket, err := openStore(ctx, c.Bucket)
	if err != nil {
		return err
	}
	if err := s.write(ctx, bucket); err != nil {
		return err
	}
	if s.client, err = dial(ctx, newLogger(slog.LevelError)); err != nil {
		return err
	}
	defer s.client.Close()
	return s.run(ctx, chosen)
}

// chooseExamples returns the examples of the named types and those that they need,
// all of them if none is named.
func chooseExamples(names []string) ([]example, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		if !slices.ContainsFunc(exampleRuns, func(e example) bool { return e.workflow == name }) {
			return nil, schemas.Errorf(usageError, "there is no example of %q", name)
		}
		wanted[name] = true
	}
	var chosen []example
	for _, e := range slices.Backward(exampleRuns) {
		if len(names) > 0 && !wanted[e.workflow] {
			continue
		}
		for _, name := range e.after {
			wanted[name] = true
		}
		chosen = append(chosen, e)
	}
	slices.Reverse(chosen)
	return chosen, nil
}

// write puts the examples' data set into the bucket: the same bytes each time.
func (s *seeding) write(ctx context.Context, bucket store.Store) error {
	profiles, err := examples.Files.ReadFile("seed/profiles.jsonl")
	if err != nil {
		return err
	}
	in, err := profile.ReadPlain(bytes.NewReader(profiles), exampleName, profile.Options{EvalFraction: defaultEvalFraction})
	if err != nil {
		return err
	}
	if s.profiles, err = writeProfiles(ctx, bucket, in, 4); err != nil {
		return err
	}
	descriptions, err := examples.Files.Open("seed/descriptions.jsonl")
	if err != nil {
		return err
	}
	defer descriptions.Close()
	seeds, err := profile.ReadSeeds(descriptions, exampleName, profile.Options{EvalFraction: defaultEvalFraction})
	if err != nil {
		return err
	}
	if s.seeds, err = writeSeeds(ctx, bucket, seeds, 0); err != nil {
		return err
	}
	if s.personas, err = writePersonas(ctx, bucket); err != nil {
		return err
	}
	prefix := "examples/incoming/"
	s.source = bucket.URI(prefix)
	return bucket.Put(ctx, prefix+"profiles.jsonl", profiles)
}

// writePersonas writes the bundled personas, which need no model.
func writePersonas(ctx context.Context, bucket store.Store) (uri string, err error) {
	data, err := examples.Files.ReadFile("seed/personas.jsonl")
	if err != nil {
		return "", err
	}
	m := schemas.Manifest{Stage: "import", Job: schemas.ID("import", exampleName, schemas.Hash(nil))}
	for line := range bytes.Lines(data) {
		var p struct {
			Name, Description, Split string
			Traits                   []string
		}
		if err := schemas.DecodeStrict(line, &p); err != nil {
			return "", err
		}
		o, err := store.PutRows(ctx, bucket, schemas.TablePersona, []schemas.Persona{{
			PersonaID: schemas.ID(schemas.TablePersona, append([]string{exampleName, p.Name, p.Name, p.Description}, p.Traits...)...),
			Source:    exampleName, SourceID: p.Name, Name: p.Name, Description: p.Description, Traits: p.Traits,
			Language: schemas.English, Split: p.Split, MadeBy: "rpo seed",
		}})
		if err != nil {
			return "", err
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: len(m.Shards), Split: p.Split, Objects: map[string]schemas.Object{schemas.TablePersona: o}})
		m.Books.In++
		m.Books.OK++
	}
	return store.PutManifest(ctx, bucket, m)
}

// run makes what is missing, one after the other, and goes on after one that fails
// with those that do not need it.
func (s *seeding) run(ctx context.Context, chosen []example) error {
	failed := 0
	for _, e := range chosen {
		said, err := s.one(ctx, e)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed++
			said = "failed: " + err.Error()
		}
		fmt.Printf("%-20s %-28s %s\n", e.workflow, exampleID(e.workflow), said)
	}
	if failed > 0 {
		return schemas.Errorf(schemas.NotFound, "%d of %d examples are missing: mend what they say and run the same command again", failed, len(chosen))
	}
	return nil
}

// one makes the example of a workflow, or finds it, and says which.
func (s *seeding) one(ctx context.Context, e example) (said string, err error) {
	for _, name := range e.after {
		if _, ok := s.made[name]; !ok {
			return "", schemas.Errorf(schemas.NotFound, "it takes what %s makes", name)
		}
	}
	run, there, err := s.find(ctx, e)
	if err != nil {
		return "", err
	}
	if said = "is there"; !there {
		if run, err = s.start(ctx, e); err != nil {
			return "", err
		}
		said = "was made"
	}
	if e.endless {
		if !there {
			err = s.client.CancelWorkflow(ctx, run.GetID(), run.GetRunID())
		}
		return said, err
	}
	out, err := s.await(ctx, run)
	if err != nil {
		return "", plainFailure(err)
	}
	s.made[e.workflow] = out
	return said, nil
}

// await returns when a run ends, or waits for a person: the others need not.
func (s *seeding) await(ctx context.Context, run client.WorkflowRun) (out made, err error) {
	waiting, stop := context.WithTimeout(ctx, s.patience)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run.Get(waiting, &out) }()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if waiting.Err() != nil && ctx.Err() == nil {
				err = schemas.Errorf(schemas.Stalled, "it is still running after %s", s.patience)
			}
			return out, err
		case <-tick.C:
		}
		for id, reason := range parkedIn(ctx, s.client, run.GetID()) {
			stop()
			<-ended
			return out, schemas.Errorf(schemas.Stalled, "%s needs attention: %s: see rpo status %s, then rpo update", id, reason, id)
		}
	}
}

// find looks for an example run that completed or is running, or for one of an
// endless workflow however it ended.
func (s *seeding) find(ctx context.Context, e example) (run client.WorkflowRun, there bool, err error) {
	d, err := s.client.DescribeWorkflowExecution(ctx, exampleID(e.workflow), "")
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, notFound(exampleID(e.workflow), err)
	}
	info := d.GetWorkflowExecutionInfo()
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		there = true
	default:
		there = e.endless
	}
	return s.client.GetWorkflow(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId()), there, nil
}

func (s *seeding) start(ctx context.Context, e example) (client.WorkflowRun, error) {
	data, err := e.document(s)
	if err != nil {
		return nil, err
	}
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: exampleID(e.workflow), TaskQueue: workflows.QueueWorkflows, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary: "example of " + e.workflow + " on a small data set",
		StaticDetails: "Made by `rpo seed`. **More Actions → Start Workflow Like This One** opens the form with this input.",
	}, e.workflow, json.RawMessage(data))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", exampleID(e.workflow), err)
	}
	return run, nil
}

// document is the input of an example: that of examples/ with what is of these runs.
func (e example) document(s *seeding) ([]byte, error) {
	data, err := examples.Files.ReadFile(e.workflow + ".json")
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "read the example input: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "examples/%s.json: %w", e.workflow, err)
	}
	for field, value := range e.input(s) {
		fields[field] = value
	}
	if data, err = json.MarshalIndent(fields, "", "  "); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "encode the input of %s: %w", e.workflow, err)
	}
	return data, schemas.DecodeInput(data, workflows.Inputs()[e.workflow])
}
