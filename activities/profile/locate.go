package profile

import (
	"fmt"
	"slices"
	"strings"
)

// locate finds the span of each text in system. The longest texts are placed
// first, and what they cover is no place for a shorter one. A text needs as many
// places as there are constraints with it, and they take them in order; more
// places would leave a copy of the demand behind when it is reversed, so they
// are refused.
func locate(system string, texts, paths []string) ([]span, error) {
	byText := map[string][]int{}
	var distinct []string
	for i, t := range texts {
		if byText[t] == nil {
			distinct = append(distinct, t)
		}
		byText[t] = append(byText[t], i)
	}
	slices.SortStableFunc(distinct, func(a, b string) int { return len(b) - len(a) })
	spans := make([]span, len(texts))
	var taken []span
	for _, t := range distinct {
		all := occurrences(system, t)
		places := slices.DeleteFunc(slices.Clone(all), func(s span) bool {
			return slices.ContainsFunc(taken, func(o span) bool { return s.start < o.end && o.start < s.end })
		})
		owners := byText[t]
		path := paths[owners[0]] + ".text"
		switch {
		case len(all) == 0:
			return nil, fmt.Errorf("field %s: %q does not stand in system", path, clipped(t))
		case len(all) < len(owners):
			return nil, fmt.Errorf("field %s: %q stands in system %d times, but %d constraints have this text", path, clipped(t), len(all), len(owners))
		case len(places) < len(owners):
			return nil, fmt.Errorf("field %s: %q overlaps another constraint in system; constraints must not share text", path, clipped(t))
		case len(places) > len(owners):
			return nil, fmt.Errorf("field %s: %q stands in system %d times, but %d constraints have this text; write more of the sentence, so that its place is plain",
				path, clipped(t), len(places), len(owners))
		}
		for i, owner := range owners {
			spans[owner] = places[i]
		}
		taken = append(taken, places...)
	}
	return spans, nil
}

// occurrences are the places of t in s, in order and without overlap.
func occurrences(s, t string) []span {
	var out []span
	for from := 0; ; {
		i := strings.Index(s[from:], t)
		if i < 0 {
			return out
		}
		out = append(out, span{from + i, from + i + len(t)})
		from += i + len(t)
	}
}
