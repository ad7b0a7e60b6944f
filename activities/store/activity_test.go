package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// importShards puts a manifest whose shards have these numbers, one turn each.
func importShards(t *testing.T, s store.Store, split string, numbers []int, names ...string) string {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("import"), Stage: "import"}
	for i, number := range numbers {
		o, err := store.PutRows(t.Context(), s, schemas.TableTurn, []schemas.Turn{steptest.Turn(names[i])})
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: number, Split: split, Objects: map[string]schemas.Object{schemas.TableTurn: o}})
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestAJobIsItsStageInputConfigurationAndGeneration(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{0, 1}, "a", "b")
	base := store.OpenStageInput{Stage: "sample", Manifest: manifest, Split: "train", Config: map[string]any{"n": 5, "top_p": 0.5}}
	open := func(in store.OpenStageInput) store.OpenStageResult {
		t.Helper()
		out, err := a.OpenStage(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := open(base)
	if want.Shards != 2 {
		t.Errorf("%d shards", want.Shards)
	}
	type config struct {
		TopP float64 `json:"top_p"`
		N    int     `json:"n"`
	}
	// An import that lies elsewhere but has the same content.
	other := base
	m, err := store.GetManifest(t.Context(), s, manifest)
	if err != nil {
		t.Fatal(err)
	}
	m.Job = schemas.ID("another")
	if other.Manifest, err = store.PutManifest(t.Context(), s, m); err != nil || other.Manifest == manifest {
		t.Fatal(err)
	}
	// One whose earlier stage set a row aside, for a reason that names a port.
	aside := base
	q, err := store.PutRows(t.Context(), s, schemas.TableQuarantine, []schemas.Quarantined{{Reason: "127.0.0.1:4711 refuses"}})
	if err != nil {
		t.Fatal(err)
	}
	m.Shards[1].Objects[schemas.TableQuarantine] = q
	if aside.Manifest, err = store.PutManifest(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	ordered := base
	ordered.Config = config{0.5, 5}
	for name, in := range map[string]store.OpenStageInput{"again": base, "another manifest of the same content": other, "a quarantine": aside, "keys in another order": ordered} {
		if got := open(in); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	seen := map[string]string{want.Job: "the first"}
	for name, change := range map[string]func(*store.OpenStageInput){
		"generation":       func(in *store.OpenStageInput) { in.Generation = 1 },
		"config":           func(in *store.OpenStageInput) { in.Config = map[string]any{"n": 6, "top_p": 0.5} },
		"stage":            func(in *store.OpenStageInput) { in.Stage = "judge" },
		"content":          func(in *store.OpenStageInput) { in.Manifest = importShards(t, s, "train", []int{0, 1}, "a", "c") },
		"fewer shards":     func(in *store.OpenStageInput) { in.Manifest = importShards(t, s, "train", []int{0}, "a") },
		"order of content": func(in *store.OpenStageInput) { in.Manifest = importShards(t, s, "train", []int{0, 1}, "b", "a") },
		"shard numbers":    func(in *store.OpenStageInput) { in.Manifest = importShards(t, s, "train", []int{1, 2}, "a", "b") },
	} {
		in := base
		change(&in)
		job := open(in).Job
		if before, ok := seen[job]; ok {
			t.Errorf("%s has the job of %s", name, before)
		}
		seen[job] = name
	}
	base.Split = "eval"
	if _, err := a.OpenStage(t.Context(), base); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"eval"`) {
		t.Errorf("an absent split: %v", err)
	}
}

func TestSeedsThatDifferInTheLastBitAreTwoJobsOverTheWireToo(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{0}, "a")
	jobs := map[string]bool{}
	for _, seed := range []int64{1 << 60, 1<<60 + 1} {
		data, err := json.Marshal(store.OpenStageInput{Stage: "sample", Manifest: manifest, Split: "train", Config: schemas.SampleOptions{Seed: seed}})
		if err != nil {
			t.Fatal(err)
		}
		var in store.OpenStageInput
		if err := json.Unmarshal(data, &in); err != nil {
			t.Fatal(err)
		}
		out, err := a.OpenStage(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		jobs[out.Job] = true
	}
	if len(jobs) != 2 {
		t.Errorf("%d jobs", len(jobs))
	}
}

// commit commits a shard with as many rows as its number plus one.
func commit(t *testing.T, s store.Store, shard store.Shard) {
	t.Helper()
	_, _, err := store.RunShard(t.Context(), s, shard, func(_ context.Context, w *store.Work) error {
		n := int64(shard.Number + 1)
		w.Record.Books = schemas.Books{In: n, OK: n}
		w.Record.Calls = n
		w.Count("rows", n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPagesOfShardsListEachOpenOneOnce(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	var numbers []int
	var names []string
	for i := range 11 {
		numbers, names = append(numbers, 3*i+1), append(names, fmt.Sprint(i))
	}
	manifest := importShards(t, s, "train", numbers, names...)
	shard := steptest.Open(t, s, "copy", manifest, nil, 0)
	var open []int
	for i, n := range numbers {
		if i%3 == 0 {
			shard.Number = n
			commit(t, s, shard)
		} else {
			open = append(open, n)
		}
	}
	for _, limit := range []int{1, 2, 5, 11, 500} {
		var todo []int
		done := 0
		for offset := 0; offset < len(numbers)+limit; offset += limit {
			page, err := a.ListShards(t.Context(), store.ListShardsInput{
				Job: shard.Job, Stage: "copy", Manifest: manifest, Split: "train", Offset: offset, Limit: limit,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Todo)+page.Done > limit {
				t.Errorf("limit %d: a page of %+v", limit, page)
			}
			todo, done = append(todo, page.Todo...), done+page.Done
		}
		if !slices.Equal(todo, open) || done != len(numbers)-len(open) {
			t.Errorf("limit %d: todo %v, want %v; done %d", limit, todo, open, done)
		}
	}
}

func TestAStageClosesWithAllItsShardsOrNotAtAll(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{0, 1, 2}, "a", "b", "c")
	shard := steptest.Open(t, s, "copy", manifest, nil, 0)
	commit(t, s, shard)
	shard.Number = 2
	commit(t, s, shard)
	in := store.CloseStageInput{Job: shard.Job, Stage: "copy", Manifest: manifest, Split: "train"}
	if _, err := a.CloseStage(t.Context(), in); schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), "shard 1") {
		t.Fatalf("a lost shard: %v", err)
	}
	// Shard 2 was given up, but its commit had happened.
	failures := []schemas.ShardFailure{{Shard: 1, ErrorType: "Overloaded", Message: "down"}, {Shard: 2, ErrorType: "Overloaded", Message: "down"}}
	in.Failed, in.List = &store.FailureLog{Job: shard.Job, Stage: "copy", Run: "run", Batches: 1}, 20
	if err := a.RecordFailures(t.Context(), store.RecordFailuresInput{FailureLog: *in.Failed, Failures: failures}); err != nil {
		t.Fatal(err)
	}
	out, err := a.CloseStage(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if out.Shards != 2 || out.Books != (schemas.Books{In: 4, OK: 4}) || out.Calls != 4 || out.Counts["rows"] != 4 || !slices.Equal(out.Failed, failures[:1]) {
		t.Errorf("closed %+v", out)
	}
	m, err := store.GetManifest(t.Context(), s, out.Manifest)
	if err != nil || len(m.Shards) != 2 || m.Shards[1].Shard != 2 || m.Books != out.Books {
		t.Errorf("manifest %+v, %v", m, err)
	}
	again, err := a.CloseStage(t.Context(), in)
	if err != nil || again.Manifest != out.Manifest {
		t.Errorf("closing twice: %+v, %v", again, err)
	}
}
