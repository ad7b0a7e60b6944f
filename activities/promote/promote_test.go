package promote_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"rpo/activities/promote"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/activities/train"
	"rpo/schemas"
)

// baseDigest is that of the base model of every training here.
var baseDigest = strings.Repeat("b", 64)

// trained commits a training as the trainer's activity does and returns the URI of
// its record. Another name is another model.
func trained(t *testing.T, s store.Store, name string) (uri string, record schemas.CommitRecord) {
	t.Helper()
	ctx := t.Context()
	job := schemas.ID("job", name)
	put := func(data string) schemas.Object {
		o, err := store.PutRows(ctx, s, schemas.TableTurn, []schemas.Turn{{TurnID: name + data}})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	r := schemas.CommitRecord{Job: job, Stage: "train", Split: schemas.SplitTrain, Outputs: map[string]schemas.Object{
		"adapter/adapter_model.safetensors": put("adapter"), "merged/model.safetensors": put("merged"), "model.gguf": put("gguf"), "events.jsonl": put("events"),
	}}
	recipe := schemas.TrainOptions{}
	recipe.SetDefaults()
	key := "models/" + job + "/training"
	data := schemas.TrainingRecord{Job: job, Base: schemas.ModelBase{Name: "base", Digest: baseDigest}, Manifest: "s3://rpo/pairs", Table: schemas.TablePair,
		DataHash: schemas.Hash(rows(t, s).Objects), Recipe: recipe.Recipe(), Steps: 3, LossFirst: 0.7, LossLast: 0.5}
	o, err := putJSON(ctx, s, key, data)
	if err != nil {
		t.Fatal(err)
	}
	r.Outputs["training.json"] = o
	if r, _, err = store.Commit(ctx, s, r); err != nil {
		t.Fatal(err)
	}
	return s.URI(train.RecordKey(job)), r
}

// arm says how many of four constraints of each turn a model follows.
type arm struct {
	model    string
	followed int
}

// evaluated writes the evaluation of two arms on so many profiles with one turn
// each, and returns its manifest. change may spoil the trained arm's answers.
func evaluated(t *testing.T, s store.Store, profiles int, base, trained arm, change func(i int, r *schemas.Response) (keep bool)) string {
	t.Helper()
	ctx := t.Context()
	job := schemas.ID("job", "evaluate", fmt.Sprint(profiles, base, trained, change != nil))
	var turns []schemas.Turn
	var responses []schemas.Response
	var verdicts []schemas.Evaluation
	for i := range profiles {
		turn := steptest.Turn(fmt.Sprintf("held-out-%d", i), steptest.Constraint{Text: "Mention tea."})
		turns = append(turns, turn)
		for name, a := range map[string]arm{schemas.ArmBase: base, schemas.ArmTrained: trained} {
			r := schemas.Response{ResponseID: schemas.ID("response", turn.TurnID, name, a.model), TurnID: turn.TurnID, Text: "tea", FinishReason: "stop", Model: a.model}
			if name == schemas.ArmTrained && change != nil && !change(i, &r) {
				continue
			}
			responses = append(responses, r)
			for c := range 4 {
				outcome := schemas.NotFollowed
				// One profile in three goes the other way, so that intervals have a width.
				if c < a.followed != (i%3 == 0 && c == 0) {
					outcome = schemas.Followed
				}
				verdicts = append(verdicts, schemas.Evaluation{EvaluationID: fmt.Sprint(r.ResponseID, c), Arm: name, Model: a.model, ProfileID: turn.ProfileID,
					TurnID: turn.TurnID, ResponseID: r.ResponseID, ConstraintID: fmt.Sprint(c), Family: schemas.FamilyContent, Outcome: outcome, JudgedBy: "rule"})
			}
		}
	}
	objects := map[string]schemas.Object{}
	var err error
	note := func(table string, o schemas.Object, e error) {
		objects[table] = o
		if e != nil {
			err = e
		}
	}
	o, e := store.PutRows(ctx, s, schemas.TableTurn, turns)
	note(schemas.TableTurn, o, e)
	o, e = store.PutRows(ctx, s, schemas.TableResponse, responses)
	note(schemas.TableResponse, o, e)
	o, e = store.PutRows(ctx, s, schemas.TableEvaluation, verdicts)
	note(schemas.TableEvaluation, o, e)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := store.PutManifest(ctx, s, schemas.Manifest{Job: job, Stage: "evaluate", Shards: []schemas.ManifestShard{{Split: schemas.SplitEval, Objects: objects}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// rows is the version of the data set that every training here was on.
func rows(t *testing.T, s store.Store) schemas.DatasetVersion {
	t.Helper()
	o, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{{PairID: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := store.PublishVersion(t.Context(), s, schemas.DatasetVersion{Dataset: "pairs", Objects: []schemas.Object{o}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// model is a trained model with its evaluation on 40 profiles: of four constraints
// each the base follows two, the model so many.
func model(t *testing.T, s store.Store, name string, followed int) schemas.PromoteModelInput {
	t.Helper()
	uri, r := trained(t, s, name)
	in := schemas.PromoteModelInput{Name: "tiny", Model: uri, Evaluation: evaluated(t, s, 40,
		arm{"base-" + baseDigest[:12], 2}, arm{train.ServedName(r.Outputs["model.gguf"].SHA256), followed}, nil)}
	in.SetDefaults()
	return in
}

func run(t *testing.T, s store.Store, in schemas.PromoteModelInput, by string) (out schemas.PromoteResult, err error) {
	t.Helper()
	a := promote.Activities{Store: s}
	steptest.Run(t, func(ctx context.Context) {
		out, err = a.PromoteModel(ctx, promote.Input{PromoteModelInput: in, By: schemas.Promoted{WorkflowID: "w", RunID: by, At: "2026-01-01T00:00:00Z"}})
	})
	return out, err
}

func mustPromote(t *testing.T, s store.Store, in schemas.PromoteModelInput, by string) schemas.PromoteResult {
	t.Helper()
	out, err := run(t, s, in, by)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAModelThatPassesItsGatesBecomesTheNextVersion(t *testing.T) {
	s := store.NewMemory("rpo")
	in := model(t, s, "a", 4)
	in.Dataset = "pairs"
	got := mustPromote(t, s, in, "run-1")
	if got.Decision != schemas.DecisionPromoted || got.Version != 1 || got.Current != 1 || got.Manifest != "s3://rpo/models/tiny/v000001.json" || len(got.Reasons) > 0 {
		t.Fatalf("got %+v", got)
	}
	for _, name := range []string{"tiny@v1", "tiny@1", "tiny@latest", "tiny"} {
		v, err := store.ReadModel(t.Context(), s, name)
		if err != nil {
			t.Fatal(err)
		}
		if v.Number != 1 || v.Parent != 0 || v.Record != in.Model || v.Training.Base.Digest != baseDigest || v.Training.Recipe.Loss != "rpo" || v.Promoted.RunID != "run-1" ||
			v.Dataset != "pairs" || v.DatasetVersion != 1 || v.Evaluation.Verdicts != 160 || v.Evaluation.Malformed != 0 || v.Evaluation.Responses != 40 {
			t.Errorf("%s is %+v", name, v)
		}
		if len(v.Files) != 3 || len(v.Part("adapter")) != 1 || v.Part("adapter")["adapter_model.safetensors"].SHA256 == "" {
			t.Errorf("files %v", v.Files)
		}
	}
	names, err := store.Models(t.Context(), s)
	if err != nil || len(names) != 1 || names[0] != "tiny" {
		t.Errorf("models %v, %v", names, err)
	}
}

func TestPromotingTheSameTwiceGivesTheSameVersion(t *testing.T) {
	s := store.NewMemory("rpo")
	a, b := model(t, s, "a", 4), model(t, s, "b", 4)
	mustPromote(t, s, a, "run-1")
	mustPromote(t, s, b, "run-2")
	// Another run finds it, whatever its gates are, and does not put it in use again.
	a.Gates.MinGain = 1
	if got := mustPromote(t, s, a, "run-3"); got.Decision != schemas.DecisionUnchanged || got.Version != 1 || got.Current != 2 {
		t.Errorf("got %+v", got)
	}
	// A retry of the run that wrote it says what the first attempt would have said.
	if got := mustPromote(t, s, a, "run-1"); got.Decision != schemas.DecisionPromoted || got.Version != 1 {
		t.Errorf("got %+v", got)
	}
	if numbers, _ := store.ModelVersions(t.Context(), s, "tiny"); len(numbers) != 2 {
		t.Errorf("versions %v", numbers)
	}
}

func TestAnOlderVersionComesBackAsANewOne(t *testing.T) {
	s := store.NewMemory("rpo")
	mustPromote(t, s, model(t, s, "a", 4), "run-1")
	mustPromote(t, s, model(t, s, "b", 4), "run-2")
	back := schemas.PromoteModelInput{Name: "tiny", Restore: 1}
	for range 2 { // the second is a retry
		if got := mustPromote(t, s, back, "run-3"); got.Decision == schemas.DecisionRefused || got.Version != 3 || got.Current != 3 {
			t.Errorf("got %+v", got)
		}
	}
	v, err := store.ReadModel(t.Context(), s, "tiny@latest")
	first, firstErr := store.ReadModel(t.Context(), s, "tiny@v1")
	if err != nil || firstErr != nil || v.Restores != 1 || v.Hash != first.Hash || v.Parent != 2 || v.Promoted.RunID != "run-3" {
		t.Errorf("restored %+v, %v, %v", v, err, firstErr)
	}
	// Once more after another promotion, by another run.
	mustPromote(t, s, model(t, s, "c", 4), "run-4")
	if got := mustPromote(t, s, back, "run-5"); got.Version != 5 {
		t.Errorf("got %+v", got)
	}
	// The retry that comes late finds its own version and undoes nothing.
	if got := mustPromote(t, s, back, "run-3"); got.Current != 5 {
		t.Errorf("got %+v", got)
	}
	if _, err := run(t, s, schemas.PromoteModelInput{Name: "tiny", Restore: 9}, "run-6"); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestRacingPromotionsMakeAChainWithoutGaps(t *testing.T) {
	s := store.NewMemory("rpo")
	inputs := make([]schemas.PromoteModelInput, 8)
	for i := range inputs {
		inputs[i] = model(t, s, fmt.Sprint(i), 4)
	}
	var all sync.WaitGroup
	versions := make([]int, len(inputs))
	for i, in := range inputs {
		all.Go(func() { versions[i] = mustPromote(t, s, in, fmt.Sprint("run-", i)).Version })
	}
	all.Wait()
	seen := map[int]bool{}
	for _, n := range versions {
		seen[n] = true
	}
	for n := 1; n <= len(inputs); n++ {
		v, err := store.ModelVersion(t.Context(), s, "tiny", n)
		if err != nil || v.Parent != n-1 || !seen[n] {
			t.Errorf("version %d has parent %d, %v", n, v.Parent, err)
		}
	}
}

func putJSON(ctx context.Context, s store.Store, key string, v any) (schemas.Object, error) {
	data, err := jsonOf(v)
	if err == nil {
		err = s.Put(ctx, key, data)
	}
	size, sum, headErr := s.Head(ctx, key)
	if err == nil {
		err = headErr
	}
	return schemas.Object{Key: key, SHA256: sum, Bytes: size}, err
}
