package cache_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"rpo/activities/chat/scripted"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

// run samples shard 0 of a manifest as a worker with this process's cache would.
func run(t *testing.T, ctx context.Context, p *process, url, manifest string, n int) (store.Shard, schemas.ShardResult, error) {
	t.Helper()
	o := schemas.SampleOptions{Endpoint: "policy", Responses: n}
	o.SetDefaults()
	a := sample.Activities{Store: p.Store, Models: steptest.Cached{Models: steptest.Models{"policy": url}, Cache: p.Cache}}
	in := sample.ShardInput{Shard: steptest.Open(t, p.Store, "sample", manifest, o, 0), SampleOptions: o}
	var r schemas.ShardResult
	var err error
	steptest.Run(t, func(activity context.Context) {
		activity, cancel := context.WithCancel(activity)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		r, err = a.SampleShard(activity, in)
	})
	return in.Shard, r, err
}

func TestAShardThatIsStoppedInTheMiddleAsksForNothingTwice(t *testing.T) {
	const turns, answered = 30, 12
	reply := scripted.PerChoice(func(p scripted.Parsed, seed int64) string { return fmt.Sprintf("answer %d to %s", seed, p.Last()) })
	for name, killed := range map[string]bool{"cancelled": false, "killed after its calls were written": true} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory("rpo")
			manifest := steptest.Manifest(t, s, steptest.Turns("shop", turns))
			var asked atomic.Int64
			var restarted atomic.Bool
			server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
				if asked.Add(1) > answered && !restarted.Load() {
					return scripted.Hang()
				}
				return reply(p)
			})
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			first := start(t, s)
			go func() {
				// All slots hang, so what was answered before was taken.
				err := server.Await(ctx, func(st scripted.Stats) bool { return st.Answered == answered && st.InFlight == 4 })
				if err != nil {
					t.Error(err)
				}
				if killed {
					must(t, first.Flush(ctx))
					first.kill()
				}
				stop()
			}()
			if _, _, err := run(t, ctx, first, server.URL, manifest, 5); !errors.Is(err, context.Canceled) {
				t.Fatalf("the stopped shard gives %v", err)
			}
			if err := server.Await(t.Context(), func(st scripted.Stats) bool { return st.InFlight == 0 }); err != nil {
				t.Fatal(err)
			}
			restarted.Store(true)
			shard, r, err := run(t, t.Context(), start(t, s), server.URL, manifest, 5)
			if err != nil {
				t.Fatal(err)
			}
			if st := server.Stats(); st.Repeated != 0 || st.Answered != turns {
				t.Errorf("the endpoint answered %d requests, %d of them again", st.Answered, st.Repeated)
			}
			if r.Spent.Calls != turns-answered || r.Spent.Cached != 5*answered {
				t.Errorf("the second attempt spent %+v", r.Spent)
			}
			// The rows are those of a worker without a cache.
			plain := store.NewMemory("rpo")
			a := sample.Activities{Store: plain, Models: steptest.Models{"policy": server.URL}}
			o := schemas.SampleOptions{Endpoint: "policy", Responses: 5}
			o.SetDefaults()
			want := steptest.Open(t, plain, "sample", steptest.Manifest(t, plain, steptest.Turns("shop", turns)), o, 0)
			steptest.Run(t, func(ctx context.Context) {
				if _, err := a.SampleShard(ctx, sample.ShardInput{Shard: want, SampleOptions: o}); err != nil {
					t.Error(err)
				}
			})
			got := steptest.Record(t, s, shard).Outputs
			if w := steptest.Record(t, plain, want).Outputs; !reflect.DeepEqual(got, w) {
				t.Errorf("outputs %+v, want %+v", got, w)
			}
		})
	}
}

func TestMoreResponsesOfAShardCostTheNewOnesOnly(t *testing.T) {
	s := store.NewMemory("rpo")
	manifest := steptest.Manifest(t, s, steptest.Turns("shop", 6))
	var choices atomic.Int64
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		choices.Add(int64(p.N))
		return scripted.PerChoice(func(p scripted.Parsed, seed int64) string { return fmt.Sprint(p.Last(), seed) })(p)
	})
	var shard store.Shard
	for _, step := range []struct {
		n    int
		paid int64
	}{{5, 30}, {7, 42}} {
		var err error
		shard, _, err = run(t, t.Context(), start(t, s), server.URL, manifest, step.n)
		must(t, err)
		if choices.Load() != step.paid {
			t.Errorf("%d choices for %d responses, want %d", choices.Load(), step.n, step.paid)
		}
	}
	plain := store.NewMemory("rpo")
	other, _, err := run(t, t.Context(), start(t, plain), server.URL, steptest.Manifest(t, plain, steptest.Turns("shop", 6)), 7)
	must(t, err)
	if got, want := steptest.Record(t, s, shard).Outputs, steptest.Record(t, plain, other).Outputs; !reflect.DeepEqual(got, want) {
		t.Errorf("outputs %+v, want %+v", got, want)
	}
}

func TestTheCacheWorksOnARealServer(t *testing.T) {
	s := storetest.StartServer(t).Open(t, "cache-test/")
	m := newModel()
	first := start(t, s)
	fill(t, first, m, "p", 5)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := start(t, s)
	replay(t, second, m, "p", 5)
	// Merged by the third, while the second knows the parts that go.
	third := start(t, s)
	fill(t, third, m, "q", 64)
	for range 2 * 64 {
		<-third.deleted
	}
	must(t, third.Close(t.Context()))
	must(t, second.Open(t.Context(), "m@1"))
	replay(t, second, m, "q", 64)
	replay(t, start(t, s), m, "p", 5)
	for _, k := range keysOf(t, s, ".dat") {
		must(t, s.Put(t.Context(), k, []byte("damaged")))
	}
	fourth, before := start(t, s), m.calls
	for i := range 5 {
		req := ask(fmt.Sprint("p", i), 1)
		resp, err := fourth.completer(m).Complete(t.Context(), req)
		check(t, req, resp, err)
	}
	if m.calls != before+5 || fourth.Stats().Damaged == 0 {
		t.Errorf("%d calls after all parts were damaged, stats %+v", m.calls-before, fourth.Stats())
	}
}
