package train

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"rpo/activities/store"
	"rpo/schemas"
)

// Node is what a worker knows about training on its machine.
type Node struct {
	// Python runs the trainer, whose package lies in PackageDir.
	Python     string
	PackageDir string
	// WorkDir holds a folder per job: data, checkpoints, logs. It may be lost.
	WorkDir string
	// Device is "cpu" or "cuda".
	Device string
	// Threads of one rank on a CPU; 0 leaves it to PyTorch.
	Threads int
	// Models maps the names that inputs use to local model folders.
	Models map[string]string
	// Address is where other hosts of a gang reach this one, "" if it is in no pool.
	Address string
	// PricePerHour is what a GPU (or a process on a CPU) costs, for plans; 0 if
	// nobody said.
	PricePerHour float64
}

// Folder returns the local folder of a model that an input names.
func (n Node) Folder(name string) (string, error) {
	dir, ok := n.Models[name]
	if !ok {
		return "", schemas.Errorf(schemas.InvalidInput, "field \"base_model\": the worker's configuration has no model %q: add it under models", name)
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return "", schemas.Errorf(schemas.NotFound, "model %q: %w: point the worker's configuration to a Hugging Face folder", name, err)
	}
	return dir, nil
}

// Precision is the one asked for, or the device's default.
func (n Node) Precision(asked string) string {
	switch {
	case asked != "":
		return asked
	case n.Device == "cuda":
		return "bfloat16"
	default:
		return "float32"
	}
}

// Env lets Python find the trainer.
func (n Node) Env() []string { return []string{"PYTHONPATH=" + n.PackageDir, "PYTHONUNBUFFERED=1"} }

// Ranks is the command that starts a Python module on so many processes of this
// machine; the module's arguments follow.
func (n Node) Ranks(processes int) []string {
	if processes <= 1 {
		return []string{n.Python}
	}
	return n.torchrun(processes)
}

// torchrun starts any number of processes of this machine under torchrun.
func (n Node) torchrun(processes int) []string {
	return []string{n.Python, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0", "--nproc-per-node", strconv.Itoa(processes)}
}

// Claim makes the local folder of a job and locks it, so that an attempt whose
// worker was thought dead and the one that replaces it never share it. The lock
// dies with the worker's process.
func (n Node) Claim(stage, job string) (dir string, release func(), err error) {
	dir, err = filepath.Abs(filepath.Join(n.WorkDir, stage, job))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", nil, schemas.Errorf(schemas.Internal, "make work folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, schemas.Errorf(schemas.Internal, "open lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, schemas.Errorf(schemas.Overloaded, "job %s is still being worked on in %s: %w", job, dir, err)
	}
	return dir, func() { lock.Close() }, nil
}

// Fetch brings objects into a folder and returns their paths. One that is there
// already under its hash was verified when it came.
func Fetch(ctx context.Context, s store.Store, objects []schemas.Object, dir string) ([]string, error) {
	paths := make([]string, len(objects))
	for i, o := range objects {
		paths[i] = filepath.Join(dir, o.SHA256+filepath.Ext(o.Key))
		if _, err := os.Stat(paths[i]); err == nil {
			continue
		}
		if err := s.GetFile(ctx, o, paths[i]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// WriteConfig writes a trainer configuration.
func WriteConfig(path string, config any) error {
	data, err := json.MarshalIndent(config, "", "  ")
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		return schemas.Errorf(schemas.Internal, "write %s: %w", path, err)
	}
	return nil
}

// readJSON reads a small JSON file; found is false if there is none.
func readJSON(path string, into any) (found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return false, schemas.Errorf(schemas.CorruptData, "read %s: %w", path, err)
	}
	return true, nil
}
