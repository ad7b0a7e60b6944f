package pair_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpo/activities/pair"
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

// count reads verdict files and counts their pairs.
func count(t *testing.T, files ...string) pair.SysBenchCounts {
	t.Helper()
	var s pair.SysBench
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Read(f, pair.Run(path)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	counts, err := s.Count()
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestRealVerdictsGiveThePublishedNumberOfPairs(t *testing.T) {
	folder := sysBench(t)
	data, err := os.ReadFile(filepath.Join(folder, "pair_counts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(folder, "verdicts_*.gt_history.jsonl.gz"))
	slices.Reverse(files) // the order of the files does not matter
	data, err = json.Marshal(count(t, files...))
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: counted %v, want %v", err, got, want)
	}
}

// bruteForce counts the pairs of unpacked files without the stage's code: joined
// and compared by key.
func bruteForce(t *testing.T, names []string, files ...[]byte) pair.SysBenchCounts {
	out := pair.SysBenchCounts{Runs: slices.Sorted(slices.Values(names)), UnorderedPairsByG: map[string]int64{}}
	turns := map[string][]map[string]any{}
	for _, file := range files {
		for line := range strings.Lines(string(file)) {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprint(row["system_id"], " ", row["round"])
			verdicts := map[string]any{}
			for _, v := range row["verdicts"].([]any) {
				v := v.(map[string]any)
				verdicts[fmt.Sprint(v["id"])] = v["ok"]
			}
			turns[key] = append(turns[key], verdicts)
		}
	}
	for _, answers := range turns {
		out.Turns++
		criteria := map[string]bool{}
		for _, a := range answers {
			for id := range a {
				criteria[id] = true
			}
		}
		var unique []map[string]any
		for _, a := range answers {
			binary := len(a) == len(criteria)
			for _, ok := range a {
				binary = binary && ok != nil
			}
			if !binary {
				out.DroppedNonBinary++
				continue
			}
			out.Responses++
			if !slices.ContainsFunc(unique, func(u map[string]any) bool { return reflect.DeepEqual(u, a) }) {
				unique = append(unique, a)
			}
		}
		out.UniqueVerdictVectors += int64(len(unique))
		for i, a := range unique {
			for _, b := range unique[:i] {
				g := 0
				for id := range criteria {
					if a[id] != b[id] {
						g++
					}
				}
				out.UnorderedPairsByG[fmt.Sprint(g)]++
				out.TrainingPairs += 2
				if g > 2 {
					out.TrainingPairsGOverTwo += 2
				}
			}
		}
	}
	return out
}

func unpack(t *testing.T, path string) []byte {
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
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSubsetsOfTheRealRunsAreCountedAsByBruteForce(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(sysBench(t), "verdicts_*.jsonl.gz"))
	contents := make([][]byte, len(files))
	for i, path := range files {
		contents[i] = unpack(t, path)
	}
	for subset := 1; subset < 1<<len(files); subset++ {
		var paths, names []string
		var data [][]byte
		for i, path := range files {
			if subset>>i&1 == 1 {
				paths, names, data = append(paths, path), append(names, pair.Run(path)), append(data, contents[i])
			}
		}
		if len(paths) > 2 && len(paths) < len(files) {
			continue // the small ones and the whole say it all
		}
		if got, want := count(t, paths...), bruteForce(t, names, data...); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: counted %+v, want %+v", names, got, want)
		}
	}
}

func TestVerdictsAreJoinedByIDAndNeverByPosition(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var names []string
		var shuffled, sorted [][]byte
		runs := 1 + random.IntN(5)
		for run := range runs {
			var lines []string
			for session := range 4 {
				for round := range 3 {
					if random.IntN(5) == 0 {
						continue // a round that this run lacks
					}
					var verdicts []string
					for id := range 1 + (session+round)%5 {
						ok := []string{"true", "true", "false", "null"}[random.IntN(3+random.IntN(2))]
						verdicts = append(verdicts, fmt.Sprintf(`{"id": %d, "raw": "x", "ok": %s}`, id+1, ok))
					}
					random.Shuffle(len(verdicts), func(i, j int) { verdicts[i], verdicts[j] = verdicts[j], verdicts[i] })
					lines = append(lines, fmt.Sprintf(`{"system_id": %d, "round": %d, "answer": "run %d", "verdicts": [%s]}`, session, round, run, strings.Join(verdicts, ", ")))
				}
			}
			if len(lines) == 0 {
				continue
			}
			sorted = append(sorted, []byte(strings.Join(lines, "\n")))
			random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			shuffled = append(shuffled, []byte("\ufeff"+strings.Join(lines, "\r\n\n")))
			names = append(names, fmt.Sprint("run", run))
		}
		var s pair.SysBench
		for i := range shuffled {
			if err := s.Read(bytes.NewReader(shuffled[i]), names[i]); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Count()
		if want := bruteForce(t, names, sorted...); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: counted %+v, want %+v", err, got, want)
		}
	}
}

func TestABadLineOfVerdictsIsNamed(t *testing.T) {
	const good = `{"system_id": 1, "round": 1, "verdicts": [{"id": 1, "ok": true}]}` + "\n"
	var cut bytes.Buffer
	z := gzip.NewWriter(&cut)
	io.WriteString(z, strings.Repeat(good, 100))
	z.Close()
	for _, c := range []struct{ file, says string }{
		{good + "{", "line 2: "},
		{good + good, "line 2: round 1 of session 1 stands in line 1 already"},
		{`{"round": 1, "verdicts": [{"id": 1}]}`, "line 1: system_id is missing"},
		{`{"system_id": 1, "verdicts": [{"id": 1}]}`, "line 1: round is missing"},
		{"\n" + `{"system_id": 1, "round": 1}`, "line 2: verdicts are missing"},
		{`{"system_id": 1, "round": 1, "verdicts": [{"ok": true}]}`, "line 1: a verdict has no id"},
		{`{"system_id": 1, "round": 1, "verdicts": [{"id": 1}, {"id": 1}]}`, "line 1: criterion 1 is judged twice"},
		{`{"system_id": 1, "round": 1, "verdicts": [{"id": 1, "ok": "yes"}]}`, "line 1: "},
		{"\n\n", "it holds no verdicts"},
		{"", "it holds no verdicts"},
		{cut.String()[:cut.Len()/2], "line "},
		{"\x1f\x8bno gzip", "unpack: "},
	} {
		var s pair.SysBench
		err := s.Read(strings.NewReader(c.file), "run")
		if err == nil || !strings.Contains(err.Error(), c.says) || schemas.Retryable(err) {
			t.Errorf("%q: error %v, want %q", c.file, err, c.says)
		}
	}
}

func TestARunIsNamedByItsFile(t *testing.T) {
	for path, want := range map[string]string{
		"a/verdicts_gpt35.gt_history.jsonl.gz": "gpt35.gt_history",
		"verdicts_gpt4o.jsonl":                 "gpt4o",
		"other.json.gz":                        "other",
		"verdicts_x":                           "x",
	} {
		if got := pair.Run(path); got != want {
			t.Errorf("%s: run %q, want %q", path, got, want)
		}
	}
}
