package judge

import (
	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// ByRules judges the constraints that have a rule and returns the others. A
// rule that does not parse is an InvalidInput error: it fails closed, never
// falls through to the judge.
func ByRules(r schemas.Response, constraints []schemas.Constraint) (verdicts []schemas.Verdict, rest []schemas.Constraint, err error) {
	for _, c := range constraints {
		if c.Rule.IsZero() {
			rest = append(rest, c)
			continue
		}
		check, err := rules.Parse(c.Rule)
		if err != nil {
			return nil, nil, schemas.Errorf(schemas.InvalidInput, "judge constraint %s: %w", c.ConstraintID, err)
		}
		strict, loose := rules.Both(check, r.Text)
		v := verdict(r, c, ruleOutcome(strict), rules.Version(c.Rule.Profile))
		v.Source, v.Loose = schemas.ByRule, &loose
		verdicts = append(verdicts, v)
	}
	return verdicts, rest, nil
}

func ruleOutcome(strict bool) string {
	if strict {
		return schemas.Followed
	}
	return schemas.NotFollowed
}

func verdict(r schemas.Response, c schemas.Constraint, outcome, judgedBy string) schemas.Verdict {
	return schemas.Verdict{
		VerdictID:  schemas.ID("verdict", r.ResponseID, c.ConstraintID, judgedBy),
		ResponseID: r.ResponseID, TurnID: r.TurnID, ConstraintID: c.ConstraintID,
		Family: c.Family, Outcome: outcome, JudgedBy: judgedBy,
	}
}
