package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rpo/activities/store"
	"rpo/schemas"
)

// partGrace is how long one host of a gang waits for another one's part of a
// checkpoint. Tests shorten it.
var partGrace = 2 * time.Minute

// parts moves the checkpoints of a gang, whose hosts share no file system: each
// has the files of its own ranks. Host 0 sees the trainer commit a checkpoint,
// which means that every rank has written its files. It asks for them and stores
// its part while the others store theirs, and writes the checkpoint's record when
// all have: no record ever names what is not there. Parts are kept apart by attempt
// and run.
type parts struct {
	store store.Store
	job   string
	place Place
	run   string
	out   string
}

func (p parts) key(step string, rank int) string {
	return fmt.Sprintf("%sparts/%06d-%s/%s/node-%03d.json", checkpointFolder(p.job), p.place.Attempt, p.run, step, rank)
}

// asked is the key of the object with which host 0 asks for a checkpoint's parts.
func (p parts) asked(step string) string {
	return filepath.ToSlash(filepath.Dir(p.key(step, 0))) + "/asked.json"
}

// put stores the files of one checkpoint that this host has, then their list.
func (p parts) put(ctx context.Context, step, dir string) (map[string]schemas.Object, error) {
	files, err := putFiles(ctx, p.store, p.job, dir)
	if err != nil || files == nil {
		return nil, err
	}
	data, err := json.Marshal(files)
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "encode checkpoint part: %w", err)
	}
	return files, p.store.Put(ctx, p.key(step, p.place.Rank), data)
}

// save is host 0's: it stores a checkpoint once all parts are there. Over, when
// closed, says that nobody may be left to wait for.
func (p parts) save(ctx context.Context, dir string, over <-chan struct{}) error {
	step := filepath.Base(dir)
	if step+".json" <= filepath.Base(p.place.Checkpoint) {
		return nil // the event lines tell of those that the attempt goes on from, too
	}
	if _, err := os.Stat(dir); err != nil {
		return nil // the trainer keeps the last two
	}
	r := checkpointRecord{Step: step}
	err := p.store.Put(ctx, p.asked(step), []byte("{}"))
	if err != nil {
		return err
	}
	if r.Files, err = p.put(ctx, step, dir); err != nil || r.Files == nil {
		return err
	}
	for rank := 1; rank < p.place.Nodes; rank++ {
		data, err := p.await(ctx, p.key(step, rank), over)
		if err != nil {
			return err
		}
		var files map[string]schemas.Object
		if err := json.Unmarshal(data, &files); err != nil {
			return schemas.Errorf(schemas.CorruptData, "read part %d of checkpoint %s: %w", rank, step, err)
		}
		for name, o := range files {
			if mine, both := r.Files[name]; both && mine.SHA256 != o.SHA256 {
				return schemas.Errorf(schemas.CorruptData, "checkpoint %s: hosts 0 and %d both have %s, and they differ", step, rank, name)
			}
		}
		maps.Copy(r.Files, files)
	}
	if err := p.place.Fence(ctx, p.store, p.job); err != nil {
		return err
	}
	return putCheckpoint(ctx, p.store, p.job, p.out, r)
}

// await reads an object that another host is about to write.
func (p parts) await(ctx context.Context, key string, over <-chan struct{}) ([]byte, error) {
	tick := time.NewTicker(watchEvery / 2)
	defer tick.Stop()
	late := time.After(partGrace)
	last := false
	for {
		there, err := p.store.Exists(ctx, key)
		if err != nil {
			return nil, err
		}
		if there {
			return p.store.Get(ctx, key)
		}
		if last {
			return nil, schemas.Errorf(schemas.Overloaded, "wait for %s: another host of the gang did not store it", key)
		}
		select {
		case <-tick.C:
		case <-over:
			over, last = nil, true
		case <-late:
			last = true
		case <-ctx.Done():
			return nil, schemas.Errorf(schemas.Overloaded, "wait for %s: %w", key, ctx.Err())
		}
	}
}

// follow is any other host's: it stores its parts as host 0 asks for them, until
// ended is closed and all that its ranks wrote is stored. Over, when closed, says
// that host 0 asks soon or never.
func (p parts) follow(ctx context.Context, ended, over <-chan struct{}) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var late <-chan time.Time
	for {
		left, err := p.pass(ctx)
		switch {
		case err != nil:
			return err
		case ended == nil && left == 0:
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			ended = nil
			if late == nil {
				late = time.After(partGrace)
			}
		case <-over:
			over, late = nil, time.After(partGrace/10)
		case <-late:
			return schemas.Errorf(schemas.Overloaded, "host 0 of the gang did not ask for %d parts of checkpoints", left)
		case <-ctx.Done():
			return schemas.Errorf(schemas.Overloaded, "store parts of checkpoints: %w", ctx.Err())
		}
	}
}

// pass stores what host 0 has asked for and returns how many checkpoints wait.
func (p parts) pass(ctx context.Context) (left int, err error) {
	// The trainer's rank 0 names a folder step-000050 when it is whole; here it stays
	// step-000050.tmp.
	dirs, err := filepath.Glob(filepath.Join(p.out, "checkpoints", "step-*.tmp"))
	if err != nil {
		return 0, schemas.Errorf(schemas.Internal, "list checkpoints: %w", err)
	}
	for _, dir := range dirs {
		step := strings.TrimSuffix(filepath.Base(dir), ".tmp")
		asked, err := p.store.Exists(ctx, p.asked(step))
		if err != nil {
			return 0, err
		}
		if !asked {
			left++
			continue
		}
		if _, err := p.put(ctx, step, dir); err != nil {
			return 0, err
		}
		if err := os.RemoveAll(dir); err != nil {
			return 0, schemas.Errorf(schemas.Internal, "remove %s: %w", dir, err)
		}
	}
	return left, nil
}

// restore makes the folder of checkpoints exactly what the attempt goes on from:
// all files of all hosts, since another number of ranks may read them.
func (p parts) restore(ctx context.Context) error {
	root := filepath.Join(p.out, "checkpoints")
	step := strings.TrimSuffix(filepath.Base(p.place.Checkpoint), ".json")
	entries, err := os.ReadDir(root)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "list checkpoints: %w", err)
	}
	for _, e := range entries {
		if e.Name() != step {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return schemas.Errorf(schemas.Internal, "clear checkpoints: %w", err)
			}
		}
	}
	// Reference values that an attempt wrote for itself, and its events, would be
	// there on some hosts only.
	for _, name := range []string{"reference.parquet", eventsFile} {
		if err := os.Remove(filepath.Join(p.out, name)); err != nil && !os.IsNotExist(err) {
			return schemas.Errorf(schemas.Internal, "clear output folder: %w", err)
		}
	}
	if p.place.Checkpoint == "" {
		return nil
	}
	r, err := readCheckpoint(ctx, p.store, p.place.Checkpoint)
	if err != nil {
		return err
	}
	local := filepath.Join(root, step)
	have, err := os.ReadDir(local)
	if err != nil && !os.IsNotExist(err) {
		return schemas.Errorf(schemas.Internal, "read checkpoint %s: %w", local, err)
	}
	same := len(have) == len(r.Files)
	for _, e := range have {
		sum, err := fileSHA256(filepath.Join(local, e.Name()))
		same = same && err == nil && r.Files[e.Name()].SHA256 == sum
	}
	if !same {
		if err := os.RemoveAll(local); err != nil {
			return schemas.Errorf(schemas.Internal, "clear %s: %w", local, err)
		}
		if err := getCheckpoint(ctx, p.store, r, root); err != nil {
			return err
		}
	}
	events := filepath.Join(p.out, eventsFile)
	if err := p.store.GetFile(ctx, r.Events, events); err != nil {
		return err
	}
	return cutAfter(events, step)
}

// cutAfter drops the event lines after the one that tells of a checkpoint. The
// trainer does so, too, but later: until then lines of checkpoints that are to be
// made again would have the other hosts store what they are still writing.
func cutAfter(path, step string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "read events: %w", err)
	}
	end := 0
	for line := range bytes.Lines(data) {
		end += len(line)
		var e event
		if json.Unmarshal(line, &e) == nil && e.Event == "checkpoint" && filepath.Base(e.Path) == step {
			break
		}
	}
	if err := os.WriteFile(path, data[:end], 0o644); err != nil {
		return schemas.Errorf(schemas.Internal, "cut events: %w", err)
	}
	return nil
}
