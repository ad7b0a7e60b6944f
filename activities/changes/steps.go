package changes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/activities/judge/rules"
	"rpo/activities/pair"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/schemas"
)

// Why rows are unknown.
const (
	notCached = "not in the call cache"
	noInput   = "the options are not known: name the run's input with --input"
)

// NotCached refuses every call: what answers only from a cache stands before it.
type NotCached struct{}

// Complete implements chat.Completer. The row is to blame, so that the others go on.
func (NotCached) Complete(context.Context, chat.Request) (chat.Response, error) {
	return chat.Response{}, schemas.Errorf(schemas.InvalidInput, "%s", notCached)
}

// byRule compares verdicts, opposites and rules that no model made.
func byRule(d drawn, verdicts, opposites, recognised *Step) {
	turns := map[string]schemas.Turn{}
	constraints := map[string]schemas.Constraint{}
	for _, t := range d.turns {
		turns[t.TurnID] = t
		for _, c := range t.Constraints {
			if _, seen := constraints[c.ConstraintID]; !seen {
				constraints[c.ConstraintID] = c
				recognise(c, recognised)
			}
		}
	}
	now := map[string]schemas.Verdict{}
	for _, r := range d.responses {
		again, _, err := judge.ByRules(r, turns[r.TurnID].TriggeredConstraints())
		if err != nil {
			continue // its rows are missing below, and so they differ
		}
		for _, v := range again {
			now[v.ResponseID+v.ConstraintID] = v
		}
	}
	for _, v := range d.verdicts {
		if v.Source == schemas.ByRule {
			verdicts.compare("response "+v.ResponseID+" constraint "+v.ConstraintID, saysVerdict(v), saysVerdict(now[v.ResponseID+v.ConstraintID]))
		}
	}
	for _, o := range d.opposites {
		c := constraints[o.ConstraintID]
		if o.Source != schemas.ByRule && c.Rule.IsZero() {
			continue
		}
		again, err := reverse.ByRule(c)
		text := saysOpposite(again)
		if err != nil {
			text = "refused: " + err.Error()
		}
		opposites.compare("constraint "+o.ConstraintID, saysOpposite(o), text)
	}
}

// recognise compares a constraint's rule with what is read from its text now. A
// rule that the file gave may be any, so only one that is read differently counts.
func recognise(c schemas.Constraint, step *Step) {
	if c.Trigger != "" {
		return
	}
	now, ok := rules.Recognise(c.Text)
	switch {
	case !ok && c.Rule.IsZero():
		step.compare(c.ConstraintID, "", "")
	case !ok || !c.Rule.IsZero() && c.Rule.Profile != now.Profile:
		step.unknown(1, "the file may have given the rule itself")
	default:
		step.compare("constraint "+c.ConstraintID, saysRule(c.Text, c.Rule), saysRule(c.Text, now))
	}
}

func saysVerdict(v schemas.Verdict) string {
	loose := ""
	if v.Loose != nil {
		loose = fmt.Sprintf(", loose %v", *v.Loose)
	}
	return v.Outcome + loose
}

func saysOpposite(o schemas.Opposite) string {
	if o.Irreversible != nil {
		return "irreversible"
	}
	return saysRule(o.Text, o.Rule)
}

func saysRule(text string, r schemas.Rule) string {
	if r.IsZero() {
		return text + " (no rule)"
	}
	return fmt.Sprintf("%s (rule %s %s %s negated %v)", text, r.Profile, r.Kind, r.Args, r.Negated)
}

func saysPair(p schemas.Pair) string {
	var b strings.Builder
	fmt.Fprintf(&b, "g %v, case %d, reversed", p.Margin, p.Case)
	for _, r := range p.Reversed {
		fmt.Fprintf(&b, " %q", r.Opposite)
	}
	for _, m := range p.Prompt {
		fmt.Fprintf(&b, "\n%s: %s", m.Role, m.Content)
	}
	return b.String()
}

// pairs builds the pairs of the sampled turns again.
func pairs(ctx context.Context, s store.Store, d drawn, o schemas.PairOptions, step *Step) error {
	for _, needed := range []string{schemas.TableResponse, schemas.TableVerdict, schemas.TableOpposite} {
		if !d.has[needed] {
			step.unknown(int64(len(d.pairs)), "the manifest has no table "+needed)
			return nil
		}
	}
	if o.CheckOpposites {
		step.unknown(int64(len(d.pairs)), "check_opposites asks a model about pairs")
		return nil
	}
	// The sample is no whole import, which decontamination knows by its objects. So
	// pairs that were dropped by it are not told from new ones.
	contaminated := len(o.Decontaminate) > 0
	o.Decontaminate, o.Baselines = nil, false
	over := newOverlay(s)
	shard, err := shardOf(ctx, over, "pair", 0, with(ctx, over, schemas.TableTurn, d.turns), with(ctx, over, schemas.TableResponse, d.responses),
		with(ctx, over, schemas.TableVerdict, d.verdicts), with(ctx, over, schemas.TableOpposite, d.opposites))
	if err != nil {
		return err
	}
	if _, err := (&pair.Activities{Store: over}).PairShard(ctx, pair.ShardInput{Shard: shard, PairOptions: o}); err != nil {
		return err
	}
	again, _, err := made[schemas.Pair](ctx, over, shard, schemas.TablePair)
	if err != nil {
		return err
	}
	now := map[string]schemas.Pair{}
	for _, p := range again {
		now[p.ChosenResponseID+p.RejectedResponseID] = p
	}
	for _, p := range d.pairs {
		key, text := p.ChosenResponseID+p.RejectedResponseID, "no pair"
		if again, ok := now[key]; ok {
			text = saysPair(again)
		}
		delete(now, key)
		step.compare("pair "+p.PairID, saysPair(p), text)
	}
	for _, p := range now {
		if contaminated {
			step.unknown(1, "decontamination may have dropped the pair")
		} else {
			step.compare("pair "+p.PairID, "no pair", saysPair(p))
		}
	}
	return nil
}

// responses samples the turns again from cached replies.
func responses(ctx context.Context, s store.Store, d drawn, models chat.Models, in *schemas.RunPipelineInput, step *Step) error {
	over := newOverlay(s)
	shard, err := shardOf(ctx, over, "sample", in.Generation, with(ctx, over, schemas.TableTurn, d.turns))
	if err != nil {
		return err
	}
	_, err = (&sample.Activities{Store: over, Models: models}).SampleShard(ctx, sample.ShardInput{Shard: shard, SampleOptions: in.SampleOptions})
	if err != nil {
		return allUnknown(err, int64(len(d.responses)), step)
	}
	again, aside, err := made[schemas.Response](ctx, over, shard, schemas.TableResponse)
	if err != nil {
		return err
	}
	now := map[string]string{}
	for _, r := range again {
		now[fmt.Sprint(r.TurnID, r.SampleIndex)] = r.Text
	}
	for _, r := range d.responses {
		if aside[r.TurnID] != "" {
			step.unknown(1, notCached)
			continue
		}
		step.compare("response "+r.ResponseID, r.Text, now[fmt.Sprint(r.TurnID, r.SampleIndex)])
	}
	return nil
}

// verdicts judges the responses again, from cached replies.
func verdicts(ctx context.Context, s store.Store, d drawn, models chat.Models, in *schemas.RunPipelineInput, step *Step) error {
	var ofModel []schemas.Verdict
	for _, v := range d.verdicts {
		if v.Source == schemas.ByModel {
			ofModel = append(ofModel, v)
		}
	}
	if len(ofModel) == 0 {
		return nil
	}
	over := newOverlay(s)
	shard, err := shardOf(ctx, over, "judge", in.Generation, with(ctx, over, schemas.TableTurn, d.turns), with(ctx, over, schemas.TableResponse, d.responses))
	if err != nil {
		return err
	}
	_, err = (&judge.Activities{Store: over, Models: models}).JudgeShard(ctx, judge.ShardInput{Shard: shard, JudgeOptions: in.JudgeOptions})
	if err != nil {
		return allUnknown(err, int64(len(ofModel)), step)
	}
	again, aside, err := made[schemas.Verdict](ctx, over, shard, schemas.TableVerdict)
	if err != nil {
		return err
	}
	now := map[string]string{}
	for _, v := range again {
		now[v.ResponseID+v.ConstraintID] = v.Outcome
	}
	for _, v := range ofModel {
		if strings.Contains(aside[v.ResponseID], notCached) {
			step.unknown(1, notCached)
			continue
		}
		text := now[v.ResponseID+v.ConstraintID]
		if why := aside[v.ResponseID]; why != "" {
			text = "set aside: " + why
		}
		step.compare("response "+v.ResponseID+" constraint "+v.ConstraintID, v.Outcome, text)
	}
	return nil
}

// opposites reverses the constraints again, from cached replies.
func opposites(ctx context.Context, s store.Store, d drawn, models chat.Models, in *schemas.RunPipelineInput, step *Step) error {
	var ofModel []schemas.Opposite
	for _, o := range d.opposites {
		if o.Source == schemas.ByModel {
			ofModel = append(ofModel, o)
		}
	}
	if len(ofModel) == 0 {
		return nil
	}
	over := newOverlay(s)
	shard, err := shardOf(ctx, over, "reverse", in.Generation, with(ctx, over, schemas.TableTurn, d.turns))
	if err != nil {
		return err
	}
	_, err = (&reverse.Activities{Store: over, Models: models}).ReverseShard(ctx, reverse.ShardInput{Shard: shard, ReverseOptions: in.ReverseOptions})
	if err != nil {
		return allUnknown(err, int64(len(ofModel)), step)
	}
	again, aside, err := made[schemas.Opposite](ctx, over, shard, schemas.TableOpposite)
	if err != nil {
		return err
	}
	now := map[string]string{}
	for _, o := range again {
		now[o.ConstraintID] = saysOpposite(o)
	}
	for _, o := range ofModel {
		text, ok := now[o.ConstraintID]
		switch why := aside[o.ConstraintID]; {
		case strings.Contains(why, notCached):
			step.unknown(1, notCached)
			continue
		case why != "":
			text = "set aside: " + why
		case !ok:
			continue // of a constraint that no sampled turn triggers
		}
		step.compare("constraint "+o.ConstraintID, saysOpposite(o), text)
	}
	return nil
}

// allUnknown forgives a step in which no row got a reply.
func allUnknown(err error, rows int64, step *Step) error {
	if e, ok := errors.AsType[*schemas.Error](err); ok && strings.Contains(e.Message, notCached) {
		step.unknown(rows, notCached)
		return nil
	}
	return err
}
