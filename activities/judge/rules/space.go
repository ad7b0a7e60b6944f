package rules

import "strings"

// isSpace is Python's str.isspace for one rune: Go's unicode.IsSpace lacks
// U+001C to U+001F.
func isSpace(r rune) bool {
	switch {
	case r == ' ', r >= 0x09 && r <= 0x0d, r >= 0x1c && r <= 0x1f, r == 0x85, r == 0xa0:
		return true
	case r < 0x1680:
		return false
	}
	switch r {
	case 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000:
		return true
	}
	return r >= 0x2000 && r <= 0x200a
}

// strip is Python's str.strip without arguments.
func strip(s string) string { return strings.TrimFunc(s, isSpace) }

// blank reports whether Python's strip would leave nothing.
func blank(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return !isSpace(r) }) < 0 }
