package pair

import (
	"slices"

	"rpo/schemas"
)

// baselines makes the rows of DPO, KTO and SFT under the unreversed prompt, from
// the responses that pairs are made of. A contaminated turn gives none.
func (b *Builder) baselines(d *draft) {
	if d.contaminated {
		return
	}
	messages := d.Messages()
	for i, second := range d.first {
		for _, first := range d.first[:i] {
			better, worse := first, second
			if gap(better, worse) < 0 {
				better, worse = worse, better
			}
			n := gap(better, worse)
			if n == 0 || b.tooUneven(better, worse) {
				continue
			}
			p := d.row(better, worse, union(better.judgedBy, worse.judgedBy), b.options.NotApplicable)
			p.PairID = schemas.ID("dpo", better.ResponseID, worse.ResponseID)
			p.Prompt, p.Margin = messages, float64(n)
			d.built.DPO = append(d.built.DPO, p)
		}
	}
	if m := b.options.MaxPairsPerTurn; m > 0 && len(d.built.DPO) > m {
		d.built.DPO = largest(d.built.DPO, m)
	}
	var best *candidate
	bestScore := 0.0
	for _, c := range d.all {
		score, ok := c.score()
		if !ok {
			continue
		}
		d.built.KTO = append(d.built.KTO, schemas.Desirability{
			DesirabilityID: schemas.ID("kto", c.ResponseID),
			Prompt:         messages, Completion: c.messages, Label: score >= schemas.DesirableScore, Score: score,
			TurnID: d.TurnID, DialogueID: d.DialogueID, ProfileID: d.ProfileID, ResponseID: c.ResponseID,
			Model: c.Model, JudgedBy: c.judgedBy, NotApplicable: b.options.NotApplicable,
		})
		if best == nil || score > bestScore || score == bestScore && c.ResponseID < best.ResponseID {
			best, bestScore = c, score
		}
	}
	if best == nil {
		return
	}
	k := slices.IndexFunc(d.built.KTO, func(r schemas.Desirability) bool { return r.ResponseID == best.ResponseID })
	r := d.built.KTO[k]
	d.built.SFT = append(d.built.SFT, schemas.Demonstration{
		DemonstrationID: schemas.ID("sft", r.ResponseID),
		Prompt:          r.Prompt, Completion: r.Completion, Score: r.Score,
		TurnID: r.TurnID, DialogueID: r.DialogueID, ProfileID: r.ProfileID, ResponseID: r.ResponseID,
		Model: r.Model, JudgedBy: r.JudgedBy, NotApplicable: r.NotApplicable,
	})
}
