package store_test

import (
	"reflect"
	"slices"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func failure(shard int, errorType schemas.ErrorType) schemas.ShardFailure {
	return schemas.ShardFailure{Shard: shard, ErrorType: string(errorType), Message: "why"}
}

func TestAFailureLogGoesFromRoundToRoundAndLosesNoShard(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{0, 1, 2, 3, 4}, "a", "b", "c", "d", "e")
	shard := steptest.Open(t, s, "copy", manifest, nil, 0)
	log := store.FailureLog{Job: shard.Job, Stage: "copy", Run: "run-1", Batches: 2}
	for batch, failures := range [][]schemas.ShardFailure{
		{failure(4, schemas.Overloaded), failure(1, schemas.InvalidInput)},
		{failure(0, schemas.Overloaded)},
		{failure(2, schemas.Overloaded)}, // before the run was reset
	} {
		for range 2 { // a retry of the activity changes nothing
			if err := a.RecordFailures(t.Context(), store.RecordFailuresInput{FailureLog: log, Batch: batch, Failures: failures}); err != nil {
				t.Fatal(err)
			}
		}
	}
	choose := func(log store.FailureLog, retried, selected int, kept []schemas.ShardFailure, types ...string) store.FailureLog {
		t.Helper()
		got, err := a.SelectFailed(t.Context(), store.SelectFailedInput{FailureLog: log, Retried: retried, Types: types, First: 1})
		want := store.SelectFailedResult{Selected: selected, Kept: len(kept), First: kept[:min(1, len(kept))]}
		if err != nil || got.Selected != want.Selected || got.Kept != want.Kept || !slices.Equal(got.First, want.First) {
			t.Fatalf("round %d: got %+v, %v, want %+v", log.Round, got, err, want)
		}
		log.Round, log.Batches = log.Round+1, 1
		return log
	}
	list := func(log store.FailureLog, offset int) []int {
		t.Helper()
		page, err := a.ListShards(t.Context(), store.ListShardsInput{Job: shard.Job, Stage: "copy", Manifest: manifest, Split: "train", Offset: offset, Limit: 2, Retry: &log})
		if err != nil {
			t.Fatal(err)
		}
		return page.Todo
	}
	second := choose(log, 0, 2, []schemas.ShardFailure{failure(1, schemas.InvalidInput)}, "Overloaded")
	if got := list(second, 0); !reflect.DeepEqual(got, []int{0, 4}) {
		t.Errorf("the second round works on %v", got)
	}
	// Shard 0 failed again and 4 was not started when the next round began.
	if err := a.RecordFailures(t.Context(), store.RecordFailuresInput{FailureLog: second, Batch: 1, Failures: []schemas.ShardFailure{failure(0, schemas.Stalled)}}); err != nil {
		t.Fatal(err)
	}
	second.Batches = 2
	third := choose(second, 1, 2, []schemas.ShardFailure{failure(0, schemas.Stalled)}, "InvalidInput")
	if got := list(third, 0); !reflect.DeepEqual(got, []int{4, 1}) {
		t.Errorf("the third round works on %v", got)
	}
	for _, n := range []int{1, 2, 3, 4} {
		shard.Number = n
		commit(t, s, shard)
	}
	if got := list(third, 0); len(got) != 0 {
		t.Errorf("committed shards %v are worked on again", got)
	}
	out, err := a.CloseStage(t.Context(), store.CloseStageInput{Job: shard.Job, Stage: "copy", Manifest: manifest, Split: "train", Failed: &third, List: 5})
	if err != nil || out.Shards != 4 || out.FailedShards != 1 || !slices.Equal(out.Failed, []schemas.ShardFailure{failure(0, schemas.Stalled)}) {
		t.Errorf("closed %+v, %v", out, err)
	}
}

func TestAStageAtItsBudgetClosesWithWhatIsCommitted(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{0, 1, 2}, "a", "b", "c")
	shard := steptest.Open(t, s, "copy", manifest, nil, 1)
	commit(t, s, shard)
	out, err := a.CloseStage(t.Context(), store.CloseStageInput{Job: shard.Job, Stage: "copy", Manifest: manifest, Split: "train", GaveUp: true, List: 1})
	if err != nil || out.Shards != 1 || out.FailedShards != 2 || len(out.Failed) != 1 || out.Failed[0].ErrorType != string(schemas.BudgetExceeded) {
		t.Errorf("closed %+v, %v", out, err)
	}
}

func TestOpeningAStageCountsTheRowsThatAreLeft(t *testing.T) {
	s := store.NewMemory("rpo")
	a := store.Activities{Store: s}
	manifest := importShards(t, s, "train", []int{3, 5, 7}, "a", "b", "c")
	m, err := store.GetManifest(t.Context(), s, manifest)
	if err != nil {
		t.Fatal(err)
	}
	var table string
	for name := range m.Shards[0].Objects {
		table = name
	}
	in := store.OpenStageInput{Stage: "copy", Manifest: manifest, Split: "train", Needs: []string{table}}
	first, err := a.OpenStage(t.Context(), in)
	rows := m.Shards[0].Objects[table].Rows
	if err != nil || first.First != 3 || first.FirstRows != rows || first.Rows != 3*rows {
		t.Fatalf("opened %+v, %v", first, err)
	}
	commit(t, s, store.Shard{Job: first.Job, Stage: "copy", ConfigHash: first.ConfigHash, Manifest: manifest, Number: 3})
	second, err := a.OpenStage(t.Context(), in)
	if err != nil || second.First != 5 || second.Rows != 2*rows || second.Job != first.Job {
		t.Errorf("opened again %+v, %v", second, err)
	}
}
