package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// printed returns what do writes to standard output.
func printed(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = before }()
	do()
	w.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPairsOfPublishedVerdictsAreCountedByCommand(t *testing.T) {
	dir := t.TempDir()
	files := []string{"--sysbench"}
	for name, ok := range map[string]string{"verdicts_b.jsonl": "true", "verdicts_a.gt_history.json": "false"} {
		path := filepath.Join(dir, name)
		line := `{"system_id": 1, "round": 2, "answer": "x", "verdicts": [{"id": 7, "ok": ` + ok + `}]}`
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	var got map[string]any
	out := printed(t, func() {
		if status := run(context.Background(), append([]string{"pairs"}, files...)); status != 0 {
			t.Errorf("status %d", status)
		}
	})
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	want := `{"dropped_non_binary":0,"responses":2,"runs":["a.gt_history","b"],"training_pairs":2,"training_pairs_g_over_2":0,"turns":1,"unique_verdict_vectors":2,"unordered_pairs_by_g":{"1":1}}`
	if data, err := json.Marshal(got); err != nil || string(data) != want {
		t.Errorf("printed %s, want %s", data, want)
	}
}

func TestPairsNameTheFileAndTheLineThatIsWrong(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "verdicts_bad.jsonl")
	if err := os.WriteFile(bad, []byte("\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := pairsCommand(context.Background(), []string{"--sysbench", bad})
	if err == nil || !strings.Contains(err.Error(), bad+": line 2: ") {
		t.Errorf("error %v", err)
	}
	for _, args := range [][]string{{}, {bad}, {"--sysbench"}} {
		if status := run(context.Background(), append([]string{"pairs"}, args...)); status != 2 {
			t.Errorf("%v: status %d", args, status)
		}
	}
}
