package reverse

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// amount is what a text says about how many.
type amount struct {
	// clear is true if it says it once, in a way that leaves no doubt; counts are
	// then the numbers it speaks of, as if no negation stood around them.
	clear  bool
	counts counts
	// largest is the largest number named, unit the English noun counted, "" if it
	// is not known, and negations the words of negation beside the numbers.
	largest   int
	unit      string
	negations int
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
	fraction = regexp.MustCompile(`\d\s*[%％]|\d[.:/]\d|\bper ?cent\b|百分之|分之|\bhalf\b|一半|倍|\btimes as\b`)
	negation = regexp.MustCompile(`\b(?:not|never|no|none|without|avoid|avoiding|refrain|cannot|neither|nor)\b|n't\b|不|勿|禁止|避免|没有|别`)
	bare     = regexp.MustCompile(`\d|[二三四五六七八九十两百]`)
	unit     = regexp.MustCompile(`^ (?:different |distinct |separate |full |short |long )?([a-z]{3,})\b`)
	or       = regexp.MustCompile(`^[^\d.;。；]*(?:\bor\b|或)[^\d.;。；]*$`)
	and      = regexp.MustCompile(`^[^\d.;。；]*(?:\b(?:and|but)\b|且|并|,|，)[^\d.;。；]*$`)
)

// said is one number phrase in a text.
type said struct {
	start, end int
	counts     counts
	largest    int
	unit       string
}

// readAmount reads what a text in English or Chinese says about how many. Of two
// number phrases it understands those joined by "or" or "and" about one thing.
func readAmount(text string) amount {
	text = inDigits(strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(text, "’", "'")), " ")))
	if fraction.MatchString(text) {
		return amount{numbers: true}
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
				return amount{numbers: true}
			}
			found = append(found, s)
			for i := s.start; i < s.end; i++ {
				rest[i] = '\x00' // keeps the places of what is left
			}
		}
	}
	a := amount{
		numbers:   bare.Match(rest),
		negations: len(negation.FindAllIndex(rest, -1)),
	}
	slices.SortFunc(found, func(x, y said) int { return x.start - y.start })
	switch {
	case len(found) == 0 || len(found) > 2 || a.numbers:
		a.numbers = a.numbers || len(found) > 0
		return a
	case len(found) == 1:
		a.counts, a.largest, a.unit = found[0].counts, found[0].largest, found[0].unit
	default:
		x, y := found[0], found[1]
		link := string(rest[x.end:y.start])
		if x.unit != "" && y.unit != "" && x.unit != y.unit {
			a.numbers = true
			return a
		}
		switch {
		case or.MatchString(link):
			a.counts = union(x.counts, y.counts)
		case and.MatchString(link):
			a.counts = intersection(x.counts, y.counts)
		default:
			a.numbers = true
			return a
		}
		a.largest, a.unit = max(x.largest, y.largest), max(x.unit, y.unit)
	}
	// A demand that every count meets, or none, was misread.
	a.clear = len(a.counts) > 0 && len(a.counts.complement()) > 0
	a.numbers = a.numbers || !a.clear
	return a
}

// read turns a match into counts. ok is false for a number that is out of reach.
func (f form) read(text []byte, m []int) (s said, ok bool) {
	var numbers []int
	for _, name := range []string{"n", "m"} {
		i := f.pattern.SubexpIndex(name)
		if i < 0 || m[2*i] < 0 {
			continue
		}
		n, err := strconv.Atoi(strings.ReplaceAll(string(text[m[2*i]:m[2*i+1]]), ",", ""))
		if err != nil || n > 1e9 {
			return s, false
		}
		numbers = append(numbers, n)
	}
	// Where a pattern has two ways to say one number, n and m are the same.
	n, m2 := numbers[0], numbers[len(numbers)-1]
	s = said{start: m[0], end: m[1], counts: f.counts(n, m2), largest: max(n, m2)}
	if u := unit.FindSubmatch(text[s.end:]); u != nil && !joins[string(u[1])] {
		s.unit = strings.TrimSuffix(string(u[1]), "s")
	}
	return s, true
}

var joins = map[string]bool{"and": true, "but": true, "more": true, "fewer": true, "less": true, "the": true, "for": true, "with": true, "per": true}

var (
	words = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen " +
		"fifteen sixteen seventeen eighteen nineteen twenty")
	tens     = map[string]int{"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "a hundred": 100, "one hundred": 100, "two hundred": 200, "three hundred": 300, "five hundred": 500, "a thousand": 1000}
	adverbs  = map[string]int{"once": 1, "twice": 2, "thrice": 3}
	named    = regexp.MustCompile(`\b(?:a hundred|one hundred|two hundred|three hundred|five hundred|a thousand|` + strings.Join(words, "|") + `|thirty|forty|fifty|sixty|seventy|eighty|ninety|once|twice|thrice)\b`)
	chinese  = regexp.MustCompile(`[零一二两三四五六七八九十百]+(?:个|条|句|段|次|种|项|点|字|行|页|张|位|名|款|道|首|篇|组|部分|处|遍|步|例|词)`)
	compound = regexp.MustCompile(`\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand)[ -](?:and )?(?:one|two|three|four|five|six|seven|eight|nine|hundred|thousand)\b`)
)

// inDigits writes numerals as digits: English ones, and Chinese ones that count
// something. Compounds that it does not know it leaves as a fraction, which no
// amount is read from.
func inDigits(text string) string {
	if compound.MatchString(text) {
		return text + " 0.5"
	}
	text = named.ReplaceAllStringFunc(text, func(w string) string {
		if n, ok := adverbs[w]; ok {
			return strconv.Itoa(n) + " times"
		}
		if n, ok := tens[w]; ok {
			return strconv.Itoa(n)
		}
		return strconv.Itoa(slices.Index(words, w))
	})
	return chinese.ReplaceAllStringFunc(text, func(w string) string {
		things := strings.TrimLeft(w, "零一二两三四五六七八九十百")
		n, ok := chineseNumber(strings.TrimSuffix(w, things))
		if !ok {
			return w
		}
		return strconv.Itoa(n) + things
	})
}

// chineseNumber reads a numeral below a thousand.
func chineseNumber(s string) (int, bool) {
	const digits = "零一二三四五六七八九"
	n, digit, scale := 0, -1, 1000
	for _, r := range s {
		if r == '两' {
			r = '二'
		}
		by := map[rune]int{'十': 10, '百': 100}[r]
		switch {
		case by == 0 && digit > 0, by >= scale:
			return 0, false
		case by == 0:
			digit = strings.IndexRune(digits, r) / len("零")
		default:
			if digit < 0 && by == 10 {
				digit = 1 // 十五 is 15
			}
			if digit < 1 {
				return 0, false
			}
			n, digit, scale = n+digit*by, -1, by
		}
	}
	return n + max(digit, 0), true
}
