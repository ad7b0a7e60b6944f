package dialogue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/dialogue"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// priced are endpoints that nobody may call, and what their tokens cost.
type priced struct {
	chat.Models
	prices map[string]chat.Price
}

func (p priced) Model(_ context.Context, use chat.Use) (chat.Model, func(), error) {
	price := p.prices[use.Endpoint]
	return chat.Model{Completer: chat.Metered(nil, use.Meter, chat.Terms{Price: &price}), Name: "m"}, func() {}, nil
}

// estimated is the estimate of a shard whose roles have endpoints of their own:
// "user", "responder" and "judge".
func estimated(t *testing.T, s store.Store, o schemas.DialogueOptions, prices map[string]chat.Price, profiles ...schemas.Profile) schemas.Estimate {
	t.Helper()
	o.UserEndpoint, o.ResponderEndpoint = "user", "responder"
	uri := manifest(t, s, schemas.TableProfile, func(p schemas.Profile) string { return p.Split }, profiles)
	a := dialogue.Activities{Store: s, Models: priced{prices: prices}}
	in := dialogue.ShardInput{
		Shard:           store.Shard{Job: schemas.ID("job"), Stage: "dialogue", Manifest: uri, Allowance: schemas.Allowance{EstimateOnly: true}},
		DialogueOptions: o, JudgeOptions: schemas.JudgeOptions{JudgeEndpoint: "judge"},
	}
	var out schemas.ShardResult
	var err error
	steptest.Run(t, func(ctx context.Context) { out, err = a.DialogueShard(ctx, in) })
	if err != nil || out.Estimate == nil {
		t.Fatalf("estimate %+v, %v", out.Estimate, err)
	}
	return *out.Estimate
}

// cost estimates with a price of 1 for each prompt token, or each completion
// token, of one role.
func cost(t *testing.T, s store.Store, o schemas.DialogueOptions, role string, price chat.Price, profiles ...schemas.Profile) int64 {
	t.Helper()
	return int64(estimated(t, s, o, map[string]chat.Price{role: price}, profiles...).CostMax + 0.5)
}

var (
	perPrompt     = chat.Price{Prompt: 1e6}
	perCompletion = chat.Price{Completion: 1e6}
)

func TestAnEstimateHasTheCallsOfEveryRoleAtTheirOwnPrices(t *testing.T) {
	s := store.NewMemory("rpo")
	o := options(t, s)
	o.MaxTurns, o.Candidates, o.RefineRounds, o.DialogueMaxTokens, o.DialoguesPerProfile = 3, 4, 2, 100, 2
	ruled := shop("ruled", schemas.SplitTrain, "tea")
	ruled.Constraints[0].Rule = schemas.Rule{Profile: "ifeval", Kind: "keywords:existence", Args: `{"keywords":["tea"]}`}
	for name, c := range map[string]struct {
		profile                       schemas.Profile
		calls, user, responder, judge int64 // a turn
	}{
		"with two triggers": {shop("a", schemas.SplitTrain, "tea:asked for tea", "milk:asked for milk", "ice"),
			4 + 4 + 4 + 2 + 6, 4 * 512, 4*100 + 2*125, 4*(200+2*150) + 6*(200+3*200)},
		"without triggers": {shop("b", schemas.SplitTrain, "tea", "milk"), 4 + 4 + 2 + 6, 4 * 512, 4*100 + 2*125, 6 * (200 + 2*200)},
		"judged by rules":  {ruled, 4 + 4 + 2, 4 * 512, 4*100 + 2*125, 0},
	} {
		const turns = 2 * 3
		if got := estimated(t, s, o, nil, c.profile); got.Calls != turns*c.calls || got.CompletionTokensMax != turns*(c.user+c.responder+c.judge) {
			t.Errorf("%s: %+v, want %d calls", name, got, turns*c.calls)
		}
		for role, want := range map[string]int64{"user": c.user, "responder": c.responder, "judge": c.judge} {
			if got := cost(t, s, o, role, perCompletion, c.profile); got != turns*want {
				t.Errorf("%s: %d completion tokens of the %s, want %d", name, got, role, turns*want)
			}
		}
	}
}

// unhelpful is a play that takes all calls there can be: of a turn's queries only
// the last triggers anything, and only the last edit is good enough.
func unhelpful(t *testing.T, maxTokens int) *world {
	w := newWorld(t)
	w.query = func(turn, refused int) string {
		random := rand.New(rand.NewPCG(uint64(turn), uint64(refused)))
		query := make([]rune, 599)
		for i := range query {
			query[i] = rune(0x4e00 + random.IntN(0x5000))
		}
		return fmt.Sprint(string(query), refused)
	}
	w.trigger = func(trigger, query string) string {
		if strings.HasSuffix(query, "3") {
			return schemas.TriggerByQuery
		}
		return schemas.TriggerUnmet
	}
	w.respond = func(turn, i int) string {
		text := fmt.Sprint(turn, " ", i, " ")
		return text + strings.Repeat("x", 4*maxTokens-len(text))
	}
	w.edit = func(response string, broken []string) string { return response + " " + broken[0] }
	return w
}

func TestNoPlayTakesMoreThanItsEstimate(t *testing.T) {
	const maxTokens = 64
	type took struct{ calls, prompt, completion int64 }
	by := map[string]took{}
	w := unhelpful(t, maxTokens)
	var mu sync.Mutex
	w.fault = func(p scripted.Parsed) *scripted.Reply {
		role := map[string]string{"query": "user", "triggers": "judge", "verdicts": "judge", "edit": "responder", "": "responder"}[p.SchemaName]
		prompt := int64(0)
		for _, m := range p.Messages {
			prompt += int64(len(m.Content))
		}
		mu.Lock()
		defer mu.Unlock()
		b, n := by[role], int64(p.N)
		by[role] = took{b.calls + n, b.prompt + n*prompt/4, b.completion + n*int64(p.MaxTokens)}
		return nil
	}
	profiles := []schemas.Profile{shop("shop", schemas.SplitTrain, "tea:asked for tea", "milk:asked for milk", "sugar:asked for sugar", "ice:asked for ice")}
	s := store.NewMemory("rpo")
	o := options(t, s)
	o.DialogueMaxTokens = maxTokens
	r, err := run(t, s, scripted.New(t, w.serve).URL, o, profiles...)
	if err != nil || len(r.turns) != 5 || r.record.Counts["refine_rounds"] != 15 || r.record.Counts["queries_untriggered"] != 15 {
		t.Fatalf("%d turns, counts %v, %v", len(r.turns), r.record.Counts, err)
	}
	calls := int64(0)
	for role, b := range by {
		calls += b.calls
		prompt, completion := cost(t, s, o, role, perPrompt, profiles...), cost(t, s, o, role, perCompletion, profiles...)
		if b.prompt > prompt || b.completion != completion {
			t.Errorf("the %s took %+v, the estimate is %d prompt and %d completion tokens", role, b, prompt, completion)
		}
	}
	if got := estimated(t, s, o, nil, profiles...); len(by) != 3 || got.Calls != calls || calls != 5*24 {
		t.Errorf("%d calls of %d roles, the estimate is %d", calls, len(by), got.Calls)
	}
}
