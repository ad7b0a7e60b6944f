package profile

import (
	"encoding/json"
	"math"
	"strings"

	"rpo/schemas"
)

// relation is what two rules say about the responses that follow both.
type relation int

const (
	// unknown: nothing is known.
	unknown relation = iota
	// compatible: some responses follow both, and each can be followed alone.
	compatible
	// exclusive: no response follows both.
	exclusive
	// implies: whoever follows the first follows the second; implied: the other
	// way round. Equal rules imply each other and count as the first.
	implies
	implied
)

// relate compares two rules that apply to the same responses. It knows the counts,
// the languages, the cases and the given texts of the rpo profile, and of every
// profile that a rule and its negation exclude each other.
func relate(a, b schemas.Rule) relation {
	switch {
	case a.IsZero() || b.IsZero() || a.Profile != b.Profile:
		return unknown
	case a.Kind == b.Kind && a.Args == b.Args:
		if a.Negated == b.Negated {
			return implies
		}
		return exclusive
	case a.Profile != "rpo":
		return unknown
	}
	x, y := readRule(a), readRule(b)
	switch {
	case a.Kind == b.Kind && x.Relation != "" && y.Relation != "":
		return relateRanges(x.ranges(a.Negated), y.ranges(b.Negated))
	case a.Kind == "language" && b.Kind == "language":
		return relateOthers(a.Negated, b.Negated)
	case a.Kind == "uppercase" && b.Kind == "lowercase" || a.Kind == "lowercase" && b.Kind == "uppercase":
		if a.Negated == b.Negated && a.Negated {
			return compatible
		}
		return relateOthers(a.Negated, b.Negated)
	}
	return relateTexts(a, b, x, y)
}

// ruleArgs are the arguments that relate understands.
type ruleArgs struct {
	Relation  string  `json:"relation"`
	N         float64 `json:"n"`
	Text      string  `json:"text"`
	Count     float64 `json:"count"`
	WholeWord bool    `json:"whole_word"`
}

func readRule(r schemas.Rule) (a ruleArgs) {
	// Arguments that do not fit are none that relate understands.
	json.Unmarshal([]byte(r.Args), &a)
	a.Text = strings.ToLower(strings.TrimSpace(a.Text))
	return a
}

// interval is a range of counts, both ends included.
type interval struct{ low, high float64 }

var most = math.Inf(1)

// ranges are the counts that follow a bound.
func (a ruleArgs) ranges(negated bool) []interval {
	flipped := map[string]string{"at least": "fewer than", "fewer than": "at least", "at most": "more than", "more than": "at most", "exactly": "other than", "other than": "exactly"}
	by := a.Relation
	if negated {
		by = flipped[by]
	}
	switch by {
	case "at least":
		return []interval{{a.N, most}}
	case "fewer than":
		return []interval{{0, a.N - 1}}
	case "at most":
		return []interval{{0, a.N}}
	case "more than":
		return []interval{{a.N + 1, most}}
	case "exactly":
		return []interval{{a.N, a.N}}
	case "other than":
		return []interval{{0, a.N - 1}, {a.N + 1, most}}
	}
	return nil
}

func relateRanges(a, b []interval) relation {
	if a == nil || b == nil {
		return unknown
	}
	common := 0
	for _, x := range a {
		for _, y := range b {
			if low, high := max(x.low, y.low), min(x.high, y.high); low <= high && high >= 0 {
				common++
			}
		}
	}
	switch {
	case common == 0:
		return exclusive
	case within(a, b):
		return implies
	case within(b, a):
		return implied
	}
	return compatible
}

// within reports that every count of a is one of b.
func within(a, b []interval) bool {
	for _, x := range a {
		held := x.low > x.high // holds nothing
		for _, y := range b {
			held = held || y.low <= x.low && x.high <= y.high
		}
		if !held {
			return false
		}
	}
	return true
}

// relateOthers is for two demands for different things of which a response has
// only one, such as languages.
func relateOthers(a, b bool) relation {
	switch {
	case !a && !b:
		return exclusive
	case !a:
		return implies
	case !b:
		return implied
	}
	return compatible
}

// relateTexts compares demands for given texts.
func relateTexts(a, b schemas.Rule, x, y ruleArgs) relation {
	if x.Text == "" || y.Text == "" || x.Count > 1 || y.Count > 1 {
		return unknown
	}
	if a.Negated != b.Negated {
		// A text that must stand somewhere holds one that must stand nowhere.
		if a.Negated {
			a, b, x, y = b, a, y, x
		}
		if b.Kind == "contains" && !y.WholeWord && strings.Contains(x.Text, y.Text) {
			return exclusive
		}
		return unknown
	}
	ends := map[string]func(string, string) bool{"starts_with": strings.HasPrefix, "ends_with": strings.HasSuffix}
	if fits := ends[a.Kind]; fits != nil && a.Kind == b.Kind && !a.Negated && !fits(x.Text, y.Text) && !fits(y.Text, x.Text) {
		return exclusive
	}
	return unknown
}
