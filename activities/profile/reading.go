package profile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// reading is a sentence while a cue takes it apart: what a constraint's kind
// and arguments explain is taken out, and what remains must be small talk. A
// sentence that says anything more is not the constraint, or not only.
type reading struct {
	original string // quotation marks straightened
	rest     string // lower case, numbers in digits; shrinks
	user     string // the user's message, "" if there is none
	context  string // lower case: all that the user is told to want besides the sentence
	failed   string // the first reason why the sentence is not the constraint
}

var straight = strings.NewReplacer("“", `"`, "”", `"`, "‘", "'", "’", "'", "\u00a0", " ")

var (
	// courtesies say nothing; they go first, since they may hold a negation.
	courtesies = regexp.MustCompile(`\b(?:don't|do not) forget to\b|\b(?:i\.e|e\.g|i\.e\.,)\.?[,:]?|\bfor example\b`)
	negation   = regexp.MustCompile(`\b(?:no|not|don't|doesn't|cannot|can't|never|without|avoid|avoiding|refrain|refraining|exclude|excluding|isn't|aren't|shouldn't|mustn't|won't|leave out|omit)\b`)
	word       = regexp.MustCompile(`[\pL\pN]+(?:['-]\pL+)*`)
	strange    = regexp.MustCompile(`[^\pL\pN\pM\s.,:;!?'"()\[\]/–—-]`)
)

func read(sentence, user, context string) *reading {
	s := straight.Replace(sentence)
	return &reading{
		original: s,
		rest:     inDigits(courtesies.ReplaceAllString(strings.ToLower(s), " ")),
		user:     user,
		context:  strings.ToLower(context),
	}
}

func (r *reading) fail(format string, a ...any) {
	if r.failed == "" {
		r.failed = fmt.Sprintf(format, a...)
	}
}

// take removes all matches and reports whether there was one.
func (r *reading) take(re *regexp.Regexp) bool {
	if !re.MatchString(r.rest) {
		return false
	}
	r.rest = re.ReplaceAllString(r.rest, " ")
	return true
}

// need demands a match and leaves it in place.
func (r *reading) need(re *regexp.Regexp, what string) {
	if !re.MatchString(r.rest) {
		r.fail("it does not speak of %s", what)
	}
}

func (r *reading) ban(re *regexp.Regexp) {
	if m := re.FindString(r.rest); m != "" {
		r.fail("it says %q", m)
	}
}

// keywords demands every one of the words as whole words and takes them out.
func (r *reading) keywords(words ...string) {
	words = slices.Clone(words)
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, w := range words {
		w = strings.ToLower(straight.Replace(w))
		found := false
		for from := 0; w != ""; {
			i := strings.Index(r.rest[from:], w)
			if i < 0 {
				break
			}
			start, end := from+i, from+i+len(w)
			from = end
			if wholeWord(r.rest, start, end) {
				found = true
				r.rest = r.rest[:start] + strings.Repeat(" ", len(w)) + r.rest[end:]
			}
		}
		if !found {
			r.fail("it does not name %q", w)
			return
		}
	}
}

func wholeWord(s string, start, end int) bool {
	before := []rune(s[:start])
	after := []rune(s[end:])
	return (len(before) == 0 || !wordRune(before[len(before)-1])) && (len(after) == 0 || !wordRune(after[0]))
}

// negations demands exactly n words of negation and takes them out.
func (r *reading) negations(n int) {
	if got := len(negation.FindAllString(r.rest, -1)); got != n {
		r.fail("it has %d negations, not %d", got, n)
	}
	r.take(negation)
}

// count demands that the sentence makes exactly one claim about a count, that
// it is want, and takes it out. A negation turns the claim around. bare allows
// a plain number for want's bound.
func (r *reading) count(want claim, bare bool) {
	rest, claims, ok := takeClaims(r.rest)
	r.rest = rest
	negated := len(negation.FindAllString(r.rest, -1))
	r.take(negation)
	switch {
	case !ok:
		r.fail("it names a range")
	case len(claims) == 0 && negated == 1 && want == atMost(0):
	case len(claims) != 1:
		r.fail("it makes %d statements about a number, not one", len(claims))
	case negated > 1 || negated == 1 && claims[0].bare:
		r.fail("it negates a number")
	default:
		got := claims[0]
		if negated == 1 {
			if got = got.opposite(); got.low > got.high {
				r.fail("it negates a number")
			}
		}
		if !(got == want || bare && got.bare && got.low == want.low && (want.high == endless || want.high == want.low)) {
			r.fail("its number or comparison is not that of the rule")
		}
	}
}

// opposite is the complement of a one-sided claim, an impossible claim for any
// other.
func (c claim) opposite() claim {
	switch {
	case c.high == endless && c.low > 0:
		return atMost(c.low - 1)
	case c.low == 0 && c.high != endless && !c.bare:
		return atLeast(c.high + 1)
	}
	return claim{1, 0, false}
}

// only demands that nothing remains but small talk and the given words.
func (r *reading) only(words string) {
	if s := strange.FindString(r.rest); s != "" {
		r.fail("it holds %q", s)
		return
	}
	known := strings.Fields(words)
	for _, w := range word.FindAllString(r.rest, -1) {
		w = strings.TrimFunc(w, func(c rune) bool { return c == '\'' || unicode.IsSpace(c) })
		// "summary" is in the context of "summarize", "story" in that of "stories".
		if works[w] && !strings.Contains(r.context, strings.TrimRight(w, "yies")) {
			r.fail("it asks for a %s, which is part of the task", w)
			return
		}
		if !smallTalk[w] && !works[w] && !slices.Contains(known, w) {
			r.fail("it also says %q", w)
			return
		}
	}
}

// smallTalk are the words that make a demand without saying what is demanded,
// and those for the whole of a response. No negation, number, comparison or
// "only" is among them: those carry meaning.
var smallTalk = set(`do does a an the this that that's these those your you i i'd me my our it its it's there which where is are
be been being was will would should must can could need needs have has having had to of in on at with within for from
by as and or also so please kindly too additionally furthermore make makes making sure ensure ensures ensuring be want
response responses answer answers reply output text entire entirely whole complete full throughout anywhere somewhere
overall total write writing written give provide provides include includes included including contain contains containing use uses
used using put add adding create produce respond generate like such`) // the last two introduce examples

// works are the words for a piece of writing that a constraint may name instead
// of "the response", if the task is about one. Else the sentence asks for it.
var works = set(`poem poems song rap essay story stories email e-mail post blog article page tweet haiku limerick riddle
joke summary resume itinerary template proposal pitch deck advertisement ad letter cover description document
file outline biography dialogue conversation speech script review report plan paper advice explanation news
product rubric thread dissertation critique brief`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
