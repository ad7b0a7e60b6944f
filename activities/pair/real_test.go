package pair_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"rpo/activities/pair"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// sysBench is the folder with SysBench's published verdicts.
func sysBench(t *testing.T) string {
	root := os.Getenv("RPO_TEST_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	folder := filepath.Join(root, "sysbench")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no SysBench verdicts at %s: set RPO_TEST_DATA to run this test", folder)
	}
	return folder
}

// readLines decodes a gzip of JSON lines.
func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row T
		// One session has Python's NaN in a column that is not read here.
		line := bytes.ReplaceAll(lines.Bytes(), []byte(`"scene": NaN`), []byte(`"scene": null`))
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

type judged struct {
	SystemID int    `json:"system_id"`
	Round    int    `json:"round"`
	Answer   string `json:"answer"`
	Verdicts []struct {
		ID int   `json:"id"`
		OK *bool `json:"ok"` // null where the judge said neither yes nor no
	} `json:"verdicts"`
}

func TestRealVerdictsGiveThePublishedNumberOfPairs(t *testing.T) {
	folder := sysBench(t)
	var want struct {
		Runs       []string       `json:"runs"`
		Responses  int            `json:"responses"`
		Dropped    int            `json:"dropped_non_binary"`
		Unique     int            `json:"unique_verdict_vectors"`
		Unordered  map[string]int `json:"unordered_pairs_by_g"`
		Pairs      int            `json:"training_pairs"`
		PairsOver2 int            `json:"training_pairs_g_over_2"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "pair_counts.json"))
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	turns := map[string]*pair.Turn{}
	for _, session := range readLines[struct {
		SystemID int    `json:"system_id"`
		System   string `json:"system_prompt"`
		Turns    []struct {
			Round    int    `json:"round"`
			User     string `json:"user"`
			Criteria []struct {
				ID      int    `json:"id"`
				Content string `json:"content"`
			} `json:"criteria"`
			GroundTruth string `json:"ground_truth"`
		} `json:"turns"`
	}](t, filepath.Join(folder, "sessions.jsonl.gz")) {
		var history []schemas.Message
		for _, round := range session.Turns {
			name := fmt.Sprintf("%d/%d", session.SystemID, round.Round)
			var constraints []steptest.Constraint
			for _, c := range round.Criteria {
				constraints = append(constraints, steptest.Constraint{Text: c.Content})
			}
			turn := &pair.Turn{Turn: steptest.Turn(name, constraints...), Verdicts: map[string]map[string]schemas.Verdict{}, Opposites: map[string]schemas.Opposite{}}
			turn.Query, turn.History = round.User, slices.Clone(history)
			for _, c := range turn.Constraints {
				turn.Opposites[c.ConstraintID] = schemas.Opposite{ConstraintID: c.ConstraintID, Original: c.Text, Text: "不" + c.Text}
			}
			turns[name] = turn
			history = append(history, schemas.Message{Role: "user", Content: round.User}, schemas.Message{Role: "assistant", Content: round.GroundTruth})
		}
	}
	responses, dropped := 0, 0
	for _, run := range want.Runs {
		for _, row := range readLines[judged](t, filepath.Join(folder, "verdicts_"+run+".jsonl.gz")) {
			name := fmt.Sprintf("%d/%d", row.SystemID, row.Round)
			turn := turns[name]
			if turn == nil || len(row.Verdicts) != len(turn.Constraints) {
				t.Fatalf("%s %s: the verdicts do not fit the session", run, name)
			}
			r := schemas.Response{ResponseID: schemas.ID("response", run, name), TurnID: turn.TurnID, Text: row.Answer}
			verdicts := map[string]schemas.Verdict{}
			for i, v := range row.Verdicts {
				if v.OK == nil {
					continue
				}
				outcome := schemas.NotFollowed
				if *v.OK {
					outcome = schemas.Followed
				}
				id := turn.Constraints[i].ConstraintID
				verdicts[id] = schemas.Verdict{ConstraintID: id, ResponseID: r.ResponseID, Outcome: outcome}
			}
			if len(verdicts) < len(row.Verdicts) {
				dropped++ // incomplete verdicts: as if it had been set aside
				continue
			}
			responses++
			turn.Responses = append(turn.Responses, r)
			turn.Verdicts[r.ResponseID] = verdicts
		}
	}
	if responses != want.Responses || dropped != want.Dropped {
		t.Fatalf("%d responses, %d dropped, want %d and %d", responses, dropped, want.Responses, want.Dropped)
	}
	unique, all, over2 := 0, 0, 0
	byG := map[string]int{}
	for _, turn := range turns {
		vectors := map[string]bool{}
		for _, r := range turn.Responses {
			vector := ""
			for _, c := range turn.Constraints {
				vector += turn.Verdicts[r.ResponseID][c.ConstraintID].Outcome + " "
			}
			vectors[vector] = true
		}
		unique += len(vectors)
		pairs, drops, err := pair.Build(*turn, 1)
		if err != nil || drops != (pair.Drops{}) {
			t.Fatalf("drops %+v, %v", drops, err)
		}
		over, _, err := pair.Build(*turn, 3)
		if err != nil {
			t.Fatal(err)
		}
		all, over2 = all+len(pairs), over2+len(over)
		for _, p := range pairs {
			byG[strconv.Itoa(int(p.Margin))]++
		}
	}
	for g := range byG {
		byG[g] /= 2
	}
	if unique != want.Unique || all != want.Pairs || over2 != want.PairsOver2 || !maps.Equal(byG, want.Unordered) {
		t.Errorf("%d unique vectors, %d pairs, %d with g > 2, by g %v, want %+v", unique, all, over2, byG, want)
	}
}
