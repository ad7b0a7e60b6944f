package rules

import (
	"maps"
	"slices"
	"strings"

	"rpo/schemas"
)

// Check decides one rule for one response.
type Check interface {
	// Strict judges the response as it is. A blank response fails, also under
	// a negated rule.
	Strict(response string) bool
	// Loose passes if any of IFEval's eight variants of the response passes
	// (markdown stars, first line, last line removed). It serves reports: a
	// rule and its opposite can both pass it, so it never builds pairs.
	Loose(response string) bool
}

// kind is one rule kind of a profile.
type kind struct {
	family string
	// build checks the arguments and returns what they mean.
	build func(a *args) spec
}

// spec is the meaning of one rule before negation.
type spec struct {
	// test judges a response that is not blank.
	test func(response string) bool
	// shrinks promises that a part of a text, cut at line ends and stripped,
	// passes only if the whole does. Most variants then need no look.
	shrinks bool
	// flip are the arguments under which the same kind is the exact complement
	// of test; nil if only negation expresses it.
	flip map[string]any
	// demand and reverse are the natural phrasings of the rule and of its
	// opposite, at least one each, every one of them true to the test.
	demand, reverse func() []string
}

// profile is a named, versioned set of kinds.
type profile struct {
	version string
	kinds   map[string]kind
}

var profiles = map[string]profile{
	"rpo":      {version: "rpo/1", kinds: ownKinds},
	"ifeval":   {version: "ifeval/1", kinds: ifevalKinds},
	"multi_if": {version: "multi_if/1", kinds: multiIFKinds},
}

// Both returns the strict and the loose verdict for less than the price of two.
func Both(c Check, response string) (strict, loose bool) {
	own, ok := c.(check)
	if !ok {
		return c.Strict(response), c.Loose(response)
	}
	if own.Strict(response) {
		// The response itself is the first of the variants.
		return true, true
	}
	return false, own.variant(response)
}

// Version names the exact semantics of a profile, for verdict rows, such as
// "ifeval/1". It is "" for an unknown profile.
func Version(profile string) string { return profiles[profile].version }

// Family returns the constraint family (a schemas.Family constant) of a rule,
// "" for an unknown one.
func Family(r schemas.Rule) string { return profiles[r.Profile].kinds[r.Kind].family }

// Parse resolves a rule. An unknown profile, kind or argument and a value out
// of range are InvalidInput that names the field: nothing passes by default.
func Parse(r schemas.Rule) (Check, error) {
	s, _, err := resolve(r)
	if err != nil {
		return nil, err
	}
	if r.Negated {
		test := s.test
		return check{test: func(response string) bool { return !test(response) }}, nil
	}
	return check{s.test, s.shrinks}, nil
}

// resolve returns the meaning of the rule before negation, and its arguments.
func resolve(r schemas.Rule) (spec, *args, error) {
	p, ok := profiles[r.Profile]
	if !ok {
		return spec{}, nil, schemas.Errorf(schemas.InvalidInput, "resolve rule: profile %s is unknown; use one of %s",
			quoted(r.Profile), strings.Join(slices.Sorted(maps.Keys(profiles)), ", "))
	}
	k, ok := p.kinds[r.Kind]
	if !ok {
		return spec{}, nil, schemas.Errorf(schemas.InvalidInput, "resolve rule: kind %s is unknown in profile %s; use one of %s",
			quoted(r.Kind), r.Profile, strings.Join(slices.Sorted(maps.Keys(p.kinds)), ", "))
	}
	a, err := decodeArgs(r)
	if err != nil {
		return spec{}, nil, err
	}
	s := k.build(a)
	if err := a.finish(); err != nil {
		return spec{}, nil, err
	}
	return s, a, nil
}

// check makes the two verdicts of a test that never sees a blank response.
type check struct {
	test    func(response string) bool
	shrinks bool
}

func (c check) Strict(response string) bool { return !blank(response) && c.test(response) }

func (c check) Loose(response string) bool { return c.Strict(response) || c.variant(response) }

// variant reports whether one of the other variants passes.
func (c check) variant(response string) bool {
	if c.shrinks {
		// The other variants are parts of the response with or without stars.
		plain := withoutStars(response)
		return len(plain) < len(response) && c.Strict(plain)
	}
	for v := range looseVariants(response) {
		if !blank(v) && c.test(v) {
			return true
		}
	}
	return false
}
