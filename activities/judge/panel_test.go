package judge_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// voter judges honestly but for the constraint "Say milk.", on which the vote with
// a seed in dissent says not applicable.
func voter(t *testing.T, dissent ...int64) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		q, err := readQuestion(p)
		if err != nil {
			t.Error(err)
		}
		entries := honest(q)
		for i, line := range q.constraints {
			if strings.HasSuffix(line, "Say milk.") && slices.Contains(dissent, p.Seed) {
				entries[i].Verdict, entries[i].Reason = schemas.NotApplicable, "dissent"
			}
		}
		return reply(entries)
	}
}

func TestAConstraintOnWhichVotesDisagreeIsAbstainedFromAndTheOthersAreNot(t *testing.T) {
	var mu sync.Mutex
	temperatures := map[int64]float64{}
	vote := voter(t, 200)
	s, server := store.NewMemory("rpo"), scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		temperatures[p.Seed] = p.Temperature
		return vote(p)
	})
	turn := steptest.Turn("shop", word("tea"), steptest.Constraint{Text: "Say milk."}, steptest.Constraint{Text: "Say ice."})
	responses := answers(turn, "tea and milk")
	shard, err := runWith(t, s, steptest.Models{"judge": server.URL}, schemas.JudgeOptions{JudgeEndpoint: "judge", JudgeVotes: 3},
		sampled(t, s, []schemas.Turn{turn}, responses))
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	if want := []string{schemas.Followed, schemas.Abstained, schemas.NotFollowed}; !slices.Equal(got[responses[0].ResponseID], want) {
		t.Errorf("outcomes %q, want %q", got, want)
	}
	if r.Books != (schemas.Books{In: 1, OK: 1}) || r.Calls != 3 || r.Counts["abstained"] != 1 || r.Counts["verdicts"] != 3 {
		t.Errorf("record %+v", r)
	}
	if len(temperatures) != 3 || temperatures[0] != 0 || temperatures[100] != temperatures[200] || temperatures[100] == 0 {
		t.Errorf("temperatures by seed %v: the first vote is greedy, the others are not", temperatures)
	}
	rows := steptest.Rows[schemas.Verdict](t, s, r, schemas.TableVerdict)
	if rows[0].Votes != nil || rows[0].Agreement() != 1 {
		t.Errorf("a rule has votes: %+v", rows[0])
	}
	split := rows[1]
	if len(split.Votes) != 3 || split.Agreement() != 2.0/3 || *split.Reason != "the votes disagree: 2 followed, 1 not_applicable" ||
		split.Votes[2] != (schemas.Vote{JudgedBy: "scripted " + judge.PromptVersion, Outcome: schemas.NotApplicable, Reason: "dissent"}) {
		t.Errorf("verdict %+v", split)
	}
	if v := rows[2]; len(v.Votes) != 3 || v.Agreement() != 1 || *v.Reason != "because" {
		t.Errorf("verdict %+v", v)
	}
}

func TestTwoJudgesMustAgree(t *testing.T) {
	s := store.NewMemory("rpo")
	first, second := scripted.New(t, voter(t)), scripted.New(t, voter(t, 0, 100))
	o := schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b", SecondJudgeModel: "other", JudgeVotes: 2}
	responses := answers(teaAndMilk, "tea", "milk")
	shard, err := runWith(t, s, steptest.Models{"a": first.URL, "b": second.URL}, o, sampled(t, s, []schemas.Turn{teaAndMilk}, responses))
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	for i, want := range [][]string{{schemas.Followed, schemas.Abstained}, {schemas.NotFollowed, schemas.Abstained}} {
		if !slices.Equal(got[responses[i].ResponseID], want) {
			t.Errorf("response %d: %q, want %q", i, got[responses[i].ResponseID], want)
		}
	}
	if first.Stats().Requests != 4 || second.Stats().Requests != 4 || r.Calls != 8 {
		t.Errorf("%d and %d requests", first.Stats().Requests, second.Stats().Requests)
	}
	v := steptest.Rows[schemas.Verdict](t, s, r, schemas.TableVerdict)[0]
	var by []string
	for _, vote := range v.Votes {
		by = append(by, vote.JudgedBy)
	}
	a, b := "scripted "+judge.PromptVersion, "other "+judge.PromptVersion
	if v.JudgedBy != a+" + "+b || !slices.Equal(by, []string{a, a, b, b}) {
		t.Errorf("judged by %q, votes by %q", v.JudgedBy, by)
	}
}

func TestOneVoteThatCannotBeHadSetsTheResponseAside(t *testing.T) {
	s := store.NewMemory("rpo")
	bad := &stubborn{t: t, bad: reply(nil), n: 100}
	first, second := scripted.New(t, honestly(t)), scripted.New(t, bad.reply)
	o := schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b"}
	responses := answers(teaAndMilk, "tea", "bad")
	shard, err := runWith(t, s, steptest.Models{"a": first.URL, "b": second.URL}, o, sampled(t, s, []schemas.Turn{teaAndMilk}, responses))
	if err != nil {
		t.Fatal(err)
	}
	if got, r := judged(t, s, shard); len(got) != 1 || r.Books != (schemas.Books{In: 2, OK: 1, Quarantined: 1}) ||
		quarantine(t, s, r)[0].RowID != responses[1].ResponseID {
		t.Errorf("verdicts %q, record %+v", got, r)
	}
}

func TestASecondJudgeThatRepliesToNobodyFailsTheShard(t *testing.T) {
	s := store.NewMemory("rpo")
	first, second := scripted.New(t, honestly(t)), scripted.New(t, func(scripted.Parsed) scripted.Reply { return scripted.Refuse(400, "no schemas here") })
	o := schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b"}
	_, err := runWith(t, s, steptest.Models{"a": first.URL, "b": second.URL}, o, sampled(t, s, []schemas.Turn{teaAndMilk}, answers(teaAndMilk, "tea", "milk")))
	if err == nil || !strings.Contains(err.Error(), "no schemas here") {
		t.Errorf("error %v", err)
	}
}

func TestResponsesOfOneTurnAreJudgedSideBySide(t *testing.T) {
	s := store.NewMemory("rpo")
	turns := steptest.Turns("shop", 3, steptest.Constraint{Text: "Say tea."})
	var mixed []schemas.Response
	for i := range 4 {
		for _, turn := range turns {
			mixed = append(mixed, answers(turn, "a", "b", "c", "d")[i])
		}
	}
	var order []string
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		q, err := readQuestion(p)
		if err != nil {
			t.Error(err)
		}
		// One request at a time, so no lock.
		order = append(order, heading.FindStringSubmatch(p.Last())[1])
		return reply(honest(q))
	})
	if _, err := runWith(t, s, oneAtATime{steptest.Models{"judge": server.URL}}, schemas.JudgeOptions{JudgeEndpoint: "judge"}, sampled(t, s, turns, mixed)); err != nil {
		t.Fatal(err)
	}
	if len(order) != 12 || len(slices.Compact(order)) != 3 {
		t.Errorf("turns in the order %q", order)
	}
}

func TestTruncatedResponsesAreJudgedIfTheyAreToBeKept(t *testing.T) {
	s := store.NewMemory("rpo")
	turn := steptest.Turn("shop", word("tea"))
	responses := answers(turn, "tea", "tea and")
	responses[1].FinishReason = "length"
	shard, err := runWith(t, s, steptest.Models{}, schemas.JudgeOptions{KeepTruncated: true}, sampled(t, s, []schemas.Turn{turn}, responses))
	if err != nil {
		t.Fatal(err)
	}
	if got, r := judged(t, s, shard); len(got) != 2 || r.Books != (schemas.Books{In: 2, OK: 2}) {
		t.Errorf("got %q, books %+v", got, r.Books)
	}
}

func TestEqualWorkMakesEqualRequestsWhateverTheIds(t *testing.T) {
	var bodies []string
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		bodies = append(bodies, string(p.Body))
		q, _ := readQuestion(p)
		return reply(honest(q))
	})
	turn := steptest.Turn("shop", steptest.Constraint{Text: "Say tea."})
	other := turn
	other.TurnID, other.DialogueID, other.ProfileID = schemas.ID("turn", "x"), schemas.ID("dialogue", "x"), schemas.ID("profile", "x")
	for _, turn := range []schemas.Turn{turn, other} {
		if _, err := run(t, store.NewMemory("rpo"), server.URL, []schemas.Turn{turn}, answers(turn, "tea")); err != nil {
			t.Fatal(err)
		}
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] {
		t.Errorf("requests %q", bodies)
	}
}
