package pair_test

import (
	"slices"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/schemas"
)

func TestTwoResponsesFallIntoTheSixCasesOfThePaper(t *testing.T) {
	for _, c := range []struct {
		a, b    string
		margin  float64
		of      int64
		because string
	}{
		{"110000", "001100", 4, 1, "same score, disjoint"},
		{"10", "01", 2, 1, "same score, disjoint, nothing in common"},
		{"1100", "1010", 2, 2, "same score, overlapping"},
		{"11100", "00010", 4, 3, "different scores, disjoint"},
		{"11100", "00011", 5, 3, "a gap of one hides five differences"},
		{"1110", "1001", 3, 4, "different scores, overlapping, each has one alone"},
		{"110", "100", 1, 5, "the better one dominates but is not perfect"},
		{"110", "000", 2, 5, "the worse one follows nothing"},
		{"111", "100", 2, 6, "the better one is perfect"},
		{"11", "00", 2, 6, "perfect against nothing"},
		{"1-0", "01-", 1, 6, "what does not apply to one does not count"},
		{"11-", "10-", 1, 6, "perfect in what applies"},
	} {
		w := newWorld(t, "cases", strings.Repeat("f", len(c.a)))
		w.add(c.a)
		w.add(c.b)
		pairs, drops, err := build(w.Turn, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(pairs) != 2 || drops != (pair.Drops{}) {
			t.Errorf("%s: %d pairs, drops %+v", c.because, len(pairs), drops)
		}
		for _, p := range pairs {
			if p.Case != c.of || p.Margin != c.margin {
				t.Errorf("%s (%s and %s): case %d, margin %v, want %d and %v", c.because, c.a, c.b, p.Case, p.Margin, c.of, c.margin)
			}
		}
	}
}

func TestThePromptOfAPairIsPerfectForItsChosenResponse(t *testing.T) {
	w := newWorld(t, "example", "fru")
	a, b := w.add("01"), w.add("10")
	pairs, _, err := build(w.Turn, 1)
	if err != nil || len(pairs) != 2 {
		t.Fatalf("%d pairs, %v", len(pairs), err)
	}
	p := pairs[0]
	system := strings.Replace(w.System, w.Constraints[0].Text, "Not so: "+w.Constraints[0].Text, 1)
	want := []schemas.Message{{Role: "system", Content: system}, {Role: "user", Content: w.Query}}
	if !slices.Equal(p.Prompt, want) {
		t.Errorf("prompt %q, want %q", p.Prompt, want)
	}
	if p.Chosen[0] != (schemas.Message{Role: "assistant", Content: a.Text}) || p.Rejected[0] != (schemas.Message{Role: "assistant", Content: b.Text}) {
		t.Errorf("chosen %q, rejected %q", p.Chosen, p.Rejected)
	}
	o := w.Opposites[w.Constraints[0].ConstraintID]
	if !slices.Equal(p.Reversed, []schemas.Reversal{{ConstraintID: o.ConstraintID, OppositeID: o.OppositeID, Original: o.Original, Opposite: o.Text, ReversedBy: o.ReversedBy}}) {
		t.Errorf("reversed %+v", p.Reversed)
	}
	if p.Margin != 2 || len(p.Differing) != 2 || p.ChosenResponseID != a.ResponseID || pairs[1].ChosenResponseID != b.ResponseID {
		t.Errorf("pair %+v", p)
	}
}

func TestWhereEverythingAppliesAndReversesEachTwoResponsesGiveBothOrders(t *testing.T) {
	w := newWorld(t, "orders", "rfrf")
	vectors := []string{"1111", "0000", "1010", "1010", "0111"}
	for _, v := range vectors {
		w.add(v)
	}
	pairs, drops, err := build(w.Turn, 1)
	if err != nil || drops != (pair.Drops{}) {
		t.Fatalf("drops %+v, %v", drops, err)
	}
	if len(pairs) != 4*3 {
		t.Fatalf("%d pairs of four different vectors", len(pairs))
	}
	for _, p := range pairs {
		if p.ChosenResponseID == w.Responses[3].ResponseID || p.RejectedResponseID == w.Responses[3].ResponseID {
			t.Error("the second response with equal verdicts is in a pair")
		}
	}
}

func TestOnlyPairsThatNeedAMissingOppositeAreDropped(t *testing.T) {
	w := newWorld(t, "irreversible", "ff")
	a, b := w.add("10"), w.add("11")
	delete(w.Opposites, w.Constraints[1].ConstraintID)
	pairs, drops, err := build(w.Turn, 1)
	if err != nil || drops != (pair.Drops{Irreversible: 1}) || len(pairs) != 1 {
		t.Fatalf("%d pairs, drops %+v, %v", len(pairs), drops, err)
	}
	if pairs[0].ChosenResponseID != b.ResponseID || pairs[0].RejectedResponseID != a.ResponseID || len(pairs[0].Reversed) != 0 {
		t.Errorf("pair %+v", pairs[0])
	}
}

func TestAPairWhoseRuleDisagreesWithTheStoredVerdictIsDropped(t *testing.T) {
	for _, c := range []struct{ name, a, b, stored string }{
		{"a wrong verdict on the margin", "100", "011", "111"},
		{"a wrong verdict on what both follow", "11", "10", "00"},
		{"two wrong verdicts that cancel in the number", "111", "011", "101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "unverified", strings.Repeat("r", len(c.a)))
			w.add(c.a)
			b := w.add(c.b)
			for i, constraint := range w.Constraints {
				w.verdict(b.ResponseID, constraint.ConstraintID).Outcome = outcomes[c.stored[i]]
			}
			pairs, drops, err := build(w.Turn, 1)
			if err != nil || len(pairs) != 0 || drops != (pair.Drops{Unverified: 2}) {
				t.Errorf("%d pairs, drops %+v, %v", len(pairs), drops, err)
			}
		})
	}
}

func TestABlankResponseIsNeverChosen(t *testing.T) {
	w := newWorld(t, "blank", "rr")
	w.add("11")
	blank := w.add("00")
	w.Responses[1].Text = " \n"
	pairs, drops, err := build(w.Turn, 1)
	if err != nil || len(pairs) != 1 || pairs[0].RejectedResponseID != blank.ResponseID || drops.Unverified != 1 {
		t.Errorf("%d pairs, drops %+v, %v", len(pairs), drops, err)
	}
}

func TestAPairIDDependsOnBothResponsesTheirOrderAndThePrompt(t *testing.T) {
	ids := func(change func(*world)) string {
		w := newWorld(t, "ids", "ff")
		w.add("10")
		w.add("01")
		change(w)
		pairs, _, err := build(w.Turn, 1)
		if err != nil {
			t.Fatal(err)
		}
		return pairs[0].PairID + pairs[1].PairID
	}
	first := ids(func(*world) {})
	if ids(func(*world) {}) != first || first[:36] == first[36:] {
		t.Error("ids are not deterministic, or both orders share one")
	}
	other := ids(func(w *world) {
		for id, o := range w.Opposites {
			o.Text = "Otherwise than " + o.Original
			w.Opposites[id] = o
		}
	})
	if other == first {
		t.Error("another prompt has the same id")
	}
}

func TestASpanThatDoesNotHoldItsConstraintFailsTheShard(t *testing.T) {
	w := newWorld(t, "span", "ff")
	w.add("10")
	w.add("01")
	w.Constraints[1].Start++
	if _, _, err := build(w.Turn, 1); schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("error %v", err)
	}
}
