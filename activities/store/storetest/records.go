package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

func references(ids ...string) []schemas.Reference {
	var out []schemas.Reference
	for i, id := range ids {
		out = append(out, schemas.Reference{PairID: id, Role: "chosen", LogProb: new(-float64(i)), Tokens: int64(i)})
	}
	return out
}

func rows(t *testing.T, s store.Store) {
	ctx := t.Context()
	want := references("a", "b", "c")
	object, err := store.PutRows(ctx, s, schemas.TableReference, want)
	must(t, err)
	if object.Key != "data/reference/"+object.SHA256+".parquet" || object.Rows != 3 {
		t.Fatalf("got %+v", object)
	}
	again, err := store.PutRows(ctx, s, schemas.TableReference, want)
	must(t, err)
	if again != object {
		t.Fatalf("equal rows made %+v and %+v", object, again)
	}
	got, err := store.GetRows[schemas.Reference](ctx, s, object)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	empty, err := store.PutRows[schemas.Reference](ctx, s, schemas.TableReference, nil)
	must(t, err)
	if got, err := store.GetRows[schemas.Reference](ctx, s, empty); err != nil || len(got) != 0 {
		t.Fatalf("no rows came back as %v %v", got, err)
	}

	wrong := object
	wrong.Rows = 4
	_, err = store.GetRows[schemas.Reference](ctx, s, wrong)
	wantType(t, err, schemas.CorruptData, object.Key, "3 rows")
	_, err = store.GetRows[schemas.Verdict](ctx, s, object)
	wantType(t, err, schemas.CorruptData, object.Key, `column "verdict_id" is missing`)
	_, err = store.PutRows(ctx, s, "../runs", want)
	wantType(t, err, schemas.InvalidInput)

	data, err := s.Get(ctx, object.Key)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, s.Put(ctx, object.Key, data))
	_, err = store.GetRows[schemas.Reference](ctx, s, object)
	wantType(t, err, schemas.CorruptData, object.Key, "sha256")
	must(t, s.Put(ctx, object.Key, data[:len(data)/2]))
	_, err = store.GetRows[schemas.Reference](ctx, s, object)
	wantType(t, err, schemas.CorruptData, object.Key, "bytes")
}

// record returns a commit record whose output lies in the store.
func record(t *testing.T, s store.Store, shard int, id string) schemas.CommitRecord {
	t.Helper()
	object, err := store.PutRows(t.Context(), s, schemas.TableReference, references(id))
	must(t, err)
	return schemas.CommitRecord{
		Job: "job-1", Stage: "reference", Shard: shard, Split: schemas.SplitTrain,
		Inputs:   []string{"b", "a"},
		Outputs:  map[string]schemas.Object{schemas.TableReference: object},
		Books:    schemas.Books{In: 3, OK: 1, Quarantined: 1, Skipped: 1},
		Counts:   map[string]int64{"z": 1, "a": 2},
		Spending: schemas.Spending{Calls: 7}, ConfigHash: "c", CodeVersion: "v",
	}
}

func commit(t *testing.T, s store.Store) {
	ctx := t.Context()
	if _, ok, err := store.Committed(ctx, s, "job-1", "reference", 42); err != nil || ok {
		t.Fatalf("committed says %v %v", ok, err)
	}
	first := record(t, s, 42, "first")
	got, won, err := store.Commit(ctx, s, first)
	must(t, err)
	first.Inputs = []string{"a", "b"}
	if !won || !reflect.DeepEqual(got, first) {
		t.Fatalf("first attempt: won %v, %+v", won, got)
	}
	if ok, err := s.Exists(ctx, "runs/job-1/reference/shard-00042.json"); err != nil || !ok {
		t.Fatalf("no record under the documented key: %v", err)
	}
	got, won, err = store.Commit(ctx, s, record(t, s, 42, "second"))
	must(t, err)
	if won || !reflect.DeepEqual(got, first) {
		t.Fatalf("second attempt: won %v, %+v", won, got)
	}
	got, won, err = store.Commit(ctx, s, first)
	must(t, err)
	if !won || !reflect.DeepEqual(got, first) {
		t.Fatalf("retry of the first attempt: won %v, %+v", won, got)
	}
	got, ok, err := store.Committed(ctx, s, "job-1", "reference", 42)
	must(t, err)
	if !ok || !reflect.DeepEqual(got, first) {
		t.Fatalf("committed says %v, %+v", ok, got)
	}
}

func commitRefused(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		change func(r *schemas.CommitRecord)
		want   schemas.ErrorType
		holds  string
	}{
		{"books that do not close", func(r *schemas.CommitRecord) { r.Books.In++ }, schemas.Internal, "books do not close"},
		{"an absent output", func(r *schemas.CommitRecord) {
			r.Outputs = map[string]schemas.Object{"pair": {Key: "data/pair/none.parquet"}}
		}, schemas.NotFound, "data/pair/none.parquet"},
		{"an output of another size", func(r *schemas.CommitRecord) {
			o := r.Outputs["reference"]
			o.Bytes++
			r.Outputs["reference"] = o
		}, schemas.CorruptData, "table reference"},
		{"an output of another hash", func(r *schemas.CommitRecord) {
			o := r.Outputs["reference"]
			o.SHA256 = "00"
			r.Outputs["reference"] = o
		}, schemas.CorruptData, "sha256"},
		{"a job with a slash", func(r *schemas.CommitRecord) { r.Job = "a/b" }, schemas.InvalidInput, "a/b"},
		{"no stage", func(r *schemas.CommitRecord) { r.Stage = "" }, schemas.InvalidInput, "stage"},
		{"a negative shard", func(r *schemas.CommitRecord) { r.Shard = -1 }, schemas.InvalidInput, "-1"},
	} {
		r := record(t, s, 0, "id")
		c.change(&r)
		_, won, err := store.Commit(ctx, s, r)
		if won {
			t.Fatalf("%s: committed", c.name)
		}
		wantType(t, err, c.want, c.holds)
	}
	if keys, err := s.List(ctx, "runs/", "", 0); err != nil || len(keys) != 0 {
		t.Fatalf("refused records left %v %v", keys, err)
	}
}

func commitRace(t *testing.T, s store.Store) {
	var attempts, winners [16]schemas.CommitRecord
	var won [16]bool
	for i := range attempts {
		attempts[i] = record(t, s, 1, fmt.Sprint("attempt ", i))
	}
	var group sync.WaitGroup
	for i := range attempts {
		group.Go(func() {
			var err error
			if winners[i], won[i], err = store.Commit(t.Context(), s, attempts[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	n := 0
	for i := range won {
		if won[i] {
			n++
		}
		if !reflect.DeepEqual(winners[i], winners[0]) {
			t.Fatalf("attempts 0 and %d were told different winners", i)
		}
	}
	if n != 1 {
		t.Fatalf("%d attempts won", n)
	}
}

func committedShards(t *testing.T, s store.Store) {
	ctx := t.Context()
	if got, err := store.CommittedShards(ctx, s, "job-1", "reference"); err != nil || len(got) != 0 {
		t.Fatalf("an empty stage has %v %v", got, err)
	}
	want := []int{0, 2, 3, 10, 99999, 100000}
	for _, shard := range []int{10, 100000, 3, 0, 2, 99999} {
		_, _, err := store.Commit(ctx, s, record(t, s, shard, fmt.Sprint(shard)))
		must(t, err)
	}
	other := record(t, s, 5, "other")
	other.Stage = "reference-2"
	_, _, err := store.Commit(ctx, s, other)
	must(t, err)
	records, err := store.CommittedShards(ctx, s, "job-1", "reference")
	must(t, err)
	var got []int
	for _, r := range records {
		got = append(got, r.Shard)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	data, err := s.Get(ctx, "runs/job-1/reference/shard-00002.json")
	must(t, err)
	must(t, s.Put(ctx, "runs/job-1/reference/shard-00004.json", data))
	_, err = store.CommittedShards(ctx, s, "job-1", "reference")
	wantType(t, err, schemas.CorruptData, "shard-00004.json")
}

func manifest(t *testing.T, s store.Store) {
	ctx := t.Context()
	object := schemas.Object{Key: "data/pair/x.parquet", SHA256: "x", Bytes: 1, Rows: 1}
	shard := func(n int) schemas.ManifestShard {
		return schemas.ManifestShard{Shard: n, Split: "train", Objects: map[string]schemas.Object{"pair": object}}
	}
	m := schemas.Manifest{Job: "job-1", Stage: "pair", Shards: []schemas.ManifestShard{shard(11), shard(2)},
		Books: schemas.Books{In: 2, OK: 2}, Counts: map[string]int64{"pairs": 1}}
	uri, err := store.PutManifest(ctx, s, m)
	must(t, err)
	if want := s.URI("runs/job-1/pair/manifest.json"); uri != want {
		t.Fatalf("got %s, want %s", uri, want)
	}
	if m.Shards[0].Shard != 11 {
		t.Fatal("the caller's manifest was changed")
	}
	slices.Reverse(m.Shards)
	got, err := store.GetManifest(ctx, s, uri)
	must(t, err)
	if !reflect.DeepEqual(got, m) {
		t.Fatalf("got %+v, want %+v", got, m)
	}

	m.Job, m.Stage = "", "import"
	imported, err := store.PutManifest(ctx, s, m)
	must(t, err)
	data, err := s.Get(ctx, "imports/"+imported[len(s.URI("imports/")):])
	must(t, err)
	if want := s.URI("imports/" + hexSum(data) + ".json"); imported != want {
		t.Fatalf("got %s, want %s", imported, want)
	}

	m.Shards = append(m.Shards, shard(2))
	_, err = store.PutManifest(ctx, s, m)
	wantType(t, err, schemas.Internal, "twice")

	for name, text := range map[string]string{
		"unknown field": `{"stage":"pair","shard":[]}`,
		"cut off":       `{"stage":"pair"`,
		"no json":       "PAR1",
		"two documents": `{"stage":"pair"}{}`,
		"nothing":       `{}`,
		"unordered":     `{"stage":"pair","shards":[{"shard":1},{"shard":0}]}`,
		"no hash":       `{"stage":"pair","shards":[{"shard":1,"objects":{"pair":{"key":"a"}}}]}`,
	} {
		must(t, s.Put(ctx, "bad.json", []byte(text)))
		_, err := store.GetManifest(ctx, s, s.URI("bad.json"))
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		wantType(t, err, schemas.CorruptData, s.URI("bad.json"))
	}
	_, err = store.GetManifest(ctx, s, s.URI("none.json"))
	wantType(t, err, schemas.NotFound, s.URI("none.json"))
}

func version(ids ...string) schemas.DatasetVersion {
	v := schemas.DatasetVersion{Dataset: "rpo", Job: "job-1", Manifest: "s3://b/m", Counts: map[string]int64{"pairs": 1}}
	for _, id := range ids {
		v.Objects = append(v.Objects, schemas.Object{Key: "data/pair/" + id, SHA256: id, Bytes: 1, Rows: 1})
	}
	return v
}

func versions(t *testing.T, s store.Store) {
	ctx := t.Context()
	if _, ok, err := store.LatestVersion(ctx, s, "rpo"); err != nil || ok {
		t.Fatalf("latest says %v %v", ok, err)
	}
	for _, c := range []struct {
		ids            []string
		number, parent int
	}{{[]string{"a"}, 1, 0}, {[]string{"a"}, 1, 0}, {[]string{"a", "b"}, 2, 1}, {[]string{"b", "a"}, 2, 1}, {[]string{"a"}, 3, 2}} {
		v, err := store.PublishVersion(ctx, s, version(c.ids...))
		must(t, err)
		if v.Number != c.number || v.Parent != c.parent || v.Hash != schemas.Hash(v.Objects) {
			t.Fatalf("%v: published %+v, want number %d, parent %d", c.ids, v, c.number, c.parent)
		}
		latest, ok, err := store.LatestVersion(ctx, s, "rpo")
		must(t, err)
		if !ok || !reflect.DeepEqual(latest, v) {
			t.Fatalf("latest is %+v, want %+v", latest, v)
		}
	}
	if _, ok, err := store.LatestVersion(ctx, s, "rp"); err != nil || ok {
		t.Fatalf("another dataset has a version: %v %v", ok, err)
	}
	_, _, err := store.LatestVersion(ctx, s, "a/b")
	wantType(t, err, schemas.InvalidInput)
}

func versionRace(t *testing.T, s store.Store) {
	const publishers = 8
	numbers := make([]int, publishers)
	var group sync.WaitGroup
	for i := range numbers {
		group.Go(func() {
			v, err := store.PublishVersion(t.Context(), s, version(fmt.Sprint("publisher ", i)))
			if err != nil {
				t.Error(err)
			}
			numbers[i] = v.Number
		})
	}
	group.Wait()
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("numbers are %v", numbers)
		}
	}
}
