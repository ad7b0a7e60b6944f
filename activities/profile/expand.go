package profile

import (
	"context"
	"strings"

	"rpo/schemas"
)

// attempts is how often a profile is written: once, and three times more if too
// few of its constraints are of use.
const attempts = 4

// profileTokens bounds a written profile or persona.
const profileTokens = 2048

// expand writes the profile of a description and has it checked.
func (k *maker) expand(ctx context.Context, seed schemas.Seed) (sheet, error) {
	var problems []string
	left := 0
	for attempt := range attempts {
		s, err := k.sheet(ctx, seed, attempt, problems)
		if err != nil {
			return sheet{}, err
		}
		if s.constraints, problems = clean(s); len(s.constraints) >= fewestConstraints {
			texts := make([]string, len(s.constraints))
			for i, c := range s.constraints {
				texts[i] = c.text
			}
			findings, pairs, err := k.checkAll(ctx, texts, seed.Language)
			if err != nil {
				return sheet{}, err
			}
			var more []string
			s.constraints, more = passed(s.constraints, findings, pairs)
			problems = append(problems, more...)
		}
		if left = len(s.constraints); left >= fewestConstraints {
			return s, nil
		}
	}
	return sheet{}, schemas.Errorf(schemas.CorruptData, "%d profiles were written, and the last one has %d constraints of use, must have %d: %s",
		attempts, left, fewestConstraints, strings.Join(problems, "; "))
}

func (k *maker) sheet(ctx context.Context, seed schemas.Seed, attempt int, problems []string) (s sheet, err error) {
	q := question{
		prompt: "generate_profile", language: seed.Language,
		material:    []part{{text: seed.Text}},
		temperature: 1, seed: k.seedOf(seed, attempt), maxTokens: profileTokens,
		schema: profileSchema(),
	}
	if len(problems) > 0 {
		// Problems quote what a model wrote: they are material, too.
		q.material[0].heading = "description"
		q.material = append(q.material, part{"faults of an earlier attempt", "- " + strings.Join(problems, "\n- ")})
	}
	err = k.writes(ctx, q, func(reply string) (err error) {
		s, err = parseProfile(reply, seed.Language)
		return err
	})
	return s, err
}
