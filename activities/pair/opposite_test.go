package pair_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// asked runs a shard of turns whose opposites are all by a model but for those of
// rules, and notes what is asked.
type asked struct {
	mu     sync.Mutex
	calls  map[[2]string]int // response and constraint
	follow func(r schemas.Response, o schemas.Opposite) (string, bool, error)
}

func (a *asked) shard(t *testing.T, o schemas.PairOptions, worlds ...*world) (rows pair.Rows, counts map[string]int64, err error) {
	t.Helper()
	o.CheckOpposites, o.OppositeJudgeEndpoint, a.calls = true, "judge", map[[2]string]int{}
	var turns []pair.Turn
	for _, w := range worlds {
		for id, opposite := range w.Opposites {
			if opposite.Rule.IsZero() {
				opposite.Source = schemas.ByModel
				w.Opposites[id] = opposite
			}
		}
		turns = append(turns, w.Turn)
	}
	work := &store.Work{Record: schemas.CommitRecord{Counts: map[string]int64{}}}
	steptest.Run(t, func(ctx context.Context) {
		rows, err = pair.Shard(ctx, turns, pair.NewBuilder(o, nil), chat.Model{AtOnce: 3}, chat.NewMeter(ctx, schemas.Allowance{}),
			func(_ context.Context, _ schemas.Turn, r schemas.Response, o schemas.Opposite) (string, bool, error) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.calls[[2]string{r.ResponseID, o.ConstraintID}]++
				return a.follow(r, o)
			}, work)
	})
	return rows, work.Record.Counts, err
}

func TestAResponseThatFollowsBothOrNeitherTakesTheConstraintOut(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers [2]string // does each response follow the opposite of constraint 0
		margins []float64
		dropped int64
	}{
		{"as the verdicts say", [2]string{schemas.Followed, schemas.NotFollowed}, []float64{2, 2}, 0},
		{"the failing one follows neither", [2]string{schemas.NotFollowed, schemas.NotFollowed}, []float64{1, 1}, 1},
		{"the following one follows both", [2]string{schemas.Followed, schemas.Followed}, []float64{1, 1}, 1},
		{"it is not applicable to one", [2]string{schemas.Followed, schemas.NotApplicable}, []float64{1, 1}, 1},
		{"both are odd", [2]string{schemas.NotFollowed, schemas.Followed}, []float64{1, 1}, 2},
	} {
		w := newWorld(t, "odd", "ff")
		first, second := w.add("01"), w.add("10")
		a := asked{follow: func(r schemas.Response, o schemas.Opposite) (string, bool, error) {
			if o.ConstraintID == w.Triggered[0] {
				return c.answers[r.SampleIndex], true, nil
			}
			return []string{schemas.NotFollowed, schemas.Followed}[r.SampleIndex], true, nil
		}}
		rows, counts, err := a.shard(t, schemas.PairOptions{Baselines: true}, w)
		if err != nil {
			t.Fatal(err)
		}
		var margins []float64
		for _, p := range rows.Pairs {
			margins = append(margins, p.Margin)
			if out := c.dropped > 0; out && (slices.Contains(p.Differing, w.Triggered[0]) || p.Prompt[0].Content != w.System && p.Reversed[0].ConstraintID == w.Triggered[0]) {
				t.Errorf("%s: the constraint is in %+v", c.name, p)
			}
		}
		if !slices.Equal(margins, c.margins) || counts["dropped_constraints_by_opposite_check"] != c.dropped || counts["opposite_checks"] != 4 {
			t.Errorf("%s: margins %v, counts %v", c.name, margins, counts)
		}
		// The baselines reverse nothing: the check is none of theirs.
		if len(rows.KTO) != 2 || rows.KTO[0].Score != 0.5 || rows.KTO[1].Score != 0.5 || len(rows.SFT) != 1 {
			t.Errorf("%s: baselines %+v, %+v", c.name, rows.KTO, rows.SFT)
		}
		if a.calls[[2]string{first.ResponseID, w.Triggered[0]}] != 1 || a.calls[[2]string{second.ResponseID, w.Triggered[1]}] != 1 {
			t.Errorf("%s: asked %v", c.name, a.calls)
		}
	}
}

func TestResponsesThatBecomeEqualByTheCheckPairOnce(t *testing.T) {
	w := newWorld(t, "equal", "ff")
	w.add("00")
	w.add("10")
	w.add("11")
	a := asked{follow: func(r schemas.Response, o schemas.Opposite) (string, bool, error) {
		first := o.ConstraintID == w.Triggered[0]
		switch {
		case first && r.SampleIndex == 0: // fails the constraint, and its opposite
			return schemas.NotFollowed, true, nil
		case first && r.SampleIndex == 1: // follows the constraint, and its opposite
			return schemas.Followed, true, nil
		case w.verdict(r.ResponseID, o.ConstraintID).Outcome == schemas.Followed:
			return schemas.NotFollowed, true, nil
		}
		return schemas.Followed, true, nil
	}}
	rows, counts, err := a.shard(t, schemas.PairOptions{}, w)
	if err != nil || len(rows.Pairs) != 2 || rows.Pairs[0].Margin != 1 || counts["dropped_constraints_by_opposite_check"] != 2 {
		t.Errorf("%d pairs, counts %v, %v", len(rows.Pairs), counts, err)
	}
}

func TestOnlyWhatSomePairNeedsIsAskedAndOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	total := 0
	for round := range 300 {
		w, vectors := randomWorld(t, random, fmt.Sprint("asked", round))
		o := schemas.PairOptions{MinMargin: 1 + random.IntN(2), NotApplicable: schemas.ExcludeNotApplicable}
		want := map[[2]string]int{}
		for _, a := range w.representatives(vectors, o.NotApplicable) {
			for _, b := range w.representatives(vectors, o.NotApplicable) {
				va, vb := vectors[a.ResponseID], vectors[b.ResponseID]
				if what, _ := w.fate(a, b, va, vb, o); what != "kept" {
					continue
				}
				for i, c := range w.TriggeredConstraints() {
					if c.Rule.IsZero() && va[i] == '0' && (vb[i] == '0' || vb[i] == '1') {
						want[[2]string{a.ResponseID, c.ConstraintID}] = 1
						want[[2]string{b.ResponseID, c.ConstraintID}] = 1
					}
				}
			}
		}
		// All answers agree with the verdicts, so that nothing changes.
		a := asked{follow: func(r schemas.Response, o schemas.Opposite) (string, bool, error) {
			if w.verdict(r.ResponseID, o.ConstraintID).Outcome == schemas.NotFollowed {
				return schemas.Followed, true, nil
			}
			return schemas.NotFollowed, true, nil
		}}
		rows, _, err := a.shard(t, o, w)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.calls) != len(want) {
			t.Fatalf("round %d: asked %d, want %d", round, len(a.calls), len(want))
		}
		for key, n := range a.calls {
			if n != want[key] {
				t.Fatalf("round %d: asked %d times, want %d", round, n, want[key])
			}
		}
		unchecked, err := pair.NewBuilder(o, nil).Build(w.Turn)
		if err != nil || !slices.Equal(ids(rows.Pairs), ids(unchecked.Pairs)) {
			t.Fatalf("round %d: answers that agree change the pairs (%v)", round, err)
		}
		total += len(want)
	}
	if total < 500 {
		t.Errorf("only %d questions: the property was hardly tested", total)
	}
}

func TestACheckThatFailsForOneResponseTakesItsConstraintOutAndOneOfAllFailsTheShard(t *testing.T) {
	w := newWorld(t, "failing", "ff")
	w.add("01")
	w.add("10")
	bad := schemas.Errorf(schemas.CorruptData, "3 replies were invalid")
	a := asked{follow: func(r schemas.Response, o schemas.Opposite) (string, bool, error) {
		if o.ConstraintID == w.Triggered[0] {
			return "", false, bad
		}
		return []string{schemas.NotFollowed, schemas.Followed}[r.SampleIndex], true, nil
	}}
	rows, counts, err := a.shard(t, schemas.PairOptions{}, w)
	if err != nil || len(rows.Pairs) != 2 || rows.Pairs[0].Margin != 1 || counts["dropped_constraints_by_opposite_check"] != 2 {
		t.Errorf("%+v, counts %v, %v", rows.Pairs, counts, err)
	}
	a.follow = func(schemas.Response, schemas.Opposite) (string, bool, error) { return "", false, bad }
	if _, _, err := a.shard(t, schemas.PairOptions{}, w); schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("no reply at all: error %v", err)
	}
	a.follow = func(schemas.Response, schemas.Opposite) (string, bool, error) {
		return "", false, schemas.Errorf(schemas.Overloaded, "connection refused")
	}
	if _, _, err := a.shard(t, schemas.PairOptions{}, w); !schemas.Retryable(err) {
		t.Errorf("the model is down: error %v", err)
	}
}
