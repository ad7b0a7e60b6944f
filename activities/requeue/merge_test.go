package requeue

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// pairsOf writes the manifest of a pair stage: n pairs of each turn of each shard.
func pairsOf(t *testing.T, s store.Store, job string, n int, shards ...[]string) string {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("job", job), Stage: "pair", Counts: map[string]int64{"case_1": 1}, Books: schemas.Books{In: 3, OK: 2, Skipped: 1}}
	for i, turns := range shards {
		var pairs []schemas.Pair
		var best []schemas.Demonstration
		for _, turn := range turns {
			for k := range n {
				pairs = append(pairs, schemas.Pair{PairID: fmt.Sprint(turn, k), TurnID: turn, Margin: float64(1 + k%3)})
				m.Counts[pair.CountKey(float64(1+k%3))]++
				m.Counts["pairs"]++
			}
			best = append(best, schemas.Demonstration{DemonstrationID: fmt.Sprint(turn, n), TurnID: turn})
		}
		shard := schemas.ManifestShard{Shard: i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
		var err error
		if shard.Objects[schemas.TablePair], err = store.PutRows(t.Context(), s, schemas.TablePair, pairs); err != nil {
			t.Fatal(err)
		}
		if shard.Objects[schemas.TableSFT], err = store.PutRows(t.Context(), s, schemas.TableSFT, best); err != nil {
			t.Fatal(err)
		}
		if shard.Objects[schemas.TableProfile], err = store.PutRows(t.Context(), s, schemas.TableProfile, []schemas.Profile{{ProfileID: fmt.Sprint(job, i)}}); err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, shard)
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func publish(t *testing.T, s store.Store, manifest string) schemas.PairResult {
	t.Helper()
	a := pair.Activities{Store: s}
	v, err := a.PublishVersion(t.Context(), pair.PublishInput{Dataset: "d", Manifest: manifest})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ids are the pairs of a version.
func ids(t *testing.T, s store.Store, v schemas.DatasetVersion) (out []string) {
	t.Helper()
	for _, o := range v.Objects {
		rows, err := store.GetRows[schemas.Pair](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, r.PairID)
		}
	}
	slices.Sort(out)
	return out
}

func TestAMergedVersionHoldsWhatOneRunWithoutQuarantineWouldHaveMade(t *testing.T) {
	s, whole := store.NewMemory("rpo"), store.NewMemory("rpo")
	// Turn b was set aside, turn c lacked a response and gave two pairs only, all
	// other turns are whole.
	publish(t, s, pairsOf(t, s, "first", 6, []string{"a"}, []string{"d", "e"}))
	base := pairsOf(t, s, "base", 6, []string{"a"}, []string{"d", "e"})
	m, err := store.GetManifest(t.Context(), s, base)
	if err != nil {
		t.Fatal(err)
	}
	poor, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{{PairID: "c0", TurnID: "c", Margin: 1}, {PairID: "e0", TurnID: "f", Margin: 2}})
	if err != nil {
		t.Fatal(err)
	}
	m.Shards = append(m.Shards, schemas.ManifestShard{Shard: 9, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: poor}})
	if base, err = store.PutManifest(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	before := publish(t, s, base)
	kept, err := store.Version(t.Context(), s, "d", before.Version)
	if err != nil {
		t.Fatal(err)
	}
	supplement := pairsOf(t, s, "supplement", 6, []string{"b", "c"})
	got, err := Merge(t.Context(), s, "d", supplement)
	if err != nil || len(got.Versions) != 2 || got.Added != 12 || got.Replaced != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	v := got.Versions[0]
	publish(t, whole, pairsOf(t, whole, "whole", 6, []string{"a", "b", "c"}, []string{"d", "e"}))
	undisturbed, err := store.Version(t.Context(), whole, "d", 1)
	if err != nil {
		t.Fatal(err)
	}
	want := append(ids(t, whole, undisturbed), "e0")
	if slices.Sort(want); !slices.Equal(ids(t, s, v), want) || v.Number != before.Version+1 || v.Parent != before.Version {
		t.Errorf("version %d of parent %d has %v, want %v", v.Number, v.Parent, ids(t, s, v), want)
	}
	if v.Counts["pairs"] != int64(len(want)) || v.Counts["pairs_g2"] != 11 || v.Counts["case_1"] != 2 {
		t.Errorf("counts %v", v.Counts)
	}
	merged, err := store.GetManifest(t.Context(), s, v.Manifest)
	if err != nil || !merged.Books.Closed() || merged.Books.In != 6 || rows(merged.Objects(schemas.TablePair)) != int64(len(want)) || len(merged.Objects(schemas.TableProfile)) != 3 {
		t.Errorf("manifest %+v, %v", merged, err)
	}
	// Nothing of the version before has changed.
	if again, err := store.Version(t.Context(), s, "d", before.Version); err != nil || again.Hash != kept.Hash || !slices.Equal(again.Objects, kept.Objects) || !maps.Equal(again.Counts, kept.Counts) {
		t.Errorf("the version before is %+v, %v", again, err)
	}
	for _, o := range kept.Objects {
		if _, err := store.GetRows[schemas.Pair](t.Context(), s, o); err != nil {
			t.Error(err)
		}
	}
	second, err := Merge(t.Context(), s, "d", supplement)
	if err != nil || second.Versions[0].Number != v.Number || second.Versions[1].Number != got.Versions[1].Number {
		t.Errorf("merged twice: %+v, %v", second, err)
	}
}

func TestAVersionThatComesBetweenIsMergedToo(t *testing.T) {
	s := store.NewMemory("rpo")
	publish(t, s, pairsOf(t, s, "base", 2, []string{"a"}))
	supplement := pairsOf(t, s, "supplement", 2, []string{"b"})
	between := pairsOf(t, s, "between", 2, []string{"a"}, []string{"c"})
	once := false
	s.Before = func(operation, key string) error {
		if operation == "put-if-absent" && !once {
			once = true
			publish(t, s, between)
		}
		return nil
	}
	got, err := Merge(t.Context(), s, "d", supplement)
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Versions[0]; v.Number != 3 || !slices.Equal(ids(t, s, v), []string{"a0", "a1", "b0", "b1", "c0", "c1"}) {
		t.Errorf("version %d has %v", v.Number, ids(t, s, v))
	}
}

func TestAMergeNeedsADataSetAndPairs(t *testing.T) {
	s := store.NewMemory("rpo")
	if _, err := Merge(t.Context(), s, "d", pairsOf(t, s, "x", 1, []string{"a"})); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("a data set without versions gives %v", err)
	}
	if _, err := Merge(t.Context(), s, "d", pairsOf(t, s, "y", 0, []string{"a"})); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("a manifest without pairs gives %v", err)
	}
}
