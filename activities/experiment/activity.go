package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"rpo/activities/evaluate"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// Activities of experiments.
type Activities struct{ Store store.Store }

// OpenInput names the rows of an experiment and the losses of its arms.
type OpenInput struct {
	Manifest string   `json:"manifest"`
	Profiles string   `json:"profiles"`
	Losses   []string `json:"losses"`
}

// Opened says which table each loss trains on.
type Opened struct {
	Tables map[string]string `json:"tables"`
}

// OpenExperiment looks whether there are rows for every loss and turns to evaluate
// on, so that an arm that cannot be trained is refused before the first one is.
func (a *Activities) OpenExperiment(ctx context.Context, in OpenInput) (Opened, error) {
	out := Opened{Tables: map[string]string{}}
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return out, err
	}
	for _, loss := range in.Losses {
		table := train.Table(loss, m)
		if len(m.Objects(table)) == 0 {
			mend := "give the manifest that BuildPairs returned"
			if table != schemas.TablePair {
				mend += " with its option baselines"
			}
			return out, schemas.Errorf(schemas.InvalidInput, "field \"manifest\": %.300s has no table %q, which loss %s trains on: %s", in.Manifest, table, loss, mend)
		}
		out.Tables[loss] = table
	}
	held, err := store.GetManifest(ctx, a.Store, in.Profiles)
	if err != nil {
		return out, err
	}
	if !slices.ContainsFunc(held.Shards, func(s schemas.ManifestShard) bool {
		return s.Split == schemas.SplitEval && s.Objects[schemas.TableTurn].SHA256 != ""
	}) {
		return out, schemas.Errorf(schemas.InvalidInput, "field \"profiles\": %.300s has no held-out turns: give the manifest that RunPipeline takes", in.Profiles)
	}
	return out, nil
}

// TableInput is what became of the arms, in their order.
type TableInput struct {
	Manifest string `json:"manifest"`
	Profiles string `json:"profiles"`
	// Experiment names the run on the page.
	Experiment string     `json:"experiment"`
	Arms       []EndedArm `json:"arms"`
}

// EndedArm is one arm that ended, with a model and its evaluation's manifest if it
// is Done.
type EndedArm struct {
	Arm        string `json:"arm"`
	Status     string `json:"status"`
	Model      string `json:"model,omitempty"`
	Evaluation string `json:"evaluation,omitempty"`
	Error      string `json:"error,omitempty"`
}

// Row is one arm in the comparison's JSON object.
type Row struct {
	schemas.ArmResult
	Evaluation string                       `json:"evaluation,omitempty"`
	Families   []schemas.FamilySatisfaction `json:"families,omitempty"`
	// Options are those by which the arms differ, by field.
	Options  map[string]any          `json:"options"`
	Training *schemas.TrainingRecord `json:"training,omitempty"`
	Score    *schemas.PromotedScore  `json:"score,omitempty"`
}

// Comparison is the object that an experiment leaves in the store.
type Comparison struct {
	Experiment string  `json:"experiment"`
	Manifest   string  `json:"manifest"`
	Profiles   string  `json:"profiles"`
	Base       float64 `json:"base"`
	Verdicts   int64   `json:"verdicts"`
	HeldOut    int64   `json:"held_out_profiles"`
	Best       string  `json:"best"`
	Rows       []Row   `json:"rows"`
}

// TabulateArms measures all arms that ended with a model and writes the
// table, as JSON and as a page.
func (a *Activities) TabulateArms(ctx context.Context, in TableInput) (schemas.ExperimentResult, error) {
	c := Comparison{Experiment: in.Experiment, Manifest: in.Manifest, Profiles: in.Profiles}
	parts := []string{in.Manifest, in.Profiles}
	var first *evaluate.Reading
	for i, arm := range in.Arms {
		parts = append(parts, arm.Arm, arm.Status, arm.Model, arm.Evaluation)
		row := Row{ArmResult: schemas.ArmResult{Arm: arm.Arm, Status: arm.Status, Model: arm.Model, Error: arm.Error}, Evaluation: arm.Evaluation}
		if arm.Status == schemas.StatusDone {
			r, err := a.measure(ctx, arm, &row)
			if err != nil {
				return schemas.ExperimentResult{}, schemas.Errorf(schemas.TypeOf(err), "measure arm %s: %w", arm.Arm, err)
			}
			if c.Verdicts == 0 {
				c.Base, c.Verdicts, c.HeldOut = r.Base, r.Verdicts, r.Profiles
			}
			if i == 0 {
				first = &r
			} else if first != nil {
				if d, same := r.Against(*first); same {
					row.OverFirst = &schemas.Difference{Value: round(d.Difference), CI95: [2]float64{round(d.CI95[0]), round(d.CI95[1])}}
				}
			}
		}
		c.Rows = append(c.Rows, row)
	}
	differ(c.Rows)
	c.Best = best(c.Rows)
	return a.write(ctx, c, parts)
}

// measure fills a row with the figures of its training and evaluation.
func (a *Activities) measure(ctx context.Context, arm EndedArm, row *Row) (evaluate.Reading, error) {
	record, err := train.Record(ctx, a.Store, arm.Model)
	if err != nil {
		return evaluate.Reading{}, err
	}
	training, err := train.ReadRecord(ctx, a.Store, record)
	if err != nil {
		return evaluate.Reading{}, err
	}
	events, err := a.Store.Get(ctx, record.Outputs["events.jsonl"].Key)
	if err != nil {
		return evaluate.Reading{}, err
	}
	row.Tokens, row.Hours = effort(events)
	r, err := evaluate.Read(ctx, a.Store, arm.Evaluation)
	if err != nil {
		return r, err
	}
	score := r.Score(arm.Evaluation)
	row.Training, row.Score, row.Families = &training, &score, r.Families
	row.Trained, row.Gain, row.CI95 = round(r.Trained), round(r.Difference), [2]float64{round(r.CI95[0]), round(r.CI95[1])}
	row.Malformed, row.LossLast, row.RewardAccuracy = round(score.MalformedShare()), round(training.LossLast), training.RewardAccuracy
	return r, nil
}

func (a *Activities) write(ctx context.Context, c Comparison, parts []string) (schemas.ExperimentResult, error) {
	out := schemas.ExperimentResult{Base: round(c.Base), Verdicts: c.Verdicts, Profiles: c.HeldOut, Best: c.Best}
	for _, row := range c.Rows {
		out.Arms = append(out.Arms, row.ArmResult)
	}
	table, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return out, schemas.Errorf(schemas.Internal, "encode the comparison of %s: %w", c.Experiment, err)
	}
	page, err := page(c)
	if err != nil {
		return out, err
	}
	// What was compared makes the name, so that a retry writes the same objects.
	key := "experiments/" + schemas.ID("experiment", parts...)
	out.Table, out.Page = a.Store.URI(key+".json"), a.Store.URI(key+".html")
	if err := a.Store.Put(ctx, key+".json", table); err != nil {
		return out, err
	}
	return out, a.Store.Put(ctx, key+".html", page)
}

// best is the name of the arm that follows the greatest share, the first of equal
// ones.
func best(rows []Row) string {
	name, most := "", -1.0
	for _, r := range rows {
		if r.Status == schemas.StatusDone && r.Trained > most {
			name, most = r.Arm, r.Trained
		}
	}
	return name
}

// differ sets the options of each row that is measured to those that are not the
// same in all of them.
func differ(rows []Row) {
	all := make([]map[string]any, len(rows))
	values := map[string]map[string]bool{}
	measured := 0
	for i, r := range rows {
		if r.Training == nil {
			continue
		}
		measured++
		data, err := json.Marshal(r.Training.Recipe)
		if err != nil || json.Unmarshal(data, &all[i]) != nil {
			continue
		}
		all[i]["base"] = r.Training.Base.Name
		if r.Training.Init != "" {
			all[i]["init"] = r.Training.Init
		}
		for field, v := range all[i] {
			if values[field] == nil {
				values[field] = map[string]bool{}
			}
			values[field][fmt.Sprint(v)] = true
		}
	}
	for i := range rows {
		rows[i].Options = map[string]any{}
		for field, v := range all[i] {
			present := 0
			for _, other := range all {
				if _, ok := other[field]; ok {
					present++
				}
			}
			if len(values[field]) > 1 || present < measured {
				rows[i].Options[field] = v
			}
		}
	}
}
