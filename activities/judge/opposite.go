package judge

import (
	"context"

	"rpo/activities/chat"
	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// FollowsOpposite says whether a response follows the opposite of a constraint:
// Followed, NotFollowed or, from a model only, NotApplicable. A rule decides where
// the opposite has one, else the model is asked once, in a request that depends on
// the texts of turn, response and opposite only. A reply that stays invalid is a
// CorruptData error, a rule that does not parse or an opposite without a text
// InvalidInput. replied says that the model replied, or was not needed.
func FollowsOpposite(ctx context.Context, m chat.Model, t schemas.Turn, r schemas.Response, o schemas.Opposite) (outcome string, replied bool, err error) {
	if o.Text == "" {
		return "", false, schemas.Errorf(schemas.InvalidInput, "judge response %s: constraint %s has no opposite", r.ResponseID, o.ConstraintID)
	}
	if !o.Rule.IsZero() {
		check, err := rules.Parse(o.Rule)
		if err != nil {
			return "", true, schemas.Errorf(schemas.InvalidInput, "judge the opposite of constraint %s: %w", o.ConstraintID, err)
		}
		return ruleOutcome(check.Strict(r.Text)), true, nil
	}
	answers, replied, err := ask(ctx, m, t, r, []string{o.Text}, 0)
	if err != nil {
		return "", replied, err
	}
	return answers[0].outcome, true, nil
}
