package evaluate

import (
	"context"
	"maps"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// Reading is all that an evaluation says.
type Reading struct {
	schemas.EvaluationResult
	Rows []schemas.Evaluation
	// RowsHash is the Hash of the evaluation objects.
	RowsHash string
	// Turns are the ids of the held-out turns.
	Turns map[string]bool
	// Models are the names under which each arm answered.
	Models map[string][]string
	// Responses counts the trained arm's answers, and one for each turn without any;
	// Malformed those that are empty, cut off, could not be judged or are not there.
	Responses, Malformed int64
}

// Read reads the evaluation whose manifest EvaluateModel returned.
func Read(ctx context.Context, s store.Store, manifest string) (Reading, error) {
	r := Reading{Turns: map[string]bool{}, Models: map[string][]string{}}
	m, err := store.GetManifest(ctx, s, manifest)
	if err != nil {
		return r, err
	}
	objects := m.Objects(schemas.TableEvaluation)
	if m.Stage != "evaluate" || len(objects) == 0 {
		return r, schemas.Errorf(schemas.InvalidInput, "%.300s is not the manifest of an evaluation: give the one that EvaluateModel returned", manifest)
	}
	r.RowsHash = schemas.Hash(objects)
	for _, o := range objects {
		rows, err := store.GetRows[schemas.Evaluation](ctx, s, o)
		if err != nil {
			return r, err
		}
		r.Rows = append(r.Rows, rows...)
	}
	var responses []schemas.Response
	nothing := map[string]bool{}
	for _, o := range m.Objects(schemas.TableResponse) {
		rows, err := store.GetRows[schemas.Response](ctx, s, o)
		if err != nil {
			return r, err
		}
		responses = append(responses, rows...)
	}
	for _, o := range m.Objects(schemas.TableTurn) {
		rows, err := store.GetRows[schemas.Turn](ctx, s, o)
		if err != nil {
			return r, err
		}
		for _, t := range rows {
			r.Turns[t.TurnID] = true
			nothing[t.TurnID] = len(t.Triggered) == 0
		}
	}
	r.EvaluationResult = Compare(r.Rows)
	r.count(responses, nothing)
	return r, nil
}

// count finds the arms' names and the trained arm's malformed answers. Answers to a
// turn that triggers nothing have nothing to be judged by.
func (r *Reading) count(responses []schemas.Response, nothing map[string]bool) {
	judged, arms := map[string]bool{}, map[string]map[string]bool{schemas.ArmBase: {}, schemas.ArmTrained: {}}
	for _, row := range r.Rows {
		judged[row.ResponseID] = true
		if arm := arms[row.Arm]; arm != nil {
			arm[row.Model] = true
		}
	}
	for arm, names := range arms {
		r.Models[arm] = slices.Sorted(maps.Keys(names))
	}
	answered := map[string]bool{}
	for _, a := range responses {
		if !arms[schemas.ArmTrained][a.Model] {
			continue
		}
		answered[a.TurnID] = true
		r.Responses++
		if strings.TrimSpace(a.Text) == "" || a.FinishReason == "length" || !judged[a.ResponseID] && !nothing[a.TurnID] {
			r.Malformed++
		}
	}
	for turn := range r.Turns {
		if !answered[turn] {
			r.Responses++
			r.Malformed++
		}
	}
}

// Score is what a promoted version keeps of an evaluation.
func (r Reading) Score(manifest string) schemas.PromotedScore {
	return schemas.PromotedScore{
		Manifest: manifest, RowsHash: r.RowsHash,
		BaseModel: strings.Join(r.Models[schemas.ArmBase], ", "), TrainedModel: strings.Join(r.Models[schemas.ArmTrained], ", "),
		Base: r.Base, Trained: r.Trained, Verdicts: r.Verdicts, Profiles: r.Profiles, Difference: r.Difference, CI95: r.CI95,
		Responses: r.Responses, Malformed: r.Malformed,
	}
}

// Against compares the trained arm of an evaluation with that of another one, as
// trained with base. same is false if they are not of the same turns: then the
// difference would say nothing about the models.
func (r Reading) Against(other Reading) (c schemas.EvaluationResult, same bool) {
	if len(r.Turns) == 0 || !maps.Equal(r.Turns, other.Turns) {
		return c, false
	}
	var rows []schemas.Evaluation
	for _, row := range other.Rows {
		if row.Arm == schemas.ArmTrained {
			row.Arm = schemas.ArmBase
			rows = append(rows, row)
		}
	}
	for _, row := range r.Rows {
		if row.Arm == schemas.ArmTrained {
			rows = append(rows, row)
		}
	}
	return Compare(rows), true
}
