//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// experimentOn is an input whose arms train for two steps. Its gates let anything through but for max.
func experimentOn(pairs, profiles string, arms ...map[string]any) map[string]any {
	return map[string]any{"manifest": pairs, "profiles": profiles, "endpoint": "local", "max_tokens": 48, "eval_responses": 1,
		"max_length": 128, "max_steps": 2, "pairs_per_step": 8, "pairs_per_batch": 4, "lora_rank": 4, "learning_rate": 0.01, "held_out_fraction": 0.3,
		"arms": arms, "promote": "guide",
		"gates": map[string]any{"min_gain": -1, "min_ci_low": -1, "min_verdicts": 1, "min_profiles": 1, "max_malformed": 1}}
}

func TestAnExperimentComparesItsArmsAndTheBestIsPromotedRefusedAndBroughtBack(t *testing.T) {
	l := startLocal(t)
	s, c := l.store(t), l.client(t)
	l.worker(t, l.config(t, "http://127.0.0.1:1/v1"))
	pairs, held := trainingRows(t, s), l.importProfiles(t, profiles(t, l.dir, 90))
	started := 0
	run := func(name string, in, out any) string {
		t.Helper()
		started++
		id := fmt.Sprintf("%s-%d", name, started)
		r, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: workflows.QueueWorkflows}, name, in)
		if err == nil {
			err = r.Get(t.Context(), out)
		}
		if err != nil {
			t.Fatalf("%s of %v: %v", name, in, err)
		}
		return id
	}
	in := experimentOn(pairs, held, map[string]any{"name": "rpo"}, map[string]any{"name": "gamma-0", "gamma": 1e-9})
	var first schemas.ExperimentResult
	id := run(workflows.RunExperimentName, in, &first)
	t.Logf("%+v", first)
	for i, want := range []string{schemas.StatusDone, schemas.StatusDone} {
		a := first.Arms[i]
		if a.Status != want || want == schemas.StatusDone && (a.Trained <= 0 || a.CI95[0] >= a.CI95[1] || a.Tokens <= 0 || a.Hours <= 0 || a.RewardAccuracy == nil) {
			t.Errorf("arm %+v", a)
		}
	}
	if first.Arms[1].OverFirst == nil || first.Verdicts == 0 || first.Profiles != 10 {
		t.Errorf("experiment %+v", first)
	}
	nobody := experimentOn(pairs, held, map[string]any{"name": "rpo"}, map[string]any{"name": "lost", "init": "nobody@v1"})
	r, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.QueueWorkflows}, workflows.RunExperimentName, nobody)
	if err == nil {
		err = r.Get(t.Context(), nil)
	}
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a start that nobody promoted gives %v", err)
	}
	// The base model was sampled by one evaluation; the other one found its answers.
	measure := func(arm string) (e schemas.EvaluationResult) {
		if err := c.GetWorkflow(t.Context(), id+"/"+arm+"/evaluate", "").Get(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	a, b := measure("rpo"), measure("gamma-0")
	if a.Calls+b.Calls != 3*20 || a.Cached+b.Cached != 20 || a.Base != b.Base {
		t.Errorf("evaluations of 20 turns took %+v and %+v", a.Spending, b.Spending)
	}
	key, err := s.Key(first.Page)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := s.Get(t.Context(), key); err != nil || !strings.Contains(string(page), "gamma-0") {
		t.Errorf("page %s: %v", page, err)
	}
	if p := first.Promotion; p == nil || p.Decision != schemas.DecisionPromoted || p.Version != 1 {
		t.Errorf("promotion %+v", p)
	}
	v, err := store.ReadModel(t.Context(), s, "guide@latest")
	if err != nil || v.Training.Table != schemas.TablePair || len(v.Part("adapter")) == 0 || v.Evaluation.Verdicts != first.Verdicts {
		t.Errorf("version %+v, %v", v, err)
	}

	// Started again, nothing is done again, and the model is the same version.
	models := snapshot(t, s, "models/")
	var second schemas.ExperimentResult
	run(workflows.RunExperimentName, in, &second)
	if second.Table != first.Table || second.Promotion.Decision != schemas.DecisionUnchanged || second.Promotion.Version != 1 || fmt.Sprint(snapshot(t, s, "models/")) != fmt.Sprint(models) {
		t.Errorf("the second time %+v", second)
	}

	// The other arm: refused by a gate, promoted without it, and then taken back.
	other := 0
	if first.Best == "rpo" {
		other = 1
	}
	promotion := map[string]any{"name": "guide", "model": first.Arms[other].Model, "evaluation": measure(first.Arms[other].Arm).Manifest,
		"gates": map[string]any{"min_gain": 0.99, "min_ci_low": -1, "min_verdicts": 1, "min_profiles": 1, "max_malformed": 1}}
	var got schemas.PromoteResult
	run(workflows.PromoteModelName, promotion, &got)
	if got.Decision != schemas.DecisionRefused || got.Current != 1 || len(got.Reasons) != 1 || !strings.HasPrefix(got.Reasons[0], "min_gain: ") {
		t.Errorf("refused %+v", got)
	}
	promotion["gates"].(map[string]any)["min_gain"] = -1
	run(workflows.PromoteModelName, promotion, &got)
	if got.Decision != schemas.DecisionPromoted || got.Version != 2 {
		t.Errorf("promoted %+v", got)
	}
	run(workflows.PromoteModelName, map[string]any{"name": "guide", "restore": 1}, &got)
	back, err := store.ReadModel(t.Context(), s, "guide")
	if err != nil || got.Version != 3 || back.Restores != 1 || back.Hash != v.Hash {
		t.Errorf("restored %+v, %v", got, err)
	}
	out, errOut, status := l.rpo(t, "model", "list")
	var listed []listedModel
	if err := json.Unmarshal([]byte(out), &listed); err != nil || status != 0 || len(listed) != 1 || listed[0].Current != 3 || len(listed[0].Versions) != 3 {
		t.Errorf("listed %s, %s, %v", out, errOut, err)
	}
	dir := filepath.Join(l.dir, "export")
	if _, errOut, status := l.rpo(t, "model", "export", "guide@v1", "--to", dir, "--part", "adapter"); status != 0 {
		t.Errorf("export ended with %d: %s", status, errOut)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		t.Errorf("exported %v, %v", entries, err)
	}
}
