package dialogue

import (
	"strings"
	"unicode"
)

const (
	// sameOpening is how many equal first words make a repeat, and the fewest
	// words of a first clause.
	sameOpening, shortClause = 5, 4
	// nearRepeat is the similarity above which two texts are one.
	nearRepeat = 0.6
)

// words splits a text into lower-case words: runs of letters and digits, and
// single Chinese characters. A text without any is one word, itself.
func words(text string) []string {
	var out []string
	var run strings.Builder
	flush := func() {
		if run.Len() > 0 {
			out = append(out, run.String())
			run.Reset()
		}
	}
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Han, r):
			flush()
			out = append(out, string(r))
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mn, r):
			run.WriteRune(unicode.ToLower(r))
		case r == '\'' || r == '’': // as in "what's"
		default:
			flush()
		}
	}
	flush()
	if out == nil {
		out = []string{strings.TrimSpace(text)}
	}
	return out
}

// firstClause returns the words up to the first mark that ends a clause with at
// least four words.
func firstClause(text string) []string {
	for i, r := range text {
		if strings.ContainsRune(",.!?;:，。！？；：…\n", r) {
			if w := words(text[:i]); len(w) >= shortClause {
				return w
			}
		}
	}
	return words(text)
}

// repeats reports whether a query is too near to an earlier one; see the package
// comment.
func repeats(query string, earlier []string) bool {
	mine := words(query)
	for _, e := range earlier {
		theirs := words(e)
		switch {
		case strings.Join(mine, "") == strings.Join(theirs, ""),
			len(mine) >= sameOpening && len(theirs) >= sameOpening && equal(mine[:sameOpening], theirs[:sameOpening]),
			similarity(mine, theirs) > nearRepeat,
			similarity(firstClause(query), firstClause(e)) > nearRepeat:
			return true
		}
	}
	return false
}

func equal(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// similarity is Dice's coefficient of the pairs of adjacent characters, blanks
// left out, each counted as often as it stands: from 0 to 1.
func similarity(a, b []string) float64 {
	x, y := pairs(a), pairs(b)
	total, common := 0, 0
	for pair, n := range x {
		total += n
		common += min(n, y[pair])
	}
	for _, n := range y {
		total += n
	}
	if total == 0 {
		return 0 // single characters: equal or not, no nearness
	}
	return 2 * float64(common) / float64(total)
}

func pairs(words []string) map[[2]rune]int {
	out := map[[2]rune]int{}
	var before rune
	for i, r := range []rune(strings.Join(words, "")) {
		if i > 0 {
			out[[2]rune{before, r}]++
		}
		before = r
	}
	return out
}
