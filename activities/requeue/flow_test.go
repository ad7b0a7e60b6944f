package requeue

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// answered writes the manifest of a sampling stage: two shards of turns with five
// responses each, three constraints that only a model can judge, and their opposites.
func answered(t *testing.T, s store.Store) string {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("sampled"), Stage: "sample"}
	for i, prefix := range []string{"left", "right"} {
		turns := steptest.Turns(prefix, 4, steptest.Constraint{Text: "Be brief."}, steptest.Constraint{Text: "Be kind."}, steptest.Constraint{Text: "Be odd."})
		var responses []schemas.Response
		var opposites []schemas.Opposite
		for _, turn := range turns {
			for k := range 5 {
				text := fmt.Sprintf("Answer %d of %s.", k, steptest.Name(turn.System))
				responses = append(responses, schemas.Response{ResponseID: schemas.ID("response", turn.TurnID, text), TurnID: turn.TurnID,
					SampleIndex: int64(k), Text: text, FinishReason: "stop", Model: "m"})
			}
			for _, c := range turn.Constraints {
				opposites = append(opposites, schemas.Opposite{OppositeID: schemas.ID("opposite", c.ConstraintID), ConstraintID: c.ConstraintID,
					Original: c.Text, Text: "Do not b" + strings.TrimPrefix(c.Text, "B"), Source: schemas.ByModel, ReversedBy: "m"})
			}
		}
		shard := schemas.ManifestShard{Shard: i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
		var err [3]error
		shard.Objects[schemas.TableTurn], err[0] = store.PutRows(t.Context(), s, schemas.TableTurn, turns)
		shard.Objects[schemas.TableResponse], err[1] = store.PutRows(t.Context(), s, schemas.TableResponse, responses)
		shard.Objects[schemas.TableOpposite], err[2] = store.PutRows(t.Context(), s, schemas.TableOpposite, opposites)
		if err != [3]error{} {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, shard)
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// stage runs a stage's activity on every shard of a manifest.
func stage(t *testing.T, s store.Store, name, manifest string, do func(context.Context, store.Shard) (schemas.ShardResult, error)) schemas.StageResult {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, manifest)
	if err != nil {
		t.Fatal(err)
	}
	var last store.Shard
	for _, in := range m.Shards {
		last = steptest.Open(t, s, name, manifest, nil, in.Shard)
		steptest.Run(t, func(ctx context.Context) {
			if _, err := do(ctx, last); err != nil {
				t.Error(err)
			}
		})
	}
	return steptest.Close(t, s, last)
}

// judgeAndPair runs the two stages and publishes the pairs.
func judgeAndPair(t *testing.T, s store.Store, dataset, url, manifest string) (judged schemas.StageResult, pairs string) {
	t.Helper()
	options := schemas.PairOptions{Dataset: dataset, MaxPairsPerTurn: 7, Baselines: true}
	options.SetDefaults()
	j, p := judge.Activities{Store: s, Models: steptest.Models{"judge": url}}, pair.Activities{Store: s}
	judged = stage(t, s, "judge", manifest, func(ctx context.Context, shard store.Shard) (schemas.ShardResult, error) {
		o := schemas.JudgeOptions{JudgeEndpoint: "judge"}
		o.SetDefaults()
		return j.JudgeShard(ctx, judge.ShardInput{Shard: shard, JudgeOptions: o})
	})
	paired := stage(t, s, "pair", judged.Manifest, func(ctx context.Context, shard store.Shard) (schemas.ShardResult, error) {
		return p.PairShard(ctx, pair.ShardInput{Shard: shard, PairOptions: options})
	})
	if _, err := p.PublishVersion(t.Context(), pair.PublishInput{Dataset: dataset, Manifest: paired.Manifest}); err != nil {
		t.Fatal(err)
	}
	return judged, paired.Manifest
}

// demonstrations are the best responses of a version, by turn.
func demonstrations(t *testing.T, s store.Store, dataset string) (out []string) {
	t.Helper()
	v, _, err := store.LatestVersion(t.Context(), s, dataset)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range v.Objects {
		rows, err := store.GetRows[schemas.Demonstration](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, r.TurnID+" "+r.ResponseID)
		}
	}
	slices.Sort(out)
	return out
}

func TestRequeuedResponsesArePairedWithTheOtherResponsesOfTheirTurns(t *testing.T) {
	var mended atomic.Bool
	endpoint := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		// What judges of two responses of two turns say is no JSON.
		if !mended.Load() && (strings.Contains(p.Last(), "Answer 3 of left1.") || strings.Contains(p.Last(), "Answer 0 of right2.")) {
			return scripted.Say("nonsense")
		}
		h := fnv.New64a()
		h.Write([]byte(p.Last()))
		var verdicts []map[string]string
		for i := range 3 {
			verdict := []string{schemas.Followed, schemas.NotFollowed}[h.Sum64()>>(8+i)%2]
			verdicts = append(verdicts, map[string]string{"id": fmt.Sprint("c", i+1), "reason": "It is so.", "verdict": verdict})
		}
		text, err := json.Marshal(map[string]any{"verdicts": verdicts})
		if err != nil {
			t.Error(err)
		}
		return scripted.Say(string(text))
	})
	s, whole := store.NewMemory("rpo"), store.NewMemory("rpo")
	judged, _ := judgeAndPair(t, s, "d", endpoint.URL, answered(t, s))
	if judged.Books.Quarantined != 2 {
		t.Fatalf("books %+v", judged.Books)
	}
	before, _, err := store.LatestVersion(t.Context(), s, "d")
	if err != nil {
		t.Fatal(err)
	}
	mended.Store(true)
	made, err := Supplement(t.Context(), s, judged.Manifest, Choice{}, nil)
	if err != nil || made.Rows != 2 || made.Primary != 2 {
		t.Fatalf("%+v, %v", made, err)
	}
	again, pairs := judgeAndPair(t, s, "d-requeued", endpoint.URL, made.Manifest)
	if again.Books.In != 10 || again.Books.OK != 10 {
		t.Errorf("the supplement was judged with books %+v", again.Books)
	}
	got, err := Merge(t.Context(), s, "d", pairs)
	if err != nil {
		t.Fatal(err)
	}
	judgeAndPair(t, whole, "d", endpoint.URL, answered(t, whole))
	want, _, err := store.LatestVersion(t.Context(), whole, "d")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(ids(t, s, before), ids(t, whole, want)) || got.Replaced == 0 {
		t.Error("nothing was missing: the test shows nothing")
	}
	if a, b := ids(t, s, got.Versions[0]), ids(t, whole, want); !slices.Equal(a, b) {
		t.Errorf("merged %d pairs, an undisturbed run makes %d", len(a), len(b))
	}
	if a, b := demonstrations(t, s, "d-sft"), demonstrations(t, whole, "d-sft"); !slices.Equal(a, b) {
		t.Errorf("best responses %v, want %v", a, b)
	}
	for name, n := range want.Counts {
		if strings.HasPrefix(name, "pairs") && got.Versions[0].Counts[name] != n {
			t.Errorf("%s is %d, want %d", name, got.Versions[0].Counts[name], n)
		}
	}
}
