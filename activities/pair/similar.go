package pair

import "slices"

// shingleRunes is how many characters in a row are compared.
const shingleRunes = 5

// withoutNearDuplicates leaves out every response whose similarity to an earlier
// one is the bound or more. Earlier ones that were themselves left out count, so
// that a lower bound never keeps what a higher one removes.
func withoutNearDuplicates(all []*candidate, bound float64) []*candidate {
	sets := make([][]string, len(all))
	for i, c := range all {
		sets[i] = shingles(c.Text)
	}
	var out []*candidate
	for i, c := range all {
		if !slices.ContainsFunc(sets[:i], func(earlier []string) bool { return jaccard(earlier, sets[i]) >= bound }) {
			out = append(out, c)
		}
	}
	return out
}

// shingles returns the set of the pieces of shingleRunes characters in a text,
// sorted; of a shorter text itself.
func shingles(text string) []string {
	var starts []int
	for i := range text {
		starts = append(starts, i)
	}
	if len(starts) <= shingleRunes {
		return []string{text}
	}
	starts = append(starts, len(text))
	out := make([]string, 0, len(starts))
	for i := shingleRunes; i < len(starts); i++ {
		out = append(out, text[starts[i-shingleRunes]:starts[i]])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// jaccard is the share of the common elements of two sorted sets, 0 to 1.
func jaccard(a, b []string) float64 {
	common := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			common, i, j = common+1, i+1, j+1
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return float64(common) / float64(len(a)+len(b)-common)
}
