package dialogue

import (
	"context"
	"fmt"

	"rpo/schemas"
)

// rubric says for every constraint, in the profile's order, whether the turn's
// query triggers it. Only those with a trigger are asked about.
func (p *play) rubric(ctx context.Context, t schemas.Turn) ([]schemas.Trigger, error) {
	rows := make([]schemas.Trigger, len(t.Constraints))
	var asked []int
	for i, c := range t.Constraints {
		rows[i] = schemas.Trigger{
			TurnID: t.TurnID, ConstraintID: c.ConstraintID,
			Triggered: true, Basis: schemas.TriggerAlways, JudgedBy: "construction",
		}
		if c.Trigger != "" {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return rows, nil
	}
	m := &material{chinese: p.chinese}
	m.addMessages(t.History)
	m.add("latest message of the user", "用户的最新消息", 0, t.Query)
	tags := make([]string, len(asked))
	for k, i := range asked {
		tags[k] = tag(k)
		m.add("constraint", "约束", k+1, t.Constraints[i].Text)
		m.add("trigger of", "触发条件", k+1, t.Constraints[i].Trigger)
	}
	req, err := request(rubricPrompt, m, func(nonce string) any { return struct{ Nonce string }{nonce} }, "triggers",
		object(map[string]any{"triggers": map[string]any{
			"type": "array", "minItems": len(tags), "maxItems": len(tags),
			"items": object(map[string]any{
				"id":     map[string]any{"type": "string", "enum": tags},
				"reason": text(longestReason),
				"trigger": map[string]any{"type": "string",
					"enum": []string{schemas.TriggerByQuery, schemas.TriggerByResponse, schemas.TriggerUnmet}},
			}, "id", "reason", "trigger"),
		}}, "triggers"))
	if err != nil {
		return nil, err
	}
	judge := p.players.Judge
	req.Model, req.MaxTokens = judge.Name, 200+150*len(tags)
	var decided []decision
	_, err = judge.Ask(ctx, req, func(reply string) (err error) {
		decided, err = parseRubric(reply, tags)
		return err
	})
	if err != nil {
		return nil, during(err, "rubric of turn %d of dialogue %s", t.Index, t.DialogueID)
	}
	for k, i := range asked {
		rows[i].Basis, rows[i].Reason = decided[k].Trigger, &decided[k].Reason
		rows[i].Triggered = decided[k].Trigger != schemas.TriggerUnmet
		rows[i].JudgedBy = judge.Name + " " + rubricVersion
	}
	return rows, nil
}

// decision is one entry of a rubric.
type decision struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Trigger string `json:"trigger"`
}

// parseRubric demands exactly one known decision per tag and returns them in the
// tags' order.
func parseRubric(text string, tags []string) ([]decision, error) {
	var reply struct {
		Triggers []decision `json:"triggers"`
	}
	if err := schemas.DecodeStrict([]byte(text), &reply); err != nil {
		return nil, err
	}
	byTag := map[string]decision{}
	for _, d := range reply.Triggers {
		switch d.Trigger {
		case schemas.TriggerByQuery, schemas.TriggerByResponse, schemas.TriggerUnmet:
		default:
			return nil, fmt.Errorf("constraint id %q has trigger %q", d.ID, d.Trigger)
		}
		if _, twice := byTag[d.ID]; twice {
			return nil, fmt.Errorf("constraint id %q is decided twice", d.ID)
		}
		byTag[d.ID] = d
	}
	out := make([]decision, len(tags))
	for i, tag := range tags {
		d, ok := byTag[tag]
		if !ok {
			return nil, fmt.Errorf("constraint id %q is not decided", tag)
		}
		out[i] = d
	}
	if len(byTag) != len(tags) {
		return nil, fmt.Errorf("%d constraint ids are decided, %d were asked about", len(byTag), len(tags))
	}
	return out, nil
}
