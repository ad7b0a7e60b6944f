package evaluate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/evaluate"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func input(t *testing.T, s store.Store, turns []schemas.Turn) evaluate.ShardInput {
	o := schemas.SampleOptions{Endpoint: "policy", Responses: 3}
	o.SetDefaults()
	return evaluate.ShardInput{
		Shard:         steptest.Open(t, s, "evaluate", steptest.Manifest(t, s, turns), o, 0),
		SampleOptions: o, TrainedModel: "trained",
	}
}

func TestBothArmsAnswerUnderTheSameSeedsAndAreJudged(t *testing.T) {
	// The trained model says tea always, the base with even seeds only.
	server := scripted.New(t, scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
		if p.Model == "trained" || seed%2 == 0 {
			return fmt.Sprintf("tea %d", seed)
		}
		return fmt.Sprintf("milk %d", seed)
	}))
	s := store.NewMemory("rpo")
	turns := steptest.Turns("shop", 6, steptest.Constraint{Text: "Mention tea.", Rule: schemas.Rule{Profile: "rpo", Kind: "contains", Args: `{"text":"tea"}`}})
	in := input(t, s, turns)
	a := evaluate.Activities{Store: s, Models: steptest.Models{"policy": server.URL}}
	var err error
	steptest.Run(t, func(ctx context.Context) { _, err = a.EvaluateShard(ctx, in) })
	if err != nil {
		t.Fatal(err)
	}
	// Turns and responses of both arms.
	r := steptest.Record(t, s, in.Shard)
	if r.Books != (schemas.Books{In: 2 * (6 + 18), OK: 2 * (6 + 18)}) {
		t.Errorf("books %+v", r.Books)
	}
	seeds := map[string]map[int64]bool{}
	followed := 0
	for _, row := range steptest.Rows[schemas.Response](t, s, r, schemas.TableResponse) {
		if seeds[row.Model] == nil {
			seeds[row.Model] = map[int64]bool{}
		}
		seeds[row.Model][row.Seed] = true
		if row.Model == "scripted" && strings.HasPrefix(row.Text, "tea") {
			followed++
		}
	}
	if fmt.Sprint(seeds["scripted"]) != fmt.Sprint(seeds["trained"]) || len(seeds["trained"]) != 6 {
		t.Errorf("seeds %v", seeds)
	}
	ids := map[string]bool{}
	for _, row := range steptest.Rows[schemas.Evaluation](t, s, r, schemas.TableEvaluation) {
		ids[row.EvaluationID] = true
		if row.ProfileID == "" || row.Family == "" || (row.Arm == schemas.ArmTrained) != (row.Model == "trained") {
			t.Errorf("row %+v", row)
		}
	}
	if len(ids) != 36 {
		t.Errorf("%d evaluation ids", len(ids))
	}
	var got schemas.EvaluationResult
	steptest.Run(t, func(ctx context.Context) { got, err = a.CompareArms(ctx, steptest.Close(t, s, in.Shard).Manifest) })
	if err != nil || got.Trained != 1 || !near(got.Base, float64(followed)/18) || got.Verdicts != 18 || got.Profiles != 6 {
		t.Errorf("compared %+v, %v", got, err)
	}
}

func TestAnswersThatWereCutOrRepeatedCountToo(t *testing.T) {
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		r := scripted.Say("tea", "tea", "tea")
		r.Finish = "length"
		return r
	})
	s := store.NewMemory("rpo")
	in := input(t, s, steptest.Turns("shop", 1, steptest.Constraint{Text: "Mention tea.", Rule: schemas.Rule{Profile: "rpo", Kind: "contains", Args: `{"text":"tea"}`}}))
	a := evaluate.Activities{Store: s, Models: steptest.Models{"policy": server.URL}}
	var err error
	steptest.Run(t, func(ctx context.Context) { _, err = a.EvaluateShard(ctx, in) })
	if err != nil {
		t.Fatal(err)
	}
	if rows := steptest.Rows[schemas.Evaluation](t, s, steptest.Record(t, s, in.Shard), schemas.TableEvaluation); len(rows) != 6 {
		t.Errorf("%d rows", len(rows))
	}
}
