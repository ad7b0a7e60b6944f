package judge_test

import (
	"context"
	"fmt"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func TestAnEstimateCountsEveryVoteOfEveryJudgeOnce(t *testing.T) {
	texts := make([]string, 20)
	for i := range texts {
		texts[i] = fmt.Sprint("milk ", i)
	}
	ruled, mixed := steptest.Turn("ruled", word("tea")), steptest.Turn("mixed", word("tea"), steptest.Constraint{Text: "Say milk."})
	for name, c := range map[string]struct {
		turn  schemas.Turn
		o     schemas.JudgeOptions
		calls int64
	}{
		"one judge":                   {teaAndMilk, schemas.JudgeOptions{JudgeEndpoint: "a"}, 20},
		"one judge, three votes":      {teaAndMilk, schemas.JudgeOptions{JudgeEndpoint: "a", JudgeVotes: 3}, 60},
		"two judges, three votes":     {teaAndMilk, schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b", JudgeVotes: 3}, 120},
		"two judges who are measured": {mixed, schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b", JudgeVotes: 3, Calibrate: true}, 160},
		"rules alone":                 {ruled, schemas.JudgeOptions{JudgeEndpoint: "a", SecondJudgeEndpoint: "b", JudgeVotes: 3}, 0},
	} {
		server := scripted.New(t, honestly(t))
		s := store.NewMemory("rpo")
		c.o.SetDefaults()
		manifest := sampled(t, s, []schemas.Turn{c.turn}, answers(c.turn, texts...))
		a := judge.Activities{Store: s, Models: steptest.Models{"a": server.URL, "b": server.URL}}
		in := judge.ShardInput{Shard: steptest.Open(t, s, "judge", manifest, c.o, 0), JudgeOptions: c.o}
		in.Allowance.EstimateOnly = true
		// Often, since it must not depend on which judge is done first.
		for range 20 {
			var result schemas.ShardResult
			var err error
			steptest.Run(t, func(ctx context.Context) { result, err = a.JudgeShard(ctx, in) })
			if err != nil || result.Estimate == nil || result.Estimate.Calls != c.calls {
				t.Fatalf("%s: estimate %+v, %v; want %d calls", name, result.Estimate, err, c.calls)
			}
		}
		if n := server.Stats().Requests; n != 0 {
			t.Errorf("%s: an estimate made %d requests", name, n)
		}
	}
}
