package rules

import "unicode"

// Thai writes no blanks between words and no stops after sentences. Multi-IF
// asks pythainlp, whose dictionary and model are not carried here, so these two
// counts are estimates: over eleven real answers the words are off by 10 % on
// average (\w+ by 20 %), and lines come nearer to its sentences than Punkt.

// runesPerThaiWord is the mean length of pythainlp's tokens.
const runesPerThaiWord = 3.2

// thaiWords estimates the words of a Thai text; words of other scripts count
// as runs.
func thaiWords(s string) int {
	thai, runs := 0, 0
	inside := false
	for _, r := range s {
		if unicode.Is(unicode.Thai, r) {
			thai++
			inside = false
			continue
		}
		w := isWordRune(r)
		if w && !inside {
			runs++
		}
		inside = w
	}
	return runs + int(float64(thai)/runesPerThaiWord+0.5)
}

// thaiSentences takes each line that is not blank for a sentence.
func thaiSentences(s string) int { return countLines(s) }
