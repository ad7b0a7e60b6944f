package pair

import (
	"slices"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// Turn is all that is known of one turn when its pairs are built.
type Turn struct {
	schemas.Turn
	// Responses are those that may pair, by SampleIndex.
	Responses []schemas.Response
	// Verdicts maps response id to its verdicts, in any order; they are complete
	// for the turn's triggered constraints.
	Verdicts map[string][]schemas.Verdict
	// Opposites maps constraint id to opposite; a constraint without one, or with
	// one that has no text, is irreversible.
	Opposites map[string]schemas.Opposite
	// Key is the evaluation key of the turn's profile, "" if it has none.
	Key string
}

// state is what a verdict says under the policy for what is not applicable.
type state byte

const (
	fails state = iota
	follows
	// uncounted constraints are neither reversed nor counted in any pair with the
	// response: not applicable, or abstained from.
	uncounted
)

func stateOf(outcome, policy string) state {
	switch {
	case outcome == schemas.NotFollowed:
		return fails
	case outcome == schemas.Followed:
		return follows
	case outcome == schemas.NotApplicable && policy == schemas.FollowedNotApplicable:
		return follows
	default:
		return uncounted
	}
}

// candidate is one response with its states, in the order of the draft's
// constraints.
type candidate struct {
	schemas.Response
	states   []state
	judgedBy []string // sorted, each once
	messages []schemas.Message
	runes    int
	// original and opposite hold what the rules of a constraint and of its opposite
	// say of the text, once they were asked.
	original, opposite []answer
	prompts            []*prompt
}

// answer is a rule's on a text.
type answer byte

const (
	unasked answer = iota
	no
	yes
)

// vector names the states: equal vectors make responses interchangeable.
func (c *candidate) vector() string {
	bytes := make([]byte, len(c.states))
	for i, s := range c.states {
		bytes[i] = byte(s)
	}
	return string(bytes)
}

// score is the share of the counted constraints that the response follows, and
// whether any is counted.
func (c *candidate) score() (float64, bool) {
	followed, counted := 0, 0
	for _, s := range c.states {
		if s != uncounted {
			counted++
		}
		if s == follows {
			followed++
		}
	}
	if counted == 0 {
		return 0, false
	}
	return float64(followed) / float64(counted), true
}

// follows asks the constraint's or the opposite's rule about the text, once.
func (c *candidate) follows(i int, check rules.Check, reversed bool) bool {
	at := &c.original[i]
	if reversed {
		at = &c.opposite[i]
	}
	if *at == unasked {
		*at = no
		if check != nil && check.Strict(c.Text) {
			*at = yes
		}
	}
	return *at == yes
}

// distinct returns the candidates with the first of every vector.
func distinct(all []*candidate) []*candidate {
	seen := make(map[string]bool, len(all))
	var out []*candidate
	for _, c := range all {
		if v := c.vector(); !seen[v] {
			seen[v] = true
			out = append(out, c)
		}
	}
	return out
}

// differing counts the constraints that count for both and on which they differ.
func differing(a, b *candidate) int {
	g := 0
	for i, s := range a.states {
		if s != b.states[i] && s != uncounted && b.states[i] != uncounted {
			g++
		}
	}
	return g
}

// gap is by how many constraints, of those that count for both, a follows more
// than b.
func gap(a, b *candidate) int {
	n := 0
	for i, s := range a.states {
		if s != uncounted && b.states[i] != uncounted {
			n += int(s) - int(b.states[i])
		}
	}
	return n
}

// paperCase classifies two responses under the unreversed prompt by the table of
// the paper's introduction: same or different score, disjoint or overlapping
// satisfied sets, domination, perfection.
func paperCase(a, b *candidate) int64 {
	var onlyA, onlyB, both, neither int
	for i, s := range a.states {
		switch u := b.states[i]; {
		case s == uncounted || u == uncounted:
		case s == follows && u == follows:
			both++
		case s == follows:
			onlyA++
		case u == follows:
			onlyB++
		default:
			neither++
		}
	}
	switch {
	case onlyA == onlyB && both == 0:
		return 1
	case onlyA == onlyB:
		return 2
	case onlyA > 0 && onlyB > 0 && both == 0:
		return 3
	case onlyA > 0 && onlyB > 0:
		return 4
	case neither > 0:
		return 5
	default:
		return 6
	}
}

// union merges two sorted lists; it returns one of them where they are equal.
func union(a, b []string) []string {
	if slices.Equal(a, b) {
		return a
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}
