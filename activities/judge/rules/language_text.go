package rules

import (
	"strings"
	"unicode/utf8"
)

// read normalises a text as langdetect does before it takes n-grams.
func (m *langModel) read(s string) *grams {
	g := gramsPool.Get().(*grams)
	g.raw = appendRunes(g.raw[:0], m, withoutAddresses(s))
	latin, other := 0, 0
	for _, r := range g.raw {
		if 'A' <= r && r <= 'z' {
			latin++
		} else if r >= 0x300 {
			other++
		}
	}
	dropLatin := latin*2 < other
	g.text, g.length = append(g.text[:0], ' '), append(g.length[:0], 0)
	capital := false
	start := 0 // the blank before the word
	last := rune(' ')
	lastUpper := false
	for _, r := range g.raw {
		if dropLatin && 'A' <= r && r <= 'z' {
			continue
		}
		r = m.normal(r)
		if last == ' ' {
			capital = false
			start = len(g.text) - 1
			if r == ' ' {
				continue
			}
		}
		upper := isUpperRune(r)
		capital = upper && (capital || lastUpper)
		n := min(3, len(g.text)-start+1)
		if capital {
			n = 0
		}
		g.text, g.length = append(g.text, r), append(g.length, uint8(n))
		last, lastUpper = r, upper
	}
	return g
}

// appendRunes keeps the first 10,000 runes, composes Vietnamese letters and
// joins blanks.
func appendRunes(out []rune, m *langModel, s string) []rune {
	seen := 0
	before := rune(0)
	for i := 0; i < len(s) && seen < maxDetectText; seen++ {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if i < len(s) && s[i] == 0xcc {
			mark, n := utf8.DecodeRuneInString(s[i:])
			if composed, ok := m.vietnamese[[2]rune{r, mark}]; ok {
				r = composed
				i += n
			}
		}
		if r != ' ' || before != ' ' {
			out = append(out, r)
		}
		before = r
	}
	return out
}

// normal maps a rune to the one the profiles know it by.
func (m *langModel) normal(r rune) rune {
	switch {
	case r < 0x80:
		if 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return ' '
	case r == 0xa0, r == 0xab, r == 0xb0, r == 0xbb:
		return ' '
	case r < 0x180:
		return r
	case r == 0x219:
		return 0x15f
	case r == 0x21b:
		return 0x163
	case r == 0x6cc:
		return 0x64a
	case r >= 0x1ea0 && r <= 0x1eff:
		return 0x1ec3
	case r >= 0x2000 && r <= 0x206f:
		return ' '
	case r >= 0x3040 && r <= 0x309f:
		return 0x3042
	case r >= 0x30a0 && r <= 0x30ff:
		return 0x30a2
	case r >= 0x3100 && r <= 0x312f, r >= 0x31a0 && r <= 0x31bf:
		return 0x3105
	case r >= 0x4e00 && r <= 0x9fff:
		if c, ok := m.kanji[r]; ok {
			return c
		}
	case r >= 0xac00 && r <= 0xd7af:
		return 0xac00
	}
	return r
}

// withoutAddresses replaces links and mail addresses by a blank each.
func withoutAddresses(s string) string {
	if strings.Contains(s, "://") {
		s = withoutLinks(s)
	}
	if strings.IndexByte(s, '@') >= 0 {
		s = withoutMail(s)
	}
	return s
}

// withoutLinks replaces https?://[-_.?&~;+=/#0-9A-Za-z]{1,2076}.
func withoutLinks(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "http")
		if i < 0 {
			break
		}
		at := i + 4
		if at < len(s) && s[at] == 's' {
			at++
		}
		if !strings.HasPrefix(s[at:], "://") {
			b.WriteString(s[:i+1])
			s = s[i+1:]
			continue
		}
		at += 3
		n := prefixOf(s[at:], 2076, func(c byte) bool { return isMailByte(c) || strings.IndexByte("?&~;+=/#", c) >= 0 })
		if n == 0 {
			b.WriteString(s[:i+1])
			s = s[i+1:]
			continue
		}
		b.WriteString(s[:i])
		b.WriteByte(' ')
		s = s[at+n:]
	}
	b.WriteString(s)
	return b.String()
}

func isMailByte(c byte) bool {
	return c == '-' || c == '.' || c < utf8.RuneSelf && wordByte[c]
}

func prefixOf(s string, most int, in func(byte) bool) int {
	n := 0
	for n < len(s) && n < most && in(s[n]) {
		n++
	}
	return n
}

// withoutMail replaces
// [-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255}.
func withoutMail(s string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(s); {
		i := strings.IndexByte(s[at:], '@')
		if i < 0 {
			break
		}
		i += at
		at = i + 1
		from := i
		for from > done && i-from < 64 && isMailByte(s[from-1]) {
			from--
		}
		if from == i {
			continue
		}
		first := prefixOf(s[at:], 255, func(c byte) bool { return c != '.' && isMailByte(c) })
		second := prefixOf(s[at+first:], 255, isMailByte)
		if first == 0 || second == 0 && first == 1 {
			continue
		}
		b.WriteString(s[done:from])
		b.WriteByte(' ')
		done = at + first + second
		at = done
	}
	b.WriteString(s[done:])
	return b.String()
}
