package judge

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the judge step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.JudgeOptions
}

// JudgeShard judges the responses of a shard.
func (a *Activities) JudgeShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		responses, err := store.Table[schemas.Response](ctx, w, schemas.TableResponse)
		if err != nil {
			return err
		}
		m, release, err := Judge(ctx, a.Models, turns, in.JudgeOptions, in.Generation, meter)
		if err != nil {
			return err
		}
		defer release()
		rows, err := Shard(ctx, m, meter, turns, usable(responses, w), w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return store.PutTable(ctx, w, schemas.TableVerdict, rows)
	})
	return meter.Result(r, reused, err)
}

// usable drops, and counts as skipped, responses that were cut off and those that
// repeat another one of their turn.
func usable(responses []schemas.Response, w *store.Work) []schemas.Response {
	var out []schemas.Response
	for _, r := range responses {
		if r.DuplicateOf == nil && r.FinishReason == "stop" {
			out = append(out, r)
			continue
		}
		w.Record.Books.In++
		w.Record.Books.Skipped++
	}
	return out
}

// Judge finds the judge model if any of the turns needs one. The zero Model
// stands for "no judge".
func Judge(ctx context.Context, models chat.Models, turns []schemas.Turn, o schemas.JudgeOptions, generation int64, meter *chat.Meter) (chat.Model, func(), error) {
	needed := slices.ContainsFunc(turns, func(t schemas.Turn) bool {
		return slices.ContainsFunc(t.TriggeredConstraints(), func(c schemas.Constraint) bool { return c.Rule.IsZero() })
	})
	if !needed || o.JudgeEndpoint == "" {
		return chat.Model{}, func() {}, nil
	}
	return models.Model(ctx, chat.Use{Endpoint: o.JudgeEndpoint, Model: o.JudgeModel, Generation: generation, Meter: meter})
}

// Shard judges the responses. One whose verdicts cannot be had is set aside whole, so
// that the verdicts of a response are complete or absent.
func Shard(ctx context.Context, m chat.Model, meter *chat.Meter, turns []schemas.Turn, responses []schemas.Response, w *store.Work) ([]schemas.Verdict, error) {
	byID := make(map[string]schemas.Turn, len(turns))
	for _, t := range turns {
		byID[t.TurnID] = t
	}
	type result struct {
		verdicts []schemas.Verdict
		rest     []schemas.Constraint
		replied  bool
		err      error
	}
	results := make([]result, len(responses))
	var asked []int
	for i, r := range responses {
		w.Record.Books.In++
		t, ok := byID[r.TurnID]
		if !ok {
			return nil, schemas.Errorf(schemas.CorruptData, "response %s is of turn %s, which the shard lacks", r.ResponseID, r.TurnID)
		}
		results[i].verdicts, results[i].rest, results[i].err = ByRules(r, t.TriggeredConstraints())
		switch {
		case results[i].err != nil || len(results[i].rest) == 0:
		case m.Completer == nil:
			results[i].err = schemas.Errorf(schemas.InvalidInput,
				"constraint %s has no rule and no judge_endpoint was given: name one", results[i].rest[0].ConstraintID)
		default:
			asked = append(asked, i)
		}
	}
	var mu sync.Mutex
	done := 0
	err := m.Each(ctx, len(asked), func(ctx context.Context, k int) error {
		i := asked[k]
		r := responses[i]
		verdicts, replied, err := ByModel(ctx, m, byID[r.TurnID], r, results[i].rest)
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(asked))
		if err != nil && !chat.RowError(err) {
			return err
		}
		results[i].replied, results[i].err = replied, err
		results[i].verdicts = append(results[i].verdicts, verdicts...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(asked) > 0 && !slices.ContainsFunc(asked, func(i int) bool { return results[i].replied }) {
		// The judge replied to none: that is its fault, not the responses'.
		return nil, results[asked[0]].err
	}
	var rows []schemas.Verdict
	for i, r := range responses {
		if err := results[i].err; err != nil {
			request, _ := json.Marshal(r)
			w.Quarantine(schemas.TableResponse, r.ResponseID, err, string(request))
			continue
		}
		w.Record.Books.OK++
		rows = append(rows, results[i].verdicts...)
	}
	w.Count("verdicts", int64(len(rows)))
	return rows, nil
}
