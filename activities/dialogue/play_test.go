package dialogue_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/dialogue"
	"rpo/schemas"
)

func train(constraints ...string) schemas.Profile {
	return shop("shop", schemas.SplitTrain, constraints...)
}

func TestADialogueHasFiveTurnsWithGoldenHistory(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string { return fmt.Sprintf("tea milk answer%d.%d", turn, i) }
	r := played(t, w, nil, train("tea", "milk"))
	if len(r.turns) != 5 || r.record.Books != (schemas.Books{In: 1, OK: 1}) {
		t.Fatalf("%d turns, books %+v", len(r.turns), r.record.Books)
	}
	for i, turn := range r.turns {
		if turn.Index != int64(i) || turn.Query != subjects[i] || len(turn.Triggered) != 2 || turn.System != r.turns[0].System {
			t.Errorf("turn %d: %+v", i, turn)
		}
		if g := r.golden[i]; g.TurnID != turn.TurnID || g.Text != fmt.Sprintf("tea milk answer%d.0", i) || g.Share != 1 || g.Rounds != 0 || g.Candidates != 5 {
			t.Errorf("golden %d: %+v", i, g)
		}
	}
	if d := r.dialogues[0]; d.Ended != schemas.EndedTurns || d.Turns != 5 || d.Detail != nil || len(d.Traits) != 10 || d.DialogueID != r.turns[0].DialogueID {
		t.Errorf("dialogue %+v", d)
	}
	for name, want := range map[string]int64{"dialogues": 1, "turns": 5, "ended_turns": 1, "refined": 0, "candidates": 25} {
		if r.record.Counts[name] != want {
			t.Errorf("count %s is %d, want %d", name, r.record.Counts[name], want)
		}
	}
	if r.record.Calls == 0 {
		t.Error("the record counts no calls")
	}
}

// The property holds whatever the models say.
func TestTheHistoryOfATurnIsThatOfTheTurnBeforeItAndItsQueryAndGoldenResponse(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t)
		random := func(purpose string, n int) int {
			h := seed
			for _, b := range []byte(purpose) {
				h = h*131 + uint64(b)
			}
			return rand.New(rand.NewPCG(seed, h)).IntN(n)
		}
		w.query = func(turn, refused int) string {
			return subjects[random(fmt.Sprint("query", turn, refused), len(subjects))]
		}
		w.respond = func(turn, i int) string {
			all := []string{"tea", "milk", "sugar", "ice"}
			return strings.Join(all[:random(fmt.Sprint("answer", turn, i), 5)], " ") + fmt.Sprint(" ", turn, i)
		}
		w.trigger = func(trigger, query string) string {
			return []string{schemas.TriggerByQuery, schemas.TriggerByResponse, schemas.TriggerUnmet}[random(trigger+query, 3)]
		}
		w.edit = func(response string, broken []string) string { return response + " " + broken[0] }
		profiles := []schemas.Profile{
			shop("a", schemas.SplitTrain, "tea", "milk", "sugar", "ice"),
			shop("b", schemas.SplitTrain, "tea:asked for tea", "milk:asked for milk", "sugar", "ice:cold"),
		}
		r := played(t, w, func(o *schemas.DialogueOptions) { o.DialoguesPerProfile = 2 }, profiles...)
		golden := map[string]schemas.Golden{}
		for _, g := range r.golden {
			golden[g.TurnID] = g
			if g.Share < 0.7 {
				t.Errorf("a golden response has share %v", g.Share)
			}
		}
		for i, turn := range r.turns {
			var want []schemas.Message
			if turn.Index > 0 {
				before := r.turns[i-1]
				if before.DialogueID != turn.DialogueID || before.Index != turn.Index-1 {
					t.Fatalf("turn %d is not in order", i)
				}
				want = append(slices.Clone(before.History), schemas.Message{Role: "user", Content: before.Query},
					schemas.Message{Role: "assistant", Content: golden[before.TurnID].Text})
			}
			if !slices.Equal(turn.History, want) {
				t.Errorf("seed %d, turn %d: history %+v, want %+v", seed, i, turn.History, want)
			}
			if len(turn.Triggered) == 0 {
				t.Errorf("turn %d triggers nothing", i)
			}
		}
		var verdicts, triggers int
		for _, turn := range r.turns {
			verdicts += len(turn.Triggered)
			triggers += len(turn.Constraints)
		}
		if len(r.verdicts) != verdicts || len(r.triggers) != triggers || len(r.golden) != len(r.turns) {
			t.Errorf("%d verdicts, %d triggers, %d golden; want %d, %d, %d", len(r.verdicts), len(r.triggers), len(r.golden), verdicts, triggers, len(r.turns))
		}
	}
}

func TestARepeatedQueryIsAskedForAgainWithTheReason(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	refused := map[string]bool{}
	w.query = func(turn, tries int) string {
		if turn == 1 && tries < 3 {
			// The same, the same again, nearly the same.
			return []string{subjects[0], strings.ToUpper(subjects[0]), "Which green leaves would suit a rainy evening?"}[tries]
		}
		return subjects[turn]
	}
	w.see = func(name string, p scripted.Parsed, parts []part) {
		mu.Lock()
		defer mu.Unlock()
		for _, one := range parts {
			if strings.HasPrefix(one.heading, "refused message") {
				refused[one.heading+"|"+one.text] = true
			}
		}
	}
	r := played(t, w, nil, train("tea"))
	if len(r.turns) != 5 || r.turns[1].Query != subjects[1] || r.record.Counts["queries_repeated"] != 3 {
		t.Errorf("%d turns, counts %v", len(r.turns), r.record.Counts)
	}
	if !refused["refused message: it repeats an earlier one|"+subjects[0]] {
		t.Errorf("the refused query is not named: %v", refused)
	}
}

func TestADialogueEndsAtItsTurnsWhenTheUserOnlyRepeats(t *testing.T) {
	w := newWorld(t)
	w.query = func(turn, refused int) string { return subjects[min(turn, 1)] }
	r := played(t, w, nil, train("tea"))
	if len(r.turns) != 2 || r.dialogues[0].Ended != schemas.EndedRepeats || r.record.Counts["ended_repeats"] != 1 || r.record.Counts["queries_repeated"] != 4 {
		t.Errorf("%d turns, %+v, counts %v", len(r.turns), r.dialogues[0], r.record.Counts)
	}
}

func TestOnlyUnmetTriggersLeaveAConstraintOut(t *testing.T) {
	w := newWorld(t)
	w.trigger = func(trigger, query string) string { return trigger }
	p := train("tea", "milk:query", "sugar:response", "ice:unmet")
	r := played(t, w, func(o *schemas.DialogueOptions) { o.MaxTurns = 1 }, p)
	want := []string{p.Constraints[0].ConstraintID, p.Constraints[1].ConstraintID, p.Constraints[2].ConstraintID}
	if !slices.Equal(r.turns[0].Triggered, want) {
		t.Errorf("triggered %v, want %v", r.turns[0].Triggered, want)
	}
	for i, basis := range []string{schemas.TriggerAlways, schemas.TriggerByQuery, schemas.TriggerByResponse, schemas.TriggerUnmet} {
		g := r.triggers[i]
		if g.ConstraintID != p.Constraints[i].ConstraintID || g.Basis != basis || g.Triggered != (i < 3) || (g.Reason == nil) != (i == 0) || g.TurnID != r.turns[0].TurnID {
			t.Errorf("trigger %d: %+v", i, g)
		}
	}
	if len(r.verdicts) != 3 {
		t.Errorf("%d verdicts", len(r.verdicts))
	}
}

func TestNobodyIsAskedAboutConstraintsWithoutTrigger(t *testing.T) {
	w := newWorld(t)
	w.see = func(name string, p scripted.Parsed, parts []part) {
		if name == "triggers" {
			t.Error("the judge was asked")
		}
	}
	if r := played(t, w, nil, train("tea", "milk")); len(r.turns) != 5 || r.triggers[0].JudgedBy != "construction" {
		t.Errorf("%d turns", len(r.turns))
	}
}

func TestAQueryThatTriggersNothingIsRefused(t *testing.T) {
	w := newWorld(t)
	w.trigger = func(trigger, query string) string {
		if query == "Is there tea?" {
			return schemas.TriggerByQuery
		}
		return schemas.TriggerUnmet
	}
	w.query = func(turn, refused int) string {
		if turn == 0 && refused == 1 {
			return "Is there tea?"
		}
		return subjects[turn+refused%2] // asked for a third time it is a refused one again
	}
	r := played(t, w, nil, train("tea:the user asks for tea"))
	if len(r.turns) != 1 || r.dialogues[0].Ended != schemas.EndedUntriggered || r.record.Counts["queries_untriggered"] != 3 || r.record.Counts["queries_repeated"] != 2 {
		t.Errorf("%d turns, %+v, counts %v", len(r.turns), r.dialogues[0], r.record.Counts)
	}
}

func TestTheUserSeesTheAssistantWithoutItsConstraintsAndUnmetSituationsFirst(t *testing.T) {
	w := newWorld(t)
	w.trigger = func(trigger, query string) string {
		if trigger == "cold" && query == subjects[0] {
			return schemas.TriggerByQuery
		}
		return schemas.TriggerUnmet
	}
	var mu sync.Mutex
	situations := map[int]string{}
	w.see = func(name string, p scripted.Parsed, parts []part) {
		if name != "query" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if got := textsOf(parts, "the assistant"); len(got) != 1 || got[0] != "You are shop." {
			t.Errorf("the user sees %q", got)
		}
		situations[len(textsOf(parts, "earlier message of the user"))] = textsOf(parts, "situations")[0]
	}
	played(t, w, func(o *schemas.DialogueOptions) { o.MaxTurns = 2 }, train("tea", "milk:cold", "sugar:hot", "ice:lukewarm"))
	lines := strings.Split(situations[1], "\n")
	if len(lines) != 3 || lines[2] != "- cold" {
		t.Errorf("situations of turn 1: %q, of turn 0: %q", situations[1], situations[0])
	}
}

func TestAnAssistantIsDescribedWithoutItsConstraints(t *testing.T) {
	const system = "You are Ada.\nRules:\n1. Say tea.\n2) Say milk.\nBe kind, but say ice. Always.\n\n- Say\nsugar.\nBye."
	p := schemas.Profile{System: system}
	for _, c := range []string{"Say tea.", "Say milk.", "say ice.", "Say\nsugar."} {
		at := int64(strings.Index(system, c))
		p.Constraints = append(p.Constraints, schemas.Constraint{Text: c, Start: at, End: at + int64(len(c))})
	}
	if got, want := dialogue.Description(p), "You are Ada.\nRules:\nBe kind, but  Always.\n\nBye."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
