package profile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

func imported(t *testing.T, n int) Imported {
	t.Helper()
	var file strings.Builder
	for i := range n {
		split := "train"
		if i%3 == 0 {
			split = "eval"
		}
		file.WriteString(plain(`"id": "a"`, fmt.Sprintf(`"id": "%d"`, i), "eval", split) + "\n")
	}
	in, err := ReadPlain(strings.NewReader(file.String()), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestShardsHoldEveryProfileOnceAndNoTwoSplits(t *testing.T) {
	ctx, s := context.Background(), store.NewMemory("b")
	in := imported(t, 10)
	for i := range 7 {
		in.setAside(fmt.Sprint(i), "reason", []byte("{}"))
		in.Books.In++
	}
	uri, m, err := Write(ctx, s, in, 3)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := store.GetManifest(ctx, s, uri)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Job != m.Job || m.Stage != "import" || m.Books != in.Books || len(m.Shards) != 4 {
		t.Fatalf("manifest %+v", stored)
	}
	var profiles []string
	turns, quarantined := 0, 0
	for i, shard := range stored.Shards {
		if want := []string{"train", "train", "eval", "eval"}[i]; shard.Shard != i || shard.Split != want {
			t.Errorf("shard %d is %d of %s", i, shard.Shard, shard.Split)
		}
		rows, err := store.GetRows[schemas.Profile](ctx, s, shard.Objects[schemas.TableProfile])
		if err != nil {
			t.Fatal(err)
		}
		mine := map[string]bool{}
		for _, p := range rows {
			checkProfile(t, p)
			mine[p.ProfileID] = true
			profiles = append(profiles, p.ProfileID)
			if p.Split != shard.Split {
				t.Errorf("shard %d of %s holds a profile of %s", i, shard.Split, p.Split)
			}
		}
		part, err := store.GetRows[schemas.Turn](ctx, s, shard.Objects[schemas.TableTurn])
		if err != nil {
			t.Fatal(err)
		}
		for _, turn := range part {
			if !mine[turn.ProfileID] || turn.Split != shard.Split {
				t.Errorf("shard %d holds a turn of another one", i)
			}
		}
		turns += len(part)
		if o, ok := shard.Objects[schemas.TableQuarantine]; ok {
			quarantined += int(o.Rows)
		}
	}
	slices.Sort(profiles)
	if len(slices.Compact(profiles)) != 10 || turns != len(in.Turns) || quarantined != 7 {
		t.Errorf("%d profiles, %d turns, %d quarantined", len(slices.Compact(profiles)), turns, quarantined)
	}
}

func TestWritingTheSameImportAgainChangesNothing(t *testing.T) {
	ctx, s := context.Background(), store.NewMemory("b")
	uri, m, err := Write(ctx, s, imported(t, 4), 2)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.List(ctx, "", "", 0)
	again, n, err := Write(ctx, s, imported(t, 4), 2)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := s.List(ctx, "", "", 0)
	if again != uri || n.Job != m.Job || !slices.Equal(before, after) {
		t.Errorf("got %s with %q, before %s with %q", again, after, uri, before)
	}
	other, o, err := Write(ctx, s, imported(t, 5), 2)
	if err != nil || other == uri || o.Job == m.Job {
		t.Errorf("another import has the same manifest %s, job %s (%v)", other, o.Job, err)
	}
}

func TestAnImportWithoutAProfileWritesNothing(t *testing.T) {
	ctx, s := context.Background(), store.NewMemory("b")
	var in Imported
	in.Books.In = 1
	in.setAside("1", "key 1: too odd", nil)
	_, _, err := Write(ctx, s, in, 2)
	if err == nil || !strings.Contains(err.Error(), "none of 1 rows became a profile: the first one was set aside because key 1: too odd") {
		t.Errorf("error %v", err)
	}
	if _, _, err := Write(ctx, s, imported(t, 1), 0); err == nil {
		t.Error("shards of no profiles were taken")
	}
	if keys, _ := s.List(ctx, "", "", 0); len(keys) > 0 {
		t.Errorf("wrote %q", keys)
	}
}
