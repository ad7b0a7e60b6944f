package train

import (
	"context"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// recordFile holds the schemas.TrainingRecord beside a model's files.
const recordFile = "training.json"

// servedPrefix begins the names of trained models that a worker serves itself.
const servedPrefix = "trained-"

// ServedName is the name under which a worker serves the trained model whose GGUF
// file has the digest. It stands in the provenance of every row.
func ServedName(digest string) string { return servedPrefix + digest[:12] }

// IsServedName says whether a name is one of a trained model that a worker serves.
func IsServedName(name string) bool { return strings.HasPrefix(name, servedPrefix) }

// writeRecord writes what the model was trained from, how and with which losses.
func (a *Activities) writeRecord(ctx context.Context, in Input, m schemas.Manifest, res result, path string) error {
	digest, err := a.Node.Identity(ctx, in.BaseModel)
	if err != nil {
		return err
	}
	rows := Table(in.Loss, m)
	// A data set's version lists the objects that hold rows.
	objects := slices.DeleteFunc(m.Objects(rows), func(o schemas.Object) bool { return o.Rows == 0 })
	init := in.Init
	if init == schemas.InitBase {
		init = ""
	}
	return WriteConfig(path, schemas.TrainingRecord{
		Job: in.Job, Base: schemas.ModelBase{Name: in.BaseModel, Digest: digest}, Init: init,
		Manifest: in.Manifest, Table: rows, DataHash: schemas.Hash(objects), Recipe: in.Recipe(),
		Steps: res.TrainSteps, LossFirst: res.LossFirst, LossLast: res.LossLast, RewardAccuracy: res.RewardAccuracy,
	})
}

// ReadRecord reads what a trained model was trained from.
func ReadRecord(ctx context.Context, s store.Store, r schemas.CommitRecord) (schemas.TrainingRecord, error) {
	var t schemas.TrainingRecord
	o, ok := r.Outputs[recordFile]
	if !ok {
		return t, schemas.Errorf(schemas.InvalidInput, "the model of job %s does not say what it was trained from: train it again with a higher generation", r.Job)
	}
	data, err := s.Get(ctx, o.Key)
	if err != nil {
		return t, err
	}
	if err := schemas.DecodeStrict(data, &t); err != nil || t.Job != r.Job {
		return t, schemas.Errorf(schemas.CorruptData, "read %s: it is not the record of training %s", s.URI(o.Key), r.Job)
	}
	return t, nil
}
