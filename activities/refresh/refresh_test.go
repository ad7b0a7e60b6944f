package refresh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/activities/profile"
	"rpo/activities/refresh"
	"rpo/activities/store"
	"rpo/schemas"
)

const folder = "s3://rpo/incoming/"

// line is one profile of the plain format.
func line(t *testing.T, id, split string) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{"id": id, "split": split, "system": "You are " + id + ". Mention \"boat\".",
		"constraints": []any{map[string]any{"text": "Mention \"boat\"."}}, "queries": []string{"Who is " + id + "?"}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

func lines(t *testing.T, ids ...string) string {
	t.Helper()
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(line(t, id, schemas.SplitTrain))
	}
	return b.String()
}

func put(t *testing.T, s store.Store, key, text string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, s store.Store, in refresh.FindInput) schemas.FoundProfiles {
	t.Helper()
	in.Dataset = "d"
	if in.Source == "" {
		in.Source = folder
	}
	out, err := (&refresh.Activities{Store: s}).FindNewProfiles(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// publish makes the version that a refresh would have made of what it found: one
// object per profile, as if each had made as many pairs.
func publish(t *testing.T, s store.Store, found schemas.FoundProfiles) schemas.PairResult {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, found.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	paired := schemas.Manifest{Job: schemas.ID("job", found.Manifest), Stage: "pair", Books: m.Books}
	for _, shard := range m.Shards {
		rows, err := store.GetRows[schemas.Profile](t.Context(), s, shard.Objects[schemas.TableProfile])
		if err != nil {
			t.Fatal(err)
		}
		var pairs []schemas.Pair
		for _, p := range rows {
			pairs = append(pairs, schemas.Pair{PairID: schemas.ID("pair", p.ProfileID), ProfileID: p.ProfileID})
		}
		if shard.Objects[schemas.TablePair], err = store.PutRows(t.Context(), s, schemas.TablePair, pairs); err != nil {
			t.Fatal(err)
		}
		paired.Shards = append(paired.Shards, shard)
	}
	uri, err := store.PutManifest(t.Context(), s, paired)
	if err != nil {
		t.Fatal(err)
	}
	out, err := (&pair.Activities{Store: s}).PublishVersion(t.Context(), pair.PublishInput{Dataset: "d", Manifest: uri, Extends: &found.Extension})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ids are the source ids of the profiles of a manifest, sorted.
func ids(t *testing.T, s store.Store, uri string) (out []string) {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, uri)
	if err != nil {
		t.Fatal(err)
	}
	turns := 0
	for _, shard := range m.Shards {
		profiles, err := store.GetRows[schemas.Profile](t.Context(), s, shard.Objects[schemas.TableProfile])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range profiles {
			out = append(out, p.SourceID)
		}
		turns += int(shard.Objects[schemas.TableTurn].Rows)
	}
	if turns != len(out) || m.Books.In != int64(len(out)) {
		t.Errorf("%d turns of %d profiles, books %+v", turns, len(out), m.Books)
	}
	slices.Sort(out)
	return out
}

func TestARefreshTakesOnlyWhatTheNewestVersionHasNotConsumed(t *testing.T) {
	s := store.NewMemory("rpo")
	put(t, s, "incoming/1.jsonl", lines(t, "a", "b"))
	put(t, s, "incoming/README.txt", "not profiles")
	put(t, s, "elsewhere/9.jsonl", lines(t, "z"))
	first := find(t, s, refresh.FindInput{})
	if got := ids(t, s, first.Manifest); !slices.Equal(got, []string{"a", "b"}) || first.Parent != 0 {
		t.Fatalf("first %v, %+v", got, first)
	}
	if again := find(t, s, refresh.FindInput{}); again.Manifest != first.Manifest || again.Watermark != first.Watermark {
		t.Errorf("the same new rows gave %+v and then %+v", first, again)
	}
	if v := publish(t, s, first); v.Version != 1 || v.Pairs != 2 || v.Total != 2 {
		t.Fatalf("published %+v", v)
	}

	put(t, s, "incoming/sub/2.jsonl", lines(t, "c"))
	put(t, s, "incoming/1.jsonl", lines(t, "a", "x", "b")) // a line more in a file that was consumed
	second := find(t, s, refresh.FindInput{})
	if got := ids(t, s, second.Manifest); !slices.Equal(got, []string{"c", "x"}) || second.Parent != 1 || second.New != 2 {
		t.Fatalf("second %v, %+v", got, second)
	}
	if v := publish(t, s, second); v.Version != 2 || v.Pairs != 2 || v.Total != 4 {
		t.Fatalf("published %+v", v)
	}
	v, err := store.Version(t.Context(), s, "d", 2)
	if err != nil {
		t.Fatal(err)
	}
	if v.Parent != 1 || v.Watermark != second.Watermark || v.Hash != schemas.Hash(v.Objects) || len(v.Objects) != 4 {
		t.Errorf("version %+v", v)
	}
	if got := ids(t, s, v.Manifest); !slices.Equal(got, []string{"a", "b", "c", "x"}) {
		t.Errorf("the version's manifest has %v", got)
	}
}

func TestNothingIsWrittenWhenNothingIsNew(t *testing.T) {
	s := store.NewMemory("rpo")
	put(t, s, "incoming/1.jsonl", lines(t, "a"))
	publish(t, s, find(t, s, refresh.FindInput{}))
	put(t, s, "incoming/2.jsonl", line(t, "held", schemas.SplitEval))
	writes := 0
	s.Before = func(operation, _ string) error {
		if strings.HasPrefix(operation, "put") {
			writes++
		}
		return nil
	}
	got := find(t, s, refresh.FindInput{})
	if got.New != 0 || got.Waiting != 1 || got.Unchanged != 1 || got.Parent != 1 || got.Manifest != "" || writes != 0 {
		t.Errorf("got %+v, %d writes", got, writes)
	}
	s.Before = nil
	put(t, s, "incoming/3.jsonl", lines(t, "b"))
	if got := ids(t, s, find(t, s, refresh.FindInput{}).Manifest); !slices.Equal(got, []string{"b", "held"}) {
		t.Errorf("later %v, want what waited as well", got)
	}
}

func TestTheManifestDependsOnTheNewRowsAndNotOnTheFilesThatBroughtThem(t *testing.T) {
	manifests := map[string]bool{}
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "a", "b"}} {
		s := store.NewMemory("rpo")
		put(t, s, "incoming/1.jsonl", lines(t, order...)+"\n")
		manifests[find(t, s, refresh.FindInput{}).Manifest] = true
	}
	if len(manifests) != 1 {
		t.Errorf("manifests %v", manifests)
	}
}

func TestAFileThatCannotBeReadIsRefusedUntilItIsMended(t *testing.T) {
	s := store.NewMemory("rpo")
	put(t, s, "incoming/bad.jsonl", lines(t, "a")+`{"id": "b"`+"\n")
	put(t, s, "incoming/good.jsonl", lines(t, "c"))
	for i := range 5 {
		put(t, s, fmt.Sprintf("incoming/worse%d.jsonl", i), strings.Repeat("x", 500))
	}
	got := find(t, s, refresh.FindInput{})
	if got.New != 1 || got.Refused != 6 || len(got.RefusedFirst) != 3 || got.RefusedFirst[0].Key != "incoming/bad.jsonl" ||
		!strings.Contains(got.RefusedFirst[0].Reason, "line 2") {
		t.Errorf("got %+v", got)
	}
	publish(t, s, got)
	put(t, s, "incoming/bad.jsonl", lines(t, "a", "b"))
	if got := ids(t, s, find(t, s, refresh.FindInput{}).Manifest); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after it was mended: %v", got)
	}
}

func TestAManifestIsASourceAsWell(t *testing.T) {
	s := store.NewMemory("rpo")
	in, err := profile.ReadPlain(strings.NewReader(lines(t, "a", "b", "c")), "import", profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	uri, _, err := profile.Write(t.Context(), s, in, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := find(t, s, refresh.FindInput{Source: uri})
	if first.New != 3 {
		t.Fatalf("got %+v", first)
	}
	publish(t, s, first)
	if again := find(t, s, refresh.FindInput{Source: uri}); again.New != 0 || again.Unchanged != 3 {
		t.Errorf("again %+v", again)
	}
	more, err := profile.ReadPlain(strings.NewReader(lines(t, "a", "d", "c")), "import", profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if uri, _, err = profile.Write(t.Context(), s, more, 2); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, find(t, s, refresh.FindInput{Source: uri}).Manifest); !slices.Equal(got, []string{"d"}) {
		t.Errorf("a longer import has new %v", got)
	}
	turnless := schemas.Manifest{Stage: "profile", Shards: []schemas.ManifestShard{{Objects: map[string]schemas.Object{
		schemas.TableProfile: {Key: "data/profile/1", SHA256: "1"}}}}, Job: "job"}
	if uri, err = store.PutManifest(t.Context(), s, turnless); err != nil {
		t.Fatal(err)
	}
	_, err = (&refresh.Activities{Store: s}).FindNewProfiles(t.Context(), refresh.FindInput{Dataset: "d", Source: uri})
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"turn"`) {
		t.Errorf("a manifest without turns gives %v", err)
	}
}

// A version that RunPipeline made has consumed what its manifest holds.
func TestAVersionWithoutAWatermarkHasConsumedItsOwnProfiles(t *testing.T) {
	s := store.NewMemory("rpo")
	put(t, s, "incoming/1.jsonl", lines(t, "a", "b"))
	found := find(t, s, refresh.FindInput{})
	publish(t, s, found)
	v, err := store.Version(t.Context(), s, "d", 1)
	if err != nil {
		t.Fatal(err)
	}
	v.Dataset, v.Watermark = "other", ""
	if _, err := store.PublishVersion(t.Context(), s, v); err != nil {
		t.Fatal(err)
	}
	put(t, s, "incoming/2.jsonl", lines(t, "c"))
	got, err := (&refresh.Activities{Store: s}).FindNewProfiles(t.Context(), refresh.FindInput{Dataset: "other", Source: folder})
	if err != nil {
		t.Fatal(err)
	}
	if rows := ids(t, s, got.Manifest); !slices.Equal(rows, []string{"c"}) {
		t.Errorf("new %v", rows)
	}
}

func TestAVersionThatSomebodyElsePublishedMeanwhileIsNotExtended(t *testing.T) {
	s := store.NewMemory("rpo")
	put(t, s, "incoming/1.jsonl", lines(t, "a"))
	stale := find(t, s, refresh.FindInput{})
	put(t, s, "incoming/2.jsonl", lines(t, "b"))
	publish(t, s, find(t, s, refresh.FindInput{}))
	_, err := (&pair.Activities{Store: s}).PublishVersion(t.Context(), pair.PublishInput{Dataset: "d", Manifest: stale.Manifest, Extends: &stale.Extension})
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "start the refresh again") {
		t.Errorf("got %v", err)
	}
}

func TestOperationsOfTheStoreThatFailAreErrorsAndNoRefusals(t *testing.T) {
	for _, operation := range []string{"get", "head", "list"} {
		s := store.NewMemory("rpo")
		put(t, s, "incoming/1.jsonl", lines(t, "a"))
		s.Before = func(o, key string) error {
			if o == operation && strings.HasPrefix(key, "incoming") {
				return schemas.Errorf(schemas.Overloaded, "connection refused")
			}
			return nil
		}
		_, err := (&refresh.Activities{Store: s}).FindNewProfiles(context.Background(), refresh.FindInput{Dataset: "d", Source: folder})
		if schemas.TypeOf(err) != schemas.Overloaded {
			t.Errorf("%s: got %v", operation, err)
		}
	}
}
