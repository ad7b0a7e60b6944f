package train

import (
	"context"
	"fmt"
	"path/filepath"

	"rpo/activities/store"
	"rpo/schemas"
)

// ResolveInit names the policy that a run starts from once and for all:
// "name@latest" becomes "name@v3", so that all of a run, however long it takes,
// starts from the same. The base stays as it is.
func (a *Activities) ResolveInit(ctx context.Context, init string) (string, error) {
	v, ok, err := startVersion(ctx, a.Store, init)
	if err != nil || !ok {
		return init, err
	}
	return fmt.Sprintf("%s@v%d", v.Name, v.Number), nil
}

// startVersion reads the promoted version that a run starts from; ok is false for
// one that starts from the base.
func startVersion(ctx context.Context, s store.Store, init string) (v schemas.ModelVersion, ok bool, err error) {
	if init == "" || init == schemas.InitBase {
		return v, false, nil
	}
	if v, err = store.ReadModel(ctx, s, init); err != nil {
		return v, false, err
	}
	if len(v.Part("adapter")) == 0 {
		return v, false, schemas.Errorf(schemas.InvalidInput, "field \"init\": %s was trained whole and has no adapter to start from: "+
			"put its merged files into a folder, name that under models in the worker's configuration, and give it as base_model", init)
	}
	return v, true, nil
}

// startIdentity is the hash of all files that make the policy which a run starts
// from.
func (a *Activities) startIdentity(ctx context.Context, base, init string) (string, error) {
	identity, err := a.Node.Identity(ctx, base)
	if err != nil {
		return "", err
	}
	v, ok, err := startVersion(ctx, a.Store, init)
	if err != nil || !ok {
		return identity, err
	}
	if err := fits(v, init, base, identity); err != nil {
		return "", err
	}
	files := []schemas.Object{{SHA256: identity}}
	for name, o := range v.Part("adapter") {
		files = append(files, schemas.Object{SHA256: schemas.ID("file", name, o.SHA256)})
	}
	return schemas.Hash(files), nil
}

// fits refuses an adapter of other weights: it would load and be noise.
func fits(v schemas.ModelVersion, init, base, identity string) error {
	if v.Training.Base.Digest == identity {
		return nil
	}
	return schemas.Errorf(schemas.InvalidInput, "field \"init\": %s was trained from base model %q (%.12s), but base_model %q is %.12s on this worker: name the base that it belongs to",
		init, v.Training.Base.Name, v.Training.Base.Digest, base, identity)
}

// Adapter brings the adapter of the promoted version that a run starts from into
// a folder, which it returns; "" for a run that starts from the base.
func Adapter(ctx context.Context, s store.Store, n Node, o schemas.TrainOptions, dir string) (string, error) {
	v, ok, err := startVersion(ctx, s, o.Init)
	if err != nil || !ok {
		return "", err
	}
	identity, err := n.Identity(ctx, o.BaseModel)
	if err == nil {
		err = fits(v, o.Init, o.BaseModel, identity)
	}
	if err != nil {
		return "", err
	}
	for name, object := range v.Part("adapter") {
		if !filepath.IsLocal(name) {
			return "", schemas.Errorf(schemas.CorruptData, "read model %s: its adapter names a file outside its folder", o.Init)
		}
		if err := s.GetFile(ctx, object, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}
