package forget_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpo/activities/chat/cache"
	"rpo/activities/forget"
	"rpo/activities/refresh"
	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

// contents are all objects of a store by key.
func contents(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range must[[]string](t)(s.List(context.Background(), "", "", 0)) {
		out[key] = string(must[[]byte](t)(s.Get(context.Background(), key)))
	}
	return out
}

// holds counts the rows of a table by a name that the row may hold.
func rows[T any](t testing.TB, s store.Store, objects []schemas.Object) (out []T) {
	t.Helper()
	for _, o := range objects {
		out = append(out, must[[]T](t)(store.GetRows[T](context.Background(), s, o))...)
	}
	return out
}

func TestAProfileIsGoneFromEverythingAndItsNeighboursStay(t *testing.T) {
	s := store.NewMemory("rpo")
	w := build(t, s)
	before := contents(t, s)
	request := forget.Request{Profiles: []string{w.profiles[0].ProfileID}}
	dry, uri, err := forget.Forget(t.Context(), s, request, "", true)
	if err != nil || uri != "" || !dry.DryRun || dry.Rows[schemas.TablePair] != 1 || len(dry.Cache) != 1 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	if !reflect.DeepEqual(before, contents(t, s)) {
		t.Fatal("a dry run changed the bucket")
	}
	proof, uri, err := forget.Forget(t.Context(), s, request, "2026-11-23T18:00:00Z", false)
	if err != nil {
		t.Fatal(err)
	}
	if !proof.Complete() || !reflect.DeepEqual(proof.Rows, dry.Rows) || proof.Search.IDs < 8 || proof.Search.Texts < 5 || proof.Search.Shared == 0 {
		t.Errorf("proof: %+v", proof)
	}
	for table, n := range map[string]int64{schemas.TableProfile: 2, schemas.TableTurn: 2, schemas.TableResponse: 2, schemas.TableVerdict: 2, schemas.TableOpposite: 1,
		schemas.TablePair: 1, schemas.TableDPO: 1, schemas.TableQuarantine: 1, schemas.TableDialogue: 1, schemas.TableGolden: 1} {
		// The import has tables of profiles and turns of its own.
		if got := proof.Rows[table]; got != n && !(table == schemas.TableProfile || table == schemas.TableTurn) || got == 0 {
			t.Errorf("%d rows of table %s are gone, want %d", got, table, n)
		}
	}
	for key, text := range contents(t, s) {
		for _, gone := range []string{w.profiles[0].ProfileID, w.turns[0].TurnID, "ada-lovelace &lt;"} {
			if strings.Contains(text, gone) || strings.Contains(key, gone) {
				t.Errorf("%s still holds %s", key, gone)
			}
		}
	}

	m := must[schemas.Manifest](t)(store.GetManifest(t.Context(), s, w.paired))
	if got := rows[schemas.Pair](t, s, m.Objects(schemas.TablePair)); len(got) != 3 {
		t.Errorf("%d pairs are left, want 3", len(got))
	}
	if got := rows[schemas.Response](t, s, m.Objects(schemas.TableResponse)); len(got) != 4 || slices.ContainsFunc(got, func(r schemas.Response) bool { return r.TurnID == w.turns[0].TurnID }) {
		t.Errorf("responses left: %+v", got)
	}
	if got := rows[schemas.Persona](t, s, m.Objects(schemas.TablePersona)); len(got) != 3 {
		t.Errorf("%d personas are left: nobody forgot one", len(got))
	}
	if _, err := store.GetManifest(t.Context(), s, w.imported); schemas.TypeOf(err) != schemas.NotFound || !strings.Contains(err.Error(), "name s3://rpo/imports/") {
		t.Errorf("the old import gives %v", err)
	}
	v, _, err := store.LatestVersion(t.Context(), s, "d")
	if err != nil || v.Number != 3 || v.Counts["pairs"] != 3 || v.Counts["pairs_g1"] != 1 {
		t.Fatalf("version %+v, %v", v, err)
	}
	mark := must[schemas.Watermark](t)(store.GetWatermark(t.Context(), s, v.Watermark))
	if len(mark.Profiles) != 2 {
		t.Errorf("watermark %+v", mark)
	}
	if by := must[map[int]int](t)(store.Superseded(t.Context(), s, "d")); !reflect.DeepEqual(by, map[int]int{1: 3, 2: 3}) {
		t.Errorf("superseded: %v", by)
	}
	if keys := must[[]string](t)(s.List(t.Context(), "datasets/d/v000001/", "", 0)); len(keys) != 0 {
		t.Errorf("exported files are left: %v", keys)
	}
	if keys := must[[]string](t)(s.List(t.Context(), "reports/", "", 0)); !slices.Equal(keys, []string{"reports/2.html"}) {
		t.Errorf("reports left: %v", keys)
	}
	if len(proof.Models) != 1 || proof.Models[0].Job != schemas.ID("job", "train") {
		t.Errorf("models: %+v", proof.Models)
	}
	entries := 0
	if err := cache.Walk(t.Context(), s, func(string, cache.Entry) { entries++ }, func(key string) { t.Error(key) }); err != nil || entries != 5 {
		t.Errorf("%d replies are left of 6, %v", entries, err)
	}
	if text := contents(t, s)[s.URI("")+uri]; text != "" || !strings.HasPrefix(uri, "s3://rpo/forgotten/proofs/") {
		t.Errorf("proof at %s", uri)
	}
	again, _, err := forget.Forget(t.Context(), s, request, "", false)
	if err != nil || !again.Complete() || len(again.Objects) != 0 || len(again.Rows) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestAForgottenUserDoesNotComeBackWithARefresh(t *testing.T) {
	s := store.NewMemory("rpo")
	w := build(t, s)
	w.put("incoming/town.jsonl", `{"id": "ada-lovelace", "system": "You are new. Mention \"boat\".", "constraints": [{"text": "Mention \"boat\"."}], "queries": ["the query that belongs to ada-lovelace <and> nobody else 天"]}`+"\n"+
		`{"id": "dan", "split": "train", "system": "You are dan. Mention \"boat\".", "constraints": [{"text": "Mention \"boat\"."}], "queries": ["Who?"]}`+"\n")
	proof, _, err := forget.Forget(t.Context(), s, forget.Request{Users: []string{"town:ada-lovelace"}}, "", false)
	if err != nil || !proof.Complete() {
		t.Fatalf("%+v, %v", proof, err)
	}
	// The line that the import refused is the user's as well.
	if proof.Rows[schemas.TableQuarantine] != 2 {
		t.Errorf("rows %v", proof.Rows)
	}
	if !slices.Contains(proof.Outside, "incoming/town.jsonl") {
		t.Errorf("outside: %v", proof.Outside)
	}
	found, err := (&refresh.Activities{Store: s}).FindNewProfiles(t.Context(), refresh.FindInput{Dataset: "d", Source: "s3://rpo/incoming/"})
	if err != nil || found.New != 1 || found.Forgotten != 1 {
		t.Errorf("a refresh finds %+v, %v", found, err)
	}
}

func TestAPersonaTakesItsDialoguesAlongAndNotTheProfile(t *testing.T) {
	s := store.NewMemory("rpo")
	w := build(t, s)
	proof, _, err := forget.Forget(t.Context(), s, forget.Request{Personas: []string{w.personas[1].PersonaID}}, "", false)
	if err != nil || !proof.Complete() {
		t.Fatalf("%+v, %v", proof, err)
	}
	if proof.Rows[schemas.TablePersona] != 1 || proof.Rows[schemas.TableProfile] != 0 || proof.Rows[schemas.TablePair] != 1 || proof.Rows[schemas.TableOpposite] != 0 {
		t.Errorf("rows %v", proof.Rows)
	}
}

func TestWhatCannotBeForgottenIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	s := store.NewMemory("rpo")
	w := build(t, s)
	if err := store.Pin(t.Context(), s, "d", 1, "the paper"); err != nil {
		t.Fatal(err)
	}
	before := contents(t, s)
	for name, c := range map[string]struct {
		request forget.Request
		want    string
	}{
		"a pinned version":        {forget.Request{Profiles: []string{w.profiles[0].ProfileID}}, "rpo dataset unpin d 1"},
		"an unknown id":           {forget.Request{Profiles: []string{"nobody"}}, "no row is of"},
		"nothing":                 {forget.Request{}, "at least one"},
		"an ambiguous user":       {forget.Request{Users: []string{"ada-lovelace"}}, `"guests:ada-lovelace"`},
		"an unknown data set":     {forget.Request{Profiles: []string{w.profiles[0].ProfileID}, Dataset: "e"}, "no data set"},
		"another data set's rows": {forget.Request{Profiles: []string{w.profiles[0].ProfileID}, Dataset: "e"}, "data set"},
	} {
		if _, _, err := forget.Forget(t.Context(), s, c.request, "", false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !reflect.DeepEqual(before, contents(t, s)) {
		t.Error("a refused request changed the bucket")
	}
}

func TestARemovalThatIsCutShortAnywhereEndsTheSameWhenItIsRepeated(t *testing.T) {
	whole := store.NewMemory("rpo")
	w := build(t, whole)
	request := forget.Request{Profiles: []string{w.profiles[0].ProfileID}}
	if _, _, err := forget.Forget(t.Context(), whole, request, "", false); err != nil {
		t.Fatal(err)
	}
	want := contents(t, whole)
	plain := func(all map[string]string) map[string]string {
		for key := range all {
			// Parts of the cache carry the time of writing in their names.
			if strings.HasPrefix(key, "forgotten/proofs/") || strings.HasPrefix(key, "cache/") {
				delete(all, key)
			}
		}
		return all
	}
	plain(want)
	cut := errors.New("the machine is gone")
	for writes := 0; ; writes++ {
		s := store.NewMemory("rpo")
		build(t, s)
		left, ended := writes, false
		s.Before = func(operation, _ string) error {
			if operation == "get" || operation == "head" || operation == "list" {
				return nil
			}
			if left--; left < 0 {
				ended = true
				return cut
			}
			return nil
		}
		_, _, err := forget.Forget(t.Context(), s, request, "", false)
		if ended != errors.Is(err, cut) {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		s.Before = nil
		if ended {
			if proof, _, err := forget.Forget(t.Context(), s, request, "", false); err != nil || !proof.Complete() || proof.Search.Texts == 0 {
				t.Fatalf("repeated after %d writes: %+v, %v", writes, proof, err)
			}
		}
		if got := plain(contents(t, s)); !reflect.DeepEqual(got, want) {
			for key := range got {
				if want[key] != got[key] {
					t.Errorf("after %d writes: %s differs", writes, key)
				}
			}
			for key := range want {
				if _, ok := got[key]; !ok {
					t.Errorf("after %d writes: %s is missing", writes, key)
				}
			}
			return
		}
		if !ended {
			t.Logf("%d writes", writes)
			return
		}
	}
}

func TestASearchThatFindsSomethingIsAFailureWithAProof(t *testing.T) {
	s := store.NewMemory("rpo")
	w := build(t, s)
	w.put("models/job/notes.txt", "learned from "+w.profiles[0].ProfileID)
	proof, uri, err := forget.Forget(t.Context(), s, forget.Request{Profiles: []string{w.profiles[0].ProfileID}}, "", false)
	if schemas.TypeOf(err) != schemas.CorruptData || proof.Complete() || !slices.Equal(proof.Search.Found, []string{"models/job/notes.txt"}) || uri == "" {
		t.Fatalf("%+v, %s, %v", proof.Search, uri, err)
	}
	if err := s.Delete(t.Context(), "models/job/notes.txt"); err != nil {
		t.Fatal(err)
	}
	if proof, _, err = forget.Forget(t.Context(), s, forget.Request{Profiles: []string{w.profiles[0].ProfileID}}, "", false); err != nil || !proof.Complete() {
		t.Errorf("repeated: %+v, %v", proof.Search, err)
	}
}

func TestForgettingWorksOnARealS3Server(t *testing.T) {
	s := storetest.StartServer(t).Open(t, "")
	w := build(t, s)
	proof, _, err := forget.Forget(t.Context(), s, forget.Request{Profiles: []string{w.profiles[0].ProfileID, w.profiles[2].ProfileID}}, "", false)
	if err != nil || !proof.Complete() || proof.Rows[schemas.TablePair] != 2 {
		t.Fatalf("%+v, %v", proof, err)
	}
}
