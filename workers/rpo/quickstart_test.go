//go:build endtoend

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/schemas"
)

// head copies the first n lines of each split of the bundled profiles.
func head(t *testing.T, root, dir string, train, eval int) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "examples/tiny/profiles.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{schemas.SplitTrain: train, schemas.SplitEval: eval}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		var p struct {
			Split string `json:"split"`
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		if left[p.Split]--; left[p.Split] >= 0 {
			out.WriteString(line)
		}
	}
	return writeFile(t, dir, "head.jsonl", out.String())
}

func TestQuickstartRunsTheWholeMethodAndASecondOneReusesIt(t *testing.T) {
	root, dir := repository(t), t.TempDir()
	l := &local{root: root, dir: dir}
	input := writeJSON(t, dir, "input.json", map[string]any{
		"dataset": "tiny", "max_tokens": 96, "max_steps": 6, "pairs_per_step": 16, "pairs_per_batch": 16,
		// Six steps at the usual rate can leave every answer as it was.
		"max_length": 512, "eval_responses": 1, "processes": 2, "learning_rate": 0.005,
	})
	args := []string{"quickstart", "--once", "--json", "--dir", filepath.Join(dir, "state"), "--profiles", head(t, root, dir, 40, 20),
		"--input", input, "--port", "0", "--ui-port", "0", "--s3-port", "0"}
	first := quickstartSummary(t, l, args)
	if first.Dialogues != 40 || first.Responses != 200 || first.Verdicts == 0 || first.Pairs == 0 || first.TrainSteps != 6 {
		t.Errorf("summary %+v", first)
	}
	if first.EvalVerdicts == 0 || first.BaseSatisfaction <= 0 || first.TrainedSatisfaction <= 0 || first.DifferenceCI95[0] >= first.DifferenceCI95[1] {
		t.Errorf("evaluation %+v", first)
	}
	page, err := os.ReadFile(first.Report)
	if err != nil || !strings.Contains(string(page), "<svg") {
		t.Errorf("report %s: %v", first.Report, err)
	}
	second := quickstartSummary(t, l, args)
	for _, stage := range second.Stages {
		if stage.Reused != stage.Shards {
			t.Errorf("stage %s made %d of %d shards again", stage.Stage, stage.Shards-stage.Reused, stage.Shards)
		}
	}
	if second.DatasetHash != first.DatasetHash || second.DatasetVersion != 1 || second.Model != first.Model {
		t.Errorf("the second quickstart ends elsewhere: %+v, first %+v", second, first)
	}
}

// quickstartSummary runs a quickstart and decodes the last line of its output,
// in which every field must be present.
func quickstartSummary(t *testing.T, l *local, args []string) schemas.Summary {
	t.Helper()
	out, errOut, status := l.rpo(t, args...)
	if status != 0 {
		log, _ := os.ReadFile(filepath.Join(l.dir, "state", "worker.log"))
		t.Fatalf("quickstart ended with %d: %s\n%s\nworker: %s", status, out, errOut, tail(log, 4000))
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(last), &fields); err != nil {
		t.Fatalf("last line %q: %v", last, err)
	}
	for _, name := range []string{"dialogues", "responses", "verdicts", "quarantined", "pairs", "pairs_by_g", "train_steps", "loss_first", "loss_last",
		"reward_accuracy", "base_satisfaction", "trained_satisfaction", "eval_verdicts", "difference", "difference_ci95", "dataset_hash", "dataset_version", "report"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the summary lacks %s", name)
		}
	}
	var s schemas.Summary
	if err := json.Unmarshal([]byte(last), &s); err != nil {
		t.Fatal(err)
	}
	return s
}
