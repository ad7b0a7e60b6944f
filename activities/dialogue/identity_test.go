package dialogue_test

import (
	"strings"
	"testing"
)

// Ids name what a row is made of: rows of two plays of one dialogue have the same
// ids for as long as both say the same, and no longer.
func TestTurnsOfTwoPlaysHaveTheSameIdsUntilSomethingElseIsSaid(t *testing.T) {
	plain := func() *world {
		w := newWorld(t)
		w.respond = func(turn, i int) string { return "tea milk" }
		return w
	}
	first := played(t, plain(), nil, train("tea", "milk:asked for milk"))
	for name, c := range map[string]struct {
		change func(w *world)
		// turns is how many turns have the ids of the first play, golden how many
		// golden responses have.
		turns, golden int
	}{
		"nothing else":      {func(*world) {}, 5, 5},
		"other first query": {func(w *world) { w.query = func(turn, _ int) string { return subjects[(turn+1)%len(subjects)] } }, 0, 0},
		"other third query": {func(w *world) { w.query = unlike(2, "Is there a smaller pot for two?") }, 2, 2},
		"other third answer": {func(w *world) {
			w.respond = func(turn, _ int) string { return "tea milk" + strings.Repeat(" sugar", turn/2%2) }
		}, 3, 2},
		"a reply asked for again": {func(w *world) {
			w.query = func(turn, refused int) string {
				if turn == 1 && refused == 0 {
					return subjects[0] // repeats
				}
				return subjects[turn]
			}
		}, 5, 5},
	} {
		w := plain()
		c.change(w)
		again := played(t, w, nil, train("tea", "milk:asked for milk"))
		if len(again.turns) != 5 || again.dialogues[0].DialogueID != first.dialogues[0].DialogueID {
			t.Fatalf("%s: %d turns of dialogue %s", name, len(again.turns), again.dialogues[0].DialogueID)
		}
		turns := map[string]bool{}
		for i, turn := range again.turns {
			if same := turn.TurnID == first.turns[i].TurnID; same != (i < c.turns) {
				t.Errorf("%s: turn %d has the id of the first play: %v", name, i, same)
			}
			if same := again.golden[i].ResponseID == first.golden[i].ResponseID; same != (i < c.golden) {
				t.Errorf("%s: golden response %d has the id of the first play: %v", name, i, same)
			}
			if turn.TurnID == "" || turns[turn.TurnID] || again.golden[i].TurnID != turn.TurnID {
				t.Errorf("%s: turn %d has id %q, its golden response names %q", name, i, turn.TurnID, again.golden[i].TurnID)
			}
			turns[turn.TurnID] = true
		}
		for _, row := range again.triggers {
			if !turns[row.TurnID] {
				t.Errorf("%s: a trigger is of turn %s, which there is not", name, row.TurnID)
			}
		}
	}
}

// unlike is a peaceful user who says something else in one turn.
func unlike(at int, query string) func(turn, refused int) string {
	return func(turn, _ int) string {
		if turn == at {
			return query
		}
		return subjects[turn]
	}
}
