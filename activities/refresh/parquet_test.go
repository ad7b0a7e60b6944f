package refresh_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpo/activities/refresh"
	"rpo/activities/store"
	"rpo/schemas"
)

// TestMain lets the test binary be the process that reads Parquet files.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == refresh.ReadParquetCommand {
		if err := refresh.ReadParquet(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// parquetFiles are the files that testdata/make_parquet.py wrote with pyarrow.
func parquetFiles(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/parquet/" + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal(pattern, err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		if out[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestParquetOfAnotherWriterIsASourceWhateverItsLayout(t *testing.T) {
	for name, data := range parquetFiles(t, "good-*.parquet") {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory("rpo")
			put(t, s, "incoming/town.parquet", string(data))
			first := find(t, s, refresh.FindInput{})
			if first.New != 12 || first.Refused != 0 {
				t.Fatalf("found %+v", first)
			}
			m, err := store.GetManifest(t.Context(), s, first.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			for _, shard := range m.Shards {
				profiles, err := store.GetRows[schemas.Profile](t.Context(), s, shard.Objects[schemas.TableProfile])
				if err != nil {
					t.Fatal(err)
				}
				turns, err := store.GetRows[schemas.Turn](t.Context(), s, shard.Objects[schemas.TableTurn])
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range profiles {
					if p.Source != "town" || len(p.Constraints) != 2 || p.Constraints[0].Text != `Mention "boat".` {
						t.Errorf("profile %+v", p)
					}
				}
				if len(turns) != 2*len(profiles) || !slices.ContainsFunc(turns, func(t schemas.Turn) bool { return t.Query == "And 天气?" }) {
					t.Errorf("%d turns of %d profiles", len(turns), len(profiles))
				}
			}
			mark, err := store.GetWatermark(t.Context(), s, first.Watermark)
			if err != nil || len(mark.Profiles) != 12 || len(mark.Objects) != 1 || mark.Objects[0].Key != "incoming/town.parquet" {
				t.Errorf("watermark %+v, %v", mark, err)
			}
			publish12(t, s, first)
			if again := find(t, s, refresh.FindInput{}); again.New != 0 || again.Unchanged != 1 {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// publish12 publishes a version as a refresh would.
func publish12(t *testing.T, s store.Store, found schemas.FoundProfiles) {
	t.Helper()
	if _, err := store.PublishVersion(t.Context(), s, schemas.DatasetVersion{Dataset: "d", Manifest: found.Manifest, Watermark: found.Watermark}); err != nil {
		t.Fatal(err)
	}
}

func TestTheSameProfilesAreTheSameRowsInParquetAndInJSON(t *testing.T) {
	data := parquetFiles(t, "good-zstd.parquet")["good-zstd.parquet"]
	var ids []string
	for _, key := range []string{"incoming/town.parquet", "incoming/town.jsonl"} {
		s := store.NewMemory("rpo")
		text := string(data)
		if strings.HasSuffix(key, ".jsonl") {
			var lines bytes.Buffer
			for i := range 12 {
				fmt.Fprintf(&lines, `{"id": "p%d", "split": "train", "system": "You are guide %d. Mention \"boat\". Answer in one sentence.", "constraints": [{"text": "Mention \"boat\".", "family": "content"}, {"text": "Answer in one sentence.", "family": "format", "trigger": "when asked for 天气"}], "queries": ["What is at place %d?", "And 天气?"]}`+"\n", i, i, i)
			}
			text = lines.String()
		}
		put(t, s, key, text)
		ids = append(ids, find(t, s, refresh.FindInput{}).Manifest)
	}
	if ids[0] != ids[1] {
		t.Errorf("manifests %v", ids)
	}
}

func TestAParquetFileThatCannotBeUsedIsRefusedByColumnOrRow(t *testing.T) {
	want := map[string]string{
		"bad-number.parquet":  `column "id" is int64, want text`,
		"bad-missing.parquet": `column "system" is missing; the columns are "id", "split", "constraints", "queries"`,
		"bad-field.parquet":   `column "constraints[]" has an unknown field "weight"`,
		"bad-depth.parquet":   `column "queries[]" is list`,
		"bad-null.parquet":    `row 3: field id is missing`,
		"bad-text.parquet":    `row 1: column "id": the text is not UTF-8`,
		"bad-span.parquet":    `row 1: id "p0"`,
		"bad-lz4.parquet":     `read Parquet`,
		"bad-ours.parquet":    `column "id" is missing`,
		"bad-empty.parquet":   `read Parquet`,
	}
	files := parquetFiles(t, "bad-*.parquet")
	ours, err := schemas.Encode([]schemas.Profile{{ProfileID: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	files["bad-ours.parquet"], files["bad-empty.parquet"] = ours, nil
	for name, data := range files {
		s := store.NewMemory("rpo")
		put(t, s, "incoming/"+name, string(data))
		put(t, s, "incoming/good.jsonl", lines(t, "a"))
		got := find(t, s, refresh.FindInput{})
		if got.New != 1 || got.Refused != 1 || got.RefusedFirst[0].Key != "incoming/"+name || !strings.Contains(got.RefusedFirst[0].Reason, want[name]) || want[name] == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A damaged file is refused or read, and the process that asked lives.
func TestADamagedParquetFileEndsNoWorker(t *testing.T) {
	whole := parquetFiles(t, "good-snappy.parquet")["good-snappy.parquet"]
	r := rand.New(rand.NewPCG(7, 1))
	refused := 0
	s := store.NewMemory("rpo")
	for range 60 {
		data := bytes.Clone(whole)
		for range 1 + r.IntN(3) {
			data[r.IntN(len(data))] ^= byte(1 + r.IntN(255))
		}
		put(t, s, "incoming/x.parquet", string(data))
		got := find(t, s, refresh.FindInput{})
		refused += got.Refused
		if got.Refused == 1 && got.RefusedFirst[0].Reason == "" {
			t.Errorf("refused without a reason: %+v", got)
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
	t.Logf("%d of 60 were refused", refused)
}
