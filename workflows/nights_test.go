package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/pair"
	"rpo/activities/refresh"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// nights are refreshes of one data set by the real activities over one store and
// one model.
type nights struct {
	t      *testing.T
	store  *store.Memory
	policy *scripted.Server
	world  *world
	// broken is a shard that cannot be judged, -1 for none; refused is what the model
	// answers no request about, "" for nothing.
	broken  int
	refused string
}

func newNights(t *testing.T) *nights {
	n := &nights{t: t, store: store.NewMemory("rpo"), world: newWorld(0, nil), broken: -1}
	answer := scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
		words := []string{"The boat is here.", "Nothing.", "There were 7 boats, a boat for each.", "I count 3.", "A boat."}
		return fmt.Sprintf("%s %s", words[seed%int64(len(words))], p.Last())
	})
	n.policy = scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if n.refused != "" && strings.Contains(p.Last(), n.refused) {
			return scripted.Refuse(http.StatusBadRequest, "this is not talked about")
		}
		return answer(p)
	})
	models := steptest.Cached{Models: steptest.Models{"policy": n.policy.URL}, Cache: cache.New(n.store, slog.New(slog.DiscardHandler))}
	records, judges := &store.Activities{Store: n.store}, &judge.Activities{Store: n.store, Models: models}
	pairs := &pair.Activities{Store: n.store, Models: models}
	n.world.real = map[string]any{
		openStage: records.OpenStage, listShards: records.ListShards, closeStage: records.CloseStage,
		// A child of the test environment does not know its first run.
		recordFailures: func(ctx context.Context, in store.RecordFailuresInput) error {
			in.Run = "run"
			return records.RecordFailures(ctx, in)
		},
		findNewProfiles: (&refresh.Activities{Store: n.store}).FindNewProfiles,
		describeModel:   (&chat.Activities{Models: models}).DescribeModel,
		sampleShard:     (&sample.Activities{Store: n.store, Models: models}).SampleShard,
		judgeShard: func(ctx context.Context, in judge.ShardInput) (schemas.ShardResult, error) {
			if in.Number == n.broken {
				return schemas.ShardResult{}, schemas.Errorf(schemas.CorruptData, "the rules have a defect")
			}
			return judges.JudgeShard(ctx, in)
		},
		reverseShard: (&reverse.Activities{Store: n.store, Models: models}).ReverseShard,
		pairShard:    pairs.PairShard, publishVersion: pairs.PublishVersion,
	}
	return n
}

// arrive puts a file with profiles of these names.
func (n *nights) arrive(file string, names ...string) {
	n.t.Helper()
	var b strings.Builder
	for _, name := range names {
		line, err := json.Marshal(map[string]any{"id": name, "split": "train", "system": "You are " + name + ". Mention \"boat\". Do not use any digits.",
			"constraints": []any{map[string]any{"text": "Mention \"boat\"."}, map[string]any{"text": "Do not use any digits."}},
			"queries":     []string{"Who is " + name + "?"}})
		if err != nil {
			n.t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := n.store.Put(n.t.Context(), "incoming/"+file, []byte(b.String())); err != nil {
		n.t.Fatal(err)
	}
}

// night runs a refresh as a schedule does, which started it that many days after
// the first; took is how long it waited.
func (n *nights) night(day int) (tr *trial, took time.Duration) {
	n.t.Helper()
	at := firstNight.AddDate(0, 0, day)
	var env *testsuite.TestWorkflowEnvironment
	tr = try(n.t, n.world, RefreshDatasetName, object(`{"source":"s3://rpo/incoming/","dataset":"nightly","baselines":true,"shards_in_flight":1}`),
		startedAt(at), func(e *testsuite.TestWorkflowEnvironment) { env = e })
	return tr, env.Now().Sub(at)
}

func (n *nights) refreshed(day int) (out schemas.RefreshResult) {
	n.t.Helper()
	tr, _ := n.night(day)
	tr.get(&out)
	return out
}

// pairs are the ids in a version, sorted.
func (n *nights) pairs(dataset string, number int) (ids []string) {
	n.t.Helper()
	v, err := store.Version(n.t.Context(), n.store, dataset, number)
	if err != nil {
		n.t.Fatal(err)
	}
	m, err := store.GetManifest(n.t.Context(), n.store, v.Manifest)
	if err != nil {
		n.t.Fatal(err)
	}
	table := schemas.TablePair
	if strings.HasSuffix(dataset, "-dpo") {
		table = schemas.TableDPO
	}
	if schemas.Hash(m.Objects(table)) != v.Hash && !slices.ContainsFunc(m.Objects(table), func(o schemas.Object) bool { return o.Rows == 0 }) {
		n.t.Errorf("the manifest of version %d lists other objects than the version", number)
	}
	for _, o := range v.Objects {
		rows, err := store.GetRows[schemas.Pair](n.t.Context(), n.store, o)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.PairID)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestOverThreeNightsOfWhichTheFirstParksNothingIsLostOrPaidTwice(t *testing.T) {
	n := newNights(t)
	n.arrive("1.jsonl", "Ann", "Bob", "Cid", "Dan")
	n.broken = 1
	tr, took := n.night(0)
	if !temporal.IsCanceledError(tr.err) {
		t.Fatalf("the first night ended with %v, want it to give way", tr.err)
	}
	if took < 20*time.Hour || took > 22*time.Hour {
		t.Errorf("it gave way after %s", took)
	}
	cancelled, _ := errors.AsType[*temporal.CanceledError](tr.err)
	var why string
	var left schemas.RefreshResult
	if err := cancelled.Details(&why, &left); err != nil {
		t.Fatal(err)
	}
	if left.New != 4 || left.Manifest == "" || len(left.Stages) != 1 || left.Stages[0].Manifest == "" || !strings.Contains(why, "1 of 4 shards failed") {
		t.Errorf("it left %q, %+v", why, left)
	}
	for _, name := range []string{JudgeResponsesName, RefreshDatasetName} {
		if got := tr.seen.attributes[name]["RpoStatus"]; got != schemas.StatusFailed {
			t.Errorf("%s is %v, want it stopped by itself and so Failed", name, got)
		}
	}
	if _, there, err := store.LatestVersion(t.Context(), n.store, "nightly"); err != nil || there {
		t.Errorf("a version was published, %v", err)
	}
	if got := n.policy.Stats().Answered; got != 4 {
		t.Fatalf("%d calls for 4 turns", got)
	}

	n.broken = -1
	n.arrive("2.jsonl", "Eve", "Fay")
	second := n.refreshed(1)
	if second.New != 6 || second.Version != 1 || second.Parent != 0 || second.Pairs == 0 || second.Total != second.Pairs {
		t.Errorf("the second night gave %+v", second)
	}
	if got := n.policy.Stats().Answered; got != 6 {
		t.Errorf("%d calls for 6 turns: those of the first night were paid again", got)
	}
	n.arrive("3.jsonl", "Gus", "Hal")
	third := n.refreshed(2)
	if third.New != 2 || third.Unchanged != 2 || third.Version != 2 || third.Parent != 1 || third.Total != second.Total+third.Pairs || len(third.Baselines) != 3 {
		t.Errorf("the third night gave %+v", third)
	}
	if got := n.policy.Stats().Answered; got != 8 {
		t.Errorf("%d calls for 8 turns", got)
	}
	keys, err := n.store.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if fourth := n.refreshed(3); fourth.New != 0 || fourth.Version != 2 || fourth.Pairs != 0 {
		t.Errorf("a night without new profiles gave %+v", fourth)
	}
	if after, err := n.store.List(t.Context(), "", "", 0); err != nil || !slices.Equal(after, keys) {
		t.Errorf("a night without new profiles wrote objects, %v", err)
	}

	calm := newNights(t)
	calm.arrive("1.jsonl", "Ann", "Bob", "Cid", "Dan")
	calm.arrive("2.jsonl", "Eve", "Fay")
	calm.arrive("3.jsonl", "Gus", "Hal")
	calm.refreshed(0)
	for _, dataset := range []string{"nightly", "nightly-dpo"} {
		got, want := n.pairs(dataset, 2), calm.pairs(dataset, 1)
		if !slices.Equal(got, want) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%s: %d pairs over the nights, %d at once: they differ or are doubled", dataset, len(got), len(want))
		}
	}
}

func TestARetriedNightIsTheSameJobsAndPublishesNothingNew(t *testing.T) {
	n := newNights(t)
	n.arrive("1.jsonl", "Ann", "Bob", "Cid")
	n.broken = 1
	tr, _ := n.night(0)
	if !temporal.IsCanceledError(tr.err) {
		t.Fatal(tr.err)
	}
	n.broken = -1
	got := n.refreshed(1)
	// The manifest of the new profiles is the same one, so are the jobs: what the
	// night before committed is reused.
	if reused := []int{got.Stages[0].Reused, got.Stages[1].Reused}; !slices.Equal(reused, []int{3, 2}) {
		t.Errorf("reused shards %v, want 3 of sampling and 2 of judging", reused)
	}
	again := pair.PublishInput{Dataset: "nightly", Manifest: got.Stages[3].Manifest, Extends: &got.Extension}
	published, err := (&pair.Activities{Store: n.store}).PublishVersion(t.Context(), again)
	if err != nil || published.Version != 1 || published.Hash != got.Hash || len(published.Baselines) != 3 {
		t.Errorf("published again: %+v, %v", published, err)
	}
	if v, _, err := store.LatestVersion(t.Context(), n.store, "nightly"); err != nil || v.Number != 1 {
		t.Errorf("version %d, %v", v.Number, err)
	}
}

func TestARaisedGenerationMakesEverythingAnew(t *testing.T) {
	n := newNights(t)
	n.arrive("1.jsonl", "Ann", "Bob")
	first := n.refreshed(0)
	var second schemas.RefreshResult
	try(t, n.world, RefreshDatasetName, object(`{"source":"s3://rpo/incoming/","dataset":"nightly","generation":1}`)).get(&second)
	if second.New != 2 || second.Version != 2 || second.Total != first.Total {
		t.Errorf("got %+v, want the %d pairs of 2 profiles alone", second, first.Total)
	}
	if got := n.policy.Stats().Answered; got != 4 {
		t.Errorf("%d calls, want 2 for each generation", got)
	}
}
