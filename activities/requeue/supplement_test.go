package requeue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// run works on all shards of a manifest as a stage would: row by row it sets aside
// what refuse says, and puts an output table.
func run(t *testing.T, s store.Store, stage, manifest string, do func(w *store.Work, turns []schemas.Turn)) (uri string) {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, manifest)
	if err != nil {
		t.Fatal(err)
	}
	var last store.Shard
	for _, in := range m.Shards {
		last = steptest.Open(t, s, stage, manifest, nil, in.Shard)
		_, _, err := store.RunShard(t.Context(), s, last, func(ctx context.Context, w *store.Work) error {
			turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
			do(w, turns)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return steptest.Close(t, s, last).Manifest
}

// sampling answers every turn with n responses, but for those that refuse names.
func sampling(t *testing.T, n int, refuse map[string]schemas.ErrorType) func(w *store.Work, turns []schemas.Turn) {
	return func(w *store.Work, turns []schemas.Turn) {
		var rows []schemas.Response
		for _, turn := range turns {
			w.Record.Books.In++
			if kind, ok := refuse[steptest.Name(turn.System)]; ok {
				w.Quarantine(schemas.TableTurn, turn.TurnID, schemas.Errorf(kind, "%s is refused", steptest.Name(turn.System)), `{"a": 1}`)
				continue
			}
			w.Record.Books.OK++
			for i := range n {
				text := fmt.Sprint(steptest.Name(turn.System), i)
				rows = append(rows, schemas.Response{ResponseID: schemas.ID("response", turn.TurnID, text), TurnID: turn.TurnID, Text: text})
			}
		}
		if err := store.PutTable(t.Context(), w, schemas.TableResponse, rows); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns all rows of a table of a manifest.
func read[T any](t *testing.T, s store.Store, uri, table string) (out []T) {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, uri)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range m.Objects(table) {
		rows, err := store.GetRows[T](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rows...)
	}
	return out
}

func names(turns []schemas.Turn) (out []string) {
	for _, t := range turns {
		out = append(out, steptest.Name(t.System))
	}
	slices.Sort(out)
	return out
}

func TestOnlyTheChosenRowsGoBackInShardsOfTheirOwn(t *testing.T) {
	s := store.NewMemory("rpo")
	first := steptest.Manifest(t, s, steptest.Turns("a", 4), steptest.Turns("b", 4), steptest.Turns("c", 4))
	done := run(t, s, "sample", first, sampling(t, 2, map[string]schemas.ErrorType{
		"a1": schemas.InvalidInput, "b0": schemas.InvalidInput, "b2": schemas.CorruptData, "c0": schemas.InvalidInput, "c1": schemas.InvalidInput, "c2": schemas.InvalidInput,
	}))
	for _, c := range []struct {
		name   string
		choice Choice
		want   []string
		shards int
	}{
		{"all", Choice{}, []string{"a1", "b0", "b2", "c0", "c1", "c2"}, 1},
		{"by type", Choice{ErrorTypes: []string{"CorruptData"}}, []string{"b2"}, 1},
		{"by id", Choice{Rows: map[string]bool{steptest.Turn("c1").TurnID: true}}, []string{"c1"}, 1},
		{"by both", Choice{ErrorTypes: []string{"InvalidInput"}, Rows: map[string]bool{steptest.Turn("a1").TurnID: true, steptest.Turn("b2").TurnID: true}}, []string{"a1"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Supplement(t.Context(), s, done, c.choice, nil)
			if err != nil {
				t.Fatal(err)
			}
			m, err := store.GetManifest(t.Context(), s, got.Manifest)
			if err != nil || !m.Books.Closed() || m.Books.In != int64(len(c.want)) || got.Rows != m.Books.In || got.Workflow != "SampleResponses" {
				t.Errorf("supplement %+v, books %+v, %v", got, m.Books, err)
			}
			for _, shard := range m.Shards {
				if _, ok := shard.Objects[schemas.TableResponse]; ok || shard.Shard < 3 || shard.Objects[schemas.TableQuarantine].Rows > 0 {
					t.Errorf("shard %+v", shard)
				}
			}
			if turns := names(read[schemas.Turn](t, s, got.Manifest, schemas.TableTurn)); !slices.Equal(turns, c.want) {
				t.Errorf("turns %v, want %v", turns, c.want)
			}
			again, err := Supplement(t.Context(), s, done, c.choice, nil)
			if err != nil || again != got {
				t.Errorf("a second time gives %+v, %v", again, err)
			}
			// Started on the supplement, the stage works on these turns and no others.
			worked := 0
			run(t, s, "sample", got.Manifest, func(w *store.Work, turns []schemas.Turn) {
				worked += len(turns)
				sampling(t, 2, nil)(w, turns)
			})
			if worked != len(c.want) {
				t.Errorf("the stage worked on %d turns", worked)
			}
		})
	}
}

func TestAResponseGoesBackWithAllResponsesOfItsTurnAndAConstraintWithItsTurns(t *testing.T) {
	s := store.NewMemory("rpo")
	two := []steptest.Constraint{{Text: "Be brief."}, {Text: "Be kind."}}
	sampled := run(t, s, "sample", steptest.Manifest(t, s, steptest.Turns("a", 3, two...), steptest.Turns("b", 3, two...)), sampling(t, 3, nil))
	judged := run(t, s, "judge", sampled, func(w *store.Work, turns []schemas.Turn) {
		responses, err := store.Table[schemas.Response](t.Context(), w, schemas.TableResponse)
		if err != nil {
			t.Fatal(err)
		}
		var rows []schemas.Verdict
		for _, r := range responses {
			w.Record.Books.In++
			if r.Text == "b10" || r.Text == "b12" {
				w.Quarantine(schemas.TableResponse, r.ResponseID, schemas.Errorf(schemas.CorruptData, "no JSON"), "the reply")
				continue
			}
			w.Record.Books.OK++
			rows = append(rows, schemas.Verdict{ResponseID: r.ResponseID, TurnID: r.TurnID})
		}
		if err := store.PutTable(t.Context(), w, schemas.TableVerdict, rows); err != nil {
			t.Fatal(err)
		}
	})
	got, err := Supplement(t.Context(), s, judged, Choice{}, nil)
	if err != nil || got.Rows != 2 || got.Primary != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	var texts []string
	for _, r := range read[schemas.Response](t, s, got.Manifest, schemas.TableResponse) {
		texts = append(texts, r.Text)
	}
	if !slices.Equal(texts, []string{"b10", "b11", "b12"}) || len(read[schemas.Verdict](t, s, got.Manifest, schemas.TableVerdict)) != 0 {
		t.Errorf("responses %v", texts)
	}
	wanted := steptest.Turn("a2", two...).Triggered[1]
	reversed := run(t, s, "reverse", judged, func(w *store.Work, turns []schemas.Turn) {
		for _, turn := range turns {
			for _, c := range turn.Constraints {
				if w.Record.Books.In++; c.ConstraintID == wanted {
					w.Quarantine(tableConstraint, c.ConstraintID, schemas.Errorf(schemas.CorruptData, "no JSON"), "the reply")
				} else {
					w.Record.Books.OK++
				}
			}
		}
	})
	got, err = Supplement(t.Context(), s, reversed, Choice{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	turns := names(read[schemas.Turn](t, s, got.Manifest, schemas.TableTurn))
	verdicts := read[schemas.Verdict](t, s, got.Manifest, schemas.TableVerdict)
	if !slices.Equal(turns, []string{"a2"}) || len(verdicts) != 3 {
		t.Errorf("turns %v with %d verdicts", turns, len(verdicts))
	}
}

func TestShardsOfASupplementAreNoLargerThanThoseItComesFrom(t *testing.T) {
	s := store.NewMemory("rpo")
	var shards [][]schemas.Turn
	refuse := map[string]schemas.ErrorType{}
	for i := range 20 {
		shards = append(shards, steptest.Turns(fmt.Sprintf("s%02d-", i), 5))
		refuse[fmt.Sprintf("s%02d-%d", i, i%5)] = schemas.InvalidInput
	}
	got, err := Supplement(t.Context(), s, run(t, s, "sample", steptest.Manifest(t, s, shards...), sampling(t, 1, refuse)), Choice{}, nil)
	if err != nil || got.Rows != 20 || got.Shards != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatCannotBeRequeuedIsRefusedWithTheMend(t *testing.T) {
	s := store.NewMemory("rpo")
	first := steptest.Manifest(t, s, steptest.Turns("a", 2))
	if _, err := Supplement(t.Context(), s, first, Choice{}, nil); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "mend them and import them") {
		t.Errorf("an import gives %v", err)
	}
	done := run(t, s, "sample", first, sampling(t, 1, nil))
	if _, err := Supplement(t.Context(), s, done, Choice{}, nil); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "no quarantined row is chosen") {
		t.Errorf("no rows give %v", err)
	}
}

func TestAMendedTurnKeepsItsIdsAndItsConstraints(t *testing.T) {
	old := steptest.Turn("a", steptest.Constraint{Text: "Be brief."}, steptest.Constraint{Text: "Be kind."})
	changed := old
	changed.System = "You are a much shorter a.\n- Be brief.\n- Be kind.\n"
	changed.Query = "And now?"
	got, err := mend(old, changed)
	if err != nil || got.Query != "And now?" || got.TurnID != old.TurnID {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, c := range got.Constraints {
		if got.System[c.Start:c.End] != c.Text {
			t.Errorf("%q stands at %q", c.Text, got.System[c.Start:c.End])
		}
	}
	lost := changed
	lost.System = "You are a.\n- Be kind.\n- Be brief.\n"
	if _, err := mend(old, lost); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "Be kind.") {
		t.Errorf("another order gives %v", err)
	}
	other := changed
	other.ProfileID = "x"
	if _, err := mend(old, other); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("another profile gives %v", err)
	}

	s := store.NewMemory("rpo")
	done := run(t, s, "sample", steptest.Manifest(t, s, []schemas.Turn{old, steptest.Turn("b")}), sampling(t, 1, map[string]schemas.ErrorType{"a": schemas.InvalidInput}))
	made, err := Supplement(t.Context(), s, done, Choice{}, Mended{old.TurnID: changed})
	if err != nil {
		t.Fatal(err)
	}
	if turns := read[schemas.Turn](t, s, made.Manifest, schemas.TableTurn); len(turns) != 1 || turns[0].Query != "And now?" {
		t.Errorf("turns %+v", turns)
	}
	if _, err := Supplement(t.Context(), s, done, Choice{}, Mended{"another": changed}); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("a mended turn that was not set aside gives %v", err)
	}
}
