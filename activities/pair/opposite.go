package pair

import (
	"context"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/schemas"
)

// Follows asks whether a response follows an opposite. replied says that the model
// replied at all.
type Follows func(ctx context.Context, t schemas.Turn, r schemas.Response, o schemas.Opposite) (outcome string, replied bool, err error)

// question is one check of a response against the opposite of a constraint.
type question struct {
	draft                *draft
	response, constraint int // places in the draft's pairing and constraints
}

// questions lists what must be asked of a turn: for every pair that is not dropped
// by what is known already, both responses, for the constraints that its prompt
// reverses by a model's opposite.
func (b *Builder) questions(d *draft) []question {
	needed := make([][]bool, len(d.pairing))
	for i := range needed {
		needed[i] = make([]bool, len(d.constraints))
	}
	for i, chosen := range d.pairing {
		for j, rejected := range d.pairing {
			g := differing(chosen, rejected)
			if g < b.options.MinMargin || b.tooUneven(chosen, rejected) || d.irreversible(chosen, rejected) || d.contaminated {
				continue
			}
			for k := range d.constraints {
				if reverses(chosen, rejected, k) && d.opposites[k].Source == schemas.ByModel {
					needed[i][k], needed[j][k] = true, true
				}
			}
		}
	}
	var out []question
	for i := range needed {
		for k, yes := range needed[i] {
			if yes {
				out = append(out, question{d, i, k})
			}
		}
	}
	return out
}

// ask answers the questions, each by one call. An answer that cannot be had is "".
func ask(ctx context.Context, m chat.Model, meter *chat.Meter, questions []question, follows Follows) ([]string, error) {
	outcomes := make([]string, len(questions))
	var mu sync.Mutex
	done, anyReplied := 0, false
	var failure error
	err := m.Each(ctx, len(questions), func(ctx context.Context, i int) error {
		q := questions[i]
		outcome, replied, err := follows(chat.Own(ctx, q.draft.ProfileID), q.draft.Turn.Turn, q.draft.pairing[q.response].Response, q.draft.opposites[q.constraint])
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(questions))
		anyReplied = anyReplied || replied
		if err != nil {
			if !chat.RowError(err) {
				return err
			}
			failure = err
			return nil
		}
		outcomes[i] = outcome
		return nil
	})
	if err == nil && failure != nil && !anyReplied {
		// The model replied to none: that is its fault, not the responses'.
		err = failure
	}
	return outcomes, err
}

// settle takes the constraints out of a response that follows both the constraint
// and its opposite, or neither, or of which that is not known. questions are those
// of the draft, outcomes their answers.
func (d *draft) settle(questions []question, outcomes []string) {
	d.pairing = slices.Clone(d.pairing)
	changed := map[int]bool{}
	for n, q := range questions {
		d.built.OppositeChecks++
		c := d.pairing[q.response]
		want := schemas.NotFollowed
		if d.first[q.response].states[q.constraint] == fails {
			want = schemas.Followed
		}
		if outcomes[n] == want {
			continue
		}
		d.built.Inconsistent++
		if !changed[q.response] {
			changed[q.response] = true
			copied := *c
			copied.states, copied.prompts = slices.Clone(c.states), nil
			c = &copied
			d.pairing[q.response] = c
		}
		c.states[q.constraint] = uncounted
	}
	d.pairing = distinct(d.pairing)
}
