package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"rpo/activities/store"
	"rpo/schemas"
)

// metricsFile is the Prometheus text in a trainer's output folder, tensorboard
// the folder of TensorBoard's files, there and in the store.
const (
	metricsFile = "metrics.prom"
	tensorboard = "tensorboard/"
)

// modelFolder holds the files of a training.
func modelFolder(job string) string { return "models/" + job + "/" }

// keep stores a file of a training under the hash of its content; but
// TensorBoard reads a folder of files whose names, which hold the time of their
// making to the microsecond, are unique already.
func keep(ctx context.Context, s store.Store, job, name, path string) (schemas.Object, error) {
	if strings.HasPrefix(name, tensorboard) {
		return s.PutFile(ctx, modelFolder(job)+name, path)
	}
	return putContent(ctx, s, modelFolder(job), path)
}

// RecordKey is the key of the commit record that names a model's files by path.
func RecordKey(job string) string { return "runs/" + job + "/" + stage + "/shard-00000.json" }

// Record reads the commit record that a TrainResult's Model names.
func Record(ctx context.Context, s store.Store, uri string) (schemas.CommitRecord, error) {
	var r schemas.CommitRecord
	key, err := s.Key(uri)
	if err != nil {
		return r, err
	}
	data, err := s.Get(ctx, key)
	if err != nil {
		return r, err
	}
	if err := schemas.DecodeStrict(data, &r); err != nil || r.Stage != stage {
		return r, schemas.Errorf(schemas.InvalidInput, "%s is not the record of a trained model", uri)
	}
	return r, nil
}

// DescribeBaseInput names a base model, the precision asked for, "" for the
// device's own, and where a run starts, "" or "base" for the base model itself.
type DescribeBaseInput struct {
	Model     string `json:"model"`
	Precision string `json:"precision"`
	Init      string `json:"init,omitempty"`
}

// Base is what a job depends on beside its options: the content of the model that
// it starts from and the precision that the node computes in.
type Base struct {
	Identity  string `json:"identity"`
	Precision string `json:"precision"`
}

// DescribeBase looks at the model that a run starts from.
func (a *Activities) DescribeBase(ctx context.Context, in DescribeBaseInput) (Base, error) {
	identity, err := a.startIdentity(ctx, in.Model, in.Init)
	return Base{Identity: identity, Precision: a.Node.Precision(in.Precision)}, err
}

// Identity returns the hash of a model's configuration, weights and tokenizer.
func (n Node) Identity(ctx context.Context, name string) (string, error) {
	dir, err := n.Folder(name)
	if err != nil {
		return "", err
	}
	var files []schemas.Object
	for _, pattern := range []string{"*.json", "*.safetensors", "*.jinja"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", schemas.Errorf(schemas.Internal, "list model folder: %w", err)
		}
		for _, path := range paths {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			sum, err := knownSHA256(path)
			if err != nil {
				return "", err
			}
			files = append(files, schemas.Object{SHA256: sum})
		}
	}
	return schemas.Hash(files), nil
}

// sums remembers the hashes of large files that do not change: every stage asks
// for the base model's identity.
var sums sync.Map // path, size and time of change -> hex sha256

func knownSHA256(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", schemas.Errorf(schemas.Internal, "hash file: %w", err)
	}
	key := fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())
	if sum, ok := sums.Load(key); ok {
		return sum.(string), nil
	}
	sum, err := fileSHA256(path)
	if err == nil {
		sums.Store(key, sum)
	}
	return sum, err
}
