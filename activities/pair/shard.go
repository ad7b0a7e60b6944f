package pair

import (
	"context"
	"strconv"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Rows are what a shard gives.
type Rows struct {
	Pairs []schemas.Pair
	DPO   []schemas.Pair
	KTO   []schemas.Desirability
	SFT   []schemas.Demonstration
}

// Shard builds the rows of all turns in their order. With check_opposites, m is
// asked by follows first, about all turns at once.
func Shard(ctx context.Context, turns []Turn, b *Builder, m chat.Model, meter *chat.Meter, follows Follows, w *store.Work) (Rows, error) {
	var drafts []*draft
	if b.options.CheckOpposites {
		var err error
		if drafts, err = b.checked(ctx, turns, m, meter, follows); err != nil {
			return Rows{}, err
		}
	}
	var rows Rows
	var sum Built
	for i, t := range turns {
		var d *draft
		if drafts != nil {
			d, drafts[i] = drafts[i], nil
		} else {
			d = b.open(t)
		}
		built, err := b.finish(d)
		if err != nil {
			return Rows{}, err
		}
		rows.Pairs = append(rows.Pairs, built.Pairs...)
		rows.DPO = append(rows.DPO, built.DPO...)
		rows.KTO = append(rows.KTO, built.KTO...)
		rows.SFT = append(rows.SFT, built.SFT...)
		sum.add(built)
	}
	w.Record.Books.OK += sum.Responses
	w.Record.Books.Skipped += sum.NearDuplicates
	count(w, b.options, sum, rows)
	return rows, nil
}

// checked opens the turns and settles which opposites their responses follow.
func (b *Builder) checked(ctx context.Context, turns []Turn, m chat.Model, meter *chat.Meter, follows Follows) ([]*draft, error) {
	drafts := make([]*draft, len(turns))
	var all []question
	for i, t := range turns {
		drafts[i] = b.open(t)
		all = append(all, b.questions(drafts[i])...)
	}
	outcomes, err := ask(ctx, m, meter, all, follows)
	if err != nil {
		return nil, err
	}
	for start := 0; start < len(all); {
		end := start
		for end < len(all) && all[end].draft == all[start].draft {
			end++
		}
		all[start].draft.settle(all[start:end], outcomes[start:end])
		start = end
	}
	return drafts, nil
}

// add sums the counts of both; rows are not kept.
func (s *Built) add(o Built) {
	s.SmallMargin += o.SmallMargin
	s.LengthRatio += o.LengthRatio
	s.Irreversible += o.Irreversible
	s.Contaminated += o.Contaminated
	s.Unverified += o.Unverified
	s.OverMaximum += o.OverMaximum
	s.Responses += o.Responses
	s.NearDuplicates += o.NearDuplicates
	s.Vectors += o.Vectors
	s.OppositeChecks += o.OppositeChecks
	s.Inconsistent += o.Inconsistent
	for i, n := range o.Cases {
		s.Cases[i] += n
	}
}

// Prefixes of the names under which training pairs are counted by margin g, and
// unordered pairs by the paper's case before any filter.
const (
	countPrefix = "pairs_g"
	casePrefix  = "case_"
)

// CountKey names the count of training pairs with margin g.
func CountKey(g float64) string { return countPrefix + strconv.Itoa(int(g)) }

// count writes the statistics of a shard. What an option did not ask for is not
// counted, what it did is, 0 included.
func count(w *store.Work, o schemas.PairOptions, sum Built, rows Rows) {
	for _, p := range rows.Pairs {
		w.Count(CountKey(p.Margin), 1)
	}
	for i, n := range sum.Cases[1:] {
		w.Count(casePrefix+strconv.Itoa(i+1), n)
	}
	w.Count("pairs", int64(len(rows.Pairs)))
	w.Count("dropped_irreversible", sum.Irreversible)
	w.Count("dropped_small_margin", sum.SmallMargin)
	w.Count("dropped_unverified", sum.Unverified)
	if o.NearDuplicate > 0 {
		w.Count("near_duplicate_responses", sum.NearDuplicates)
	}
	if o.MaxLengthRatio > 0 {
		w.Count("dropped_length_ratio", sum.LengthRatio)
	}
	if len(o.Decontaminate) > 0 {
		w.Count("dropped_contaminated", sum.Contaminated)
	}
	if o.MaxPairsPerTurn > 0 {
		w.Count("dropped_over_maximum", sum.OverMaximum)
	}
	if o.CheckOpposites {
		w.Count("opposite_checks", sum.OppositeChecks)
		w.Count("dropped_constraints_by_opposite_check", sum.Inconsistent)
	}
	if o.Baselines {
		desirable := int64(0)
		for _, r := range rows.KTO {
			if r.Label {
				desirable++
			}
		}
		w.Count("dpo", int64(len(rows.DPO)))
		w.Count("kto", int64(len(rows.KTO)))
		w.Count("kto_desirable", desirable)
		w.Count("sft", int64(len(rows.SFT)))
	}
}
