package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/activities/train"
	"rpo/schemas"
)

// put writes a document and says what it is.
func put(t *testing.T, s store.Store, key string, data []byte) schemas.Object {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
	size, sum, err := s.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.Object{Key: key, SHA256: sum, Bytes: size}
}

// arm is an arm that was trained and evaluated: of four constraints of each of 30
// turns its model follows so many, the base two.
func arm(t *testing.T, s store.Store, name string, followed int, change func(*schemas.TrainOptions)) EndedArm {
	t.Helper()
	job := schemas.ID("job", name)
	recipe := schemas.TrainOptions{}
	if change != nil {
		change(&recipe)
	}
	recipe.SetDefaults()
	accuracy := 0.75
	record, err := json.Marshal(schemas.TrainingRecord{Job: job, Base: schemas.ModelBase{Name: "base", Digest: strings.Repeat("b", 64)}, Table: schemas.TablePair,
		Recipe: recipe.Recipe(), LossLast: 0.5, RewardAccuracy: &accuracy})
	if err != nil {
		t.Fatal(err)
	}
	// Step 2 was made twice, and a line was cut off.
	events := `{"event":"start","tokens":7}
{"event":"step","step":1,"tokens":1000,"tokens_per_s":100}
{"event":"step","step":2,"tokens":999,"tokens_per_s":1}
{"event":"step","step":2,"tokens":2600,"tokens_per_s":100}
{"event":"st`
	r := schemas.CommitRecord{Job: job, Stage: "train", Outputs: map[string]schemas.Object{
		"training.json": put(t, s, "models/"+job+"/training", record), "events.jsonl": put(t, s, "models/"+job+"/events", []byte(events))}}
	if _, _, err := store.Commit(t.Context(), s, r); err != nil {
		t.Fatal(err)
	}
	var turns []schemas.Turn
	var responses []schemas.Response
	var rows []schemas.Evaluation
	for i := range 30 {
		turn := steptest.Turn(fmt.Sprint("held-out-", i), steptest.Constraint{Text: "Mention tea."})
		turns = append(turns, turn)
		for which, n := range map[string]int{schemas.ArmBase: 2, schemas.ArmTrained: followed} {
			model := which + name
			id := schemas.ID("response", turn.TurnID, model)
			responses = append(responses, schemas.Response{ResponseID: id, TurnID: turn.TurnID, Text: "tea", FinishReason: "stop", Model: model})
			for c := range 4 {
				outcome := schemas.NotFollowed
				if c < n != (which == schemas.ArmTrained && i%3 == 0 && c == 0) {
					outcome = schemas.Followed
				}
				rows = append(rows, schemas.Evaluation{EvaluationID: fmt.Sprint(id, c), Arm: which, Model: model, ProfileID: turn.ProfileID, TurnID: turn.TurnID,
					ResponseID: id, ConstraintID: fmt.Sprint(c), Family: schemas.FamilyContent, Outcome: outcome})
			}
		}
	}
	objects := map[string]schemas.Object{}
	for table, write := range map[string]func() (schemas.Object, error){
		schemas.TableTurn:       func() (schemas.Object, error) { return store.PutRows(t.Context(), s, schemas.TableTurn, turns) },
		schemas.TableResponse:   func() (schemas.Object, error) { return store.PutRows(t.Context(), s, schemas.TableResponse, responses) },
		schemas.TableEvaluation: func() (schemas.Object, error) { return store.PutRows(t.Context(), s, schemas.TableEvaluation, rows) },
	} {
		if objects[table], err = write(); err != nil {
			t.Fatal(err)
		}
	}
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: job, Stage: "evaluate", Shards: []schemas.ManifestShard{{Split: schemas.SplitEval, Objects: objects}}})
	if err != nil {
		t.Fatal(err)
	}
	return EndedArm{Arm: name, Status: schemas.StatusDone, Model: s.URI(train.RecordKey(job)), Evaluation: uri}
}

func tabulate(t *testing.T, s store.Store, arms ...EndedArm) (out schemas.ExperimentResult, err error) {
	t.Helper()
	a := Activities{Store: s}
	steptest.Run(t, func(ctx context.Context) {
		out, err = a.TabulateArms(ctx, TableInput{Manifest: "s3://rpo/pairs", Profiles: "s3://rpo/profiles", Experiment: "sweep <1>", Arms: arms})
	})
	return out, err
}

func read(t *testing.T, s store.Store, uri string) string {
	t.Helper()
	key, err := s.Key(uri)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestArmsAreComparedWithTheBaseAndWithTheFirst(t *testing.T) {
	s := store.NewMemory("rpo")
	arms := []EndedArm{
		arm(t, s, "rpo", 3, nil),
		arm(t, s, "dpo", 4, func(o *schemas.TrainOptions) { o.Loss = "dpo" }),
		{Arm: "kto", Status: schemas.StatusFailed, Error: "CorruptData: <b>broken</b>"},
		arm(t, s, "seed", 3, func(o *schemas.TrainOptions) { o.TrainSeed = 7 }),
	}
	got, err := tabulate(t, s, arms...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Base != 0.5 || got.Verdicts != 120 || got.Profiles != 30 || got.Best != "dpo" || len(got.Arms) != 4 {
		t.Errorf("got %+v", got)
	}
	rpo, dpo, kto, seed := got.Arms[0], got.Arms[1], got.Arms[2], got.Arms[3]
	if rpo.OverFirst != nil || dpo.OverFirst == nil || seed.OverFirst == nil || dpo.OverFirst.Value < 0.15 || seed.OverFirst.Value != 0 {
		t.Errorf("over the first: %+v, %+v", dpo.OverFirst, seed.OverFirst)
	}
	if math.Abs(rpo.Gain-0.1667) > 0.0001 || rpo.CI95[0] >= rpo.Gain || rpo.CI95[1] <= rpo.Gain || *rpo.RewardAccuracy != 0.75 || rpo.Malformed != 0 {
		t.Errorf("first arm %+v", rpo)
	}
	if rpo.Tokens != 3600 || rpo.Hours != 0.01 {
		t.Errorf("%d tokens in %v hours", rpo.Tokens, rpo.Hours)
	}
	if kto.Status != schemas.StatusFailed || kto.Error == "" || kto.Gain != 0 {
		t.Errorf("the failed arm %+v", kto)
	}
	var table Comparison
	if err := json.Unmarshal([]byte(read(t, s, got.Table)), &table); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"loss": "dpo"}; fmt.Sprint(table.Rows[1].Options) != fmt.Sprint(want) || fmt.Sprint(table.Rows[0].Options) != "map[loss:rpo]" ||
		fmt.Sprint(table.Rows[3].Options) != "map[loss:rpo train_seed:7]" || len(table.Rows[0].Families) != 1 || table.Rows[0].Training.Recipe.Gamma != 0.05 {
		t.Errorf("rows %+v", table.Rows)
	}
	page := read(t, s, got.Page)
	for _, want := range []string{"Experiment sweep &lt;1&gt;", "CorruptData: &lt;b&gt;broken", "loss dpo", "class=\"best\"><th scope=\"row\">dpo", "over rpo", "style=\"left:"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Zgotmpl") || strings.Contains(page, "<b>broken") {
		t.Errorf("the page %s", page)
	}
	again, err := tabulate(t, s, arms...)
	if err != nil || again.Table != got.Table || read(t, s, again.Page) != page {
		t.Errorf("the second time %+v, %v", again, err)
	}
}

func TestAnExperimentWithoutAnyResultHasATableAllTheSame(t *testing.T) {
	s := store.NewMemory("rpo")
	got, err := tabulate(t, s, EndedArm{Arm: "a", Status: schemas.StatusFailed, Error: "x"}, EndedArm{Arm: "b", Status: schemas.StatusSkipped})
	if err != nil || got.Best != "" || !strings.Contains(read(t, s, got.Page), "No arm has a result.") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALossWithoutRowsIsRefusedBeforeAnyTraining(t *testing.T) {
	s := store.NewMemory("rpo")
	pairs, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{{PairID: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(m schemas.Manifest) string {
		uri, err := store.PutManifest(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		return uri
	}
	rows := manifest(schemas.Manifest{Job: "j", Stage: "pair", Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: pairs}}}})
	turns, err := store.PutRows(t.Context(), s, schemas.TableTurn, []schemas.Turn{{TurnID: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	held := manifest(schemas.Manifest{Stage: "import", Shards: []schemas.ManifestShard{{Split: schemas.SplitEval, Objects: map[string]schemas.Object{schemas.TableTurn: turns}}}})
	a := Activities{Store: s}
	got, err := a.OpenExperiment(t.Context(), OpenInput{Manifest: rows, Profiles: held, Losses: []string{"rpo", "dpo", "sft"}})
	if err != nil || fmt.Sprint(got.Tables) != "map[dpo:pair rpo:pair sft:pair]" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, c := range []struct {
		in   OpenInput
		says string
	}{
		{OpenInput{Manifest: rows, Profiles: held, Losses: []string{"kto"}}, "baselines"},
		{OpenInput{Manifest: held, Profiles: held, Losses: []string{"rpo"}}, `field "manifest"`},
		{OpenInput{Manifest: rows, Profiles: rows, Losses: []string{"rpo"}}, `field "profiles"`},
	} {
		if _, err := a.OpenExperiment(t.Context(), c.in); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v", c.in, err)
		}
	}
}
