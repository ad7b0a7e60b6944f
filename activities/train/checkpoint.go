package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// checkpointRecord names the files of one checkpoint. It is written last, so
// that a record never names what is not there.
type checkpointRecord struct {
	Step  string                    `json:"step"` // folder name, "step-000050"
	Files map[string]schemas.Object `json:"files"`
	// Events are the event lines so far: a node that goes on without the local
	// folder would otherwise report from this step on only.
	Events schemas.Object `json:"events"`
}

// eventsFile is the name of the event lines in a trainer's output folder.
const eventsFile = "events.jsonl"

func checkpointFolder(job string) string { return "checkpoints/" + job + "/" }

// saveCheckpoint copies a committed local checkpoint into the store. The trainer
// keeps the last two, so a folder may vanish meanwhile: a newer one follows.
func saveCheckpoint(ctx context.Context, s store.Store, job, dir string) error {
	files, err := putFiles(ctx, s, job, dir)
	if err != nil || files == nil {
		return err
	}
	return putCheckpoint(ctx, s, job, filepath.Dir(filepath.Dir(dir)), checkpointRecord{Step: filepath.Base(dir), Files: files})
}

// putFiles stores the files of a folder; nil if the folder vanished meanwhile.
func putFiles(ctx context.Context, s store.Store, job, dir string) (map[string]schemas.Object, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "read checkpoint %s: %w", dir, err)
	}
	files := map[string]schemas.Object{}
	for _, e := range entries {
		o, err := putContent(ctx, s, checkpointFolder(job)+"data/", filepath.Join(dir, e.Name()))
		if err != nil {
			if _, gone := os.Stat(dir); os.IsNotExist(gone) {
				return nil, nil
			}
			return nil, err
		}
		files[e.Name()] = o
	}
	return files, nil
}

// putCheckpoint writes the record of a checkpoint whose files are stored, with the
// events of an output folder.
func putCheckpoint(ctx context.Context, s store.Store, job, out string, r checkpointRecord) (err error) {
	if r.Events, err = saveEvents(ctx, s, job, out); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode checkpoint record: %w", err)
	}
	return s.Put(ctx, checkpointFolder(job)+r.Step+".json", data)
}

// saveEvents stores the event lines of an output folder as they are now: the
// trainer goes on writing.
func saveEvents(ctx context.Context, s store.Store, job, out string) (schemas.Object, error) {
	data, err := os.ReadFile(filepath.Join(out, eventsFile))
	if err != nil {
		return schemas.Object{}, schemas.Errorf(schemas.Internal, "read events of job %s: %w", job, err)
	}
	sum := sha256.Sum256(data)
	o := schemas.Object{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
	o.Key = checkpointFolder(job) + "data/" + o.SHA256 + ".jsonl"
	return o, s.Put(ctx, o.Key, data)
}

// restoreCheckpoint brings the newest checkpoint of the job that the store has
// into dir/checkpoints, unless a local one is as new.
func restoreCheckpoint(ctx context.Context, s store.Store, job, dir string) error {
	keys, err := s.List(ctx, checkpointFolder(job)+"step-", "", 0)
	if err != nil || len(keys) == 0 {
		return err
	}
	newest := keys[len(keys)-1]
	step := strings.TrimSuffix(filepath.Base(newest), ".json")
	local, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-??????"))
	if err != nil {
		return schemas.Errorf(schemas.Internal, "list checkpoints: %w", err)
	}
	for _, l := range local {
		if filepath.Base(l) >= step {
			return nil
		}
	}
	r, err := readCheckpoint(ctx, s, newest)
	if err != nil {
		return err
	}
	if err := s.GetFile(ctx, r.Events, filepath.Join(dir, eventsFile)); err != nil {
		return err
	}
	return getCheckpoint(ctx, s, r, filepath.Join(dir, "checkpoints"))
}

// readCheckpoint reads the record of a checkpoint, whose files all lie in one folder.
func readCheckpoint(ctx context.Context, s store.Store, key string) (r checkpointRecord, err error) {
	data, err := s.Get(ctx, key)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, schemas.Errorf(schemas.CorruptData, "read checkpoint record %s: %w", key, err)
	}
	for name := range r.Files {
		if filepath.Base(name) != name || !filepath.IsLocal(name) || name == "." {
			return r, schemas.Errorf(schemas.CorruptData, "checkpoint record %s names a file outside its folder", key)
		}
	}
	return r, nil
}

// getCheckpoint brings the files of a checkpoint into its folder under root, which
// appears when it is whole.
func getCheckpoint(ctx context.Context, s store.Store, r checkpointRecord, root string) error {
	tmp := filepath.Join(root, r.Step+".download")
	if err := os.RemoveAll(tmp); err != nil {
		return schemas.Errorf(schemas.Internal, "clear %s: %w", tmp, err)
	}
	for name, o := range r.Files {
		if err := s.GetFile(ctx, o, filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, filepath.Join(root, r.Step)); err != nil {
		return schemas.Errorf(schemas.Internal, "restore checkpoint %s: %w", r.Step, err)
	}
	return nil
}

// putContent stores a file under the hash of its bytes, so that two attempts
// never overwrite each other's.
func putContent(ctx context.Context, s store.Store, prefix, path string) (schemas.Object, error) {
	sum, err := fileSHA256(path)
	if err != nil {
		return schemas.Object{}, err
	}
	return s.PutFile(ctx, prefix+sum+filepath.Ext(path), path)
}
