package reverse

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the reverse step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.ReverseOptions
}

// ReverseShard reverses the triggered constraints of a shard's turns. One that
// has no rule and no model is set aside: pairs that would need its opposite are
// not made.
func (a *Activities) ReverseShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		constraints := Triggered(turns)
		var m chat.Model
		if in.ReverseEndpoint != "" && slices.ContainsFunc(constraints, func(c schemas.Constraint) bool { return c.Rule.IsZero() }) {
			var release func()
			if m, release, err = a.Models.Model(ctx, chat.Use{
				Endpoint: in.ReverseEndpoint, Model: in.ReverseModel, Generation: in.Generation, Meter: meter}); err != nil {
				return err
			}
			defer release()
		}
		rows, err := Shard(ctx, a.Store, m, meter, constraints, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return store.PutTable(ctx, w, schemas.TableOpposite, rows)
	})
	return meter.Result(r, reused, err)
}

// Triggered returns every constraint that some turn triggers, once, in order.
func Triggered(turns []schemas.Turn) []schemas.Constraint {
	seen := map[string]bool{}
	var out []schemas.Constraint
	for _, t := range turns {
		for _, c := range t.TriggeredConstraints() {
			if !seen[c.ConstraintID] {
				seen[c.ConstraintID] = true
				out = append(out, c)
			}
		}
	}
	return out
}

// Shard reverses the constraints, by rule or by model, and keeps their order.
func Shard(ctx context.Context, s store.Store, m chat.Model, meter *chat.Meter, constraints []schemas.Constraint, w *store.Work) ([]schemas.Opposite, error) {
	opposites := make([]schemas.Opposite, len(constraints))
	failures := make([]error, len(constraints))
	var asked []int
	for i, c := range constraints {
		switch {
		case !c.Rule.IsZero():
			opposites[i], failures[i] = ByRule(c)
		case m.Completer == nil:
			failures[i] = schemas.Errorf(schemas.InvalidInput, "constraint %s has no rule and no reverse_endpoint was given: name one", c.ConstraintID)
		default:
			asked = append(asked, i)
		}
	}
	var mu sync.Mutex
	done, settled := 0, 0
	err := m.Each(ctx, len(asked), func(ctx context.Context, k int) error {
		i := asked[k]
		o, replied, err := ByModel(ctx, s, m, constraints[i])
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(asked))
		opposites[i], failures[i] = o, err
		if err == nil || replied {
			settled++
		}
		if err != nil && !chat.RowError(err) {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(asked) > 0 && settled == 0 {
		// The model replied to none: that is its fault, not the constraints'.
		return nil, failures[asked[0]]
	}
	var rows []schemas.Opposite
	for i, c := range constraints {
		w.Record.Books.In++
		if failures[i] != nil {
			request, _ := json.Marshal(c)
			w.Quarantine("constraint", c.ConstraintID, failures[i], string(request))
			continue
		}
		w.Record.Books.OK++
		rows = append(rows, opposites[i])
	}
	w.Count("opposites", int64(len(rows)))
	return rows, nil
}
