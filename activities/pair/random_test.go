package pair_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpo/activities/judge/rules"
	"rpo/activities/pair"
	"rpo/activities/reverse"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// world is a turn with free-text constraints (the letters) and, if it has any,
// rule constraints that ask for a word each.
type world struct {
	pair.Turn
	words []string // of the rule constraints, "" for free text
}

// newWorld has a constraint per letter of kinds: "r" has a rule, "f" has none,
// "u" is not triggered.
func newWorld(t *testing.T, name, kinds string) *world {
	t.Helper()
	w := &world{}
	var constraints []steptest.Constraint
	for i, kind := range kinds {
		c := steptest.Constraint{Text: fmt.Sprintf("Be %s, number %d – ünï.", name, i)}
		word := ""
		if kind == 'r' {
			word = fmt.Sprintf("word%dend", i)
			c.Text = fmt.Sprintf("Mention %q.", word)
			c.Rule = schemas.Rule{Profile: "rpo", Kind: "contains", Args: fmt.Sprintf(`{"text":%q}`, word)}
		}
		constraints, w.words = append(constraints, c), append(w.words, word)
	}
	w.Turn.Turn = steptest.Turn(name, constraints...)
	w.Triggered = nil
	w.Verdicts, w.Opposites = map[string][]schemas.Verdict{}, map[string]schemas.Opposite{}
	for i, c := range w.Constraints {
		if kinds[i] == 'u' {
			continue
		}
		w.Triggered = append(w.Triggered, c.ConstraintID)
		o := schemas.Opposite{OppositeID: schemas.ID("o", c.ConstraintID), ConstraintID: c.ConstraintID, Original: c.Text, Text: "Not so: " + c.Text, ReversedBy: "model reverse/1"}
		if kinds[i] == 'r' {
			var err error
			if o, err = reverse.ByRule(c); err != nil {
				t.Fatal(err)
			}
		}
		w.Opposites[c.ConstraintID] = o
	}
	return w
}

// build makes the pairs of a turn with no option but the smallest margin.
func build(t pair.Turn, minMargin int) ([]schemas.Pair, pair.Drops, error) {
	built, err := pair.NewBuilder(schemas.PairOptions{MinMargin: minMargin}, nil).Build(t)
	return built.Pairs, built.Drops, err
}

var outcomes = map[byte]string{'1': schemas.Followed, '0': schemas.NotFollowed, '-': schemas.NotApplicable, '?': schemas.Abstained}

// verdict returns the one that a response has on a constraint.
func (w *world) verdict(response, constraint string) *schemas.Verdict {
	list := w.Verdicts[response]
	return &list[slices.IndexFunc(list, func(v schemas.Verdict) bool { return v.ConstraintID == constraint })]
}

// add adds a response whose verdicts on the triggered constraints are the
// letters of vector and whose text obeys the rules accordingly.
func (w *world) add(vector string) schemas.Response {
	n := len(w.Responses)
	r := schemas.Response{ResponseID: schemas.ID("response", w.TurnID, fmt.Sprint(n)), TurnID: w.TurnID, SampleIndex: int64(n), Model: "policy"}
	r.Text = fmt.Sprintf("Response %d.", n)
	var verdicts []schemas.Verdict
	k := 0
	for i, c := range w.Constraints {
		if !slices.Contains(w.Triggered, c.ConstraintID) {
			continue
		}
		if w.words[i] != "" && vector[k] == '1' {
			r.Text += " " + w.words[i]
		}
		verdicts = append(verdicts, schemas.Verdict{ConstraintID: c.ConstraintID, ResponseID: r.ResponseID, Outcome: outcomes[vector[k]], JudgedBy: "judge"})
		k++
	}
	w.Responses = append(w.Responses, r)
	w.Verdicts[r.ResponseID] = verdicts
	return r
}

// hamming is the number of places where both apply and differ.
func hamming(a, b string) int {
	g := 0
	for i := range len(a) {
		if a[i] != '-' && b[i] != '-' && a[i] != b[i] {
			g++
		}
	}
	return g
}

// fails counts the places that chosen fails and that apply to rejected: those
// that are reversed.
func fails(chosen, rejected string) int {
	n := 0
	for i := range len(chosen) {
		if chosen[i] == '0' && rejected[i] != '-' {
			n++
		}
	}
	return n
}

// reversedAt holds the places of the constraints that a pair reversed.
func reversedAt(p schemas.Pair, w *world) map[int]bool {
	at := map[int]bool{}
	for _, r := range p.Reversed {
		at[slices.IndexFunc(w.Constraints, func(c schemas.Constraint) bool { return c.ConstraintID == r.ConstraintID })] = true
	}
	return at
}

// checkSystem demands that the rendered message is the original with nothing
// but the reversed spans replaced.
func checkSystem(t *testing.T, w *world, p schemas.Pair) {
	t.Helper()
	at, rest := int64(0), p.Prompt[0].Content
	reversed := reversedAt(p, w)
	for i, c := range w.Constraints {
		text := c.Text
		if reversed[i] {
			text = w.Opposites[c.ConstraintID].Text
		}
		want := w.System[at:c.Start] + text
		if !strings.HasPrefix(rest, want) {
			t.Fatalf("constraint %d: %q does not begin with %q", i, rest, want)
		}
		rest, at = rest[len(want):], c.End
	}
	if rest != w.System[at:] {
		t.Fatalf("the message ends with %q, want %q", rest, w.System[at:])
	}
}

// checkRules runs the rules of the rendered prompt on both texts: the chosen one
// passes all, the rejected one fails those that differ and no other.
func checkRules(t *testing.T, w *world, p schemas.Pair) {
	t.Helper()
	reversed := reversedAt(p, w)
	for i, c := range w.Constraints {
		if w.words[i] == "" {
			continue
		}
		demandsWord := !reversed[i]
		if chosen := strings.Contains(p.Chosen[0].Content, w.words[i]); chosen != demandsWord {
			t.Fatalf("the chosen response breaks constraint %d of its own prompt", i)
		}
		differs := slices.Contains(p.Differing, c.ConstraintID)
		if rejected := strings.Contains(p.Rejected[0].Content, w.words[i]); (rejected != demandsWord) != differs {
			t.Fatalf("constraint %d differs %v, but the rejected response has its word %v", i, differs, rejected)
		}
		rule := c.Rule
		if reversed[i] {
			rule = w.Opposites[c.ConstraintID].Rule
		}
		check, err := rules.Parse(rule)
		if err != nil || !check.Strict(p.Chosen[0].Content) || check.Strict(p.Rejected[0].Content) == differs {
			t.Fatalf("the rule of constraint %d disagrees: %v", i, err)
		}
	}
}

func TestRandomVerdictsGiveTwoPairsPerDifferingResponsesOrACountedReason(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	made, dropped := 0, 0
	for round := range 400 {
		kinds, judged := make([]byte, 1+random.IntN(9)), []byte{}
		for i := range kinds {
			kinds[i] = "rrffu"[random.IntN(5)]
			if kinds[i] != 'u' {
				judged = append(judged, kinds[i])
			}
		}
		w := newWorld(t, fmt.Sprint("random", round), string(kinds))
		w.History = []schemas.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Hello"}}
		irreversible := map[string]bool{}
		if round%4 == 0 {
			for id := range w.Opposites {
				if random.IntN(4) == 0 {
					delete(w.Opposites, id)
					irreversible[id] = true
				}
			}
		}
		vectors := map[string]string{}
		var distinct []schemas.Response
		seen := map[string]bool{}
		for range 5 {
			vector := make([]byte, len(judged))
			for i, kind := range judged {
				// A rule always applies.
				vector[i] = "01-"[random.IntN(map[byte]int{'r': 2, 'f': 3}[kind])]
			}
			r := w.add(string(vector))
			vectors[r.ResponseID] = string(vector)
			if !seen[string(vector)] {
				seen[string(vector)] = true
				distinct = append(distinct, r)
			}
		}
		minMargin := 1 + random.IntN(2)
		var want pair.Drops
		expected := map[[2]string]int{}
		for _, a := range distinct {
			for _, b := range distinct {
				va, vb := vectors[a.ResponseID], vectors[b.ResponseID]
				g := hamming(va, vb)
				needs := slices.ContainsFunc(w.TriggeredConstraints(), func(c schemas.Constraint) bool {
					return irreversible[c.ConstraintID] && w.verdict(a.ResponseID, c.ConstraintID).Outcome == schemas.NotFollowed &&
						w.verdict(b.ResponseID, c.ConstraintID).Outcome != schemas.NotApplicable
				})
				switch {
				case g == 0:
				case g < minMargin:
					want.SmallMargin++
				case needs:
					want.Irreversible++
				default:
					expected[[2]string{a.ResponseID, b.ResponseID}] = g
				}
			}
		}
		pairs, drops, err := build(w.Turn, minMargin)
		if err != nil {
			t.Fatal(err)
		}
		if drops.SmallMargin != want.SmallMargin || drops.Irreversible != want.Irreversible || drops.Unverified != 0 {
			t.Fatalf("round %d: drops %+v, want %+v", round, drops, want)
		}
		if len(irreversible) == 0 && drops.Irreversible > 0 {
			t.Fatalf("round %d: drops %+v though all can be reversed", round, drops)
		}
		if len(pairs) != len(expected) {
			t.Fatalf("round %d: %d pairs, want %d", round, len(pairs), len(expected))
		}
		ids := map[string]bool{}
		for _, p := range pairs {
			va, vb := vectors[p.ChosenResponseID], vectors[p.RejectedResponseID]
			if g, ok := expected[[2]string{p.ChosenResponseID, p.RejectedResponseID}]; !ok || p.Margin != float64(g) || len(p.Differing) != g {
				t.Fatalf("round %d: %s and %s: margin %v, want %d (%v)", round, va, vb, p.Margin, g, ok)
			}
			if len(p.Reversed) != fails(va, vb) {
				t.Fatalf("round %d: %d constraints reversed for %s", round, len(p.Reversed), va)
			}
			if !slices.Equal(p.Prompt[1:3], w.History) || p.Prompt[3].Content != w.Query || p.Model != "policy" || !slices.Equal(p.JudgedBy, []string{"judge"}) {
				t.Fatalf("round %d: %+v", round, p)
			}
			checkSystem(t, w, p)
			checkRules(t, w, p)
			ids[p.PairID] = true
		}
		if len(ids) != len(pairs) {
			t.Fatalf("round %d: %d ids for %d pairs", round, len(ids), len(pairs))
		}
		if again, _, _ := build(w.Turn, minMargin); !reflect.DeepEqual(again, pairs) {
			t.Fatalf("round %d: a second build differs", round)
		}
		made, dropped = made+len(pairs), dropped+int(drops.Irreversible)
	}
	if made < 1000 || dropped < 100 {
		t.Errorf("only %d pairs made and %d dropped: the property was hardly tested", made, dropped)
	}
}
