package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// copyTurns is a small stage: it puts one response per turn.
func copyTurns(text string, worked *int) func(context.Context, *store.Work) error {
	return func(ctx context.Context, w *store.Work) error {
		*worked++
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		var rows []schemas.Response
		for _, t := range turns {
			w.Record.Books.In++
			w.Record.Books.OK++
			rows = append(rows, schemas.Response{TurnID: t.TurnID, Text: text})
		}
		return store.PutTable(ctx, w, schemas.TableResponse, rows)
	}
}

func TestACommittedShardIsNotWorkedOnAgain(t *testing.T) {
	s := store.NewMemory("rpo")
	shard := steptest.Open(t, s, "copy", steptest.Manifest(t, s, steptest.Turns("shop", 3)), nil, 0)
	worked := 0
	first, reused, err := store.RunShard(t.Context(), s, shard, copyTurns("first", &worked))
	if err != nil || reused {
		t.Fatalf("reused %v, %v", reused, err)
	}
	second, reused, err := store.RunShard(t.Context(), s, shard, copyTurns("second", &worked))
	if err != nil || !reused || worked != 1 || first.Outputs[schemas.TableResponse] != second.Outputs[schemas.TableResponse] {
		t.Errorf("reused %v, worked %d times, %v", reused, worked, err)
	}
	if first.Split != schemas.SplitTrain || first.ConfigHash != shard.ConfigHash || len(first.Inputs) != 1 {
		t.Errorf("record %+v", first)
	}
	if _, ok := first.Outputs[schemas.TableTurn]; !ok {
		t.Error("the next stage cannot read the turns")
	}
}

func TestOfTwoAttemptsAtOnceOneRecordCountsAndBothReturnIt(t *testing.T) {
	s := store.NewMemory("rpo")
	shard := steptest.Open(t, s, "copy", steptest.Manifest(t, s, steptest.Turns("shop", 3)), nil, 0)
	var both, done sync.WaitGroup
	both.Add(2)
	records := make([]schemas.CommitRecord, 2)
	reused := make([]bool, 2)
	for i, text := range []string{"left", "right"} {
		done.Go(func() {
			var err error
			records[i], reused[i], err = store.RunShard(t.Context(), s, shard, func(ctx context.Context, w *store.Work) error {
				both.Done()
				both.Wait() // neither commits before both have begun
				worked := 0
				return copyTurns(text, &worked)(ctx, w)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if reused[0] == reused[1] {
		t.Errorf("reused %v: exactly one attempt must win", reused)
	}
	got := records[0].Outputs[schemas.TableResponse]
	if got != records[1].Outputs[schemas.TableResponse] {
		t.Errorf("two records: %+v", records)
	}
	if stored := steptest.Record(t, s, shard); stored.Outputs[schemas.TableResponse] != got {
		t.Errorf("the store has %+v", stored)
	}
}

func TestAFailedAttemptLeavesNoCommit(t *testing.T) {
	open := errors.New("the books are open")
	for name, do := range map[string]func(context.Context, *store.Work) error{
		"work that fails": func(context.Context, *store.Work) error { return open },
		"books that do not close": func(_ context.Context, w *store.Work) error {
			w.Record.Books.In = 2
			w.Record.Books.OK = 1
			return nil
		},
		"an output that is not stored": func(_ context.Context, w *store.Work) error {
			w.Record.Outputs["pair"] = schemas.Object{Key: "data/pair/none.parquet", SHA256: "00"}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory("rpo")
			shard := steptest.Open(t, s, "copy", steptest.Manifest(t, s, steptest.Turns("shop", 1)), nil, 0)
			if _, _, err := store.RunShard(t.Context(), s, shard, do); err == nil {
				t.Fatal("no error")
			}
			if _, ok, err := store.Committed(t.Context(), s, shard.Job, shard.Stage, 0); ok || err != nil {
				t.Errorf("committed %v, %v", ok, err)
			}
		})
	}
}

func TestQuarantinedRowsAreStoredByTheirOwnStageOnly(t *testing.T) {
	s := store.NewMemory("rpo")
	shard := steptest.Open(t, s, "first", steptest.Manifest(t, s, steptest.Turns("shop", 1)), nil, 0)
	r, _, err := store.RunShard(t.Context(), s, shard, func(_ context.Context, w *store.Work) error {
		w.Record.Books.In++
		w.Quarantine(schemas.TableTurn, "row", schemas.Errorf(schemas.CorruptData, "no use"), "request")
		return nil
	})
	want := schemas.Quarantined{Stage: "first", Table: schemas.TableTurn, RowID: "row", ErrorType: "CorruptData", Reason: "no use", Request: "request"}
	if err != nil || !slices.Equal(steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine), []schemas.Quarantined{want}) {
		t.Fatalf("record %+v, %v", r, err)
	}
	next := steptest.Open(t, s, "second", steptest.Close(t, s, shard).Manifest, nil, 0)
	worked := 0
	r, _, err = store.RunShard(t.Context(), s, next, copyTurns("text", &worked))
	if _, ok := r.Outputs[schemas.TableQuarantine]; ok || err != nil {
		t.Errorf("the second stage lists the first one's quarantine: %+v, %v", r.Outputs, err)
	}
}

func TestAMissingTableOrShardNamesTheMend(t *testing.T) {
	s := store.NewMemory("rpo")
	manifest := steptest.Manifest(t, s, steptest.Turns("shop", 1))
	shard := steptest.Open(t, s, "pair", manifest, nil, 0)
	_, _, err := store.RunShard(t.Context(), s, shard, func(ctx context.Context, w *store.Work) error {
		_, err := store.Table[schemas.Verdict](ctx, w, schemas.TableVerdict)
		return err
	})
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"verdict"`) || !strings.Contains(err.Error(), "start it from the stage") {
		t.Errorf("error %v", err)
	}
	shard.Number = 9
	_, _, err = store.RunShard(t.Context(), s, shard, func(context.Context, *store.Work) error { return nil })
	if schemas.TypeOf(err) != schemas.NotFound || !strings.Contains(err.Error(), "shard 9") {
		t.Errorf("error %v", err)
	}
}
