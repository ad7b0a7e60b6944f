package promote_test

import (
	"encoding/json"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

func TestAGateThatFailsRefusesAndWritesNothing(t *testing.T) {
	for _, c := range []struct {
		gate, reason string
		followed     int
		change       func(*schemas.PromoteModelInput)
	}{
		{"min_gain", "less than 0", 1, func(in *schemas.PromoteModelInput) { in.Gates.MinCILow = -1 }},
		{"min_gain", "less than 0.9", 4, func(in *schemas.PromoteModelInput) { in.Gates.MinGain = 0.9 }},
		{"min_ci_low", "not above 0", 2, func(*schemas.PromoteModelInput) {}},
		{"min_verdicts", "less than 1000", 4, func(in *schemas.PromoteModelInput) { in.Gates.MinVerdicts = 1000 }},
		{"min_profiles", "less than 41", 4, func(in *schemas.PromoteModelInput) { in.Gates.MinProfiles = 41 }},
	} {
		t.Run(c.gate, func(t *testing.T) {
			s := store.NewMemory("rpo")
			in := model(t, s, "a", c.followed)
			c.change(&in)
			got := mustPromote(t, s, in, "run-1")
			if got.Decision != schemas.DecisionRefused || got.Version != 0 || got.Current != 0 || got.Manifest != "" || len(got.Reasons) != 1 ||
				!strings.HasPrefix(got.Reasons[0], c.gate+": ") || !strings.Contains(got.Reasons[0], c.reason) {
				t.Errorf("got %+v", got)
			}
			if numbers, err := store.ModelVersions(t.Context(), s, "tiny"); err != nil || len(numbers) > 0 {
				t.Errorf("versions %v, %v", numbers, err)
			}
		})
	}
}

func TestEmptyCutUnjudgedAndAbsentAnswersAreMalformed(t *testing.T) {
	s := store.NewMemory("rpo")
	uri, r := trained(t, s, "a")
	in := schemas.PromoteModelInput{Name: "tiny", Model: uri}
	in.SetDefaults()
	in.Evaluation = evaluated(t, s, 40, arm{"base-" + baseDigest[:12], 2}, arm{train.ServedName(r.Outputs["model.gguf"].SHA256), 4},
		func(i int, r *schemas.Response) bool {
			switch i {
			case 0:
				r.Text = " \n"
			case 1:
				r.FinishReason = "length"
			}
			return i != 2
		})
	got := mustPromote(t, s, in, "run-1")
	if got.Decision != schemas.DecisionRefused || got.Evaluation.Malformed != 3 || got.Evaluation.Responses != 40 || !strings.HasPrefix(strings.Join(got.Reasons, "\n"), "max_malformed: ") {
		t.Errorf("got %+v", got)
	}
	in.Gates.MaxMalformed = 0.1
	if got := mustPromote(t, s, in, "run-2"); got.Decision != schemas.DecisionPromoted {
		t.Errorf("got %+v", got)
	}
}

func TestAModelMustBeatTheVersionInUseIfAskedTo(t *testing.T) {
	s := store.NewMemory("rpo")
	beat := func(name string, followed int) schemas.PromoteModelInput {
		in := model(t, s, name, followed)
		in.Gates.BeatCurrent = true
		return in
	}
	if got := mustPromote(t, s, beat("a", 3), "run-1"); got.Decision != schemas.DecisionPromoted || got.Version != 1 {
		t.Fatalf("the first one has none to beat: %+v", got)
	}
	if got := mustPromote(t, s, beat("b", 3), "run-2"); got.Decision != schemas.DecisionRefused || got.Current != 1 || len(got.Reasons) != 2 ||
		!strings.Contains(got.Reasons[0], "gain over version 1: 0, not above 0") {
		t.Errorf("as good as the other: %+v", got)
	}
	if got := mustPromote(t, s, beat("c", 4), "run-3"); got.Decision != schemas.DecisionPromoted || got.Version != 2 {
		t.Errorf("better: %+v", got)
	}
	uri, r := trained(t, s, "d")
	other := schemas.PromoteModelInput{Name: "tiny", Model: uri, Gates: schemas.Gates{BeatCurrent: true},
		Evaluation: evaluated(t, s, 41, arm{"base-" + baseDigest[:12], 1}, arm{train.ServedName(r.Outputs["model.gguf"].SHA256), 4}, nil)}
	other.SetDefaults()
	if got := mustPromote(t, s, other, "run-4"); got.Decision != schemas.DecisionRefused || !strings.Contains(strings.Join(got.Reasons, "\n"), "other turns") {
		t.Errorf("on other turns: %+v", got)
	}
}

func TestAnEvaluationOfAnotherModelOrAgainstAnotherBaseIsRefused(t *testing.T) {
	s := store.NewMemory("rpo")
	a, b := model(t, s, "a", 4), model(t, s, "b", 4)
	a.Evaluation = b.Evaluation
	if _, err := run(t, s, a, "run-1"); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `field "evaluation"`) {
		t.Errorf("got %v", err)
	}
	uri, r := trained(t, s, "a")
	name := train.ServedName(r.Outputs["model.gguf"].SHA256)
	in := schemas.PromoteModelInput{Name: "tiny", Model: uri, Evaluation: evaluated(t, s, 40, arm{"other-" + strings.Repeat("c", 12), 2}, arm{name, 4}, nil)}
	in.SetDefaults()
	if _, err := run(t, s, in, "run-1"); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "base model") {
		t.Errorf("got %v", err)
	}
	in.Evaluation = evaluated(t, s, 40, arm{"llama", 2}, arm{"llama-rpo", 4}, nil)
	in.EvaluatedAs = "llama-rpo"
	if got := mustPromote(t, s, in, "run-1"); got.Decision != schemas.DecisionPromoted || got.Evaluation.TrainedModel != "llama-rpo" {
		t.Errorf("got %+v", got)
	}
	a.Evaluation = "s3://rpo/" + strings.TrimPrefix(in.Model, "s3://rpo/")
	if _, err := run(t, s, a, "run-1"); err == nil {
		t.Error("a training's record was taken for an evaluation")
	}
}

func TestADataSetThatDoesNotHoldTheTrainingsRowsIsRefused(t *testing.T) {
	s := store.NewMemory("rpo")
	in := model(t, s, "a", 4)
	in.Dataset = "others"
	if _, err := run(t, s, in, "run-1"); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `field "dataset"`) {
		t.Errorf("got %v", err)
	}
}
