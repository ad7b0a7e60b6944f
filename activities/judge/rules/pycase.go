package rules

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Python's notions of case, which differ from Go's: upper and lower case are
// the derived properties (Other_Uppercase and Other_Lowercase included), and
// lower() maps by the full table.

func isUpperRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'A' <= r && r <= 'Z'
	}
	return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r)
}

func isLowerRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z'
	}
	return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r)
}

func isTitleRune(r rune) bool { return r >= utf8.RuneSelf && unicode.IsTitle(r) }

// isDecimal is Python's \d.
func isDecimal(r rune) bool { return '0' <= r && r <= '9' || r >= utf8.RuneSelf && unicode.IsDigit(r) }

// isUpper is str.isupper: some upper-case rune, no lower-case or title-case one.
func isUpper(s string) bool {
	cased := false
	for _, r := range s {
		if isUpperRune(r) {
			cased = true
		} else if isLowerRune(r) || isTitleRune(r) {
			return false
		}
	}
	return cased
}

// isLower is str.islower.
func isLower(s string) bool {
	cased := false
	for _, r := range s {
		if isLowerRune(r) {
			cased = true
		} else if isUpperRune(r) || isTitleRune(r) {
			return false
		}
	}
	return cased
}

// lower is str.lower: strings.ToLower but for İ, which becomes i and a dot,
// and a capital sigma at a word's end, which becomes ς.
func lower(s string) string {
	if !strings.Contains(s, "İ") && !strings.Contains(s, "Σ") {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i, r := range s {
		switch r {
		case 'İ':
			b.WriteString("i̇")
		case 'Σ':
			if casedBefore(s[:i]) && !casedAfter(s[i+2:]) {
				b.WriteRune('ς')
			} else {
				b.WriteRune('σ')
			}
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

func casedBefore(s string) bool {
	for len(s) > 0 {
		r, size := utf8.DecodeLastRuneInString(s)
		if !caseIgnorable(r) {
			return isUpperRune(r) || isLowerRune(r) || unicode.IsTitle(r)
		}
		s = s[:len(s)-size]
	}
	return false
}

func casedAfter(s string) bool {
	for _, r := range s {
		if !caseIgnorable(r) {
			return isUpperRune(r) || isLowerRune(r) || unicode.IsTitle(r)
		}
	}
	return false
}

// caseIgnorable is Unicode's Case_Ignorable property.
func caseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '·', '՟', '״', '‘', '’', '․', '‧', '︓', '﹒', '﹕', '＇', '．', '：', 0x387:
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}
