package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the train step.
type Activities struct {
	Store     store.Store
	Node      Node
	Endpoints Renderer
}

// Input is one training job.
type Input struct {
	Job        string `json:"job"`
	ConfigHash string `json:"config_hash"`
	// Manifest lists pairs and reference values.
	Manifest string `json:"manifest"`
	schemas.TrainOptions
	// Gang is the host's place among several, null for a host alone.
	Gang *Place `json:"gang,omitempty"`
}

// result is the trainer's result file.
type result struct {
	Status         string   `json:"status"`
	Reason         string   `json:"reason"`
	TrainSteps     int64    `json:"train_steps"`
	LossFirst      float64  `json:"loss_first"`
	LossLast       float64  `json:"loss_last"`
	RewardAccuracy *float64 `json:"reward_accuracy"`
	PairsTrain     int64    `json:"pairs_train"`
	PairsHeldOut   int64    `json:"pairs_held_out"`
	DroppedLong    int64    `json:"dropped_long"`
}

const stage = "train"

// saveGrace bounds the copying of checkpoints after a run that did not end well.
const saveGrace = 5 * time.Minute

// TrainPolicy trains one model and commits its files. It goes on from the job's
// last committed checkpoint, local or stored, whichever is newer. In a gang it
// supervises one host's ranks, goes on from the checkpoint that its place names,
// and only host 0 commits and returns a result.
func (a *Activities) TrainPolicy(ctx context.Context, in Input) (schemas.TrainResult, error) {
	if r, ok, err := store.Committed(ctx, a.Store, in.Job, stage, 0); err != nil || ok {
		if err != nil {
			return schemas.TrainResult{}, err
		}
		return a.load(ctx, r, 1)
	}
	dir, release, err := a.Node.Claim(stage, in.Gang.Folder(in.Job))
	if err != nil {
		return schemas.TrainResult{}, err
	}
	defer release()
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return schemas.TrainResult{}, err
	}
	if rowsOf(m.Objects(Table(in.Loss, m))) == 0 {
		return schemas.TrainResult{}, NoRows(in.Manifest, in.Loss)
	}
	c, err := a.prepare(ctx, in, m, dir)
	if err != nil {
		return schemas.TrainResult{}, err
	}
	if err := a.run(ctx, in, c, dir); err != nil {
		return schemas.TrainResult{}, err
	}
	if !in.Gang.Leads() {
		return schemas.TrainResult{}, nil
	}
	var res result
	if found, err := readJSON(filepath.Join(c.OutDir, "result.json"), &res); err != nil || !found {
		return schemas.TrainResult{}, schemas.Errorf(schemas.Internal, "the trainer left no result: see %s", filepath.Join(dir, "log"))
	}
	if err := statusError(res, dir); err != nil {
		return schemas.TrainResult{}, err
	}
	if err := in.Gang.Fence(ctx, a.Store, in.Job); err != nil {
		return schemas.TrainResult{}, err
	}
	r, err := a.commit(ctx, in, m, res, c.OutDir)
	if err != nil {
		return schemas.TrainResult{}, err
	}
	if err := os.RemoveAll(dir); err != nil {
		activity.GetLogger(ctx).Warn("leave work folder", "dir", dir, "error", err)
	}
	return a.load(ctx, r, 0)
}

// prepare brings data and checkpoint to local disk and writes the configuration.
func (a *Activities) prepare(ctx context.Context, in Input, m schemas.Manifest, dir string) (config, error) {
	base, err := a.Node.Folder(in.BaseModel)
	if err != nil {
		return config{}, err
	}
	if base, err = filepath.Abs(base); err != nil {
		return config{}, schemas.Errorf(schemas.Internal, "find model folder: %w", err)
	}
	c := a.Node.settings(in.TrainOptions)
	c.ModelDir, c.OutDir = base, filepath.Join(dir, "out")
	if c.Adapter, err = Adapter(ctx, a.Store, a.Node, in.TrainOptions, filepath.Join(dir, "init")); err != nil {
		return config{}, err
	}
	data := filepath.Join(dir, "data")
	rows := Table(in.Loss, m)
	if c.Data, err = Fetch(ctx, a.Store, m.Objects(rows), data); err != nil {
		return config{}, err
	}
	// Where there are no reference values the trainer computes them before its
	// first step.
	if in.Loss != "sft" {
		if c.Reference, err = Fetch(ctx, a.Store, m.Objects(schemas.ReferenceOf(rows)), data); err != nil {
			return config{}, err
		}
	}
	if err := os.MkdirAll(filepath.Join(c.OutDir, "checkpoints"), 0o755); err != nil {
		return config{}, schemas.Errorf(schemas.Internal, "make output folder: %w", err)
	}
	// What an earlier attempt left behind must not be taken for this one's.
	for _, name := range []string{"STOP", "result.json"} {
		if err := os.Remove(filepath.Join(c.OutDir, name)); err != nil && !os.IsNotExist(err) {
			return config{}, schemas.Errorf(schemas.Internal, "clear output folder: %w", err)
		}
	}
	if in.Gang != nil {
		err = a.parts(ctx, in, c.OutDir).restore(ctx)
	} else {
		err = restoreCheckpoint(ctx, a.Store, in.Job, c.OutDir)
	}
	if err != nil {
		return config{}, err
	}
	return c, WriteConfig(filepath.Join(dir, "train.json"), c)
}

// run runs torchrun and copies checkpoints into the store as they appear.
func (a *Activities) run(ctx context.Context, in Input, c config, dir string) error {
	f := &follower{path: filepath.Join(c.OutDir, eventsFile)}
	// A cancelled run makes one more checkpoint, which must still be copied.
	saving, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	copies := make(chan string, 16)
	copied := make(chan error, 1)
	over := make(chan struct{}) // closed when the run failed: other hosts may be gone
	go func() { copied <- a.copy(saving, in, c.OutDir, copies, over) }()
	err := Process{
		Command: a.Node.command(in, filepath.Join(dir, "train.json")),
		Env:     a.Node.GangEnv(in.Gang), Dir: dir, Log: filepath.Join(dir, "log"),
		Progress: f.Progress,
		Beat: func(b schemas.Heartbeat) {
			activity.RecordHeartbeat(ctx, b)
			for len(f.checkpoints) > 0 {
				select {
				case copies <- f.checkpoints[0]:
					f.checkpoints = f.checkpoints[1:]
					continue
				default: // the store is behind: next time
				}
				break
			}
		},
		Stall: in.Gang.Stall(in.StallTimeout), Stopping: activity.GetWorkerStopChannel(ctx),
		Stop: func() { os.WriteFile(filepath.Join(c.OutDir, "STOP"), nil, 0o644) },
	}.Run(ctx)
	if err != nil {
		defer time.AfterFunc(saveGrace, giveUp).Stop()
		if !stoppedTogether(c.OutDir) {
			close(over)
		}
	}
	f.Progress() // what the process wrote after the last look
	for _, path := range f.checkpoints {
		copies <- path
	}
	close(copies)
	if copyErr := <-copied; copyErr != nil {
		// Training itself went on; a lost copy costs time after a lost machine.
		activity.GetLogger(ctx).Warn("copy checkpoint", "job", in.Job, "error", copyErr)
	}
	why := Explain(err, filepath.Join(c.OutDir, "result.json"), dir)
	if ctx.Err() != nil && (in.Gang == nil || schemas.Retryable(why)) {
		return err
	}
	// A gang is cancelled when one of its hosts fails, and this one may know why.
	return why
}

// Explain prefers the trainer's own account of a failed run, its result file, to
// its exit status.
func Explain(err error, resultFile, dir string) error {
	if err == nil || schemas.TypeOf(err) != schemas.Internal {
		return err
	}
	var res result
	if found, readErr := readJSON(resultFile, &res); readErr == nil && found {
		if named := statusError(res, dir); named != nil {
			return named
		}
	}
	return err
}

// statusError maps the trainer's status to a failure, nil if it is done.
func statusError(res result, dir string) error {
	switch res.Status {
	case "done":
		return nil
	case "stopped":
		return schemas.Errorf(schemas.Overloaded, "training stopped at step %d with a checkpoint: it goes on from there", res.TrainSteps)
	case "invalid":
		return schemas.Errorf(schemas.InvalidInput, "train: %s", res.Reason)
	case "out_of_memory":
		return schemas.Errorf(schemas.OutOfMemory, "train: %s: lower pairs_per_batch or max_length", res.Reason)
	default:
		return schemas.Errorf(schemas.Internal, "train: %s; see %s", res.Reason, filepath.Join(dir, "log"))
	}
}

// commit stores the model's files under the hash of their content and commits
// the record that names them by their path.
func (a *Activities) commit(ctx context.Context, in Input, m schemas.Manifest, res result, out string) (schemas.CommitRecord, error) {
	r := schemas.CommitRecord{
		Job: in.Job, Stage: stage, Split: schemas.SplitTrain, ConfigHash: in.ConfigHash, CodeVersion: schemas.CodeVersion,
		Outputs: map[string]schemas.Object{},
		Books: schemas.Books{
			In: res.PairsTrain + res.PairsHeldOut + res.DroppedLong,
			OK: res.PairsTrain + res.PairsHeldOut, Skipped: res.DroppedLong,
		},
	}
	for _, o := range m.Objects(Table(in.Loss, m)) {
		r.Inputs = append(r.Inputs, o.SHA256)
	}
	if err := a.writeRecord(ctx, in, m, res, filepath.Join(out, recordFile)); err != nil {
		return r, err
	}
	if rows := rowsOf(m.Objects(Table(in.Loss, m))); r.Books.In != rows {
		return r, schemas.Errorf(schemas.CorruptData, "train: of %d rows the trainer accounts for %d", rows, r.Books.In)
	}
	for _, top := range []string{"adapter", "merged", "model.gguf", eventsFile, metricsFile, tensorboard, "result.json", recordFile} {
		err := filepath.WalkDir(filepath.Join(out, top), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // full fine-tuning has no adapter
			}
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(out, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			r.Outputs[name], err = keep(ctx, a.Store, in.Job, name, path)
			activity.RecordHeartbeat(ctx, schemas.Heartbeat{Done: int(res.TrainSteps), Total: int(res.TrainSteps)})
			return err
		})
		if err != nil {
			return r, schemas.Errorf(schemas.TypeOf(err), "store model file: %w", err)
		}
	}
	r, _, err := store.Commit(ctx, a.Store, r)
	return r, err
}

// load reads the result of a committed training.
func (a *Activities) load(ctx context.Context, r schemas.CommitRecord, reused int) (schemas.TrainResult, error) {
	data, err := a.Store.Get(ctx, r.Outputs["result.json"].Key)
	if err != nil {
		return schemas.TrainResult{}, err
	}
	var res result
	if err := json.Unmarshal(data, &res); err != nil {
		return schemas.TrainResult{}, schemas.Errorf(schemas.CorruptData, "read the result of job %s: %w", r.Job, err)
	}
	out := schemas.TrainResult{
		StageResult: schemas.StageResult{Stage: stage, Job: r.Job, Shards: 1, Reused: reused, Books: r.Books},
		Model:       a.Store.URI(RecordKey(r.Job)),
		TrainSteps:  res.TrainSteps, LossFirst: res.LossFirst, LossLast: res.LossLast, RewardAccuracy: res.RewardAccuracy,
		PairsTrain: res.PairsTrain, PairsHeldOut: res.PairsHeldOut, DroppedLong: res.DroppedLong,
		Events: a.Store.URI(r.Outputs[eventsFile].Key),
	}
	for name, o := range r.Outputs {
		if name == metricsFile {
			out.Metrics = a.Store.URI(o.Key)
		}
		if strings.HasPrefix(name, tensorboard) {
			out.TensorBoard = a.Store.URI(modelFolder(r.Job) + tensorboard)
		}
	}
	return out, nil
}

// rowsOf counts the rows of objects.
func rowsOf(objects []schemas.Object) (rows int64) {
	for _, o := range objects {
		rows += o.Rows
	}
	return rows
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", schemas.Errorf(schemas.Internal, "hash file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", schemas.Errorf(schemas.Internal, "hash file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
