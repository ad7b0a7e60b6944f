package pair_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/pair"
	"rpo/activities/profile"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// trouble disturbs a run: it fails operations of the store, loses their
// acknowledgements, and kills attempts while a model answers. With a chance of 0
// it disturbs nothing.
type trouble struct {
	chance float64

	mu      sync.Mutex
	random  *rand.Rand
	cancels map[int]context.CancelFunc // of the attempts under way
	next    int
	counts  map[string]int
}

func (d *trouble) strikes(what string, chance float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.chance == 0 || d.random.Float64() >= chance*d.chance {
		return false
	}
	d.counts[what]++
	return true
}

// handler kills every attempt under way at times; the reply stays the same.
func (d *trouble) handler(reply func(scripted.Parsed) scripted.Reply) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		if d.strikes("killed", 0.5) {
			d.mu.Lock()
			for _, cancel := range d.cancels {
				cancel()
			}
			d.mu.Unlock()
		}
		return reply(p)
	}
}

// attempt calls do with a context that trouble may end.
func (d *trouble) attempt(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	id := d.next
	d.next++
	d.cancels[id] = cancel
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.cancels, id)
		d.mu.Unlock()
	}()
	return do(ctx)
}

// untilDone repeats an attempt that trouble ended.
func (d *trouble) untilDone(t *testing.T, ctx context.Context, what string, do func(context.Context) error) {
	var err error
	for range 200 {
		if err = d.attempt(ctx, do); err == nil {
			return
		}
	}
	t.Errorf("%s does not succeed: %v", what, err)
}

// flow runs every step over a manifest and publishes the pairs.
type flow struct {
	*trouble
	t      *testing.T
	store  *store.Memory
	models steptest.Models
}

// stage works through the shards in random order, some by two attempts at once,
// and closes the stage.
func (f *flow) stage(ctx context.Context, name, manifest string, do func(context.Context, store.Shard) (schemas.ShardResult, error)) schemas.StageResult {
	records := store.Activities{Store: f.store}
	var opened store.OpenStageResult
	f.untilDone(f.t, ctx, "open "+name, func(ctx context.Context) (err error) {
		opened, err = records.OpenStage(ctx, store.OpenStageInput{Stage: name, Manifest: manifest, Split: schemas.SplitTrain})
		return err
	})
	var page store.ListShardsResult
	f.untilDone(f.t, ctx, "list "+name, func(ctx context.Context) (err error) {
		page, err = records.ListShards(ctx, store.ListShardsInput{Job: opened.Job, Stage: name, Manifest: manifest, Split: schemas.SplitTrain, Limit: 500})
		return err
	})
	f.mu.Lock()
	f.random.Shuffle(len(page.Todo), func(i, j int) { page.Todo[i], page.Todo[j] = page.Todo[j], page.Todo[i] })
	f.mu.Unlock()
	for _, number := range page.Todo {
		shard := store.Shard{Job: opened.Job, Stage: name, ConfigHash: opened.ConfigHash, Manifest: manifest, Number: number}
		var attempts sync.WaitGroup
		atOnce := 1
		if f.strikes("raced", 20) {
			atOnce = 2
		}
		for range atOnce {
			attempts.Go(func() {
				f.untilDone(f.t, ctx, fmt.Sprintf("shard %d of %s", number, name), func(ctx context.Context) error {
					r, err := do(ctx, shard)
					if err == nil && r.Reused {
						f.mu.Lock()
						f.counts["reused"]++
						f.mu.Unlock()
					}
					return err
				})
			})
		}
		attempts.Wait()
	}
	var out schemas.StageResult
	f.untilDone(f.t, ctx, "close "+name, func(ctx context.Context) (err error) {
		out, err = records.CloseStage(ctx, store.CloseStageInput{Job: opened.Job, Stage: name, Manifest: manifest, Split: schemas.SplitTrain})
		return err
	})
	if !out.Books.Closed() {
		f.t.Errorf("%s: books %+v", name, out.Books)
	}
	return out
}

type outcome struct {
	stages    []schemas.StageResult
	published schemas.PairResult
}

func (f *flow) run(ctx context.Context, manifest string) (out outcome) {
	next := func(name string, do func(context.Context, store.Shard) (schemas.ShardResult, error)) {
		r := f.stage(ctx, name, manifest, do)
		manifest = r.Manifest
		out.stages = append(out.stages, r)
	}
	o := schemas.SampleOptions{Endpoint: "policy", Responses: 3}
	o.SetDefaults()
	sampling := sample.Activities{Store: f.store, Models: f.models}
	next("sample", func(ctx context.Context, s store.Shard) (schemas.ShardResult, error) {
		return sampling.SampleShard(ctx, sample.ShardInput{Shard: s, SampleOptions: o})
	})
	judging := judge.Activities{Store: f.store, Models: f.models}
	next("judge", func(ctx context.Context, s store.Shard) (schemas.ShardResult, error) {
		return judging.JudgeShard(ctx, judge.ShardInput{Shard: s, JudgeOptions: schemas.JudgeOptions{JudgeEndpoint: "judge"}})
	})
	reversing := reverse.Activities{Store: f.store, Models: f.models}
	next("reverse", func(ctx context.Context, s store.Shard) (schemas.ShardResult, error) {
		return reversing.ReverseShard(ctx, reverse.ShardInput{Shard: s, ReverseOptions: schemas.ReverseOptions{ReverseEndpoint: "reverse"}})
	})
	pairing := pair.Activities{Store: f.store, Models: f.models}
	next("pair", func(ctx context.Context, s store.Shard) (schemas.ShardResult, error) {
		return pairing.PairShard(ctx, pair.ShardInput{Shard: s, PairOptions: schemas.PairOptions{
			MinMargin: 1, CheckOpposites: true, OppositeJudgeEndpoint: "judge", Baselines: true}})
	})
	f.untilDone(f.t, ctx, "publish", func(ctx context.Context) (err error) {
		out.published, err = pairing.PublishVersion(ctx, pair.PublishInput{Dataset: "shops", Manifest: manifest})
		return err
	})
	return out
}

// start imports the profiles into a new store and runs all steps under trouble.
func start(t *testing.T, chance float64, seed uint64) (*flow, outcome) {
	t.Helper()
	f := &flow{t: t, store: store.NewMemory("rpo"), trouble: &trouble{
		random: rand.New(rand.NewPCG(seed, 1)), cancels: map[int]context.CancelFunc{}, counts: map[string]int{},
	}}
	f.models = steptest.Models{
		"policy":  scripted.New(t, f.handler(policy)).URL,
		"judge":   scripted.New(t, f.handler(judgeModel)).URL,
		"reverse": scripted.New(t, f.handler(reverseModel)).URL,
	}
	in, err := profile.ReadPlain(strings.NewReader(profiles(7)), "shops", profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	manifest, _, err := profile.Write(t.Context(), f.store, in, 2)
	if err != nil {
		t.Fatal(err)
	}
	// Writes are rare beside reads, so they fail more often.
	often := map[string]float64{"put": 6, "put-if-absent": 10}
	f.store.Before = func(operation, _ string) error {
		if f.strikes("failed "+operation, max(1, often[operation])) {
			return schemas.Errorf(schemas.Overloaded, "connection refused")
		}
		return nil
	}
	f.store.After = func(operation, _ string) error {
		if f.strikes("lost "+operation, max(1, often[operation])) {
			return schemas.Errorf(schemas.Overloaded, "connection reset")
		}
		return nil
	}
	f.chance = chance
	var out outcome
	steptest.Run(t, func(ctx context.Context) { out = f.run(ctx, manifest) })
	f.mu.Lock()
	f.chance = 0
	f.mu.Unlock()
	return f, out
}

// rows reads a table of the last stage that made it and returns the ids.
func rows[T any](t *testing.T, f *flow, r schemas.StageResult, table string, id func(T) string) []string {
	t.Helper()
	m, err := store.GetManifest(t.Context(), f.store, r.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range m.Objects(table) {
		part, err := store.GetRows[T](t.Context(), f.store, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range part {
			ids = append(ids, id(row))
		}
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) {
		t.Errorf("table %s: %d rows with %d ids", table, len(ids), n)
	}
	return ids
}

func (f *flow) tables(t *testing.T, out outcome) map[string][]string {
	return map[string][]string{
		schemas.TableResponse: rows(t, f, out.stages[0], schemas.TableResponse, func(r schemas.Response) string { return r.ResponseID }),
		schemas.TableVerdict:  rows(t, f, out.stages[1], schemas.TableVerdict, func(r schemas.Verdict) string { return r.VerdictID }),
		schemas.TableOpposite: rows(t, f, out.stages[2], schemas.TableOpposite, func(r schemas.Opposite) string { return r.OppositeID }),
		schemas.TablePair:     rows(t, f, out.stages[3], schemas.TablePair, func(r schemas.Pair) string { return r.PairID }),
		schemas.TableDPO:      rows(t, f, out.stages[3], schemas.TableDPO, func(r schemas.Pair) string { return r.PairID }),
		schemas.TableKTO:      rows(t, f, out.stages[3], schemas.TableKTO, func(r schemas.Desirability) string { return r.DesirabilityID }),
		schemas.TableSFT:      rows(t, f, out.stages[3], schemas.TableSFT, func(r schemas.Demonstration) string { return r.DemonstrationID }),
		"sample quarantine":   rows(t, f, out.stages[0], schemas.TableQuarantine, func(r schemas.Quarantined) string { return r.RowID }),
		"judge quarantine":    rows(t, f, out.stages[1], schemas.TableQuarantine, func(r schemas.Quarantined) string { return r.RowID }),
	}
}

func TestARunThatIsInterruptedEverywhereMakesTheSameDataSet(t *testing.T) {
	calm, want := start(t, 0, 0)
	tables := calm.tables(t, want)
	for table, ids := range tables {
		if len(ids) == 0 {
			t.Errorf("table %s is empty: the test proves nothing about it", table)
		}
	}
	if len(want.published.Baselines) != 3 || want.published.Hash == "" || want.published.Version != 1 || want.published.Pairs != int64(len(tables[schemas.TablePair])) {
		t.Fatalf("published %+v", want.published)
	}
	counts := map[string]int{}
	for seed := range uint64(2) {
		f, got := start(t, 0.02, seed+1)
		for what, n := range f.counts {
			counts[what] += n
		}
		if !reflect.DeepEqual(got.published, want.published) {
			t.Errorf("seed %d: published %+v, want %+v", seed, got.published, want.published)
		}
		for i, r := range got.stages {
			if w := want.stages[i]; r.Job != w.Job || r.Books != w.Books || !reflect.DeepEqual(r.Counts, w.Counts) || r.Shards != w.Shards {
				t.Errorf("seed %d: stage %+v, want %+v", seed, r, w)
			}
		}
		if ids := f.tables(t, got); !reflect.DeepEqual(ids, tables) {
			t.Errorf("seed %d: rows were lost, doubled or changed", seed)
		}
	}
	for _, what := range []string{"failed put", "lost put", "failed put-if-absent", "lost put-if-absent", "killed", "raced", "reused"} {
		if counts[what] == 0 {
			t.Errorf("nothing was %s: %v", what, counts)
		}
	}
}
