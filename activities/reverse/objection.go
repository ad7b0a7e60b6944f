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
	case prompt.Chinese(r.text) != prompt.Chinese(r.demand.text):
		return "it is in another language than the constraint"
	}
	if word := permission(r.demand.text, r.text); word != "" {
		return fmt.Sprintf("%q permits or exempts: write what must be done or must not be done", word)
	}
	if reason := conditionChanged(r.demand, r.text); reason != "" {
		return reason
	}
	return miscounted(r.demand.text, r.text)
}

// plain is a text without case, spacing and the marks at its ends.
func plain(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	text = strings.NewReplacer("，", ",", "。", ".", "’", "'", ", ", ",").Replace(text)
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSpace(r) })
}

// permissions are words that leave a response free. Group 1, where it matches, is
// what turns one into a prohibition.
var permissions = []*regexp.Regexp{
	regexp.MustCompile(`\bmay\b( not\b)?`),
	regexp.MustCompile(`\b(?:you|it|(?:the |your )?(?:response|answer|reply|output)s?) (?:can|could|might)\b( not\b)?`),
	regexp.MustCompile(`\b(?:(not |never )?(?:be |is |are )?(?:allowed|permitted)|free|welcome) to\b`),
	regexp.MustCompile(`\b(?:optional|optionally|feel free|at your discretion|if you (?:like|wish|want|prefer)|need not|needn't|` +
		`(?:do|does) not (?:have|need) to|(?:don't|doesn't) (?:have|need) to|not required to|not (?:be )?obliged to|not necessarily|perhaps|maybe)\b`),
	regexp.MustCompile(`(不)?(?:可以|允许)`),
	regexp.MustCompile(`无需|无须|不必|不需要|不一定|可选|可有可无|随意|酌情|自行决定`),
}

// permission returns a word of permission that the opposite has and the original
// has not, "" if there is none.
func permission(original, opposite string) string {
	for _, p := range permissions {
		a, _ := freely(p, original)
		if b, word := freely(p, opposite); b > a {
			return word
		}
	}
	return ""
}

// freely counts the permissions in a text and returns the last one.
func freely(p *regexp.Regexp, text string) (n int, word string) {
	// "May" is a month, "may" is none.
	text = strings.ReplaceAll(text, "’", "'")
	for _, m := range p.FindAllStringSubmatchIndex(text, -1) {
		if len(m) < 4 || m[2] < 0 {
			n, word = n+1, text[m[0]:m[1]]
		}
	}
	return n, word
}

var (
	leading = regexp.MustCompile(`^(?:(?:when|whenever|if|once|unless|while|in case|as soon as)\b[^,.;:]*,|(?:当|如果|若|一旦|每当|假如|倘若)[^,.;]*,)`)
	// conditional is any sign of a condition, wherever it stands.
	conditional = regexp.MustCompile(`\b(?:when|whenever|if|once|unless|while|in case|as soon as|after|before|for|until)\b|当|如果|若|一旦|每当|假如|倘若|时|的话|除非`)
)

// conditionChanged says how an opposite changes the condition of a demand, "" if it
// does not.
func conditionChanged(d demand, opposite string) string {
	text, other := plain(d.text), plain(opposite)
	if t := plain(d.trigger); t != "" && strings.Contains(text, t) && !strings.Contains(other, t) {
		return fmt.Sprintf("it does not keep the condition %q word for word", d.trigger)
	}
	if clause := leading.FindString(text); clause != "" && !strings.Contains(other, strings.TrimSuffix(clause, ",")) {
		return fmt.Sprintf("it does not keep the condition %q word for word", strings.TrimSuffix(clause, ","))
	}
	if clause := leading.FindString(other); clause != "" && d.trigger == "" && !conditional.MatchString(text) {
		return fmt.Sprintf("it adds the condition %q", strings.TrimSuffix(clause, ","))
	}
	return ""
}
