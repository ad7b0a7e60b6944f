package pair

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"rpo/activities/judge/rules"
	"rpo/activities/reverse"
	"rpo/schemas"
)

// Builder builds the pairs of one turn after the other. It holds what turns
// share: options, parsed rules, evaluation prompts. It serves one goroutine.
type Builder struct {
	options    schemas.PairOptions
	evaluation *Evaluation
	checks     map[schemas.Rule]rules.Check
	// systems remembers of every system message met so far, those of one shard at
	// most, whether it holds evaluation text: the turns of a profile share one.
	systems map[string]bool
}

// NewBuilder makes a Builder. evaluation is nil if there is nothing to compare
// prompts with.
func NewBuilder(o schemas.PairOptions, evaluation *Evaluation) *Builder {
	o.SetDefaults()
	return &Builder{options: o, evaluation: evaluation, checks: map[schemas.Rule]rules.Check{}, systems: map[string]bool{}}
}

// Drops count training pairs that were not made, each under one reason: the
// first that holds, in this order.
type Drops struct {
	// SmallMargin: g is below the minimum.
	SmallMargin int64
	// LengthRatio: one response is too much longer than the other.
	LengthRatio int64
	// Irreversible: a constraint that the chosen response fails has no opposite.
	Irreversible int64
	// Contaminated: the prompt holds an evaluation prompt.
	Contaminated int64
	// Unverified: the check after rendering found the pair noisy.
	Unverified int64
	// OverMaximum: the turn has enough pairs with a larger g.
	OverMaximum int64
}

// Built is what one turn gives.
type Built struct {
	Pairs []schemas.Pair
	// DPO, KTO and SFT are the baselines' rows, made if the options ask for them.
	DPO []schemas.Pair
	KTO []schemas.Desirability
	SFT []schemas.Demonstration
	Drops
	// Cases counts unordered pairs that differ somewhere by the paper's case, 1 to
	// 6, before any filter.
	Cases [7]int64
	// Responses counts those that could pair, NearDuplicates the others. Vectors
	// counts different verdict vectors, before any filter.
	Responses, NearDuplicates, Vectors int64
	// OppositeChecks counts the answers to whether a response follows an opposite;
	// Inconsistent those that took a constraint out of a response's pairs.
	OppositeChecks, Inconsistent int64
}

// Build makes the training pairs of a turn. Of responses with equal verdict
// vectors only the first counts. Each unordered pair with g >= 1 gives two rows,
// one with each response as chosen.
func (b *Builder) Build(t Turn) (Built, error) { return b.finish(b.open(t)) }

// draft is a turn whose pairs are being built.
type draft struct {
	Turn
	constraints []schemas.Constraint
	// opposites, rules and reversedRules are by place in constraints. A rule is nil
	// where there is none or it cannot be parsed.
	opposites            []schemas.Opposite
	rules, reversedRules []rules.Check
	// all are the responses without near-duplicates, first the first of every
	// verdict vector, pairing those that pair: first, less what opposites take away.
	all, first, pairing []*candidate
	// contaminated says that no prompt of the turn may be used.
	contaminated bool
	built        Built
}

// open finds the responses that pair.
func (b *Builder) open(t Turn) *draft {
	d := &draft{Turn: t, constraints: t.TriggeredConstraints()}
	n := len(d.constraints)
	d.opposites, d.rules, d.reversedRules = make([]schemas.Opposite, n), make([]rules.Check, n), make([]rules.Check, n)
	for i, c := range d.constraints {
		d.opposites[i] = t.Opposites[c.ConstraintID]
		d.rules[i], d.reversedRules[i] = b.check(c.Rule), b.check(d.opposites[i].Rule)
	}
	for _, r := range t.Responses {
		d.all = append(d.all, b.candidate(d, r))
	}
	d.first = distinct(d.all)
	d.built.Vectors = int64(len(d.first))
	for i, c := range d.first {
		for _, e := range d.first[:i] {
			if differing(e, c) > 0 {
				d.built.Cases[paperCase(e, c)]++
			}
		}
	}
	if b.options.NearDuplicate > 0 {
		before := len(d.all)
		d.all = withoutNearDuplicates(d.all, b.options.NearDuplicate)
		d.built.NearDuplicates = int64(before - len(d.all))
		d.first = distinct(d.all)
	}
	d.built.Responses, d.pairing = int64(len(d.all)), d.first
	d.contaminated = len(d.first) > 0 && b.holdsEvaluation(t)
	return d
}

func (b *Builder) candidate(d *draft, r schemas.Response) *candidate {
	n := len(d.constraints)
	answers := make([]answer, 2*n)
	c := &candidate{
		Response: r, states: make([]state, n), runes: utf8.RuneCountInString(r.Text),
		messages: []schemas.Message{{Role: "assistant", Content: r.Text}},
		original: answers[:n:n], opposite: answers[n:],
	}
	verdicts := d.Verdicts[r.ResponseID]
	for i, constraint := range d.constraints {
		c.states[i] = uncounted
		for _, v := range verdicts {
			if v.ConstraintID == constraint.ConstraintID {
				c.states[i] = stateOf(v.Outcome, b.options.NotApplicable)
				if !slices.Contains(c.judgedBy, v.JudgedBy) {
					c.judgedBy = append(c.judgedBy, v.JudgedBy)
				}
				break
			}
		}
	}
	slices.Sort(c.judgedBy)
	return c
}

// check returns a rule that is parsed once, nil for none.
func (b *Builder) check(r schemas.Rule) rules.Check {
	if r.IsZero() {
		return nil
	}
	c, ok := b.checks[r]
	if !ok {
		var err error
		if c, err = rules.Parse(r); err != nil {
			c = nil
		}
		b.checks[r] = c
	}
	return c
}

// finish makes the rows of a turn.
func (b *Builder) finish(d *draft) (Built, error) {
	for i, second := range d.pairing {
		for _, first := range d.pairing[:i] {
			g := differing(first, second)
			if g == 0 {
				continue
			}
			judgedBy := union(first.judgedBy, second.judgedBy)
			for _, order := range [2][2]*candidate{{first, second}, {second, first}} {
				if err := b.pair(d, order[0], order[1], g, judgedBy); err != nil {
					return Built{}, err
				}
			}
		}
	}
	if m := b.options.MaxPairsPerTurn; m > 0 && len(d.built.Pairs) > m {
		d.built.OverMaximum += int64(len(d.built.Pairs) - m)
		d.built.Pairs = largest(d.built.Pairs, m)
	}
	if b.options.Baselines {
		b.baselines(d)
	}
	return d.built, nil
}

// largest keeps the m pairs with the largest margin, ties by id.
func largest(pairs []schemas.Pair, m int) []schemas.Pair {
	slices.SortFunc(pairs, func(a, b schemas.Pair) int {
		return cmp.Or(cmp.Compare(b.Margin, a.Margin), cmp.Compare(a.PairID, b.PairID))
	})
	return pairs[:m]
}

// dropped counts the pair under the first reason that can be told before its
// prompt is rendered, and says whether there is one.
func (b *Builder) dropped(d *draft, chosen, rejected *candidate, g int) bool {
	switch {
	case g < b.options.MinMargin:
		d.built.SmallMargin++
	case b.tooUneven(chosen, rejected):
		d.built.LengthRatio++
	case d.irreversible(chosen, rejected):
		d.built.Irreversible++
	case d.contaminated:
		d.built.Contaminated++
	default:
		return false
	}
	return true
}

func (b *Builder) tooUneven(x, y *candidate) bool {
	bound := b.options.MaxLengthRatio
	return bound > 0 && float64(max(x.runes, y.runes)) > bound*float64(min(x.runes, y.runes))
}

// reverses says whether the prompt of the pair has the constraint reversed.
func reverses(chosen, rejected *candidate, i int) bool {
	return chosen.states[i] == fails && rejected.states[i] != uncounted
}

func (d *draft) irreversible(chosen, rejected *candidate) bool {
	for i := range d.constraints {
		if reverses(chosen, rejected, i) && d.opposites[i].Text == "" {
			return true
		}
	}
	return false
}

// prompt is a rendered prompt with what was reversed in it.
type prompt struct {
	reversed     []bool // by constraint
	system       string
	messages     []schemas.Message
	reversals    []schemas.Reversal
	contaminated bool
}

// prompt renders the prompt of a pair, or finds the one that the chosen response
// has already: it depends on the rejected one only where that has uncounted
// constraints.
func (b *Builder) prompt(d *draft, chosen, rejected *candidate) (*prompt, error) {
	reversed := make([]bool, len(d.constraints))
	for i := range reversed {
		reversed[i] = reverses(chosen, rejected, i)
	}
	for _, p := range chosen.prompts {
		if slices.Equal(p.reversed, reversed) {
			return p, nil
		}
	}
	p := &prompt{reversed: reversed}
	texts := map[string]string{}
	for i, c := range d.constraints {
		if reversed[i] {
			o := d.opposites[i]
			texts[c.ConstraintID] = o.Text
			p.reversals = append(p.reversals, schemas.Reversal{
				ConstraintID: c.ConstraintID, OppositeID: o.OppositeID,
				Original: c.Text, Opposite: o.Text, ReversedBy: o.ReversedBy,
			})
		}
	}
	rendered := d.Turn.Turn
	var err error
	if rendered.System, err = reverse.Render(d.System, d.Constraints, texts); err != nil {
		return nil, err
	}
	p.system, p.messages = rendered.System, rendered.Messages()
	p.contaminated = len(texts) > 0 && b.evaluation != nil && b.evaluation.Holds(p.system)
	chosen.prompts = append(chosen.prompts, p)
	return p, nil
}

// pair makes the pair with chosen first, or counts why not.
func (b *Builder) pair(d *draft, chosen, rejected *candidate, g int, judgedBy []string) error {
	if b.dropped(d, chosen, rejected, g) {
		return nil
	}
	prompt, err := b.prompt(d, chosen, rejected)
	if err != nil {
		return err
	}
	switch {
	case prompt.contaminated:
		d.built.Contaminated++
		return nil
	case !d.perfect(prompt, chosen, rejected):
		d.built.Unverified++
		return nil
	}
	p := d.row(chosen, rejected, judgedBy, b.options.NotApplicable)
	p.PairID = schemas.ID("pair", chosen.ResponseID, rejected.ResponseID, prompt.system)
	p.Prompt, p.Reversed, p.Margin = prompt.messages, prompt.reversals, float64(g)
	d.built.Pairs = append(d.built.Pairs, p)
	return nil
}

// row fills in what does not depend on the prompt.
func (d *draft) row(chosen, rejected *candidate, judgedBy []string, policy string) schemas.Pair {
	p := schemas.Pair{
		Chosen: chosen.messages, Rejected: rejected.messages,
		TurnID: d.TurnID, DialogueID: d.DialogueID, ProfileID: d.ProfileID,
		ChosenResponseID: chosen.ResponseID, RejectedResponseID: rejected.ResponseID,
		Case: paperCase(chosen, rejected), Model: chosen.Model, JudgedBy: judgedBy, NotApplicable: policy,
	}
	for i, c := range d.constraints {
		if s, u := chosen.states[i], rejected.states[i]; s != u && s != uncounted && u != uncounted {
			p.Differing = append(p.Differing, c.ConstraintID)
		}
	}
	return p
}

// perfect checks a rendered pair again without new calls: of the prompt's
// triggered constraints the chosen response follows all, and the rejected one
// fails those that differ and no other. Rules are run on both texts; where a
// constraint has none, the stored verdict counts, inverted for an opposite. What
// is uncounted for one of the two does not count.
func (d *draft) perfect(p *prompt, chosen, rejected *candidate) bool {
	for i, c := range d.constraints {
		s, u := chosen.states[i], rejected.states[i]
		if s == uncounted || u == uncounted {
			continue
		}
		rule, check := c.Rule, d.rules[i]
		if p.reversed[i] {
			rule, check = d.opposites[i].Rule, d.reversedRules[i]
		}
		a, z := (s == follows) != p.reversed[i], (u == follows) != p.reversed[i]
		if !rule.IsZero() {
			if check == nil {
				return false
			}
			a, z = chosen.follows(i, check, p.reversed[i]), rejected.follows(i, check, p.reversed[i])
		}
		if !a || z == (s != u) {
			return false
		}
	}
	return true
}
