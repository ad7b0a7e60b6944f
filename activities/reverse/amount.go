package reverse

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"rpo/activities/chat/prompt"
)

// amount is what a text says about how many.
type amount struct {
	// clear is true if it says it once, in a way that leaves no doubt; counts are
	// then the numbers it speaks of, as if no negation stood around them.
	clear  bool
	counts counts
	// sure is true if it is certain which counts meet the demand, and those are met.
	sure bool
	met  counts
	// largest is the largest number named, and unit what is counted, "" if it is
	// not known.
	largest int
	unit    string
	// rest holds what else the text says: its words and Chinese characters, but for
	// those that say nothing without the number.
	rest map[string]bool
	// numbers is true if the text has numerals that are no part of counts.
	numbers bool
}

// form is one way to speak of a number; number groups are those named n and m.
type form struct {
	pattern *regexp.Regexp
	counts  func(n, m int) counts
}

func from(n, _ int) counts   { return counts{{n, endless}} }
func upTo(n, _ int) counts   { return counts{{0, n}} }
func above(n, _ int) counts  { return counts{{n + 1, endless}} }
func equals(n, _ int) counts { return counts{{n, n}} }

func below(n, m int) counts { return from(n, m).complement() }
func not(n, m int) counts   { return equals(n, m).complement() }

func between(n, m int) counts {
	if n > m {
		return nil
	}
	return counts{{n, m}}
}

const (
	numeral = `(?P<n>\d{1,3}(?:,\d{3})+|\d+)`
	second  = `(?P<m>\d{1,3}(?:,\d{3})+|\d+)`
	things  = `(?: [a-z-]+){0,3}?`
	measure = `[^\x00\d,，。.;；]{0,6}?` // \x00 stands for what is read already
	verb    = `\p{Han}{0,4}?`         // 至少使用3个
)

// forms are tried in this order, so that "no more than" is read before "more than".
var forms = []form{
	{regexp.MustCompile(`\b(?:between|from) ` + numeral + ` (?:and|to) ` + second + `\b`), between},
	{regexp.MustCompile(`\b` + numeral + ` ?(?:to|-|–|~) ?` + second + `\b`), between},
	{regexp.MustCompile(`\b(?:fewer|less) or more than ` + numeral + `\b|\bmore or (?:fewer|less) than (?P<m>\d+)\b`), not},
	{regexp.MustCompile(`\b(?:other than|different (?:from|than)|not equal to|anything but|not) (?:exactly |precisely )?` + numeral + `\b`), not},
	{regexp.MustCompile(`\b(?:no|not) (?:more|greater|longer|higher) than ` + numeral + `\b`), upTo},
	{regexp.MustCompile(`\b(?:no|not) (?:less|fewer|shorter|lower) than ` + numeral + `\b`), from},
	{regexp.MustCompile(`\b(?:not|never|without) (?:exceed|exceeding|go over|going over|surpass|surpassing) ` + numeral + `\b`), upTo},
	{regexp.MustCompile(`\b(?:at least|(?:a )?minimum(?: of)?) ` + numeral + `\b`), from},
	{regexp.MustCompile(`\b(?:at most|up to|within|(?:a )?maximum(?: of)?) ` + numeral + `\b`), upTo},
	{regexp.MustCompile(`\b(?:more|greater|longer|higher) than ` + numeral + `\b|\b(?:over|above|exceed|exceeds|exceeding|surpass|surpasses) (?P<m>\d[\d,]*)\b`), above},
	{regexp.MustCompile(`\b(?:less|fewer|shorter|lower) than ` + numeral + `\b|\b(?:under|below) (?P<m>\d[\d,]*)\b`), below},
	{regexp.MustCompile(`\b` + numeral + things + ` or (?:more|above|longer)\b`), from},
	{regexp.MustCompile(`\b` + numeral + things + ` or (?:less|fewer|below|shorter)\b`), upTo},
	{regexp.MustCompile(`\b(?:exactly|precisely) ` + numeral + `\b`), equals},

	{regexp.MustCompile(numeral + measure + `(?:到|至|-|~|～|—)` + second), between},
	{regexp.MustCompile(`(?:不等于|不(?:是|为)?(?:恰好|正好|刚好)(?:是|为)?|除了?)` + numeral), not},
	{regexp.MustCompile(numeral + measure + `(?:以外|之外)`), not},
	{regexp.MustCompile(`(?:不(?:得|能|可|可以|要|应|应该|允许)?(?:超过|多于|大于|高于|超出)|至多|最多|小于或?等于)` + verb + numeral), upTo},
	{regexp.MustCompile(`(?:不(?:得|能|可|可以|要|应|应该|允许)?(?:少于|低于|小于)|至少|最少|大于或?等于)` + verb + numeral), from},
	{regexp.MustCompile(`(?:少于|小于|低于|不到|不足|不满)` + numeral), below},
	{regexp.MustCompile(`(?:多于|大于|超过|高于|超出)` + numeral), above},
	{regexp.MustCompile(`(?:恰好|正好|刚好|等于)` + verb + numeral), equals},
	{regexp.MustCompile(numeral + measure + `(?:及以内|以内|之内|及以下|或以下|以下|或更少|或者更少)`), upTo},
	{regexp.MustCompile(numeral + measure + `(?:及以上|或以上|以上|或更多|或者更多)`), from},
}

var (
	fraction = regexp.MustCompile(`\d\s*[%％]|\d[.:/]\d|\bper ?cent\b|百分之|分之|\bhalf\b|一半|倍|\btimes as\b|\d (?:thirds?|quarters?|fifths?|tenths?)\b`)
	// vague is a number by another name.
	vague = regexp.MustCompile(`\b(?:couple|pair|trio|several|few|handful|dozens|hundreds|thousands|millions|single|only|double|triple)\b|[俩仨几]|若干|两三`)
	bare  = regexp.MustCompile(`\d|[二三四五六七八九十两百千万亿]`)
	// A link joins two numbers if they count one thing, or if it is short: beside
	// "at least one of the sentences" a second number counts something else.
	or   = regexp.MustCompile(`^[^\d.;。；]*(?:\bor\b|或)[^\d.;。；]*$`)
	and  = regexp.MustCompile(`^[^\d.;。；]*(?:\b(?:and|but)\b|且|并|,|，)[^\d.;。；]*$`)
	near = regexp.MustCompile(`^(?: [a-z-]+)?(?:,? (?:or|and|but)|,) $|^\p{Han}{0,3}[,，]?(?:或者?|且|并且?|而且)?\p{Han}{0,2}$`)
	// aside is a sign that a number may belong to what the demand is about, not to
	// the demand.
	aside = regexp.MustCompile(`\b(?:when|whenever|if|unless|while|whether|that|which|who|whose|where|until|otherwise|except|asked|asks|asking|mentions|mentioning)\b` +
		`|如果|每当|当用户|的话|除非|否则|(?:^|[^小及按准同随临暂平有实即定课限])时(?:[^间长代刻段期钟]|$)`)

	negation = regexp.MustCompile(`\b(?:not|never|no|none|without|avoid|avoiding|refrain|cannot|neither|nor)\b|n't\b|不|勿|禁止|避免|没有|别`)
	// noNegation looks like one.
	noNegation = regexp.MustCompile(`[特分级类性个区识]别|不[同仅断但论管错只]|\bnot only\b`)
	// governing is what may stand between a negation and the number that it turns
	// round; loose, what may not.
	governing = regexp.MustCompile(`^(?: ?[a-z']+){0,5} ?$|^\p{Han}{0,8}$`)
	loose     = regexp.MustCompile(`\b(?:and|but|or|with|without|forget|fail|hesitate|neglect|omit|skip|miss|all|every|each|always|only|just|because|as)\b|[忘漏略忽只仅每总而但并且和或]|所有|全部`)
)

// said is one number phrase in a text.
type said struct {
	start, end int
	counts     counts
	largest    int
	unit       string
}

// readAmount reads what a text in English or Chinese says about how many, outside
// of quotations. Of two number phrases it understands those joined by "or" or
// "and" about one thing.
func readAmount(text string) amount {
	text, _ = prompt.Unquoted(text)
	text = folded(text)
	unclear := amount{numbers: true}
	if fraction.MatchString(text) {
		return unclear
	}
	text, ok := inDigits(text)
	if !ok || fraction.MatchString(text) {
		return unclear
	}
	var found []said
	rest := []byte(text)
	for _, f := range forms {
		for {
			m := f.pattern.FindSubmatchIndex(rest)
			if m == nil {
				break
			}
			s, ok := f.read(rest, m)
			if !ok {
				return unclear
			}
			found = append(found, s)
			for i := s.start; i < s.end; i++ {
				rest[i] = '\x00' // keeps the places of what is left
			}
		}
	}
	if bare.Match(rest) || len(found) > 2 || len(found) > 0 && aside.Match(rest) {
		return unclear
	}
	if len(found) == 0 {
		return amount{numbers: vague.Match(rest)}
	}
	slices.SortFunc(found, func(x, y said) int { return x.start - y.start })
	a := amount{counts: found[0].counts, largest: found[0].largest, unit: found[0].unit}
	if len(found) == 2 {
		x, y := found[0], found[1]
		link := string(rest[x.end:y.start])
		switch {
		case (x.unit == "" || y.unit == "") && !near.MatchString(link), x.unit != "" && y.unit != "" && x.unit != y.unit:
			return unclear
		case or.MatchString(link):
			a.counts = union(x.counts, y.counts)
		case and.MatchString(link):
			a.counts = intersection(x.counts, y.counts)
		default:
			return unclear
		}
		for i := x.end; i < y.start; i++ {
			rest[i] = ' ' // the link is a part of the number
		}
		a.largest, a.unit = max(x.largest, y.largest), max(x.unit, y.unit)
	}
	// A demand that every count meets, or none, was misread.
	if len(a.counts) == 0 || len(a.counts.complement()) == 0 {
		return unclear
	}
	a.clear = true
	words := noNegation.ReplaceAllFunc(rest, func(w []byte) []byte { return bytes.Repeat([]byte{'_'}, len(w)) })
	switch signs := negation.FindAllIndex(words, -1); {
	case len(signs) == 0:
		a.sure, a.met = true, a.counts
	case len(signs) == 1 && signs[0][1] <= found[0].start:
		between := words[signs[0][1]:found[0].start]
		a.sure, a.met = governing.Match(between) && !loose.Match(between), a.counts.complement()
	}
	a.rest = content(negation.ReplaceAllString(string(words), " "))
	return a
}

// read turns a match into counts. ok is false for a number that is out of reach.
func (f form) read(text []byte, m []int) (s said, ok bool) {
	var numbers []int
	last := 0
	for _, name := range []string{"n", "m"} {
		i := f.pattern.SubexpIndex(name)
		if i < 0 || m[2*i] < 0 {
			continue
		}
		n, err := strconv.Atoi(strings.ReplaceAll(string(text[m[2*i]:m[2*i+1]]), ",", ""))
		if err != nil || n > farthest {
			return s, false
		}
		numbers, last = append(numbers, n), max(last, m[2*i+1])
	}
	// Where a pattern has two ways to say one number, n and m are the same.
	n, m2 := numbers[0], numbers[len(numbers)-1]
	s = said{start: m[0], end: m[1], counts: f.counts(n, m2), largest: max(n, m2)}
	s.unit = unitOf(string(text[last:]))
	if s.unit == "" {
		s.unit = unitOf(string(text[s.end:]))
	}
	return s, true
}

var (
	thing        = regexp.MustCompile(`^ (?:different |distinct |separate |full |short |long )?([a-z]{3,})\b`)
	chineseUnit  = regexp.MustCompile(`^ ?个?([字词句段行页次遍步章节])`)
	chineseThing = regexp.MustCompile(`^(?:` + counter + `)([^\P{Han}的以或及且和与至到之]\p{Han})`)
	noThing      = strings.Fields("and but more fewer less the for with per above below longer shorter or")
)

// unitOf is the noun that a text begins with, or the Chinese one behind its
// measure word, "" if it begins with none.
func unitOf(text string) string {
	if m := chineseUnit.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := chineseThing.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := thing.FindStringSubmatch(text); m != nil && !slices.Contains(noThing, m[1]) {
		return strings.TrimSuffix(m[1], "s")
	}
	return ""
}

var (
	latin = regexp.MustCompile(`[a-z']+`)
	// neutral words say no more than that something is demanded.
	neutral = strings.Fields("use using uses used write writing give include including provide have has having contain contains keep make be is are " +
		"of in to from at a an the you your it its do does must should shall please always response answer responses answers reply number amount total")
)

const neutralHan = "使用写给出列举提供包含有回答复应该当须必要请总始终是在的地得控制保持为数量能可允许被内个条句段次种项点字行页张位名款道首篇组部分处遍步例词章节"

// content is what a text says beside its number.
func content(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range latin.FindAllString(text, -1) {
		if w = strings.TrimSuffix(w, "s"); !slices.Contains(neutral, w) && !slices.Contains(neutral, w+"s") {
			out[w] = true
		}
	}
	for _, r := range text {
		if unicode.Is(unicode.Han, r) && !strings.ContainsRune(neutralHan, r) {
			out[string(r)] = true
		}
	}
	return out
}

// alike reports whether two texts say the same but for their numbers and what they
// count.
func alike(a, b amount) bool {
	said := func(x amount) map[string]bool {
		out := maps.Clone(x.rest)
		for unit := range content(a.unit + " " + b.unit) {
			delete(out, unit)
		}
		return out
	}
	return maps.Equal(said(a), said(b))
}
