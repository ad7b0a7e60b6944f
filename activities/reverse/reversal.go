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
	// text is the last opposite written; accepted says that it passed the check.
	text     string
	accepted bool
	refused  []refusal
	// err is set when a model's replies stay invalid.
	err error
}

// settled reports that no more calls are to be made.
func (r *reversal) settled() bool {
	return r.accepted || r.err != nil || len(r.refused) == maxOpposites
}

func (r *reversal) refuse(reason string) {
	r.refused = append(r.refused, refusal{r.text, reason})
	r.text = ""
}

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

// reverse settles all cases, in rounds of writing and checking. An error is one
// that no case is to blame for: the endpoint's, or a model that replies to none.
func (t Team) reverse(ctx context.Context, meter *chat.Meter, cases []*reversal) error {
	var wrote, checked tally
	beat := func() {
		done := 0
		for _, r := range cases {
			if r.settled() {
				done++
			}
		}
		meter.Beat(ctx, done, len(cases))
	}
	for range maxOpposites {
		open := slices.DeleteFunc(slices.Clone(cases), (*reversal).settled)
		// Writing and checking take turns, so that neither waits for a slot of the
		// other's while it holds one of its own.
		err := wrote.each(ctx, t.Writer, open, beat, func(ctx context.Context, r *reversal) (func(), bool, error) {
			text, replied, err := t.write(ctx, r.demand, r.refused)
			return func() {
				r.text = text
				if reason := r.objection(); reason != "" {
					r.refuse(reason)
				}
			}, replied, err
		})
		if err != nil {
			return err
		}
		written := slices.DeleteFunc(open, func(r *reversal) bool { return r.text == "" || r.err != nil })
		err = checked.each(ctx, t.Checker, written, beat, func(ctx context.Context, r *reversal) (func(), bool, error) {
			reason, replied, err := t.check(ctx, r.demand, r.text)
			return func() {
				if r.accepted = reason == ""; !r.accepted {
					r.refuse(reason)
				}
			}, replied, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tally knows whether a model ever replied.
type tally struct{ replied bool }

// each makes one call per case. The call returns what to do with its reply, which
// is done by one goroutine at a time.
func (n *tally) each(ctx context.Context, m chat.Model, cases []*reversal, beat func(),
	call func(context.Context, *reversal) (settle func(), replied bool, err error)) error {
	var mu sync.Mutex
	err := m.Each(ctx, len(cases), func(ctx context.Context, i int) error {
		r := cases[i]
		settle, replied, err := call(ctx, r)
		mu.Lock()
		defer mu.Unlock()
		n.replied = n.replied || replied
		switch {
		case err == nil:
			settle()
		case !chat.RowError(err):
			return err
		default:
			r.err = err
		}
		beat()
		return nil
	})
	if err == nil && len(cases) > 0 && !n.replied {
		// The model replied to none: that is its fault, not the constraints'.
		err = cases[0].err
	}
	return err
}
