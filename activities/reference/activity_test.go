package reference

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/testsuite"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

func row(pair, role string, value float64, problem string) schemas.Reference {
	r := schemas.Reference{PairID: pair, Role: role}
	if problem == "" {
		r.LogProb = &value
	} else {
		r.Error = &problem
	}
	return r
}

func TestEveryPairNeedsBothValuesOnce(t *testing.T) {
	a1, a2, b1, b2 := row("a", "chosen", -1, ""), row("a", "rejected", -2, ""), row("b", "chosen", -3, ""), row("b", "rejected", -4, "")
	for _, tt := range []struct {
		name  string
		rows  []schemas.Reference
		pairs int64
		ok    int64
		says  string
	}{
		{"both", []schemas.Reference{a1, b2, b1, a2}, 2, 2, ""},
		{"one is too long", []schemas.Reference{a1, a2, b1, row("b", "rejected", 0, "too_long")}, 2, 1, ""},
		{"all are too long", []schemas.Reference{row("a", "chosen", 0, "too_long"), row("a", "rejected", 0, "too_long")}, 1, 0, ""},
		{"a pair is missing", []schemas.Reference{a1, a2}, 2, 0, "for 1 of 2 rows"},
		{"a pair too many", []schemas.Reference{a1, a2, b1, b2}, 1, 0, "for 2 of 1 rows"},
		{"a role is missing", []schemas.Reference{a1}, 1, 0, "row a"},
		{"a role stands twice", []schemas.Reference{a1, a1, a2}, 1, 0, "row a"},
		{"two of one role", []schemas.Reference{a1, a1}, 1, 0, "row a"},
		{"an unknown role", []schemas.Reference{a1, row("a", "best", -1, "")}, 1, 0, "best"},
		{"nothing", nil, 1, 0, "for 0 of 1 rows"},
	} {
		ok, err := check(tt.rows, tt.pairs, rolesOf[schemas.TablePair])
		if tt.says == "" && (err != nil || ok != tt.ok) {
			t.Errorf("%s: %d, %v, want %d", tt.name, ok, err, tt.ok)
		}
		if tt.says != "" && (schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}

func TestValuesOfABaselineStandBesideThoseOfThePairs(t *testing.T) {
	s := store.NewMemory("b")
	both := []schemas.Reference{row("a", "chosen", -1, ""), row("a", "rejected", -2, ""), row("b", "chosen", -3, ""), row("b", "rejected", -4, "")}
	pairs, err := pass(t, s, both)
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.GetManifest(t.Context(), s, pairs.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		if m.Shards[i].Objects[schemas.TableKTO], err = store.PutRows(t.Context(), s, schemas.TableKTO, []schemas.Desirability{{DesirabilityID: name}}); err != nil {
			t.Fatal(err)
		}
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	kto, err := passOf(t, s, uri, "kto", []schemas.Reference{row("a", "completion", -1, ""), row("b", "completion", 0, "too_long")})
	if err != nil || kto.Books != (schemas.Books{In: 2, OK: 1, Skipped: 1}) {
		t.Fatalf("%+v, %v", kto, err)
	}
	if m, err = store.GetManifest(t.Context(), s, kto.Manifest); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{schemas.TablePair, schemas.TableReference, schemas.TableKTO, schemas.ReferenceOf(schemas.TableKTO)} {
		if len(m.Objects(table)) == 0 {
			t.Errorf("the manifest lacks %s", table)
		}
	}
}

// pass runs the activity over two shards of pairs with a "Python" that writes
// the given rows.
func pass(t *testing.T, s *store.Memory, rows []schemas.Reference) (schemas.StageResult, error) {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("job", "pair"), Stage: "pair"}
	for i, id := range []string{"a", "b"} {
		o, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{{PairID: id}})
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: 4 * i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: o}})
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return passOf(t, s, uri, "rpo", rows)
}

// passOf runs it over a manifest's rows of a loss.
func passOf(t *testing.T, s *store.Memory, manifest, loss string, rows []schemas.Reference) (schemas.StageResult, error) {
	t.Helper()
	dir := t.TempDir()
	data, err := schemas.Encode(rows)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"rows": string(data), "config.json": "{}",
		"python": "#!/bin/sh\nfor last; do :; done\ncp " + filepath.Join(dir, "rows") + " \"$(dirname \"$last\")/reference.parquet\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in := Input{Job: schemas.ID("job", "reference", loss), Manifest: manifest}
	in.Loss = loss
	in.TrainOptions.SetDefaults()
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment()
	a := &Activities{Store: s, Node: train.Node{Python: filepath.Join(dir, "python"), WorkDir: dir, Device: "cpu", Models: map[string]string{"base": dir}}}
	env.RegisterActivity(a)
	var out schemas.StageResult
	value, err := env.ExecuteActivity(a.ReferencePairs, in)
	if err == nil {
		err = value.Get(&out)
	}
	return out, err
}

func TestAReferencePassIsCommittedOnceAndItsManifestKeepsThePairs(t *testing.T) {
	s := store.NewMemory("b")
	first, err := pass(t, s, []schemas.Reference{row("a", "chosen", -1, ""), row("a", "rejected", -2, ""), row("b", "chosen", -3, ""), row("b", "rejected", 0, "too_long")})
	if err != nil {
		t.Fatal(err)
	}
	if first.Books != (schemas.Books{In: 2, OK: 1, Skipped: 1}) || first.Reused != 0 {
		t.Errorf("result %+v", first)
	}
	m, err := store.GetManifest(t.Context(), s, first.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Objects(schemas.TablePair)) != 2 || len(m.Objects(schemas.TableReference)) != 1 || m.Shards[1].Shard != 4 {
		t.Errorf("manifest %+v", m)
	}
	second, err := pass(t, s, nil) // would be refused if it were computed again
	if err != nil || second.Reused != 1 || second.Manifest != first.Manifest || second.Books != first.Books {
		t.Errorf("the second time %+v, %v", second, err)
	}
}

func TestAReferencePassWithAGapCommitsNothing(t *testing.T) {
	s := store.NewMemory("b")
	_, err := pass(t, s, []schemas.Reference{row("a", "chosen", -1, ""), row("a", "rejected", -2, "")})
	if err == nil || !strings.Contains(err.Error(), "for 1 of 2 rows") {
		t.Fatalf("error %v", err)
	}
	keys, err := s.List(t.Context(), "runs/", "", 0)
	if err != nil || slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, "/reference/") }) {
		t.Errorf("keys %v, %v", keys, err)
	}
}

func TestADesirabilityMayHaveNoMismatchedValue(t *testing.T) {
	want := rolesOf[schemas.TableKTO]
	a, b, c := row("a", "completion", -1, ""), row("b", "completion", -2, ""), row("b", "mismatched", -3, "")
	if ok, err := check([]schemas.Reference{a, c, b}, 2, want); err != nil || ok != 2 {
		t.Errorf("%d, %v", ok, err)
	}
	for name, rows := range map[string][]schemas.Reference{
		"no completion": {c}, "twice": {a, a}, "two mismatched": {b, c, c}, "a pair's": {row("a", "chosen", -1, ""), row("a", "rejected", -1, "")},
	} {
		if _, err := check(rows, 1, want); schemas.TypeOf(err) != schemas.CorruptData {
			t.Errorf("%s: %v", name, err)
		}
	}
}
