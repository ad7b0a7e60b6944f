package reference

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// Activities of the reference step.
type Activities struct {
	Store store.Store
	Node  train.Node
}

// Input is one reference pass.
type Input struct {
	Job        string `json:"job"`
	ConfigHash string `json:"config_hash"`
	// Manifest lists the pairs.
	Manifest string `json:"manifest"`
	schemas.TrainOptions
	// Gang is the host's place among several, null for a host alone.
	Gang *train.Place `json:"gang,omitempty"`
}

// At returns the input of one host of a gang.
func (in Input) At(p *train.Place) any {
	in.Gang = p
	return in
}

// config is the trainer's configuration file.
type config struct {
	Version   int      `json:"version"`
	ModelDir  string   `json:"model_dir"`
	Data      []string `json:"data"`
	Out       string   `json:"out"`
	Events    string   `json:"events"`
	Result    string   `json:"result"`
	MaxTokens int      `json:"max_tokens"`
	Batch     int      `json:"batch"`
	Device    string   `json:"device"`
	DType     string   `json:"dtype"`
	Threads   int      `json:"threads"`
	Shard     int      `json:"shard"`
	Loss      string   `json:"loss"`
	// Adapter is the folder of the adapter that the run starts from, "" for none.
	Adapter string `json:"adapter"`
}

const stage = "reference"

// ReferencePairs computes the reference values of all rows that the loss trains
// on, under the policy that the run starts from, and commits them as one object.
func (a *Activities) ReferencePairs(ctx context.Context, in Input) (schemas.StageResult, error) {
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return schemas.StageResult{}, err
	}
	r, ok, err := store.Committed(ctx, a.Store, in.Job, stage, 0)
	if err != nil {
		return schemas.StageResult{}, err
	}
	reused := 0
	if ok {
		reused = 1
	} else if r, err = a.compute(ctx, in, m); err != nil {
		return schemas.StageResult{}, err
	}
	if !ok && !in.Gang.Leads() {
		return schemas.StageResult{}, nil // host 0 has the values
	}
	// Values that are there for other tables stay.
	out := schemas.Manifest{Job: in.Job, Stage: stage, Books: r.Books}
	reference := schemas.ReferenceOf(train.Table(in.Loss, m))
	for i, s := range m.Shards {
		objects := map[string]schemas.Object{}
		for _, table := range append([]string{schemas.TablePair}, schemas.BaselineTables...) {
			for _, name := range []string{table, schemas.ReferenceOf(table)} {
				if o, ok := s.Objects[name]; ok && name != reference {
					objects[name] = o
				}
			}
		}
		if i == 0 {
			objects[reference] = r.Outputs[schemas.TableReference]
		}
		out.Shards = append(out.Shards, schemas.ManifestShard{Shard: s.Shard, Split: s.Split, Objects: objects})
	}
	uri, err := store.PutManifest(ctx, a.Store, out)
	return schemas.StageResult{Stage: stage, Job: in.Job, Manifest: uri, Shards: 1, Reused: reused, Books: r.Books}, err
}

func (a *Activities) compute(ctx context.Context, in Input, m schemas.Manifest) (schemas.CommitRecord, error) {
	rows := train.Table(in.Loss, m)
	r := schemas.CommitRecord{
		Job: in.Job, Stage: stage, Split: schemas.SplitTrain, ConfigHash: in.ConfigHash, CodeVersion: schemas.CodeVersion,
	}
	for _, o := range m.Objects(rows) {
		r.Inputs = append(r.Inputs, o.SHA256)
		r.Books.In += o.Rows
	}
	if r.Books.In == 0 {
		return r, train.NoRows(in.Manifest, in.Loss)
	}
	dir, release, err := a.Node.Claim(stage, in.Gang.Folder(in.Job))
	if err != nil {
		return r, err
	}
	defer release()
	base, err := a.Node.Folder(in.BaseModel)
	if err != nil {
		return r, err
	}
	if base, err = filepath.Abs(base); err != nil {
		return r, schemas.Errorf(schemas.Internal, "find model folder: %w", err)
	}
	c := config{
		Version: 1, ModelDir: base, Out: filepath.Join(dir, "reference.parquet"),
		Events: filepath.Join(dir, "events.jsonl"), Result: filepath.Join(dir, "result.json"), MaxTokens: in.MaxLength,
		Batch: 16, Device: a.Node.Device, DType: a.Node.Precision(in.Precision), Threads: a.Node.Threads,
		Shard: train.ShardOf(in.TrainOptions), // the mesh of the training, so that what it can hold fits here, too
		Loss:  in.Loss,
	}
	if c.Data, err = train.Fetch(ctx, a.Store, m.Objects(rows), filepath.Join(dir, "data")); err != nil {
		return r, err
	}
	if c.Adapter, err = train.Adapter(ctx, a.Store, a.Node, in.TrainOptions, filepath.Join(dir, "init")); err != nil {
		return r, err
	}
	file := filepath.Join(dir, "reference.json")
	if err := train.WriteConfig(file, c); err != nil {
		return r, err
	}
	started := time.Now()
	err = train.Process{
		Command: append(a.Node.Launch(in.Processes, in.Gang), "-m", "rpo_trainer.reference", "--config", file),
		Env:     a.Node.GangEnv(in.Gang), Dir: dir, Log: filepath.Join(dir, "log"),
		Progress: train.Follow(c.Events),
		Beat:     func(b schemas.Heartbeat) { activity.RecordHeartbeat(ctx, b) },
		Stall:    in.Gang.Stall(in.StallTimeout), Stopping: activity.GetWorkerStopChannel(ctx),
	}.Run(ctx)
	if err = train.Explain(err, c.Result, dir); err != nil || !in.Gang.Leads() {
		return r, err
	}
	activity.GetLogger(ctx).Info("reference pass done", "rows", r.Books.In, "took", time.Since(started))
	data, err := os.ReadFile(c.Out)
	if err != nil {
		return r, schemas.Errorf(schemas.Internal, "read reference values: %w", err)
	}
	values, err := schemas.Decode[schemas.Reference](data)
	if err != nil {
		return r, err
	}
	if r.Books.OK, err = check(values, r.Books.In, rolesOf[rows]); err != nil {
		return r, err
	}
	r.Books.Skipped = r.Books.In - r.Books.OK
	o, err := store.PutRows(ctx, a.Store, schemas.TableReference, values)
	if err != nil {
		return r, err
	}
	r.Outputs = map[string]schemas.Object{schemas.TableReference: o}
	if err := in.Gang.Fence(ctx, a.Store, in.Job); err != nil {
		return r, err
	}
	if r, _, err = store.Commit(ctx, a.Store, r); err != nil {
		return r, err
	}
	if err := os.RemoveAll(dir); err != nil {
		activity.GetLogger(ctx).Warn("leave work folder", "dir", dir, "error", err)
	}
	return r, nil
}

// roles are those that a row's values have: all of must, and may be some of may.
type roles struct{ must, may []string }

// rolesOf has the roles by table. The value of a mismatched completion is missing
// where no other prompt fits.
var rolesOf = map[string]roles{
	schemas.TablePair: {must: []string{"chosen", "rejected"}},
	schemas.TableDPO:  {must: []string{"chosen", "rejected"}},
	schemas.TableKTO:  {must: []string{"completion"}, may: []string{"mismatched"}},
}

// check demands the table's roles of every row and counts the rows that have all
// values.
func check(values []schemas.Reference, rows int64, want roles) (ok int64, err error) {
	seen := map[string][]string{}
	complete := map[string]bool{}
	for _, r := range values {
		if _, again := seen[r.PairID]; !again {
			complete[r.PairID] = true
		}
		seen[r.PairID] = append(seen[r.PairID], r.Role)
		if r.Error != nil || r.LogProb == nil {
			complete[r.PairID] = false
		}
	}
	for id, have := range seen {
		slices.Sort(have)
		must := slices.DeleteFunc(slices.Clone(have), func(role string) bool { return slices.Contains(want.may, role) })
		if !slices.Equal(must, want.must) || len(slices.Compact(slices.Clone(have))) != len(have) {
			return 0, schemas.Errorf(schemas.CorruptData, "reference values of row %s are for %v, want %v", id, have, want.must)
		}
		if complete[id] {
			ok++
		}
	}
	if int64(len(seen)) != rows {
		return 0, schemas.Errorf(schemas.CorruptData, "reference values are there for %d of %d rows", len(seen), rows)
	}
	return ok, nil
}
