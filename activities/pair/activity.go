package pair

import (
	"context"

	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the pair step.
type Activities struct{ Store store.Store }

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.PairOptions
}

// PairShard builds the pairs of a shard.
func (a *Activities) PairShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := read(ctx, w)
		if err != nil {
			return err
		}
		pairs, err := Shard(turns, in.MinMargin, w)
		if err != nil {
			return err
		}
		return store.PutTable(ctx, w, schemas.TablePair, pairs)
	})
	return schemas.ResultOf(r, reused), err
}

// read joins the shard's tables by id. The books count responses: those that
// have no verdicts are skipped.
func read(ctx context.Context, w *store.Work) ([]Turn, error) {
	turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
	if err != nil {
		return nil, err
	}
	responses, err := store.Table[schemas.Response](ctx, w, schemas.TableResponse)
	if err != nil {
		return nil, err
	}
	verdicts, err := store.Table[schemas.Verdict](ctx, w, schemas.TableVerdict)
	if err != nil {
		return nil, err
	}
	opposites, err := store.Table[schemas.Opposite](ctx, w, schemas.TableOpposite)
	if err != nil {
		return nil, err
	}
	return join(turns, responses, verdicts, opposites, w), nil
}

func join(turns []schemas.Turn, responses []schemas.Response, verdicts []schemas.Verdict, opposites []schemas.Opposite, w *store.Work) []Turn {
	byResponse := map[string]map[string]schemas.Verdict{}
	for _, v := range verdicts {
		if byResponse[v.ResponseID] == nil {
			byResponse[v.ResponseID] = map[string]schemas.Verdict{}
		}
		byResponse[v.ResponseID][v.ConstraintID] = v
	}
	byConstraint := map[string]schemas.Opposite{}
	for _, o := range opposites {
		byConstraint[o.ConstraintID] = o
	}
	out := make([]Turn, len(turns))
	at := map[string]int{}
	for i, t := range turns {
		out[i] = Turn{Turn: t, Verdicts: byResponse, Opposites: byConstraint}
		at[t.TurnID] = i
	}
	for _, r := range responses {
		w.Record.Books.In++
		i, ok := at[r.TurnID]
		if !ok || !complete(out[i], byResponse[r.ResponseID]) {
			w.Record.Books.Skipped++
			continue
		}
		w.Record.Books.OK++
		out[i].Responses = append(out[i].Responses, r)
	}
	return out
}

func complete(t Turn, verdicts map[string]schemas.Verdict) bool {
	for _, c := range t.TriggeredConstraints() {
		if _, ok := verdicts[c.ConstraintID]; !ok {
			return false
		}
	}
	return len(t.Triggered) > 0
}

// Shard builds the pairs of all turns in their order.
func Shard(turns []Turn, minMargin int, w *store.Work) ([]schemas.Pair, error) {
	var pairs []schemas.Pair
	var all Drops
	for _, t := range turns {
		p, drops, err := Build(t, minMargin)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p...)
		all.Irreversible += drops.Irreversible
		all.SmallMargin += drops.SmallMargin
		all.Unverified += drops.Unverified
	}
	for _, p := range pairs {
		w.Count(CountKey(p.Margin), 1)
	}
	w.Count("pairs", int64(len(pairs)))
	w.Count("dropped_irreversible", all.Irreversible)
	w.Count("dropped_small_margin", all.SmallMargin)
	w.Count("dropped_unverified", all.Unverified)
	return pairs, nil
}
