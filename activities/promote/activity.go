package promote

import (
	"context"
	"slices"
	"strings"

	"rpo/activities/evaluate"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// Activities of the promote step.
type Activities struct{ Store store.Store }

// Input is one promotion.
type Input struct {
	schemas.PromoteModelInput
	// By is the run that promotes.
	By schemas.Promoted `json:"by"`
}

// PromoteModel writes the next version of a named model if the gates let it
// through. A model that was promoted before gives its version again, whatever the
// gates are now. Of two promotions at the same time the later one is measured
// against what the earlier one wrote.
func (a *Activities) PromoteModel(ctx context.Context, in Input) (schemas.PromoteResult, error) {
	if in.Restore > 0 {
		return a.restore(ctx, in)
	}
	v, r, err := a.candidate(ctx, in)
	if err != nil {
		return schemas.PromoteResult{}, err
	}
	for {
		versions, err := a.versions(ctx, in.Name)
		if err != nil {
			return schemas.PromoteResult{}, err
		}
		for _, old := range versions {
			if old.Hash != v.Hash || old.Restores > 0 {
				continue
			}
			if old.Promoted.RunID == in.By.RunID { // an attempt before this one wrote it
				return a.result(schemas.DecisionPromoted, old, versions), nil
			}
			return a.result(schemas.DecisionUnchanged, old, versions), nil
		}
		over, err := a.rival(ctx, in.Gates, r, versions)
		if err != nil {
			return schemas.PromoteResult{}, err
		}
		v.Outcomes = check(in.Gates, r, over)
		if reasons := failed(v.Outcomes); len(reasons) > 0 {
			out := a.result(schemas.DecisionRefused, v, versions)
			out.Reasons = reasons
			return out, nil
		}
		next := after(v, versions)
		if won, err := store.PutModel(ctx, a.Store, next); err != nil || won {
			return a.result(schemas.DecisionPromoted, next, append(versions, next)), err
		}
	}
}

// restore writes an older version again as the newest one. The run that does it
// does it once: a retry finds what the attempt before wrote.
func (a *Activities) restore(ctx context.Context, in Input) (schemas.PromoteResult, error) {
	for {
		versions, err := a.versions(ctx, in.Name)
		if err != nil {
			return schemas.PromoteResult{}, err
		}
		i := slices.IndexFunc(versions, func(v schemas.ModelVersion) bool { return v.Number == in.Restore })
		if i < 0 {
			return schemas.PromoteResult{}, schemas.Errorf(schemas.NotFound, "restore: model %s has no version %d: `rpo model list` shows those there are", in.Name, in.Restore)
		}
		v, current := versions[i], versions[len(versions)-1]
		if current.Hash == v.Hash {
			return a.result(schemas.DecisionUnchanged, current, versions), nil
		}
		for _, old := range versions {
			if old.Restores == in.Restore && old.Promoted.RunID == in.By.RunID {
				return a.result(schemas.DecisionPromoted, old, versions), nil
			}
		}
		v.Restores, v.Promoted = in.Restore, in.By
		next := after(v, versions)
		if won, err := store.PutModel(ctx, a.Store, next); err != nil || won {
			return a.result(schemas.DecisionPromoted, next, append(versions, next)), err
		}
	}
}

// candidate is the version that a training and its evaluation would be. They must
// belong to each other.
func (a *Activities) candidate(ctx context.Context, in Input) (v schemas.ModelVersion, r evaluate.Reading, err error) {
	record, err := train.Record(ctx, a.Store, in.Model)
	if err != nil {
		return v, r, err
	}
	v = schemas.ModelVersion{Name: in.Name, Record: in.Model, Files: map[string]schemas.Object{}, Gates: in.Gates, Promoted: in.By}
	if v.Training, err = train.ReadRecord(ctx, a.Store, record); err != nil {
		return v, r, err
	}
	for path, o := range record.Outputs {
		if path == "model.gguf" || strings.HasPrefix(path, "adapter/") || strings.HasPrefix(path, "merged/") {
			v.Files[path] = o
		}
	}
	if r, err = evaluate.Read(ctx, a.Store, in.Evaluation); err != nil {
		return v, r, err
	}
	if err := belongs(in.PromoteModelInput, v, r); err != nil {
		return v, r, err
	}
	v.Evaluation = r.Score(in.Evaluation)
	if in.Dataset != "" {
		if v.Dataset, v.DatasetVersion, err = a.dataset(ctx, in.Dataset, v.Training); err != nil {
			return v, r, err
		}
	}
	v.Hash = v.Digest()
	return v, r, nil
}

// belongs refuses an evaluation of another model, or against another base: its
// figures would say nothing about this one.
func belongs(in schemas.PromoteModelInput, v schemas.ModelVersion, r evaluate.Reading) error {
	gguf, ok := v.Files["model.gguf"]
	if !ok || len(gguf.SHA256) < 12 {
		return schemas.Errorf(schemas.CorruptData, "the record %s names no model.gguf", in.Model)
	}
	want := train.ServedName(gguf.SHA256)
	if in.EvaluatedAs != "" {
		want = in.EvaluatedAs
	}
	if trained := r.Models[schemas.ArmTrained]; len(trained) != 1 || trained[0] != want {
		return schemas.Errorf(schemas.InvalidInput, "field \"evaluation\": %.300s is of model %.200q, not of %s: give the evaluation of this model, "+
			"or set evaluated_as if an endpoint of yours served it under that name", in.Evaluation, strings.Join(trained, ", "), want)
	}
	for _, base := range r.Models[schemas.ArmBase] {
		served := in.EvaluatedAs == "" && !train.IsServedName(base)
		if served && !strings.HasSuffix(base, "-"+v.Training.Base.Digest[:min(12, len(v.Training.Base.Digest))]) {
			return schemas.Errorf(schemas.InvalidInput, "field \"evaluation\": %.300s compares with %.200q, which is not the base model %q that this model was trained from",
				in.Evaluation, base, v.Training.Base.Name)
		}
	}
	return nil
}

// dataset finds the newest version of a data set that holds the rows of a training.
func (a *Activities) dataset(ctx context.Context, name string, t schemas.TrainingRecord) (string, int, error) {
	if t.Table != schemas.TablePair {
		name += "-" + t.Table
	}
	numbers, err := store.Versions(ctx, a.Store, name)
	if err != nil {
		return "", 0, err
	}
	for _, n := range slices.Backward(numbers) {
		v, err := store.Version(ctx, a.Store, name, n)
		if err != nil {
			return "", 0, err
		}
		if v.Hash == t.DataHash {
			return name, n, nil
		}
	}
	return "", 0, schemas.Errorf(schemas.InvalidInput, "field \"dataset\": no version of data set %s holds the rows that the model was trained on: name their data set, or leave it out", name)
}

// rival compares with the version in use; nil where nothing is demanded or there
// is none.
func (a *Activities) rival(ctx context.Context, g schemas.Gates, r evaluate.Reading, versions []schemas.ModelVersion) (*rival, error) {
	if !g.BeatCurrent || len(versions) == 0 {
		return nil, nil
	}
	current := versions[len(versions)-1]
	old, err := evaluate.Read(ctx, a.Store, current.Evaluation.Manifest)
	if err != nil {
		return nil, schemas.Errorf(schemas.TypeOf(err), "read the evaluation of version %d of %s: %w", current.Number, current.Name, err)
	}
	out := &rival{number: current.Number}
	out.result, out.same = r.Against(old)
	return out, nil
}

// versions are all versions of a model in the order of their numbers.
func (a *Activities) versions(ctx context.Context, name string) ([]schemas.ModelVersion, error) {
	numbers, err := store.ModelVersions(ctx, a.Store, name)
	if err != nil {
		return nil, err
	}
	var out []schemas.ModelVersion
	for _, n := range numbers {
		v, err := store.ModelVersion(ctx, a.Store, name, n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// after numbers v as the version that follows.
func after(v schemas.ModelVersion, versions []schemas.ModelVersion) schemas.ModelVersion {
	v.Parent, v.Number = 0, 1
	if n := len(versions); n > 0 {
		v.Parent, v.Number = versions[n-1].Number, versions[n-1].Number+1
	}
	return v
}

func (a *Activities) result(decision string, v schemas.ModelVersion, versions []schemas.ModelVersion) schemas.PromoteResult {
	out := schemas.PromoteResult{Decision: decision, Name: v.Name, Version: v.Number, Outcomes: v.Outcomes, Evaluation: v.Evaluation}
	if v.Number > 0 {
		out.Manifest = a.Store.URI(store.ModelKey(v.Name, v.Number))
	}
	if n := len(versions); n > 0 {
		out.Current = versions[n-1].Number
	}
	return out
}
