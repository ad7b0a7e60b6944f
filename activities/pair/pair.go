package pair

import (
	"slices"
	"strconv"

	"rpo/activities/judge/rules"
	"rpo/activities/reverse"
	"rpo/schemas"
)

// Turn is all that is known of one turn when its pairs are built.
type Turn struct {
	schemas.Turn
	// Responses are those that may pair, by SampleIndex.
	Responses []schemas.Response
	// Verdicts maps response id to constraint id to verdict; it is complete for
	// the turn's triggered constraints.
	Verdicts map[string]map[string]schemas.Verdict
	// Opposites maps constraint id to opposite; a constraint without one is
	// irreversible.
	Opposites map[string]schemas.Opposite
}

// Drops count training pairs that were not made, by reason.
type Drops struct {
	// Irreversible: a constraint that the chosen response fails has no opposite.
	Irreversible int64
	// SmallMargin: g is below the minimum.
	SmallMargin int64
	// Unverified: the check after rendering found the pair noisy.
	Unverified int64
}

// Build makes the training pairs of a turn. Of responses with equal verdict
// vectors only the first counts. Each unordered pair with g >= 1 gives two rows,
// one with each response as chosen.
func Build(t Turn, minMargin int) ([]schemas.Pair, Drops, error) {
	constraints := t.TriggeredConstraints()
	responses := distinct(t, constraints)
	var pairs []schemas.Pair
	var drops Drops
	for i := range responses {
		for j := range i {
			for _, order := range [][2]schemas.Response{{responses[j], responses[i]}, {responses[i], responses[j]}} {
				p, ok, err := build(t, constraints, order[0], order[1], minMargin, &drops)
				if err != nil {
					return nil, drops, err
				}
				if ok {
					pairs = append(pairs, p)
				}
			}
		}
	}
	return pairs, drops, nil
}

// distinct returns the responses with the first of every verdict vector.
func distinct(t Turn, constraints []schemas.Constraint) []schemas.Response {
	seen := map[string]bool{}
	var out []schemas.Response
	for _, r := range t.Responses {
		vector := ""
		for _, c := range constraints {
			vector += t.Verdicts[r.ResponseID][c.ConstraintID].Outcome + " "
		}
		if !seen[vector] {
			seen[vector] = true
			out = append(out, r)
		}
	}
	return out
}

// build makes the pair with chosen first. Constraints that are not applicable to
// one of the two are neither reversed nor counted.
func build(t Turn, constraints []schemas.Constraint, chosen, rejected schemas.Response, minMargin int, drops *Drops) (schemas.Pair, bool, error) {
	v, u := t.Verdicts[chosen.ResponseID], t.Verdicts[rejected.ResponseID]
	texts := map[string]string{}
	var reversed []schemas.Reversal
	var differing []string
	for _, c := range constraints {
		a, b := v[c.ConstraintID].Outcome, u[c.ConstraintID].Outcome
		if a != schemas.NotApplicable && b != schemas.NotApplicable && a != b {
			differing = append(differing, c.ConstraintID)
		}
	}
	if len(differing) == 0 {
		return schemas.Pair{}, false, nil
	}
	if len(differing) < minMargin {
		drops.SmallMargin++
		return schemas.Pair{}, false, nil
	}
	for _, c := range constraints {
		if v[c.ConstraintID].Outcome != schemas.NotFollowed || u[c.ConstraintID].Outcome == schemas.NotApplicable {
			continue
		}
		o, ok := t.Opposites[c.ConstraintID]
		if !ok {
			drops.Irreversible++
			return schemas.Pair{}, false, nil
		}
		texts[c.ConstraintID] = o.Text
		reversed = append(reversed, schemas.Reversal{
			ConstraintID: c.ConstraintID, OppositeID: o.OppositeID,
			Original: c.Text, Opposite: o.Text, ReversedBy: o.ReversedBy,
		})
	}
	rendered := t.Turn
	var err error
	if rendered.System, err = reverse.Render(t.System, t.Constraints, texts); err != nil {
		return schemas.Pair{}, false, err
	}
	p := schemas.Pair{
		Prompt:   rendered.Messages(),
		Chosen:   []schemas.Message{{Role: "assistant", Content: chosen.Text}},
		Rejected: []schemas.Message{{Role: "assistant", Content: rejected.Text}},
		Margin:   float64(len(differing)), TurnID: t.TurnID, DialogueID: t.DialogueID, ProfileID: t.ProfileID,
		ChosenResponseID: chosen.ResponseID, RejectedResponseID: rejected.ResponseID,
		Reversed: reversed, Differing: differing, Case: paperCase(constraints, v, u),
		Model: chosen.Model, JudgedBy: judgedBy(constraints, v, u),
	}
	p.PairID = schemas.ID("pair", chosen.ResponseID, rejected.ResponseID, rendered.System)
	if !perfect(t, constraints, p, chosen, rejected) {
		drops.Unverified++
		return schemas.Pair{}, false, nil
	}
	return p, true, nil
}

// perfect checks a rendered pair again without new calls: of the prompt's
// triggered constraints the chosen response follows all, and the rejected one
// fails those that differ and no other. Rules are run on both texts; where a constraint has none, the
// stored verdict counts, inverted for an opposite. What is not applicable to
// one of the two does not count.
func perfect(t Turn, constraints []schemas.Constraint, p schemas.Pair, chosen, rejected schemas.Response) bool {
	isReversed := map[string]bool{}
	for _, r := range p.Reversed {
		isReversed[r.ConstraintID] = true
	}
	for _, c := range constraints {
		a := t.Verdicts[chosen.ResponseID][c.ConstraintID].Outcome
		b := t.Verdicts[rejected.ResponseID][c.ConstraintID].Outcome
		if a == schemas.NotApplicable || b == schemas.NotApplicable {
			continue
		}
		rule := c.Rule
		if isReversed[c.ConstraintID] {
			rule = t.Opposites[c.ConstraintID].Rule
		}
		followsA, followsB := (a == schemas.Followed) != isReversed[c.ConstraintID], (b == schemas.Followed) != isReversed[c.ConstraintID]
		if !rule.IsZero() {
			check, err := rules.Parse(rule)
			if err != nil {
				return false
			}
			followsA, followsB = check.Strict(chosen.Text), check.Strict(rejected.Text)
		}
		if !followsA || followsB == slices.Contains(p.Differing, c.ConstraintID) {
			return false
		}
	}
	return true
}

// paperCase classifies two responses under the unreversed prompt by the table of
// the paper's introduction: same or different score, disjoint or overlapping
// satisfied sets, domination, perfection.
func paperCase(constraints []schemas.Constraint, v, u map[string]schemas.Verdict) int64 {
	var onlyV, onlyU, both, neither int
	for _, c := range constraints {
		a, b := v[c.ConstraintID].Outcome, u[c.ConstraintID].Outcome
		switch {
		case a == schemas.NotApplicable || b == schemas.NotApplicable:
		case a == schemas.Followed && b == schemas.Followed:
			both++
		case a == schemas.Followed:
			onlyV++
		case b == schemas.Followed:
			onlyU++
		default:
			neither++
		}
	}
	switch {
	case onlyV == onlyU && both == 0:
		return 1
	case onlyV == onlyU:
		return 2
	case onlyV > 0 && onlyU > 0 && both == 0:
		return 3
	case onlyV > 0 && onlyU > 0:
		return 4
	case neither > 0:
		return 5
	default:
		return 6
	}
}

func judgedBy(constraints []schemas.Constraint, sets ...map[string]schemas.Verdict) []string {
	var out []string
	for _, c := range constraints {
		for _, v := range sets {
			if by := v[c.ConstraintID].JudgedBy; !slices.Contains(out, by) {
				out = append(out, by)
			}
		}
	}
	slices.Sort(out)
	return out
}

// countPrefix begins the names under which training pairs are counted by margin g.
const countPrefix = "pairs_g"

// CountKey names the count of training pairs with margin g.
func CountKey(g float64) string { return countPrefix + strconv.Itoa(int(g)) }
