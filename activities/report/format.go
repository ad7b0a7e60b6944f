package report

import (
	"math"
	"strconv"
	"strings"
)

// none stands where there is no figure.
const none = "–"

// finite reports whether v can be drawn and printed. The bound keeps sums and
// spans of such values finite, too.
func finite(v float64) bool { return math.Abs(v) <= 1e100 }

// count writes n with thousands separators.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// figure writes v with about four significant digits.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return none
	case a == 0:
		return "0"
	case a >= 1e7 || a < 1e-3:
		return minus(strconv.FormatFloat(v, 'e', 2, 64))
	case a >= 1000:
		return minus(count(int64(math.Round(v))))
	case a >= 100:
		return minus(strconv.FormatFloat(v, 'f', 1, 64))
	case a >= 10:
		return minus(strconv.FormatFloat(v, 'f', 2, 64))
	case a >= 1:
		return minus(strconv.FormatFloat(v, 'f', 3, 64))
	default:
		return minus(strconv.FormatFloat(v, 'f', 4, 64))
	}
}

// percent writes the share v as a percentage.
func percent(v float64) string {
	if !finite(v) {
		return none
	}
	return minus(strconv.FormatFloat(100*v, 'f', 1, 64)) + "\u00a0%"
}

// points writes the difference v of two shares in percentage points, with its sign.
func points(v float64) string {
	if !finite(v) {
		return none
	}
	s := strconv.FormatFloat(100*v, 'f', 1, 64)
	switch {
	case strings.Trim(s, "-0.") == "":
		return "0.0"
	case s[0] != '-':
		return "+" + s
	}
	return minus(s)
}

// ratio writes a/b with one decimal, or nothing if there is no such ratio.
func ratio(a, b int64) string {
	if b <= 0 {
		return ""
	}
	return strconv.FormatFloat(float64(a)/float64(b), 'f', 1, 64)
}

// minus puts a typographic minus before negative numbers.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		return "−" + s[1:]
	}
	return s
}

// plural writes n with its noun, which takes an s unless n is 1.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// printable replaces what neither HTML nor XML may hold: invalid UTF-8 and
// control characters other than tab and newline.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return r
		case r == '\r':
			return -1
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfffe, r == 0xffff:
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// shorten keeps the first n runes of s and says how many it left out.
func shorten(s string, n int) (kept string, left int) {
	r := []rune(s)
	if len(r) <= n {
		return s, 0
	}
	return string(r[:n]), len(r) - n
}
