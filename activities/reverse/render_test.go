package reverse_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"rpo/activities/reverse"
	"rpo/schemas"
)

// pieces are bytes that a careless renderer would change.
var pieces = []string{"a", "Be kind.", " ", "\n", "\t- ", "–", "漢字", "🙂", "\u00a0", "$1", "%d", "{{.}}", "\\n", "\r\n", "e\u0301", "<x>"}

func text(random *rand.Rand, least int) string {
	var out strings.Builder
	for range least + random.IntN(4) {
		out.WriteString(pieces[random.IntN(len(pieces))])
	}
	return out.String()
}

func TestRenderingReplacesTheReversedSpansAndNoOtherByte(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		var system, want strings.Builder
		var constraints []schemas.Constraint
		opposites, none := map[string]string{}, map[string]string{}
		for range random.IntN(7) {
			between := text(random, 0)
			system.WriteString(between)
			want.WriteString(between)
			c := schemas.Constraint{ConstraintID: schemas.ID("c", string(rune('a'+len(constraints)))), Text: text(random, 1), Start: int64(system.Len())}
			system.WriteString(c.Text)
			c.End = int64(system.Len())
			constraints = append(constraints, c)
			if random.IntN(2) == 0 {
				opposites[c.ConstraintID] = text(random, 0)
				want.WriteString(opposites[c.ConstraintID])
			} else {
				want.WriteString(c.Text)
			}
		}
		end := text(random, 0)
		system.WriteString(end)
		want.WriteString(end)
		if got, err := reverse.Render(system.String(), constraints, opposites); err != nil || got != want.String() {
			t.Fatalf("round %d: %q, want %q, %v", round, got, want.String(), err)
		}
		if got, err := reverse.Render(system.String(), constraints, none); err != nil || got != system.String() {
			t.Fatalf("round %d: nothing reversed gives %q, want %q, %v", round, got, system.String(), err)
		}
	}
}

func TestASpanThatIsNotItsConstraintIsRefused(t *testing.T) {
	const system = "One. Two. Three."
	one := schemas.Constraint{ConstraintID: "one", Text: "One.", Start: 0, End: 4}
	two := schemas.Constraint{ConstraintID: "two", Text: "Two.", Start: 5, End: 9}
	for name, constraints := range map[string][]schemas.Constraint{
		"another text":        {{ConstraintID: "x", Text: "Six.", Start: 0, End: 4}},
		"shifted":             {{ConstraintID: "x", Text: "One.", Start: 1, End: 5}},
		"past the end":        {{ConstraintID: "x", Text: "Three.", Start: 10, End: 17}},
		"before the start":    {{ConstraintID: "x", Text: "One.", Start: -1, End: 3}},
		"reversed bounds":     {{ConstraintID: "x", Text: "", Start: 4, End: 3}},
		"in the wrong order":  {two, one},
		"one inside the next": {one, {ConstraintID: "x", Text: "e. T", Start: 2, End: 6}},
		"twice":               {one, one},
	} {
		if got, err := reverse.Render(system, constraints, nil); schemas.TypeOf(err) != schemas.CorruptData {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
