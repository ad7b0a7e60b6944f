package evaluate

import (
	"context"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the evaluate step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.SampleOptions
	schemas.JudgeOptions
	TrainedModel string `json:"trained_model"`
}

// EvaluateShard answers a shard's held-out turns with both models, under the
// same seeds, and judges the answers. The books count turns and responses of
// both arms.
func (a *Activities) EvaluateShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		panel, release, err := judge.Judge(ctx, a.Models, turns, in.JudgeOptions, in.Generation, meter)
		if err != nil {
			return err
		}
		defer release()
		profiles := map[string]string{}
		for _, t := range turns {
			profiles[t.TurnID] = t.ProfileID
		}
		var responses []schemas.Response
		var rows []schemas.Evaluation
		for _, arm := range []string{schemas.ArmBase, schemas.ArmTrained} {
			o := in.SampleOptions
			if arm == schemas.ArmTrained {
				o.Model = in.TrainedModel
			}
			answers, verdicts, err := a.arm(ctx, turns, o, in, panel, meter, w)
			if err != nil {
				return err
			}
			responses = append(responses, answers...)
			for _, v := range verdicts {
				rows = append(rows, schemas.Evaluation{
					EvaluationID: schemas.ID("evaluation", arm, v.ResponseID, v.ConstraintID),
					Arm:          arm, Model: answers[0].Model, ProfileID: profiles[v.TurnID], TurnID: v.TurnID,
					ResponseID: v.ResponseID, ConstraintID: v.ConstraintID, Family: v.Family,
					Outcome: v.Outcome, JudgedBy: v.JudgedBy,
				})
			}
		}
		w.Record.Spending = meter.Spent()
		if err := store.PutTable(ctx, w, schemas.TableResponse, responses); err != nil {
			return err
		}
		return store.PutTable(ctx, w, schemas.TableEvaluation, rows)
	})
	return meter.Result(r, reused, err)
}

// arm samples and judges one model's answers. Duplicates and answers that were
// cut off count: they are what the model says.
func (a *Activities) arm(ctx context.Context, turns []schemas.Turn, o schemas.SampleOptions, in ShardInput, panel judge.Panel, meter *chat.Meter, w *store.Work) ([]schemas.Response, []schemas.Verdict, error) {
	m, release, err := a.Models.Model(ctx, chat.Use{Endpoint: o.Endpoint, Model: o.Model, Generation: in.Generation, Meter: meter})
	if err != nil {
		return nil, nil, err
	}
	defer release()
	responses, err := sample.Shard(ctx, m, meter, turns, o, w)
	if err != nil {
		return nil, nil, err
	}
	verdicts, err := judge.Shard(ctx, panel, meter, turns, responses, w)
	return responses, verdicts, err
}

// CompareArms sums the evaluation rows of all shards of a manifest.
func (a *Activities) CompareArms(ctx context.Context, manifest string) (schemas.EvaluationResult, error) {
	m, err := store.GetManifest(ctx, a.Store, manifest)
	if err != nil {
		return schemas.EvaluationResult{}, err
	}
	var rows []schemas.Evaluation
	for _, o := range m.Objects(schemas.TableEvaluation) {
		shard, err := store.GetRows[schemas.Evaluation](ctx, a.Store, o)
		if err != nil {
			return schemas.EvaluationResult{}, err
		}
		rows = append(rows, shard...)
	}
	return Compare(rows), nil
}
