package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// AcceptanceTest runs the suite. newStore returns an empty store.
func AcceptanceTest(t *testing.T, newStore func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"an object comes back as it was put", putGet},
		{"an absent object is not found", absent},
		{"a malformed key is refused before anything is sent", malformedKeys},
		{"a listing is sorted, pages over a thousand keys and stops at its limit", listing},
		{"a conditional write keeps the first bytes", conditional},
		{"of sixteen racing conditional writes exactly one wins", race},
		{"a large file goes up and comes back", largeFile},
		{"a changed object gives no file", corruptFile},
		{"a uri of another bucket is refused", foreignURI},
		{"an ended context stops a request", endedContext},
		{"rows come back and a changed object is detected before it is parsed", rows},
		{"the first commit record of a shard counts", commit},
		{"a commit record never names what is not there", commitRefused},
		{"racing attempts at a shard agree on one record", commitRace},
		{"done shards are listed by number", committedShards},
		{"a manifest comes back and a malformed one names its uri", manifest},
		{"versions count up and equal objects make no second one", versions},
		{"racing publishers make a chain without gaps", versionRace},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newStore(t)) })
	}
}

func wantType(t *testing.T, err error, want schemas.ErrorType, holds ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if _, ok := errors.AsType[*schemas.Error](err); !ok || schemas.TypeOf(err) != want {
		t.Fatalf("got %s (%v), want %s", schemas.TypeOf(err), err, want)
	}
	for _, part := range holds {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("message %q does not hold %q", err, part)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func putGet(t *testing.T, s store.Store) {
	ctx := t.Context()
	for key, data := range map[string][]byte{
		"plain":                  []byte("hello"),
		"empty":                  {},
		"deep/er/and deeper.txt": {0, 255, 10, 13},
		"ünï/cødé +%&?#.json":    []byte("日本"),
	} {
		must(t, s.Put(ctx, key, data))
		got, err := s.Get(ctx, key)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Fatalf("%s: got %q, want %q", key, got, data)
		}
		size, sum, err := s.Head(ctx, key)
		must(t, err)
		if size != int64(len(data)) || sum != hexSum(data) {
			t.Fatalf("%s: head says %d %s, want %d %s", key, size, sum, len(data), hexSum(data))
		}
		if ok, err := s.Exists(ctx, key); err != nil || !ok {
			t.Fatalf("%s: exists says %v %v", key, ok, err)
		}
	}
	must(t, s.Put(ctx, "plain", []byte("replaced")))
	if got, err := s.Get(ctx, "plain"); err != nil || string(got) != "replaced" {
		t.Fatalf("got %q %v after a replacement", got, err)
	}
	must(t, s.Delete(ctx, "plain"))
	if ok, err := s.Exists(ctx, "plain"); err != nil || ok {
		t.Fatalf("exists says %v %v after delete", ok, err)
	}
}

func absent(t *testing.T, s store.Store) {
	ctx := t.Context()
	_, err := s.Get(ctx, "no/such")
	wantType(t, err, schemas.NotFound, s.URI("no/such"))
	_, _, err = s.Head(ctx, "no/such")
	wantType(t, err, schemas.NotFound, s.URI("no/such"))
	if ok, err := s.Exists(ctx, "no/such"); err != nil || ok {
		t.Fatalf("exists says %v %v", ok, err)
	}
	must(t, s.Delete(ctx, "no/such"))
	path := filepath.Join(t.TempDir(), "file")
	wantType(t, s.GetFile(ctx, schemas.Object{Key: "no/such"}, path), schemas.NotFound)
	_, err = s.PutFile(ctx, "key", path)
	wantType(t, err, schemas.NotFound, path)
}

func malformedKeys(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/./b", "a/..", "a\x00b", "a\nb", "\xff",
		strings.Repeat("k", 256), strings.Repeat("kkkk/", 300) + "k"} {
		wantType(t, s.Put(ctx, key, nil), schemas.InvalidInput)
		_, err := s.PutIfAbsent(ctx, key, nil)
		wantType(t, err, schemas.InvalidInput)
		_, err = s.Get(ctx, key)
		wantType(t, err, schemas.InvalidInput)
		wantType(t, s.Delete(ctx, key), schemas.InvalidInput)
		wantType(t, s.GetFile(ctx, schemas.Object{Key: key}, filepath.Join(t.TempDir(), "f")), schemas.InvalidInput)
	}
}

func listing(t *testing.T, s store.Store) {
	ctx := t.Context()
	var want []string
	for i := range 1050 {
		want = append(want, fmt.Sprintf("list/shard-%05d.json", i))
	}
	puts := make(chan string)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for key := range puts {
				if err := s.Put(ctx, key, []byte(key)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, key := range want {
		puts <- key
	}
	puts <- "list.txt"
	puts <- "lisa/shard"
	close(puts)
	group.Wait()
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"list/", "", 0, want},
		{"list/", "", 1050, want},
		{"list/", "", 1, want[:1]},
		{"list/", "", 1000, want[:1000]},
		{"list/", "", 1001, want[:1001]},
		{"list/", want[9], 3, want[10:13]},
		{"list/", want[1049], 0, nil},
		{"list/shard-0000", "", 0, want[:10]},
		{"list", "", 2, []string{"list.txt", want[0]}},
		{"none/", "", 0, nil},
	} {
		got, err := s.List(ctx, c.prefix, c.after, c.limit)
		must(t, err)
		if !slices.Equal(got, c.want) {
			t.Fatalf("list %q after %q limit %d: %d keys, want %d", c.prefix, c.after, c.limit, len(got), len(c.want))
		}
	}
	if all, err := s.List(ctx, "", "", 0); err != nil || len(all) != 1052 || !slices.IsSorted(all) {
		t.Fatalf("list of everything: %d keys, %v", len(all), err)
	}
}

func conditional(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, c := range []struct {
		data string
		won  bool
	}{{"first", true}, {"second", false}, {"first", true}} {
		won, err := s.PutIfAbsent(ctx, "key", []byte(c.data))
		must(t, err)
		if won != c.won {
			t.Fatalf("write of %q: won is %v", c.data, won)
		}
	}
	if got, err := s.Get(ctx, "key"); err != nil || string(got) != "first" {
		t.Fatalf("got %q %v", got, err)
	}
	large := make([]byte, store.MaxConditional)
	for i, want := range []bool{true, false} {
		large[0] = byte(i)
		if won, err := s.PutIfAbsent(ctx, "large", large); err != nil || won != want {
			t.Fatalf("largest conditional write: %v %v", won, err)
		}
	}
	_, err := s.PutIfAbsent(ctx, "larger", append(large, 0))
	wantType(t, err, schemas.InvalidInput, "larger")
}

func race(t *testing.T, s store.Store) {
	ctx := t.Context()
	for round := range 10 {
		key := fmt.Sprintf("race/%d", round)
		won := make([]bool, 16)
		start := make(chan struct{})
		var group sync.WaitGroup
		for i := range won {
			group.Go(func() {
				<-start
				var err error
				if won[i], err = s.PutIfAbsent(ctx, key, fmt.Appendf(nil, "writer %d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
		got, err := s.Get(ctx, key)
		must(t, err)
		for i, w := range won {
			if w != (string(got) == fmt.Sprintf("writer %d", i)) {
				t.Fatalf("round %d: writer %d is told won=%v, the object is %q", round, i, w, got)
			}
		}
	}
}

func largeFile(t *testing.T, s store.Store) {
	ctx := t.Context()
	data := make([]byte, 25<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "made/on/the/way", "to")
	must(t, os.WriteFile(from, data, 0o600))
	object, err := s.PutFile(ctx, "files/large", from)
	must(t, err)
	if want := (schemas.Object{Key: "files/large", SHA256: hexSum(data), Bytes: 25 << 20}); object != want {
		t.Fatalf("got %+v, want %+v", object, want)
	}
	again, err := s.PutFile(ctx, "files/large", from)
	must(t, err)
	if again != object {
		t.Fatalf("putting again gives %+v", again)
	}
	must(t, s.GetFile(ctx, object, to))
	got, err := os.ReadFile(to)
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Fatal("the file came back changed")
	}
	wantAlone(t, to)
}

// wantAlone demands that no partial file stayed beside path.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Fatalf("%s was left behind", e.Name())
		}
	}
}

func corruptFile(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.Put(ctx, "key", []byte("as it was")))
	object := schemas.Object{Key: "key", SHA256: hexSum([]byte("as it was")), Bytes: 9}
	path := filepath.Join(t.TempDir(), "file")
	for _, data := range []string{"as it WAS", "as it", ""} {
		must(t, s.Put(ctx, "key", []byte(data)))
		wantType(t, s.GetFile(ctx, object, path), schemas.CorruptData, s.URI("key"))
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("a file appeared: %v", err)
		}
		wantAlone(t, path)
	}
}

func foreignURI(t *testing.T, s store.Store) {
	key, err := s.Key(s.URI("a/b"))
	must(t, err)
	if key != "a/b" || !strings.HasPrefix(s.URI("a/b"), "s3://") {
		t.Fatalf("key %q of uri %q", key, s.URI("a/b"))
	}
	for _, uri := range []string{"s3://another/a/b", "a/b", "", "file:///a/b", "https://s3/a/b", s.URI(""), s.URI("a/../b"),
		strings.Replace(s.URI("a"), "://", "://x", 1)} {
		_, err := s.Key(uri)
		wantType(t, err, schemas.InvalidInput)
	}
	_, err = store.GetManifest(t.Context(), s, "s3://another/runs/j/s/manifest.json")
	wantType(t, err, schemas.InvalidInput, "s3://another/")
}

func endedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.PutIfAbsent(ctx, "key", nil)
	for _, err := range []error{err, s.Put(ctx, "key", nil), s.Delete(ctx, "key")} {
		wantType(t, err, schemas.Overloaded)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("the cause of %v is not reachable", err)
		}
	}
}
