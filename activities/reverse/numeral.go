package reverse

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var apostrophe = regexp.MustCompile(`(\pL)’(\pL)`)

// folded is a text in lower case on one line, with plain apostrophes and digits.
func folded(text string) string {
	text = apostrophe.ReplaceAllString(strings.ToLower(strings.Join(strings.Fields(text), " ")), "$1'$2")
	return strings.Map(func(r rune) rune {
		if '０' <= r && r <= '９' {
			return '0' + r - '０'
		}
		return r
	}, text)
}

var (
	ones = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen " +
		"fifteen sixteen seventeen eighteen nineteen")
	tens   = strings.Fields("twenty thirty forty fifty sixty seventy eighty ninety")
	adverb = map[string]int{"once": 1, "twice": 2, "thrice": 3}
	scales = map[string]int{"thousand": 1e3, "million": 1e6}

	times   = regexp.MustCompile(`\b(?:once|twice|thrice)\b`)
	kilo    = regexp.MustCompile(`\b(\d{1,5})k\b`)
	english = regexp.MustCompile(`\b(?:a |\d{1,3}(?:,\d{3})+ |\d+ )?(?:(?:` + big + `) and |(?:` + word + `|` + big + `)[ -])*(?:` + word + `|` + big + `)\b`)
	spaced  = regexp.MustCompile(`(\d) ([十百千万亿])`)
	chinese = regexp.MustCompile(`[\d零〇一二两三四五六七八九十百千万亿]*[零〇一二两三四五六七八九十百千万亿][\d零〇一二两三四五六七八九十百千万亿]*(` + counter + `)`)
	// odd is a numeral with something beside it that no reader here knows.
	odd = regexp.MustCompile(`\d\s*[零〇一二两三四五六七八九十百千万亿多余几来]|\d[a-z]|[a-z]\d|\d-[a-z]|\b(?:dozen|hundred|thousand|million|billion)`)
)

const (
	big  = `hundred|thousand|million|dozen`
	word = `zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|` +
		`seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety`
	// counter is what stands between a Chinese number and the thing counted.
	counter = `个|条|句|段|次|种|项|点|字|行|页|张|位|名|款|道|首|篇|组|部分|处|遍|步|例|词|章|节`
	// farthest is the largest number that is read.
	farthest = 1e9
)

// inDigits writes the numerals of a folded text as digits: English ones, and
// Chinese ones that count something. ok is false if the text has a numeral whose
// value is not certain.
func inDigits(text string) (out string, ok bool) {
	ok = true
	text = times.ReplaceAllStringFunc(text, func(w string) string { return strconv.Itoa(adverb[w]) + " times" })
	text = kilo.ReplaceAllString(text, "${1}000")
	text = english.ReplaceAllStringFunc(text, func(w string) string {
		n, read := englishNumber(w)
		ok = ok && read
		return strconv.Itoa(n)
	})
	text = spaced.ReplaceAllString(text, "$1$2")
	var b strings.Builder
	at := 0
	for _, m := range chinese.FindAllStringSubmatchIndex(text, -1) {
		n, read := chineseNumber(text[m[0]:m[2]])
		// 几十个 speaks of no certain number, 第三个 of none.
		before, _ := utf8.DecodeLastRuneInString(text[:m[0]])
		if before == '第' {
			continue
		}
		ok = ok && read && !strings.ContainsRune("几数好上近约,.，", before)
		b.WriteString(text[at:m[0]] + strconv.Itoa(n))
		at = m[2]
	}
	text = b.String() + text[at:]
	return text, ok && !odd.MatchString(text)
}

// englishNumber reads a numeral in words, of which the first may be "a" or digits.
func englishNumber(s string) (n int, ok bool) {
	const none = -1
	total, part, scale := 0, none, int(farthest)
	tokens := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '-' })
	for i, t := range tokens {
		last := i == len(tokens)-1
		small := slices.Index(ones, t)
		if j := slices.Index(tens, t); j >= 0 {
			small = 20 + 10*j
		}
		switch {
		case t == "and":
		case i == 0 && !last && (t == "a" || t[0] <= '9'):
			part = 1
			if t != "a" {
				var err error
				if part, err = strconv.Atoi(strings.ReplaceAll(t, ",", "")); err != nil {
					return 0, false
				}
			}
			if slices.Index(ones, tokens[1]) >= 0 || slices.Index(tens, tokens[1]) >= 0 {
				return 0, false
			}
		case small == 0 && len(tokens) > 1:
			return 0, false
		case small >= 0 && part == none:
			part = small
		case small >= 0 && (part >= 100 && part%100 == 0 || small < 10 && part%10 == 0 && part%100 >= 20):
			part += small
		case t == "hundred" && 0 < part && part < 100:
			part *= 100
		case t == "dozen" && last && total == 0 && 0 < part && part < 100:
			part *= 12
		case scales[t] > 0 && scales[t] < scale && 0 < part && part*scales[t] < scale:
			total, part, scale = total+part*scales[t], none, scales[t]
		default:
			return 0, false
		}
	}
	n = total + max(part, 0)
	return n, n <= farthest && max(part, 0) < scale
}

// chineseNumber reads a Chinese numeral below 亿, in which digits may stand for
// words, as in 2千 or 12万. What is said in short, as 两千五 for 2,500, is not
// certain.
func chineseNumber(s string) (n int, ok bool) {
	high, low, cut := strings.Cut(s, "万")
	if !cut {
		return belowTenThousand(s, false)
	}
	n, ok = belowTenThousand(high, false)
	if n *= 1e4; !ok || n == 0 || n > farthest || low == "" {
		return n, ok && n > 0 && n <= farthest
	}
	rest, ok := belowTenThousand(low, true)
	return n + rest, ok && rest > 0
}

// belowTenThousand reads what stands before 万, or at the end; after is true if
// larger parts of the number went before.
func belowTenThousand(s string, after bool) (n int, ok bool) {
	const none, digits = -1, "零一二三四五六七八九"
	if !after && s != "" && strings.Trim(s, "0123456789") == "" {
		n, err := strconv.Atoi(s)
		return n, err == nil
	}
	digit, zero, scale := none, false, 10000
	for _, r := range s {
		by := map[rune]int{'十': 10, '百': 100, '千': 1000}[r]
		switch r {
		case '两':
			r = '二'
		case '〇':
			r = '零'
		}
		if '0' < r && r <= '9' {
			r = []rune(digits)[r-'0']
		}
		switch {
		case by > 0 && digit == none && by == 10 && n == 0 && !after:
			n, scale = 10, by // 十五 is 15
		case by > 0 && (digit == none || by >= scale):
			return 0, false
		case by > 0:
			n, digit, zero, scale = n+digit*by, none, false, by
		case digit != none || !strings.ContainsRune(digits, r):
			return 0, false
		case r == '零':
			if zero || len(s) > len("零") && n == 0 && !after {
				return 0, false
			}
			zero = true
		default:
			digit = strings.IndexRune(digits, r) / len("零")
		}
	}
	switch {
	case digit == none:
		return n, n > 0 || zero && !after
	case scale == 10 || zero || n == 0 && !after:
		return n + digit, true
	}
	return 0, false
}
