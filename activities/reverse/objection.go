package reverse

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"rpo/activities/chat/prompt"
)

// objection says what is certainly wrong with the opposite just written, "" if
// nothing is. What it refuses costs no call; what it does not know is for the
// check to decide.
func (r *reversal) objection() string {
	for _, old := range r.refused {
		if plain(old.text) == plain(r.text) {
			return "it was refused before"
		}
	}
	switch {
	case plain(r.text) == plain(r.demand.text):
		return "it is the constraint itself"
	case strings.ContainsAny(r.text, "\n\r") && !strings.ContainsAny(r.demand.text, "\n\r"):
		return "it has more than one line"
	case translated(r.demand.text, r.text):
		return "it is in another language than the constraint"
	}
	if word := permission(r.demand.text, r.text); word != "" {
		return fmt.Sprintf("%q permits or exempts: write what must be done or must not be done", word)
	}
	if reason := conditionChanged(r.demand, r.text); reason != "" {
		return reason
	}
	if a, b, ok := r.demand.unconditional(r.text); ok {
		return miscounted(a, b)
	}
	return ""
}

// plain is a text without case, spacing and the marks at its ends.
func plain(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	text = strings.NewReplacer("，", ",", "。", ".", "’", "'", ", ", ",").Replace(text)
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSpace(r) })
}

var (
	// characters are of the languages that are not written in Latin letters.
	characters = regexp.MustCompile(`[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]`)
	// speech tells English from names in another language's text.
	speech = regexp.MustCompile(`\b(?:do|does|don't|not|never|no|any|the|a|an|must|should|avoid|use|with|without|than|of|in|to|be|is|and|or)\b`)
)

// translated reports whether the one of two texts is certainly in Chinese, or a
// language like it, and the other one certainly not. Names and quotations are in
// whatever language they are.
func translated(a, b string) bool {
	read := func(text string) (written, names, english bool) {
		text, _ = prompt.Unquoted(folded(text))
		return characters.MatchString(text), latin.MatchString(text), speech.MatchString(text)
	}
	writtenA, namesA, englishA := read(a)
	writtenB, namesB, englishB := read(b)
	return writtenA && !englishA && !writtenB && (englishB || !namesA) ||
		writtenB && !englishB && !writtenA && (englishA || !namesB)
}
