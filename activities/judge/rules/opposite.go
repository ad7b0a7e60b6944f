package rules

import (
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"rpo/schemas"
)

// oppositeIDs is the namespace for constraint ids that are no UUIDs.
var oppositeIDs = uuid.NewSHA1(uuid.NameSpaceURL, []byte("rpo:constraint"))

// Opposite returns the exact complement of a rule constraint: for every
// response that is not blank one of the two passes and the other fails. Its
// text is a phrasing of the opposite rule chosen by the constraint's id, in
// Chinese for a rule of the rpo profile whose own text is Chinese. A trigger
// stays and is said again in the text, since both apply only under it.
// The opposite of an opposite has the rule and the text of the original.
func Opposite(c schemas.Constraint) (schemas.Constraint, error) {
	r, err := oppositeRule(c.Rule)
	if err != nil {
		return schemas.Constraint{}, err
	}
	text := c.OppositeOf
	if text == "" {
		if text, err = oppositeText(c, r); err != nil {
			return schemas.Constraint{}, err
		}
	}
	return schemas.Constraint{
		ConstraintID: oppositeID(c.ConstraintID),
		Text:         text,
		Family:       c.Family,
		Rule:         r,
		Trigger:      c.Trigger,
		OppositeOf:   c.Text,
	}, nil
}

// oppositeText picks a phrasing of the opposite rule r in the language of c.
func oppositeText(c schemas.Constraint, r schemas.Rule) (string, error) {
	say, under := phrasings, underTrigger
	if inChinese(c.Text) && r.Profile == "rpo" {
		say, under = chinesePhrasings, underChineseTrigger
	}
	phrases, err := say(r)
	if err != nil {
		return "", err
	}
	h := fnv.New64a()
	h.Write([]byte(c.ConstraintID))
	return under(c.Trigger, phrases[h.Sum64()%uint64(len(phrases))]), nil
}

func oppositeID(id string) string {
	space, err := uuid.Parse(id)
	if err != nil {
		space = uuid.NewSHA1(oppositeIDs, []byte(id))
	}
	return uuid.NewSHA1(space, []byte("opposite")).String()
}

// oppositeRule is its own inverse on canonical rules: a kind with a complement
// of its own changes arguments and never touches Negated, any other only
// toggles Negated.
func oppositeRule(r schemas.Rule) (schemas.Rule, error) {
	s, a, err := resolve(r)
	if err != nil {
		return schemas.Rule{}, err
	}
	if s.flip == nil {
		r.Negated = !r.Negated
		return r, nil
	}
	r.Args, err = a.with(s.flip)
	return r, err
}

// Phrasings is how many ways Describe knows to demand a rule; 0 for a rule
// that Parse refuses.
func Phrasings(r schemas.Rule) int {
	p, err := phrasings(r)
	if err != nil {
		return 0
	}
	return len(p)
}

// Describe writes a rule as a demand in natural English. Variant picks the
// phrasing, 0 <= variant < Phrasings(r); no two phrasings are alike.
func Describe(r schemas.Rule, variant int) (string, error) {
	p, err := phrasings(r)
	if err != nil {
		return "", err
	}
	if variant < 0 || variant >= len(p) {
		return "", schemas.Errorf(schemas.InvalidInput, "describe %s rule %s: variant must be from 0 to %d, it is %d",
			r.Profile, r.Kind, len(p)-1, variant)
	}
	return p[variant], nil
}

func phrasings(r schemas.Rule) ([]string, error) {
	s, _, err := resolve(r)
	if err != nil {
		return nil, err
	}
	if r.Negated {
		return s.reverse(), nil
	}
	return s.demand(), nil
}

// underTrigger puts a demand under its condition. The trigger may or may not
// bring its own conjunction.
func underTrigger(trigger, demand string) string {
	t := strings.TrimRight(strip(trigger), ",，.。:： ")
	if t == "" {
		return demand
	}
	lower := strings.ToLower(t)
	for _, w := range []string{"when ", "if ", "whenever ", "once ", "while ", "unless ", "for ", "in ", "as soon as ", "after ", "before "} {
		if strings.HasPrefix(lower, w) {
			return upperFirst(t) + ", " + lowerFirst(demand)
		}
	}
	for _, w := range []string{"当", "如果", "若", "一旦", "每当", "在", "假如", "倘若"} {
		if strings.HasPrefix(t, w) {
			return t + ", " + lowerFirst(demand)
		}
	}
	return "When " + lowerFirst(t) + ", " + lowerFirst(demand)
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// lowerFirst lowers the first letter unless the first word is an acronym.
func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if next, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsUpper(next) || s[n:] == "" {
		return s
	}
	if r == utf8.RuneError || r == 'I' && (s[n] == ' ' || s[n] == '\'' || strings.HasPrefix(s[n:], "’")) {
		return s
	}
	return string(unicode.ToLower(r)) + s[n:]
}
