package collect_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/collect"
	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

// timed is a store in memory that knows when it was written.
type timed struct {
	*store.Memory
	mu  sync.Mutex
	now time.Time
	at  map[string]time.Time
}

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newTimed() *timed {
	return &timed{Memory: store.NewMemory("rpo"), now: start, at: map[string]time.Time{}}
}

func (s *timed) note(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[key] = s.now
}

func (s *timed) Put(ctx context.Context, key string, data []byte) error {
	s.note(key)
	return s.Memory.Put(ctx, key, data)
}

func (s *timed) PutIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	won, err := s.Memory.PutIfAbsent(ctx, key, data)
	if won {
		s.note(key)
	}
	return won, err
}

func (s *timed) Modified(_ context.Context, key string) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[key], nil
}

const day = 24 * time.Hour

func none(context.Context) (collect.Open, error) { return collect.Open{}, nil }

// run collects and returns the deleted keys by reason.
func run(t *testing.T, s collect.Store, o collect.Options, now time.Time, open func(context.Context) (collect.Open, error)) (map[string][]string, collect.Summary) {
	t.Helper()
	deleted := map[string][]string{}
	if o.Grace == 0 {
		o.Grace = collect.DefaultGrace
	}
	sum, err := collect.Collect(t.Context(), s, o, now, open, func(i collect.Item) { deleted[i.Why] = append(deleted[i.Why], i.Key) })
	if err != nil {
		t.Fatal(err)
	}
	return deleted, sum
}

// rows writes one object of pairs.
func rows(t *testing.T, s store.Store, id string) schemas.Object {
	t.Helper()
	o, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{{PairID: id}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func put(t *testing.T, s store.Store, key string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(key)); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, s store.Store, job, stage string, outputs map[string]schemas.Object) {
	t.Helper()
	if _, _, err := store.Commit(t.Context(), s, schemas.CommitRecord{Job: job, Stage: stage, Outputs: outputs}); err != nil {
		t.Fatal(err)
	}
}

// stage commits one shard and closes the stage, and returns its manifest's URI.
func stage(t *testing.T, s store.Store, job string, o schemas.Object) string {
	t.Helper()
	outputs := map[string]schemas.Object{schemas.TablePair: o}
	commit(t, s, job, "pair", outputs)
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: job, Stage: "pair", Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: outputs}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func publish(t *testing.T, s store.Store, dataset, manifest string, objects ...schemas.Object) {
	t.Helper()
	if _, err := store.PublishVersion(t.Context(), s, schemas.DatasetVersion{Dataset: dataset, Manifest: manifest, Objects: objects}); err != nil {
		t.Fatal(err)
	}
}

// bucket is one with what must stay and what may go.
func bucket(t *testing.T, s store.Store) (kept, loser, unnamed schemas.Object) {
	t.Helper()
	kept, loser, unnamed = rows(t, s, "kept"), rows(t, s, "loser"), rows(t, s, "unnamed run")
	publish(t, s, "d", stage(t, s, "named", kept), kept)
	stage(t, s, "alone", unnamed)
	put(t, s, "watermarks/lost.json")
	put(t, s, "models/trained/abc.safetensors")
	put(t, s, "models/trained/lost.safetensors")
	commit(t, s, "trained", "train", map[string]schemas.Object{})
	put(t, s, "checkpoints/trained/step-000001.json")
	put(t, s, "checkpoints/cut-short/step-000001.json")
	put(t, s, "cache/calls/m-1/a.dat")
	put(t, s, "cache/calls/m-1/b.dat")
	put(t, s, "cache/calls/m-1/b.idx")
	put(t, s, "reports/1.html")
	put(t, s, "foreign/file.jsonl")
	return kept, loser, unnamed
}

func TestOnlyWhatNothingNamesGoesAndOnlyWhenItIsOld(t *testing.T) {
	s := newTimed()
	kept, loser, _ := bucket(t, s)
	young, sum := run(t, s, collect.Options{}, start.Add(6*day), none)
	if len(young) != 0 || sum.Young == 0 {
		t.Fatalf("within the grace period %v went, %+v", young, sum)
	}
	before, _ := s.List(t.Context(), "", "", 0)
	dry, sum := run(t, s, collect.Options{DryRun: true}, start.Add(8*day), none)
	after, _ := s.List(t.Context(), "", "", 0)
	if !slices.Equal(before, after) || !sum.DryRun {
		t.Fatalf("a dry run changed the bucket: %v", after)
	}
	got, sum := run(t, s, collect.Options{}, start.Add(8*day), none)
	want := map[string][]string{
		"unnamed": {loser.Key, "watermarks/lost.json", "models/trained/abc.safetensors", "models/trained/lost.safetensors", "cache/calls/m-1/a.dat"},
		"trained": {"checkpoints/trained/step-000001.json"},
	}
	if !maps.EqualFunc(got, want, slices.Equal) || !maps.EqualFunc(dry, want, slices.Equal) || sum.Missing != 0 || sum.Versions != 1 {
		t.Errorf("deleted %v, dry %v, %+v", got, dry, sum)
	}
	if ok, _ := s.Exists(t.Context(), kept.Key); !ok {
		t.Error("the version's object is gone")
	}
	// The copy goes after another grace period.
	s.now = start.Add(8 * day)
	if got, _ := run(t, s, collect.Options{}, start.Add(20*day), none); !maps.EqualFunc(got, map[string][]string{"trash": {"trash/" + loser.Key, "trash/watermarks/lost.json"}}, slices.Equal) {
		t.Errorf("later %v", got)
	}
}

func TestOldRunsAndRepliesGoWhereAskedForButNotWhatAVersionNames(t *testing.T) {
	s := newTimed()
	kept, _, unnamed := bucket(t, s)
	if err := store.Pin(t.Context(), s, "d", 1, "for the paper"); err != nil {
		t.Fatal(err)
	}
	parked := func(context.Context) (collect.Open, error) {
		return collect.Open{Runs: 1, Jobs: map[string]bool{"trained": true}}, nil
	}
	o := collect.Options{Runs: 30 * day, Cache: 30 * day}
	// A parked refresh has written its watermark, which nothing names before it
	// publishes.
	put(t, s, "watermarks/of-a-parked-refresh.json")
	got, sum := run(t, s, o, start.Add(40*day), parked)
	if ok, _ := s.Exists(t.Context(), "watermarks/of-a-parked-refresh.json"); !ok {
		t.Error("the watermark of an open refresh is gone")
	}
	if len(got["run"])+len(got["cache"])+len(got["trained"]) != 0 || !strings.Contains(sum.Note, "open") || sum.OpenRuns != 1 {
		t.Errorf("with a parked run %v went, %+v", got, sum)
	}
	if ok, _ := s.Exists(t.Context(), "models/trained/abc.safetensors"); !ok {
		t.Error("a file of an open job is gone")
	}
	got, _ = run(t, s, o, start.Add(40*day), none)
	if want := []string{"runs/alone/pair/manifest.json", "runs/alone/pair/shard-00000.json", "runs/trained/train/shard-00000.json"}; !slices.Equal(got["run"], want) {
		t.Errorf("runs %v", got["run"])
	}
	if !slices.Contains(got["unnamed"], unnamed.Key) || !slices.Equal(got["cache"], []string{"cache/calls/m-1/b.idx", "cache/calls/m-1/b.dat"}) {
		t.Errorf("deleted %v", got)
	}
	if ok, _ := s.Exists(t.Context(), kept.Key); !ok {
		t.Error("the version's object is gone")
	}
	if ok, _ := s.Exists(t.Context(), "runs/named/pair/manifest.json"); !ok {
		t.Error("the version's manifest is gone")
	}
}

func TestAPromotedModelKeepsItsFilesAndWhatItWasTrainedFrom(t *testing.T) {
	s := newTimed()
	o := rows(t, s, "taught")
	manifest := stage(t, s, "rows", o)
	put(t, s, "models/job/w.safetensors")
	commit(t, s, "job", "train", map[string]schemas.Object{})
	v := schemas.ModelVersion{Name: "m", Number: 1, Record: s.URI("runs/job/train/shard-00000.json"),
		Files:    map[string]schemas.Object{"merged/w": {Key: "models/job/w.safetensors", SHA256: "1"}},
		Training: schemas.TrainingRecord{Job: "job", Manifest: manifest}, Evaluation: schemas.PromotedScore{Manifest: manifest}}
	v.Hash = v.Digest()
	if won, err := store.PutModel(t.Context(), s, v); err != nil || !won {
		t.Fatal(won, err)
	}
	if got, _ := run(t, s, collect.Options{Runs: day}, start.Add(40*day), none); len(got) != 0 {
		t.Errorf("deleted %v", got)
	}
}

func TestWhatARunNamesWhileItIsDeletedComesBack(t *testing.T) {
	s := newTimed()
	o := rows(t, s, "made again")
	rows(t, s, "garbage")
	raced := false
	s.Before = func(operation, key string) error {
		if operation == "delete" && key == o.Key && !raced {
			raced = true
			// The run's own Put came before; its record comes at the worst moment.
			commit(t, s, "late", "pair", map[string]schemas.Object{schemas.TablePair: o})
		}
		return nil
	}
	got, sum := run(t, s, collect.Options{}, start.Add(40*day), none)
	if !raced || len(got["unnamed"]) != 2 || sum.Restored != 1 {
		t.Fatalf("%v, %+v", got, sum)
	}
	if _, err := store.GetRows[schemas.Pair](t.Context(), s, o); err != nil {
		t.Error(err)
	}
}

func TestAnObjectThatIsWrittenAgainJustBeforeItsDeletionStays(t *testing.T) {
	s := newTimed()
	o := rows(t, s, "made again")
	s.Before = func(operation, key string) error {
		if operation == "put" && strings.HasPrefix(key, "trash/") {
			s.Before = nil
			s.now = start.Add(40 * day)
			rows(t, s, "made again")
		}
		return nil
	}
	got, sum := run(t, s, collect.Options{}, start.Add(40*day), none)
	if len(got) != 0 || sum.Young != 1 {
		t.Errorf("%v, %+v", got, sum)
	}
	if ok, _ := s.Exists(t.Context(), "trash/"+o.Key); ok {
		t.Error("its copy is left in the trash")
	}
}

func TestNothingIsCollectedWhileARecordCannotBeRead(t *testing.T) {
	s := newTimed()
	_, loser, _ := bucket(t, s)
	put(t, s, "runs/odd/pair/shard-00000.json")
	_, err := collect.Collect(t.Context(), s, collect.Options{Grace: time.Hour}, start.Add(40*day), none, func(collect.Item) {})
	if schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("got %v", err)
	}
	if ok, _ := s.Exists(t.Context(), loser.Key); !ok {
		t.Error("something was deleted")
	}
	if _, err := collect.Collect(t.Context(), s, collect.Options{Grace: time.Minute}, start, none, func(collect.Item) {}); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("a grace period of a minute gives %v", err)
	}
}

func TestCollectingWorksOnARealS3Server(t *testing.T) {
	s := storetest.StartServer(t).Open(t, "")
	kept, loser, _ := bucket(t, s)
	if got, _ := run(t, s, collect.Options{}, time.Now(), none); len(got) != 0 {
		t.Fatalf("at once %v went", got)
	}
	got, sum := run(t, s, collect.Options{}, time.Now().Add(8*day), none)
	if !slices.Contains(got["unnamed"], loser.Key) || slices.Contains(got["unnamed"], kept.Key) || sum.Missing != 0 {
		t.Errorf("%v, %+v", got, sum)
	}
}
