package cache_test

import (
	"strings"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
)

// kept are the texts in the store, by what Walk shows.
func kept(t *testing.T, s store.Store) (texts []string, unreadable int) {
	t.Helper()
	if err := cache.Walk(t.Context(), s, func(_ string, e cache.Entry) { texts = append(texts, e.Text) }, func(string) { unreadable++ }); err != nil {
		t.Fatal(err)
	}
	return texts, unreadable
}

func TestWhatIsForgottenIsFoundByItsOwnersAndGone(t *testing.T) {
	s := store.NewMemory("rpo")
	c, m := start(t, s), newModel()
	for _, owner := range []string{"ada", "ben", "cleo", ""} {
		ctx := t.Context()
		if owner != "" {
			ctx = chat.Own(ctx, owner, "shared-persona")
		}
		if _, err := c.completer(m).Complete(ctx, ask("about "+owner, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	owners := cache.NewOwners([]string{"ben"})
	var untagged int
	drop := func(e cache.Entry) bool {
		if !e.Tagged() {
			untagged++
		}
		return owners.Own(e)
	}
	dry, err := cache.Scrub(t.Context(), s, drop, true)
	if err != nil || len(dry) != 1 || dry[0].Entries != 4 || dry[0].Removed != 1 || untagged != 1 {
		t.Fatalf("dry run: %+v, %d untagged, %v", dry, untagged, err)
	}
	if texts, _ := kept(t, s); len(texts) != 4 {
		t.Fatalf("a dry run left %q", texts)
	}
	done, err := cache.Scrub(t.Context(), s, drop, false)
	if err != nil || len(done) != 1 || done[0] != dry[0] {
		t.Fatalf("got %+v, %v, the dry run said %+v", done, err, dry)
	}
	texts, _ := kept(t, s)
	if len(texts) != 3 || strings.Contains(strings.Join(texts, " "), "ben") {
		t.Fatalf("left %q", texts)
	}
	if again, err := cache.Scrub(t.Context(), s, drop, false); err != nil || len(again) != 0 {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	// What was not forgotten is still answered without a call, what was is asked anew.
	other := start(t, s)
	before, _, _ := m.total()
	for _, owner := range []string{"ada", "cleo", "ben"} {
		if _, err := other.completer(m).Complete(t.Context(), ask("about "+owner, 1)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, other.Close(t.Context()))
	if calls, _, _ := m.total(); calls != before+1 {
		t.Errorf("%d calls, want 1", calls-before)
	}
	all := cache.NewOwners([]string{"shared-persona"})
	if _, err := cache.Scrub(t.Context(), s, func(e cache.Entry) bool { return all.Own(e) || !e.Tagged() }, false); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.List(t.Context(), "cache/", "", 0); err != nil || len(keys) != 0 {
		t.Errorf("left %v, %v", keys, err)
	}
}

func TestAPartThatCannotBeReadIsForgottenAsAWhole(t *testing.T) {
	s := store.NewMemory("rpo")
	for _, key := range []string{"cache/calls/m-1/20260101T000000-a-1.dat", "cache/calls/m-1/20260101T000000-b-1.idx"} {
		if err := s.Put(t.Context(), key, []byte("not a part")); err != nil {
			t.Fatal(err)
		}
	}
	if _, unreadable := kept(t, s); unreadable != 2 {
		t.Errorf("%d are unreadable, want 2", unreadable)
	}
	done, err := cache.Scrub(t.Context(), s, func(cache.Entry) bool { return false }, false)
	if err != nil || len(done) != 2 || !done[0].Unreadable {
		t.Fatalf("%+v, %v", done, err)
	}
	if keys, _ := s.List(t.Context(), "cache/", "", 0); len(keys) != 0 {
		t.Errorf("left %v", keys)
	}
}
