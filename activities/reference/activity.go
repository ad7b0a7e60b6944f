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
}

const stage = "reference"

// ReferencePairs computes the reference values of all pairs and commits them as
// one object.
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
	out := schemas.Manifest{Job: in.Job, Stage: stage, Books: r.Books}
	for i, s := range m.Shards {
		objects := map[string]schemas.Object{}
		for _, table := range append([]string{schemas.TablePair}, schemas.BaselineTables...) {
			if o, ok := s.Objects[table]; ok {
				objects[table] = o
			}
		}
		if i == 0 {
			objects[schemas.TableReference] = r.Outputs[schemas.TableReference]
		}
		out.Shards = append(out.Shards, schemas.ManifestShard{Shard: s.Shard, Split: s.Split, Objects: objects})
	}
	uri, err := store.PutManifest(ctx, a.Store, out)
	return schemas.StageResult{Stage: stage, Job: in.Job, Manifest: uri, Shards: 1, Reused: reused, Books: r.Books}, err
}

func (a *Activities) compute(ctx context.Context, in Input, m schemas.Manifest) (schemas.CommitRecord, error) {
	pairs := m.Objects(schemas.TablePair)
	r := schemas.CommitRecord{
		Job: in.Job, Stage: stage, Split: schemas.SplitTrain, ConfigHash: in.ConfigHash, CodeVersion: schemas.CodeVersion,
	}
	for _, o := range pairs {
		r.Inputs = append(r.Inputs, o.SHA256)
		r.Books.In += o.Rows
	}
	if r.Books.In == 0 {
		return r, schemas.Errorf(schemas.InvalidInput, "manifest %s holds no pairs: nothing to train on; look at the pair stage's dropped counts", in.Manifest)
	}
	dir, release, err := a.Node.Claim(stage, in.Job)
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
		Shard: max(1, in.Shard), // the mesh of the training, so that what it can hold fits here, too
	}
	if c.Data, err = train.Fetch(ctx, a.Store, pairs, filepath.Join(dir, "data")); err != nil {
		return r, err
	}
	file := filepath.Join(dir, "reference.json")
	if err := train.WriteConfig(file, c); err != nil {
		return r, err
	}
	started := time.Now()
	err = train.Process{
		Command: append(a.Node.Ranks(in.Processes), "-m", "rpo_trainer.reference", "--config", file),
		Env:     a.Node.Env(), Dir: dir, Log: filepath.Join(dir, "log"),
		Progress: train.Follow(c.Events),
		Beat:     func(b schemas.Heartbeat) { activity.RecordHeartbeat(ctx, b) },
		Stall:    time.Duration(in.StallTimeout), Stopping: activity.GetWorkerStopChannel(ctx),
	}.Run(ctx)
	if err = train.Explain(err, c.Result, dir); err != nil {
		return r, err
	}
	activity.GetLogger(ctx).Info("reference pass done", "pairs", r.Books.In, "took", time.Since(started))
	data, err := os.ReadFile(c.Out)
	if err != nil {
		return r, schemas.Errorf(schemas.Internal, "read reference values: %w", err)
	}
	rows, err := schemas.Decode[schemas.Reference](data)
	if err != nil {
		return r, err
	}
	if r.Books.OK, err = check(rows, r.Books.In); err != nil {
		return r, err
	}
	r.Books.Skipped = r.Books.In - r.Books.OK
	o, err := store.PutRows(ctx, a.Store, schemas.TableReference, rows)
	if err != nil {
		return r, err
	}
	r.Outputs = map[string]schemas.Object{schemas.TableReference: o}
	if r, _, err = store.Commit(ctx, a.Store, r); err != nil {
		return r, err
	}
	if err := os.RemoveAll(dir); err != nil {
		activity.GetLogger(ctx).Warn("leave work folder", "dir", dir, "error", err)
	}
	return r, nil
}

// check demands a chosen and a rejected row for every pair and counts the pairs
// that have both values.
func check(rows []schemas.Reference, pairs int64) (ok int64, err error) {
	roles := map[string][]string{}
	complete := map[string]bool{}
	for _, r := range rows {
		if _, seen := roles[r.PairID]; !seen {
			complete[r.PairID] = true
		}
		roles[r.PairID] = append(roles[r.PairID], r.Role)
		if r.Error != nil || r.LogProb == nil {
			complete[r.PairID] = false
		}
	}
	for id, have := range roles {
		slices.Sort(have)
		if !slices.Equal(have, []string{"chosen", "rejected"}) {
			return 0, schemas.Errorf(schemas.CorruptData, "reference values of pair %s are for %v, want chosen and rejected", id, have)
		}
		if complete[id] {
			ok++
		}
	}
	if int64(len(roles)) != pairs {
		return 0, schemas.Errorf(schemas.CorruptData, "reference values are there for %d of %d pairs", len(roles), pairs)
	}
	return ok, nil
}
