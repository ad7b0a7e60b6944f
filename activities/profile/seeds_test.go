package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

func TestSeedsAreReadWithKindLanguageAndSplit(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "descriptions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if format, err := Sniff(data); err != nil || format != FormatSeeds {
		t.Fatalf("format %q, %v", format, err)
	}
	seeds, err := ReadSeeds(strings.NewReader(string(data)), "descriptions", Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range seeds {
		got += s.SourceID + " " + s.Kind + " " + s.Language + "\n"
		if s.Source != "descriptions" || s.Split != schemas.SplitTrain || s.SeedID != schemas.ID("seed", s.Source, s.SourceID, s.Kind, s.Text) {
			t.Errorf("seed %+v", s)
		}
	}
	if want := "tea-shop profile en\ntrail-guide profile en\nnight-desk system en\nchuancai profile zh\nshici profile zh\nnew-gardener persona en\n"; got != want {
		t.Errorf("seeds\n%s", got)
	}
	if len(seeds[1].Queries) != 2 || !strings.Contains(seeds[2].Text, ".\nGreet") {
		t.Errorf("seeds %+v", seeds[1:3])
	}
}

func TestALineThatIsNoSeedIsNamed(t *testing.T) {
	for lines, want := range map[string]string{
		`{"id": "a"}`: `line 1: id "a": give either description or system`,
		`{"id": "a", "description": "d", "system": "s"}`:                                                               "give either description or system",
		`{"description": "d"}`:                                                                                         "field id is missing",
		`{"id": "a", "description": " "}`:                                                                              "field description is blank",
		`{"id": "a", "description": "d", "kind": "system"}`:                                                            "field kind must be profile or persona",
		`{"id": "a", "system": "s", "kind": "profile"}`:                                                                "field kind must be system",
		`{"id": "a", "description": "d", "language": "de"}`:                                                            "field language must be en or zh",
		`{"id": "a", "description": "d", "split": "test"}`:                                                             "field split must be train or eval",
		`{"id": "a", "description": "d", "queries": "q"}`:                                                              "field queries must be a list of texts",
		`{"id": "a", "description": "d", "queries": ["q", " "]}`:                                                       "field queries[1] is blank",
		`{"id": "a", "description": "d", "kind": "persona", "queries": []}`:                                            "a persona has none",
		`{"id": "a", "description": "d", "note": ""}`:                                                                  "unknown field note",
		`{"id": "a", "description": "` + strings.Repeat("茶", 8001) + `"}`:                                              "has 8001 characters",
		"{\"id\": \"a\", \"description\": \"d\"}\n\n{\"id\": \"a\", \"system\": \"s\"}":                                `line 3: id "a" is that of line 1`,
		"{\"id\": \"a\", \"system\": \"s\"}\n{\"id\": \"b\", \"system\": \"s\", \"constraints\": [{\"text\": \"s\"}]}": "line 2: field constraints: a file of seeds has none",
		"": "the file is empty",
	} {
		_, err := ReadSeeds(strings.NewReader(lines), "test", Options{})
		if err == nil || !strings.Contains(err.Error(), want) || schemas.TypeOf(err) != schemas.InvalidInput {
			t.Errorf("%.80q: %v, want %q", lines, err, want)
		}
	}
}

func TestSeedsLieInShardsOfOneSplit(t *testing.T) {
	var file strings.Builder
	for i := range 200 {
		file.WriteString(`{"id": "` + strings.Repeat("x", i+1) + `", "description": "d"}` + "\n")
	}
	seeds, err := ReadSeeds(strings.NewReader(file.String()), "test", Options{EvalFraction: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	s := store.NewMemory("b")
	uri, m, err := WriteSeeds(t.Context(), s, seeds, 30)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, _ := WriteSeeds(t.Context(), s, seeds, 30); again != uri {
		t.Error("the same seeds make another manifest")
	}
	n := 0
	for i, shard := range m.Shards {
		rows, err := store.GetRows[schemas.Seed](t.Context(), s, shard.Objects[schemas.TableSeed])
		if err != nil || shard.Shard != i || len(rows) > 30 {
			t.Fatalf("shard %+v, %v", shard, err)
		}
		n += len(rows)
		for _, row := range rows {
			if row.Split != shard.Split {
				t.Errorf("a seed of split %s in a shard of %s", row.Split, shard.Split)
			}
		}
	}
	if eval := m.Counts["eval_seeds"]; n != 200 || !m.Books.Closed() || eval < 30 || eval > 70 {
		t.Errorf("manifest %+v", m)
	}
}

func FuzzReadSeeds(f *testing.F) {
	f.Add(`{"id": "a", "description": "d", "kind": "persona"}`)
	f.Add(`{"id": "a", "system": "s", "queries": [null]}` + "\n[1]\n\xff")
	f.Fuzz(func(t *testing.T, file string) {
		seeds, err := ReadSeeds(strings.NewReader(file), "fuzz", Options{EvalFraction: 0.5})
		if err != nil && schemas.TypeOf(err) != schemas.InvalidInput || err == nil && len(seeds) == 0 {
			t.Fatalf("%d seeds, %v", len(seeds), err)
		}
	})
}
