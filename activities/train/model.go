package train

import (
	"context"
	"path/filepath"

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

// DescribeBase returns what a base model is, for the job's identity: the hash of its
// configuration, weights and tokenizer.
func (a *Activities) DescribeBase(ctx context.Context, name string) (string, error) {
	dir, err := a.Node.Folder(name)
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
			sum, err := fileSHA256(path)
			if err != nil {
				return "", err
			}
			files = append(files, schemas.Object{SHA256: sum})
		}
	}
	return schemas.Hash(files), nil
}
