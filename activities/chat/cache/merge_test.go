package cache_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rpo/activities/store"
	"rpo/schemas"
)

// fill writes n parts of one choice each.
func fill(t testing.TB, p *process, m *model, prefix string, n int) {
	t.Helper()
	for i := range n {
		_, err := p.completer(m).Complete(t.Context(), ask(fmt.Sprint(prefix, i), 1))
		must(t, err)
		must(t, p.Flush(t.Context()))
	}
}

// replay demands that the next process answers all without a call.
func replay(t testing.TB, p *process, m *model, prefix string, n int) {
	t.Helper()
	for i := range n {
		resp, err := p.completer(m).Complete(t.Context(), ask(fmt.Sprint(prefix, i), 1))
		check(t, ask(fmt.Sprint(prefix, i), 1), resp, err)
		if resp.Calls != 0 {
			t.Fatalf("%s%d is lost", prefix, i)
		}
	}
}

func TestMergingKeepsTheListingShortAndLosesNothingToReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		writer, stop := start(t, s), atomic.Bool{}
		fill(t, writer, m, "p", 60)
		var readers sync.WaitGroup
		for range 4 {
			reader := start(t, s)
			must(t, reader.Open(t.Context(), "m@1")) // knows the parts that are merged now
			readers.Go(func() {
				for !stop.Load() {
					replay(t, reader, m, "p", 60)
					time.Sleep(time.Millisecond)
				}
			})
		}
		fill(t, writer, m, "q", 140)
		synctest.Wait()
		stop.Store(true)
		readers.Wait()
		if n := len(keysOf(t, s, ".idx")); n > 64+4 {
			t.Errorf("%d parts are left of 200", n)
		}
		if st := writer.Stats(); st.Merged < 64 || st.Damaged != 0 {
			t.Errorf("stats %+v", st)
		}
		next := start(t, s)
		replay(t, next, m, "p", 60)
		replay(t, next, m, "q", 140)
		if st := next.Stats(); st.Entries != 200 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestAMergeThatIsKilledAtAnyOperationLosesNothing(t *testing.T) {
	// Which write or delete of the merge is the last that happens.
	for last := 0; last < 12; last++ {
		synctest.Test(t, func(t *testing.T) {
			s, m := store.NewMemory("rpo"), newModel()
			writer := start(t, s)
			fill(t, writer, m, "p", 63)
			var merging atomic.Int64
			s.After = func(operation, key string) error {
				if strings.Contains(key, "-m") || operation == "delete" {
					if merging.Add(1) > int64(last) {
						writer.kill()
					}
				}
				return nil
			}
			fill(t, writer, m, "q", 1)
			synctest.Wait()
			s.After = nil
			if merging.Load() == 0 {
				t.Fatal("nothing was merged")
			}
			next := start(t, s)
			replay(t, next, m, "p", 63)
			replay(t, next, m, "q", 1)
		})
	}
}

func TestPartsThatKilledProcessesLeftAreMergedAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		for i := range 6 {
			p := start(t, s)
			fill(t, p, m, fmt.Sprint("p", i, "-"), 50)
			p.kill()
		}
		soon := start(t, s)
		replay(t, soon, m, "p0-", 50)
		synctest.Wait()
		if n := len(keysOf(t, s, ".idx")); n != 300 {
			t.Fatalf("%d parts are left, though none is old", n)
		}
		time.Sleep(61 * time.Minute)
		var racing sync.WaitGroup
		for range 3 {
			p := start(t, s)
			racing.Go(func() { must(t, p.Open(t.Context(), "m@1")) })
		}
		racing.Wait()
		synctest.Wait()
		// Who finds some parts gone makes a part of the rest.
		if n := len(keysOf(t, s, ".idx")); n > 3 {
			t.Errorf("%d parts are left", n)
		}
		// One that knew the parts before, and one that did not.
		for _, p := range []*process{soon, start(t, s)} {
			for i := range 6 {
				replay(t, p, m, fmt.Sprint("p", i, "-"), 50)
			}
		}
	})
}

func TestAPartThatIsListedAgainAfterItsMergeHidesNothing(t *testing.T) {
	s, m := store.NewMemory("rpo"), newModel()
	p := start(t, s)
	fill(t, p, m, "p", 3)
	// The same choices in a later part of another process, which a reader learns of
	// before the first ones go.
	saved := map[string][]byte{}
	for _, k := range keysOf(t, s, "") {
		data, err := s.Get(t.Context(), k)
		must(t, err)
		saved[k] = data
	}
	reader := start(t, s)
	must(t, reader.Open(t.Context(), "m@1"))
	for k, data := range saved {
		folder, name := k[:strings.LastIndex(k, "/")+1], k[strings.LastIndex(k, "/")+1:]
		must(t, s.Put(t.Context(), folder+"0"+name, data)) // listed first
		must(t, s.Delete(t.Context(), k))
	}
	must(t, reader.Open(t.Context(), "m@1"))
	for k, data := range saved {
		must(t, s.Put(t.Context(), k, data))
	}
	must(t, reader.Open(t.Context(), "m@1"))
	for k := range saved {
		must(t, s.Delete(t.Context(), k))
	}
	replay(t, reader, m, "p", 3)
	must(t, reader.Open(t.Context(), "m@1"))
	replay(t, reader, m, "p", 3)
	if st := reader.Stats(); st.Parts != 3 || st.Entries != 3 || st.Damaged != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestAMergeThatCannotReadAPartLeavesItInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := store.NewMemory("rpo"), newModel()
		writer := start(t, s)
		fill(t, writer, m, "p", 63)
		keys := keysOf(t, s, ".idx")
		s.Before = func(operation, key string) error {
			if operation == "get" && key == keys[7] {
				return schemas.Errorf(schemas.Overloaded, "slow down")
			}
			return nil
		}
		fill(t, writer, m, "q", 1)
		synctest.Wait()
		if n := len(keysOf(t, s, ".idx")); n != 64 {
			t.Errorf("%d parts are left of 64", n)
		}
		s.Before = nil
		must(t, s.Put(context.Background(), keys[7], []byte("damaged")))
		fill(t, writer, m, "r", 1)
		synctest.Wait()
		if left := keysOf(t, s, ".idx"); len(left) != 2 || left[0] != keys[7] {
			t.Errorf("%d parts are left", len(left))
		}
	})
}
