package profile

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// claim is what a sentence says about a count: low <= count <= high. bare marks
// a number that no comparison word goes with ("three sections").
type claim struct {
	low, high int
	bare      bool
}

const endless = math.MaxInt

const (
	digits = `(?:\d{1,3}(?:,\d{3})+|\d+)`
	unit   = `(?:\s+[a-z]+){0,3}?`
)

var numberWords = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen " +
	"fifteen sixteen seventeen eighteen nineteen twenty")

var (
	numberWord = regexp.MustCompile(`\b(?:` + strings.Join(numberWords, "|") + `|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred)\b`)
	adverb     = regexp.MustCompile(`\b(?:once|twice|thrice)\b`)
	// span of numbers: never one bound of a rule.
	rangeClaim = regexp.MustCompile(`\b` + digits + `\s*(?:to|and|or|-|–)\s*` + digits + `\b`)
	percent    = regexp.MustCompile(`\d\s*%|[\d.]*\d\.\d`)
)

// claimForms are tried in this order; each match is taken out of the sentence.
var claimForms = []struct {
	re    *regexp.Regexp
	bound func(n int) claim
}{
	{regexp.MustCompile(`\b(?:no|not) (?:more|greater|longer) than (?:a total of )?(` + digits + `)`), atMost},
	{regexp.MustCompile(`\b(?:no|not) (?:less|fewer|shorter) than (?:a total of )?(` + digits + `)`), atLeast},
	{regexp.MustCompile(`\b(?:at least|(?:a )?minimum(?: of)?) (?:a total of )?(` + digits + `)`), atLeast},
	{regexp.MustCompile(`\b(?:at most|up to|(?:a )?maximum(?: of)?) (?:a total of )?(` + digits + `)`), atMost},
	{regexp.MustCompile(`\b(?:more|greater|longer) than (?:a total of )?(` + digits + `)|\b(?:over|above) (` + digits + `)`),
		func(n int) claim { return atLeast(n + 1) }},
	{regexp.MustCompile(`\b(?:less|fewer|shorter) than (?:a total of )?(` + digits + `)|\b(?:under|below) (` + digits + `)`),
		func(n int) claim { return atMost(n - 1) }},
	{regexp.MustCompile(`\b(` + digits + `)` + unit + ` or (?:more|above)\b|\b(` + digits + `)\+`), atLeast},
	{regexp.MustCompile(`\b(` + digits + `)` + unit + ` or (?:less|fewer|below)\b`), atMost},
	{regexp.MustCompile(`\b(?:exactly|precisely|only|just) (` + digits + `)\b`), func(n int) claim { return claim{n, n, false} }},
	{regexp.MustCompile(`\b(` + digits + `)\b`), func(n int) claim { return claim{n, n, true} }},
}

func atLeast(n int) claim { return claim{n, endless, false} }
func atMost(n int) claim  { return claim{0, n, false} }

// inDigits writes numbers as digits and "twice" as "2 times".
func inDigits(s string) string {
	s = adverb.ReplaceAllStringFunc(s, func(w string) string {
		return strconv.Itoa(map[string]int{"once": 1, "twice": 2, "thrice": 3}[w]) + " times"
	})
	return numberWord.ReplaceAllStringFunc(s, func(w string) string {
		for n, name := range numberWords {
			if w == name {
				return strconv.Itoa(n)
			}
		}
		return map[string]string{"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60",
			"seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100"}[w]
	})
}

// takeClaims finds what a lower-case text in digits says about counts and
// returns the text without it. ok is false for ranges and fractions, which no
// single bound expresses.
func takeClaims(s string) (rest string, claims []claim, ok bool) {
	if rangeClaim.MatchString(s) || percent.MatchString(s) {
		return s, nil, false
	}
	for _, form := range claimForms {
		for {
			m := form.re.FindStringSubmatchIndex(s)
			if m == nil {
				break
			}
			at := 2
			if m[at] < 0 {
				at = 4
			}
			n, err := strconv.Atoi(strings.ReplaceAll(s[m[at]:m[at+1]], ",", ""))
			if err != nil || n > math.MaxInt32 {
				return s, nil, false
			}
			claims = append(claims, form.bound(n))
			// The unit between the number and "or more" stays to be read.
			s = s[:m[0]] + " " + unitOf(s[m[0]:m[1]]) + " " + s[m[1]:]
		}
	}
	return s, claims, true
}

var unitWords = regexp.MustCompile(`\d\s+((?:[a-z]+\s+){1,3}?)or (?:more|above|less|fewer|below)$`)

func unitOf(matched string) string {
	if m := unitWords.FindStringSubmatch(matched); m != nil {
		return m[1]
	}
	return ""
}

// arguments are a rule's kwargs.
type arguments map[string]any

func (a arguments) text(name string) string {
	s, _ := a[name].(string)
	return s
}

// number is -1 for what is no whole number.
func (a arguments) number(name string) int {
	n, ok := a[name].(json.Number)
	if !ok {
		return -1
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return -1
	}
	return int(f)
}

func (a arguments) texts(name string) []string {
	list, _ := a[name].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// bound is the claim that a relation and its number make.
func (a arguments) bound(relation, number string) claim {
	n := a.number(number)
	if a.text(relation) == "less than" {
		return atMost(n - 1)
	}
	return atLeast(n)
}
