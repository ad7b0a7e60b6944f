package chat_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rpo/activities/chat"
	"rpo/schemas"
)

// model replies with text after a while and reports usage.
type answering struct {
	reply string
	usage chat.Usage
	after time.Duration
	err   error
}

func (m answering) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	time.Sleep(m.after)
	out := chat.Response{Calls: 1, Usage: m.usage}
	for range max(req.N, 1) {
		out.Choices = append(out.Choices, chat.Choice{Text: m.reply, FinishReason: "stop"})
	}
	return out, m.err
}

func metered(n, maxTokens int) chat.Request {
	return chat.Request{Messages: []schemas.Message{{Role: "user", Content: "How are you?"}}, N: n, MaxTokens: maxTokens}
}

func tokens(n int64) schemas.Allowance { return schemas.Allowance{Tokens: &n} }

func TestUsageThatIsNotKnownIsCountedByAnUpperBound(t *testing.T) {
	for name, c := range map[string]struct {
		usage chat.Usage
		want  schemas.Spending
	}{
		"known":            {chat.Usage{PromptTokens: 7, CompletionTokens: 9, Known: true}, schemas.Spending{Calls: 1, PromptTokens: 7, CompletionTokens: 9}},
		"one of n choices": {chat.Usage{PromptTokens: 7, CompletionTokens: 3}, schemas.Spending{Calls: 1, PromptTokens: 7, CompletionTokens: 15, EstimatedTokens: 15}},
		"missing":          {chat.Usage{}, schemas.Spending{Calls: 1, PromptTokens: 44, CompletionTokens: 15, EstimatedTokens: 59}},
	} {
		meter := chat.NewMeter(t.Context(), schemas.Allowance{})
		c.want.Cost = (float64(c.want.PromptTokens)*2 + float64(c.want.CompletionTokens)*10) / 1e6
		terms := chat.Terms{Price: &chat.Price{Prompt: 2, Completion: 10}}
		if _, err := chat.Metered(answering{reply: "Fine", usage: c.usage}, meter, terms).Complete(t.Context(), metered(3, 100)); err != nil {
			t.Fatal(err)
		}
		if got := meter.Spent(); got != c.want {
			t.Errorf("%s: spent %+v, want %+v", name, got, c.want)
		}
	}
}

func TestAFailedCallIsCountedWithWhatItTook(t *testing.T) {
	meter := chat.NewMeter(t.Context(), schemas.Allowance{})
	failed := schemas.Errorf(schemas.Overloaded, "down")
	_, err := chat.Metered(answering{reply: "x", usage: chat.Usage{PromptTokens: 5, CompletionTokens: 2, Known: true}, err: failed}, meter, chat.Terms{}).Complete(t.Context(), metered(1, 10))
	_, err = meter.Result(schemas.CommitRecord{}, false, err)
	var e *schemas.Error
	if !errors.As(err, &e) || e.Type != schemas.Overloaded || e.Spent != (schemas.Spending{Calls: 1, PromptTokens: 5, CompletionTokens: 2}) {
		t.Errorf("got %+v", e)
	}
}

func TestNoInterleavingExceedsTheAllowanceAndItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 1))
			cap := 200 + random.Int64N(3000)
			meter := chat.NewMeter(t.Context(), tokens(cap))
			var wg sync.WaitGroup
			var refused error
			var mu sync.Mutex
			for range 60 {
				m := answering{reply: "fine", after: time.Duration(random.IntN(50)) * time.Millisecond,
					usage: chat.Usage{PromptTokens: 10, CompletionTokens: random.Int64N(40), Known: true}}
				wg.Go(func() {
					_, err := chat.Metered(m, meter, chat.Terms{}).Complete(t.Context(), metered(1, 40))
					if err != nil {
						mu.Lock()
						refused = err
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			spent := meter.Spent()
			if spent.Tokens() > cap {
				t.Errorf("seed %d: spent %d of %d", seed, spent.Tokens(), cap)
			}
			// The most that a call here can take is 84 tokens.
			if refused != nil && (schemas.TypeOf(refused) != schemas.BudgetExceeded || cap-spent.Tokens() >= 84) {
				t.Errorf("seed %d: refused with %d of %d left: %v", seed, cap-spent.Tokens(), cap, refused)
			}
			if refused == nil && spent.Calls != 60 {
				t.Errorf("seed %d: %d calls and no refusal", seed, spent.Calls)
			}
		}
	})
}

func TestACallThatCanNeverFitIsRefusedAndNamesTheMend(t *testing.T) {
	meter := chat.NewMeter(t.Context(), tokens(50))
	_, err := chat.Metered(answering{}, meter, chat.Terms{}).Complete(t.Context(), metered(2, 100))
	if schemas.TypeOf(err) != schemas.BudgetExceeded || !strings.Contains(fmt.Sprint(err), "budget_tokens") {
		t.Errorf("got %v", err)
	}
	cost := 0.001
	_, err = chat.Metered(answering{}, chat.NewMeter(t.Context(), schemas.Allowance{Cost: &cost}), chat.Terms{}).Complete(t.Context(), metered(1, 10))
	if schemas.TypeOf(err) != schemas.InvalidInput || !errors.Is(err, chat.ErrEndpoint) || !strings.Contains(fmt.Sprint(err), "price") {
		t.Errorf("without a price: %v", err)
	}
	free := chat.NewMeter(t.Context(), schemas.Allowance{Cost: &cost})
	if _, err = chat.Metered(answering{}, free, chat.Terms{Price: &chat.Price{}}).Complete(t.Context(), metered(1, 1000)); err != nil {
		t.Errorf("of a free model: %v", err)
	}
	meter = chat.NewMeter(t.Context(), schemas.Allowance{Cost: &cost})
	_, err = chat.Metered(answering{}, meter, chat.Terms{Price: &chat.Price{Completion: 10}}).Complete(t.Context(), metered(1, 1000))
	if schemas.TypeOf(err) != schemas.BudgetExceeded || !strings.Contains(fmt.Sprint(err), "budget_cost") {
		t.Errorf("got %v", err)
	}
}

func TestAfterTheDeadlineNoCallBeginsAndThoseUnderWayEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := chat.NewMeter(t.Context(), schemas.Allowance{Deadline: time.Now().Add(time.Minute)})
		slow := chat.Metered(answering{reply: "x", after: 50 * time.Second, usage: chat.Usage{PromptTokens: 3, CompletionTokens: 4, Known: true}}, meter, chat.Terms{})
		for i := range 3 {
			_, err := slow.Complete(t.Context(), metered(1, 10))
			if over := i == 2; over != (schemas.TypeOf(err) == schemas.BudgetExceeded) || over != (err != nil) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if got := meter.Spent(); got.Calls != 2 || got.Tokens() != 14 {
			t.Errorf("spent %+v", got)
		}
	})
}

func TestACallThatWaitsForTheBudgetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := chat.NewMeter(t.Context(), tokens(150))
		slow := chat.Metered(answering{after: time.Hour, usage: chat.Usage{PromptTokens: 1, CompletionTokens: 1, Known: true}}, meter, chat.Terms{})
		go slow.Complete(t.Context(), metered(1, 100))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := slow.Complete(ctx, metered(1, 100)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
	})
}

func TestAnEstimateCountsCallsAndMakesNone(t *testing.T) {
	meter := chat.NewMeter(t.Context(), schemas.Allowance{EstimateOnly: true})
	never := chat.Metered(nil, meter, chat.Terms{Price: &chat.Price{Prompt: 1, Completion: 4}, TokensPerSecond: 50})
	var err error
	for range 3 {
		if _, err = never.Complete(t.Context(), metered(2, 100)); !chat.RowError(err) {
			t.Fatalf("the step would not go on to its next row after %v", err)
		}
	}
	out, err := meter.Result(schemas.CommitRecord{}, false, schemas.Errorf(schemas.CorruptData, "judge response 7: %w", err))
	if err != nil || out.Estimate == nil {
		t.Fatalf("got %+v, %v", out, err)
	}
	seconds := 12.0
	want := schemas.Estimate{Calls: 3, PromptTokens: 33, CompletionTokensMax: 600, CostMax: 3 * (11 + 4*200) / 1e6, Seconds: &seconds}
	if got := *out.Estimate; got.Calls != want.Calls || got.PromptTokens != want.PromptTokens ||
		got.CompletionTokensMax != want.CompletionTokensMax || fmt.Sprint(got.CostMax) != fmt.Sprint(want.CostMax) || *got.Seconds != seconds {
		t.Errorf("estimate %+v, want %+v", got, want)
	}
	if meter.Spent() != (schemas.Spending{}) {
		t.Errorf("spent %+v", meter.Spent())
	}
}
