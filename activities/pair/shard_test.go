package pair_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// stored writes one shard of worlds as the stages before would, with a profile
// each, and returns the manifest's URI.
func stored(t *testing.T, s store.Store, worlds ...*world) string {
	t.Helper()
	var profiles []schemas.Profile
	var turns []schemas.Turn
	var responses []schemas.Response
	var verdicts []schemas.Verdict
	var opposites []schemas.Opposite
	for i, w := range worlds {
		profiles = append(profiles, schemas.Profile{ProfileID: w.ProfileID, Source: "ifeval", SourceID: fmt.Sprint(1000 + i), Split: schemas.SplitTrain, System: w.System})
		turns = append(turns, w.Turn.Turn)
		responses = append(responses, w.Responses...)
		for _, r := range w.Responses {
			verdicts = append(verdicts, w.Verdicts[r.ResponseID]...)
		}
		for _, c := range w.Constraints {
			if o, ok := w.Opposites[c.ConstraintID]; ok {
				opposites = append(opposites, o)
			}
		}
	}
	shard := schemas.ManifestShard{Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
	put(t, s, shard, schemas.TableProfile, profiles)
	put(t, s, shard, schemas.TableTurn, turns)
	put(t, s, shard, schemas.TableResponse, responses)
	put(t, s, shard, schemas.TableVerdict, verdicts)
	put(t, s, shard, schemas.TableOpposite, opposites)
	return manifest(t, s, shard)
}

func put[T any](t *testing.T, s store.Store, shard schemas.ManifestShard, table string, rows []T) {
	t.Helper()
	o, err := store.PutRows(t.Context(), s, table, rows)
	if err != nil {
		t.Fatal(err)
	}
	shard.Objects[table] = o
}

func manifest(t *testing.T, s store.Store, shards ...schemas.ManifestShard) string {
	t.Helper()
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Stage: "import", Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// pairShard runs the stage on the one shard of a manifest.
func pairShard(t *testing.T, s store.Store, uri string, o schemas.PairOptions) (schemas.CommitRecord, store.Shard, error) {
	t.Helper()
	o.SetDefaults()
	shard := steptest.Open(t, s, "pair", uri, o.Recipe(), 0)
	a := pair.Activities{Store: s}
	if _, err := a.PairShard(t.Context(), pair.ShardInput{Shard: shard, PairOptions: o}); err != nil {
		return schemas.CommitRecord{}, shard, err
	}
	return steptest.Record(t, s, shard), shard, nil
}

// shelf has two turns: one whose responses repeat each other and lack verdicts,
// and one that is simple.
func shelf(t *testing.T) []*world {
	first, second := newWorld(t, "first", "fff"), newWorld(t, "second", "rf")
	first.add("110")
	first.add("001")
	first.add("000")
	first.add("111")
	first.Responses[2].Text = first.Responses[0].Text // a duplicate with other verdicts
	unjudged := first.Responses[3].ResponseID
	first.Verdicts[unjudged] = first.Verdicts[unjudged][:2]
	second.add("11")
	second.add("00")
	return []*world{first, second}
}

func TestTheBooksOfAShardCountEveryResponse(t *testing.T) {
	s := store.NewMemory("rpo")
	r, _, err := pairShard(t, s, stored(t, s, shelf(t)...), schemas.PairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (schemas.Books{In: 6, OK: 4, Skipped: 2}); r.Books != want {
		t.Errorf("books %+v, want %+v", r.Books, want)
	}
	want := map[string]int64{
		"pairs": 4, "pairs_g3": 2, "pairs_g2": 2, "duplicate_responses": 1,
		"case_1": 0, "case_2": 0, "case_3": 1, "case_4": 0, "case_5": 0, "case_6": 1,
		"dropped_irreversible": 0, "dropped_small_margin": 0, "dropped_unverified": 0,
	}
	if !reflect.DeepEqual(r.Counts, want) {
		t.Errorf("counts %v, want %v", r.Counts, want)
	}
	if _, ok := r.Outputs[schemas.TableDPO]; ok {
		t.Error("baselines were made that nobody asked for")
	}
	s = store.NewMemory("rpo")
	r, _, err = pairShard(t, s, stored(t, s, shelf(t)...), schemas.PairOptions{NearDuplicate: 0.5})
	if want := (schemas.Books{In: 6, OK: 3, Skipped: 3}); err != nil || r.Books != want || r.Counts["near_duplicate_responses"] != 1 {
		t.Errorf("near-duplicates: books %+v, want %+v, counts %v, %v", r.Books, want, r.Counts, err)
	}
}

func TestBaselinesArePublishedAsVersionsOfTheirOwnOnceAndAlwaysTheSame(t *testing.T) {
	publish := func(s store.Store) schemas.PairResult {
		r, shard, err := pairShard(t, s, stored(t, s, shelf(t)...), schemas.PairOptions{Baselines: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Counts["dpo"] != 2 || r.Counts["kto"] != 4 || r.Counts["kto_desirable"] != 1 || r.Counts["sft"] != 2 {
			t.Errorf("counts %v", r.Counts)
		}
		closed := steptest.Close(t, s, shard)
		a := pair.Activities{Store: s}
		var out schemas.PairResult
		for range 2 { // an activity may be retried
			if out, err = a.PublishVersion(t.Context(), pair.PublishInput{Dataset: "tea", Manifest: closed.Manifest}); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	s := store.NewMemory("rpo")
	out := publish(s)
	if out.Version != 1 || out.Pairs != 4 || out.PairsByCase["3"] != 1 || out.PairsByCase["6"] != 1 || len(out.PairsByCase) != 6 {
		t.Errorf("published %+v", out)
	}
	if len(out.Baselines) != 3 {
		t.Fatalf("baselines %+v", out.Baselines)
	}
	for i, name := range []string{"tea-dpo", "tea-kto", "tea-sft"} {
		b := out.Baselines[i]
		if b.Dataset != name || b.Version != 1 || b.Rows != []int64{2, 4, 2}[i] {
			t.Errorf("baseline %+v, want %s", b, name)
		}
		v, err := store.Version(t.Context(), s, name, 1)
		if err != nil || v.Hash != b.Hash || len(v.Objects) != 1 {
			t.Errorf("version %+v, %v", v, err)
		}
	}
	if again := publish(store.NewMemory("rpo")); !reflect.DeepEqual(again, out) {
		t.Errorf("another store: %+v, want %+v", again, out)
	}
}

func TestAStageWithoutPairsSaysWhereTheyWent(t *testing.T) {
	s := store.NewMemory("rpo")
	_, shard, err := pairShard(t, s, stored(t, s, shelf(t)...), schemas.PairOptions{MinMargin: 7})
	if err != nil {
		t.Fatal(err)
	}
	a := pair.Activities{Store: s}
	_, err = a.PublishVersion(t.Context(), pair.PublishInput{Dataset: "tea", Manifest: steptest.Close(t, s, shard).Manifest})
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "2 of 6 responses were skipped") || !strings.Contains(err.Error(), "small margin 4") {
		t.Errorf("error %v", err)
	}
}

func TestOfTheImportThatPairsComeFromOnlyTheEvaluationSplitCounts(t *testing.T) {
	s := store.NewMemory("rpo")
	worlds := shelf(t)
	uri := stored(t, s, worlds...)
	m, err := store.GetManifest(t.Context(), s, uri)
	if err != nil {
		t.Fatal(err)
	}
	imported := func(split string, number int, turns ...schemas.Turn) schemas.ManifestShard {
		shard := schemas.ManifestShard{Shard: number, Split: split, Objects: map[string]schemas.Object{}}
		put(t, s, shard, schemas.TableTurn, turns)
		return shard
	}
	other := schemas.Turn{TurnID: "other", System: "You sell boats.", Query: "How much is the red one?"}
	copied := schemas.Turn{TurnID: "copy", System: "You sell tea.", Query: worlds[0].Query}
	keyed := imported(schemas.SplitEval, 1, other)
	put(t, s, keyed, schemas.TableProfile, []schemas.Profile{{Source: profile.SourceSystemIFEval, SourceID: "1001", Constraints: []schemas.Constraint{}}})
	for _, c := range []struct {
		name  string
		with  string
		pairs int64
	}{
		{"prompts that are not in the data", manifest(t, s, imported(schemas.SplitEval, 0, other)), 4},
		{"one that is", manifest(t, s, imported(schemas.SplitEval, 0, other, copied)), 2},
		{"one that is, in the training split of another import", manifest(t, s, imported(schemas.SplitTrain, 0, copied), imported(schemas.SplitEval, 1, other)), 2},
		{"the key of a profile", manifest(t, s, keyed), 2},
		{"the import itself, with prompts held out", manifest(t, s, m.Shards[0], imported(schemas.SplitEval, 1, other)), 4},
		{"the import itself, with a copy held out", manifest(t, s, m.Shards[0], imported(schemas.SplitEval, 1, copied)), 2},
	} {
		r, _, err := pairShard(t, s, uri, schemas.PairOptions{Decontaminate: []string{c.with}})
		if err != nil || r.Counts["pairs"] != c.pairs || r.Counts["dropped_contaminated"] != 4-c.pairs {
			t.Errorf("%s: counts %v, %v", c.name, r.Counts, err)
		}
	}
	for name, with := range map[string]string{
		"the import itself, with nothing held out": uri,
		"a manifest without turns":                 manifest(t, s, schemas.ManifestShard{Objects: map[string]schemas.Object{}}),
		"another bucket":                           "s3://other/imports/x.json",
	} {
		if _, _, err := pairShard(t, s, uri, schemas.PairOptions{Decontaminate: []string{with}}); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "decontaminate") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
