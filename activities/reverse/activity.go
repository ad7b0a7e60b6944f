package reverse

import (
	"context"
	"encoding/json"
	"slices"

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
		team, release, err := a.team(ctx, in, constraints, meter)
		if err != nil {
			return err
		}
		defer release()
		rows, err := Shard(ctx, team, meter, constraints, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return store.PutTable(ctx, w, schemas.TableOpposite, rows)
	})
	return meter.Result(r, reused, err)
}

// team finds the models if any of the constraints needs them.
func (a *Activities) team(ctx context.Context, in ShardInput, constraints []schemas.Constraint, meter *chat.Meter) (Team, func(), error) {
	in.ReverseOptions.SetDefaults()
	if in.ReverseEndpoint == "" || !slices.ContainsFunc(constraints, func(c schemas.Constraint) bool { return c.Rule.IsZero() }) {
		return Team{}, func() {}, nil
	}
	writer, release, err := a.Models.Model(ctx, chat.Use{
		Endpoint: in.ReverseEndpoint, Model: in.ReverseModel, Generation: in.Generation, Meter: meter})
	if err != nil {
		return Team{}, nil, err
	}
	if in.OppositeCheckEndpoint == in.ReverseEndpoint && in.OppositeCheckModel == in.ReverseModel {
		return Team{writer, writer}, release, nil
	}
	checker, done, err := a.Models.Model(ctx, chat.Use{
		Endpoint: in.OppositeCheckEndpoint, Model: in.OppositeCheckModel, Generation: in.Generation, Meter: meter})
	if err != nil {
		release()
		return Team{}, nil, err
	}
	return Team{writer, checker}, func() { done(); release() }, nil
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

// Shard reverses the constraints, by rule or by model, and keeps their order. A
// constraint that no opposite could be found for is marked irreversible.
func Shard(ctx context.Context, team Team, meter *chat.Meter, constraints []schemas.Constraint, w *store.Work) ([]schemas.Opposite, error) {
	opposites := make([]schemas.Opposite, len(constraints))
	failures := make([]error, len(constraints))
	var cases []*reversal
	byDemand := map[demand]*reversal{}
	for i, c := range constraints {
		d := demand{c.Text, c.Trigger}
		switch {
		case !c.Rule.IsZero():
			opposites[i], failures[i] = ByRule(c)
		case team.Writer.Completer == nil:
			failures[i] = schemas.Errorf(schemas.InvalidInput, "constraint %s has no rule and no reverse_endpoint was given: name one", c.ConstraintID)
		case byDemand[d] == nil:
			byDemand[d] = &reversal{demand: d, owner: c.ConstraintID}
			cases = append(cases, byDemand[d])
		}
	}
	if err := team.reverse(ctx, meter, cases); err != nil {
		return nil, err
	}
	var rows []schemas.Opposite
	var without int64
	for i, c := range constraints {
		w.Record.Books.In++
		if r := byDemand[demand{c.Text, c.Trigger}]; r != nil && c.Rule.IsZero() {
			opposites[i], failures[i] = r.row(c, team.reversedBy())
		}
		if failures[i] != nil {
			request, _ := json.Marshal(c)
			w.Quarantine("constraint", c.ConstraintID, failures[i], string(request))
			continue
		}
		if opposites[i].Irreversible != nil {
			without++
		}
		w.Record.Books.OK++
		rows = append(rows, opposites[i])
	}
	w.Count("opposites", int64(len(rows))-without)
	w.Count("irreversible", without)
	return rows, nil
}
