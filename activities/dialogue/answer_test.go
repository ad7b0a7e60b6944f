package dialogue_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

var four = train("tea", "milk", "sugar", "ice")

func once(o *schemas.DialogueOptions) { o.MaxTurns = 1 }

func TestTheBestCandidateIsGoldenAndTheFirstOfEquals(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string {
		return []string{"tea", "tea milk sugar first", "tea milk sugar second", "milk", "nothing"}[i]
	}
	r := played(t, w, once, four)
	g := r.golden[0]
	if g.Text != "tea milk sugar first" || g.SampleIndex != 1 || g.Share != 0.75 || g.Followed != 3 || g.NotFollowed != 1 || g.FirstShare != 0.75 {
		t.Errorf("golden %+v", g)
	}
	for i, v := range r.verdicts {
		if v.ResponseID != g.ResponseID || v.ConstraintID != four.Constraints[i].ConstraintID || (v.Outcome == schemas.Followed) != (i < 3) {
			t.Errorf("verdict %d: %+v", i, v)
		}
	}
}

func TestTheResponderGetsTheTriggeredConstraintsAndTheHistoryDoesNot(t *testing.T) {
	w := newWorld(t)
	w.trigger = func(trigger, query string) string { return trigger }
	var mu sync.Mutex
	var seen []scripted.Parsed
	w.fault = func(p scripted.Parsed) *scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		if p.SchemaName == "" {
			seen = append(seen, p)
		}
		return nil
	}
	r := played(t, w, func(o *schemas.DialogueOptions) { o.MaxTurns = 2 }, train("tea", "milk:unmet", "sugar:query"))
	if len(seen) != 2 {
		t.Fatalf("%d requests", len(seen))
	}
	for i, p := range seen {
		if p.Temperature != 1 || p.N != 5 || p.System() != r.turns[0].System {
			t.Errorf("request %d: %s", i, p.Body)
		}
		if last := p.Last(); !strings.HasPrefix(last, subjects[i]+"\n") || !strings.Contains(last, "- Say tea.\n- Say sugar.") || strings.Contains(last, "milk") {
			t.Errorf("request %d ends with %q", i, last)
		}
	}
	if h := r.turns[1].History; h[0].Content != subjects[0] || seen[1].Messages[1].Content != subjects[0] {
		t.Errorf("history %+v", h)
	}
}

func TestAResponseUnderTheThresholdIsEditedUntilItIsNot(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string { return "tea" }
	var mu sync.Mutex
	var broken, followed [][]string
	w.see = func(name string, p scripted.Parsed, parts []part) {
		if name == "edit" {
			mu.Lock()
			defer mu.Unlock()
			broken, followed = append(broken, textsOf(parts, "broken constraint")), append(followed, textsOf(parts, "followed constraint"))
			if reasons := textsOf(parts, "why it is broken"); len(reasons) != len(broken[len(broken)-1]) {
				t.Errorf("reasons %q", reasons)
			}
		}
	}
	w.edit = func(response string, broken []string) string { return response + " " + broken[0] }
	r := played(t, w, once, four)
	g := r.golden[0]
	if g.Text != "tea milk sugar" || g.Rounds != 2 || g.Share != 0.75 || g.FirstShare != 0.25 || g.Candidates != 1 {
		t.Errorf("golden %+v", g)
	}
	if fmt.Sprint(broken) != "[[Say milk. Say sugar. Say ice.] [Say sugar. Say ice.]]" || fmt.Sprint(followed) != "[[Say tea.] [Say tea. Say milk.]]" {
		t.Errorf("the critic saw %v and %v", broken, followed)
	}
	if c := r.record.Counts; c["refined"] != 1 || c["refine_rounds"] != 2 {
		t.Errorf("counts %v", c)
	}
}

func TestEditsAreBoundedAndTheDialogueEndsBeforeATurnUnderTheThreshold(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string {
		if turn < 2 {
			return "tea milk sugar"
		}
		return "tea milk"
	}
	var mu sync.Mutex
	seeds := map[int64]bool{}
	w.see = func(name string, p scripted.Parsed, parts []part) {
		if name == "edit" {
			mu.Lock()
			defer mu.Unlock()
			seeds[p.Seed] = true
			if got := textsOf(parts, "response to edit"); got[0] != "tea milk" {
				t.Errorf("the critic edits %q, not the best so far", got)
			}
		}
	}
	w.edit = func(string, []string) string { return "tea worse" }
	r := played(t, w, nil, four)
	if len(r.turns) != 2 || len(r.golden) != 2 || r.dialogues[0].Ended != schemas.EndedThreshold || r.record.Books != (schemas.Books{In: 1, OK: 1}) {
		t.Errorf("%d turns, %+v", len(r.turns), r.dialogues[0])
	}
	if c := r.record.Counts; c["ended_threshold"] != 1 || c["refine_rounds"] != 3 || c["refined"] != 0 || len(seeds) != 3 {
		t.Errorf("counts %v, seeds %v", c, seeds)
	}
}

func TestADialogueThatEndsBeforeItsFirstTurnIsSkipped(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string { return "tea" }
	w.edit = func(response string, _ []string) string { return response }
	r := played(t, w, nil, four)
	if len(r.turns) != 0 || r.record.Books != (schemas.Books{In: 1, Skipped: 1}) || r.record.Counts["skipped_threshold"] != 1 || r.dialogues[0].Ended != schemas.EndedThreshold {
		t.Errorf("books %+v, counts %v, %+v", r.record.Books, r.record.Counts, r.dialogues)
	}
}

func TestAResponseCutAtTheTokenLimitIsNoCandidate(t *testing.T) {
	w := newWorld(t)
	w.fault = func(p scripted.Parsed) *scripted.Reply {
		if p.SchemaName != "" {
			return nil
		}
		r := scripted.Reply{Texts: []string{"tea milk sugar ice", "tea milk sugar ice", "tea milk sugar ice", "tea milk sugar ice", "tea milk sugar ice"}}
		if r.Finish = "stop"; len(p.Messages) > 2 {
			r.Finish = "length"
		}
		return &r
	}
	r := played(t, w, nil, four)
	if len(r.turns) != 1 || r.dialogues[0].Ended != schemas.EndedTruncated || r.record.Counts["candidates_dropped"] != 4+5 || r.golden[0].Candidates != 1 {
		t.Errorf("%d turns, %+v, counts %v", len(r.turns), r.dialogues[0], r.record.Counts)
	}
}

func TestWhatDoesNotApplyIsNotCounted(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string { return []string{"tea silence", "tea milk", "x", "y", "z"}[i] }
	r := played(t, w, once, four)
	if g := r.golden[0]; g.Text != "tea silence" || g.Share != 1 || g.Followed != 1 || g.NotFollowed != 0 {
		t.Errorf("golden %+v", g)
	}
}

func TestRulesJudgeBeforeTheModel(t *testing.T) {
	p := four
	p.Constraints = append([]schemas.Constraint{}, p.Constraints...)
	p.Constraints[1].Rule = schemas.Rule{Profile: "ifeval", Kind: "keywords:existence", Args: `{"keywords":["milk"]}`}
	w := newWorld(t)
	w.respond = func(turn, i int) string { return "tea milk sugar" }
	r := played(t, w, once, p)
	for i, v := range r.verdicts {
		if (v.Source == schemas.ByRule) != (i == 1) || v.ConstraintID != p.Constraints[i].ConstraintID {
			t.Errorf("verdict %d: %+v", i, v)
		}
	}
}

func TestACandidateWhoseVerdictsCannotBeHadIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.respond = func(turn, i int) string {
		return []string{"tea milk sugar ice unjudgeable", "tea milk sugar", "x", "y", "z"}[i]
	}
	w.fault = func(p scripted.Parsed) *scripted.Reply {
		if p.SchemaName != "" && p.SchemaName != "query" && strings.Contains(p.Last(), "unjudgeable") {
			r := scripted.Say("followed, all of them")
			return &r
		}
		return nil
	}
	r := played(t, w, once, four)
	if g := r.golden[0]; g.SampleIndex != 1 || r.record.Counts["candidates_unjudged"] != 1 {
		t.Errorf("golden %+v, counts %v", g, r.record.Counts)
	}
}
