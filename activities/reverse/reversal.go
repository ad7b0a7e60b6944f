package reverse

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/schemas"
)

// maxOpposites bounds how many opposites of one demand are written before it is
// irreversible.
const maxOpposites = 3

// reversal is the work on one demand.
type reversal struct {
	demand
	// owner is the first constraint that makes the demand.
	owner string
	// text is the last opposite written; accepted says that it passed the check.
	text     string
	accepted bool
	refused  []refusal
	// err is set when a model's replies stay invalid.
	err error
	// wrote and checked say what the models were asked and whether they replied.
	wrote, checked exchange
}

type exchange struct{ asked, replied bool }

func (e *exchange) add(replied bool) { e.asked, e.replied = true, e.replied || replied }

// row is the opposite of one of the constraints that make the demand.
func (r *reversal) row(c schemas.Constraint, by string) (schemas.Opposite, error) {
	switch {
	case r.err != nil:
		return schemas.Opposite{}, schemas.Errorf(schemas.TypeOf(r.err), "reverse constraint %s: %w", c.ConstraintID, r.err)
	case r.accepted:
		return opposite(c, r.text, schemas.Rule{}, schemas.ByModel, by), nil
	}
	last := r.refused[len(r.refused)-1]
	return irreversible(c, fmt.Sprintf("%d opposites failed, the last one, %q, since %s", len(r.refused), last.text, last.reason), by), nil
}

// settle writes opposites until one passes the check or too many have failed. What
// the demand is to blame for is kept in r.err; any other error is returned.
func (t Team) settle(ctx context.Context, r *reversal) error {
	for range maxOpposites {
		var replied bool
		r.text, replied, r.err = t.write(ctx, r.demand, r.refused)
		r.wrote.add(replied)
		objection := ""
		if r.err == nil {
			if objection = r.objection(); objection == "" {
				objection, replied, r.err = t.check(ctx, r.demand, r.text)
				r.checked.add(replied)
			}
		}
		switch {
		case r.err != nil && !chat.RowError(r.err):
			return r.err
		case r.err != nil:
			return nil
		case objection == "":
			r.accepted = true
			return nil
		}
		r.refused = append(r.refused, refusal{r.text, objection})
	}
	return nil
}

// reverse settles all cases. An error is one that no case is to blame for: the
// endpoint's, or a model that replies to none.
func (t Team) reverse(ctx context.Context, meter *chat.Meter, cases []*reversal) error {
	var mu sync.Mutex
	done := 0
	err := t.Writer.Each(ctx, len(cases), func(ctx context.Context, i int) error {
		err := t.settle(chat.Own(ctx, cases[i].owner), cases[i])
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(cases))
		return err
	})
	if err != nil {
		return err
	}
	for _, of := range []func(*reversal) exchange{
		func(r *reversal) exchange { return r.wrote },
		func(r *reversal) exchange { return r.checked },
	} {
		replied := slices.ContainsFunc(cases, func(r *reversal) bool { return of(r).replied })
		asked := slices.IndexFunc(cases, func(r *reversal) bool { return of(r).asked })
		if asked >= 0 && !replied {
			return cases[asked].err
		}
	}
	return nil
}
