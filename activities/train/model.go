package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"rpo/activities/store"
	"rpo/schemas"
)

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

// DescribeBaseInput names a base model and the precision asked for, "" for the
// device's own.
type DescribeBaseInput struct {
	Model     string `json:"model"`
	Precision string `json:"precision"`
}

// Base is what a job depends on beside its options: the base model's content and
// the precision that the node computes in.
type Base struct {
	Identity  string `json:"identity"`
	Precision string `json:"precision"`
}

// DescribeBase looks at a base model.
func (a *Activities) DescribeBase(ctx context.Context, in DescribeBaseInput) (Base, error) {
	identity, err := a.Node.Identity(ctx, in.Model)
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
