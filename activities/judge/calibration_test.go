package judge_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// lenient holds everything for followed but what the response speaks against, and
// replies nonsense about the response "bad" when it is asked what rules decide.
func lenient(t *testing.T) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		q, err := readQuestion(p)
		if err != nil {
			t.Error(err)
		}
		var out []entry
		for _, line := range q.constraints {
			id, text, _ := strings.Cut(line, ": ")
			if strings.HasPrefix(text, "Mention ") && q.response == "bad" {
				return scripted.Say("fine")
			}
			e := entry{ID: id, Verdict: schemas.Followed}
			switch q.response {
			case "tea, strictly":
				e.Verdict = schemas.NotFollowed
			case "silence":
				e.Verdict = schemas.NotApplicable
			}
			out = append(out, e)
		}
		return reply(out)
	}
}

func calibrated(t *testing.T, calibrate bool) (store.Store, store.Shard, schemas.CommitRecord, map[string][]string) {
	t.Helper()
	s, server := store.NewMemory("rpo"), scripted.New(t, lenient(t))
	format := word("milk")
	turn := steptest.Turn("shop", word("tea"), format, steptest.Constraint{Text: "Be kind."})
	turn.Constraints[1].Family = schemas.FamilyFormat
	responses := answers(turn, "tea", "milk", "tea, strictly", "silence", "bad")
	shard, err := runWith(t, s, steptest.Models{"judge": server.URL}, schemas.JudgeOptions{JudgeEndpoint: "judge", Calibrate: calibrate},
		sampled(t, s, []schemas.Turn{turn}, responses))
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	return s, shard, r, got
}

func TestCalibrationComparesTheJudgeWithRulesAndChangesNoVerdict(t *testing.T) {
	_, _, plain, want := calibrated(t, false)
	s, shard, r, got := calibrated(t, true)
	if fmt.Sprint(got) != fmt.Sprint(want) || r.Books != plain.Books || r.Outputs[schemas.TableVerdict] != plain.Outputs[schemas.TableVerdict] {
		t.Errorf("verdicts %q, without calibration %q", got, want)
	}
	// Five verdicts, four calibrations, and three tries at the fifth.
	if plain.Calls != 5 || r.Calls != 12 {
		t.Errorf("%d and %d calls", plain.Calls, r.Calls)
	}
	rows := steptest.Rows[schemas.Calibration](t, s, r, schemas.TableCalibration)
	if len(rows) != 8 || rows[0].JudgedBy != "scripted "+judge.PromptVersion || r.Counts["calibration_invalid"] != 1 ||
		r.Counts[judge.CalibrationKey(schemas.FamilyContent, schemas.NotFollowed, schemas.Followed)] != 1 ||
		r.Counts[judge.CalibrationKey(schemas.FamilyFormat, schemas.NotFollowed, schemas.Followed)] != 1 {
		t.Errorf("rows %+v, counts %v", rows, r.Counts)
	}
	stage := steptest.Close(t, s, shard)
	a := judge.Activities{Store: s}
	out, err := a.CalibrateJudge(t.Context(), stage.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.CalibrateJudge(t.Context(), stage.Manifest); err != nil || again.Report != out.Report {
		t.Errorf("a retry gives %+v, %v", again, err)
	}
	type line struct {
		n, pass, fail, notApplicable     int64
		accuracy, falsePass, falseFailed float64
	}
	want2 := map[string]line{
		// The rule: tea follows, milk not, "tea, strictly" follows, silence not.
		schemas.FamilyContent: {4, 2, 2, 1, 0.25, 0.5, 0.5},
		// The rule: only milk follows; "tea, strictly" is rightly refused.
		schemas.FamilyFormat: {4, 1, 3, 1, 0.5, 1.0 / 3, 0},
		"":                   {8, 3, 5, 2, 0.375, 0.4, 1.0 / 3},
	}
	if out.Rows != 8 || out.Invalid != 1 || len(out.Families) != 3 || out.Families[0].Family != "" {
		t.Errorf("result %+v", out)
	}
	for _, f := range out.Families {
		got := line{f.N, f.Pass, f.Fail, f.NotApplicable, *f.Accuracy, *f.FalsePass, *f.FalseFail}
		if got != want2[f.Family] {
			t.Errorf("family %q: %+v, want %+v", f.Family, got, want2[f.Family])
		}
	}
	for uri, part := range map[string]string{out.Report: `"false_pass": 0.4`, out.Page: "| 37.5 % of 8 | 40.0 % of 5 | 33.3 % of 3 | 2 |"} {
		key, err := s.Key(uri)
		if err != nil || !strings.HasPrefix(key, "reports/calibration-"+shard.Job+".") {
			t.Fatal(uri, err)
		}
		data, err := s.Get(t.Context(), key)
		if err != nil || !strings.Contains(string(data), part) {
			t.Errorf("%s lacks %q: %s, %v", key, part, data, err)
		}
	}
	if data, _ := json.Marshal(out); len(data) > 8<<10 {
		t.Errorf("%d bytes are too many for a payload", len(data))
	}
}

func TestAManifestWithoutCalibrationSaysHowToHaveOne(t *testing.T) {
	s, shard, _, _ := calibrated(t, false)
	a := judge.Activities{Store: s}
	_, err := a.CalibrateJudge(t.Context(), steptest.Close(t, s, shard).Manifest)
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"calibrate": true`) {
		t.Errorf("error %v", err)
	}
}

func TestARateWithoutADenominatorIsUnknown(t *testing.T) {
	got := judge.Calibration([]schemas.Calibration{{Family: "style", RuleOutcome: schemas.Followed, JudgeOutcome: schemas.Followed, JudgedBy: "m"}})
	if len(got) != 2 || got[1].FalsePass != nil || *got[1].FalseFail != 0 || *got[1].Accuracy != 1 {
		t.Errorf("%+v", got)
	}
	if len(judge.Calibration(nil)) != 0 {
		t.Error("families of nothing")
	}
}
