package reverse

import (
	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// ByRule reverses a constraint that has a rule, by construction.
func ByRule(c schemas.Constraint) (schemas.Opposite, error) {
	o, err := rules.Opposite(c)
	if err != nil {
		return schemas.Opposite{}, schemas.Errorf(schemas.InvalidInput, "reverse constraint %s: %w", c.ConstraintID, err)
	}
	return opposite(c, o.Text, o.Rule, schemas.ByRule, rules.Version(c.Rule.Profile)), nil
}

func opposite(c schemas.Constraint, text string, rule schemas.Rule, source, by string) schemas.Opposite {
	return schemas.Opposite{
		OppositeID:   schemas.ID("opposite", c.ConstraintID, by, text),
		ConstraintID: c.ConstraintID, Original: c.Text, Text: text, Rule: rule, Source: source, ReversedBy: by,
	}
}

// irreversible is the answer that a constraint has no opposite, with its reason.
func irreversible(c schemas.Constraint, reason, by string) schemas.Opposite {
	o := opposite(c, "", schemas.Rule{}, schemas.ByModel, by)
	o.Irreversible = &reason
	return o
}
