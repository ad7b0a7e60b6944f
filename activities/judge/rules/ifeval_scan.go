package rules

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The scanners below do by hand, in one pass, what the official checkers do
// with regular expressions; each names the expression it stands for.

// runsOfWordRunes counts the matches of \w+.
func runsOfWordRunes(s string) int {
	n := 0
	inside := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < utf8.RuneSelf {
			w := wordBit[c]
			n += int(w &^ inside)
			inside = w
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		w := byte(0)
		if isWordRune(r) {
			w = 1
		}
		n += int(w &^ inside)
		inside = w
		i += size - 1
	}
	return n
}

// wordBit is wordByte as a number.
var wordBit = func() (t [utf8.RuneSelf]byte) {
	for c, w := range wordByte {
		if w {
			t[c] = 1
		}
	}
	return t
}()

var wordByte = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = isWordRune(rune(c))
	}
	return t
}()

// countFolded counts a lower-cased letter in the lower-cased text.
func countFolded(s, letter string) int {
	if len(letter) == 1 {
		n := 0
		c := letter[0]
		upper := c
		if 'a' <= c && c <= 'z' {
			upper = c - 'a' + 'A'
		}
		for i := 0; i < len(s); i++ {
			if s[i] == c || s[i] == upper {
				n++
			} else if s[i] >= utf8.RuneSelf {
				// İ lowers to i and a dot, the Kelvin sign to k.
				return strings.Count(lower(s), letter)
			}
		}
		return n
	}
	return strings.Count(lower(s), letter)
}

// countPlaceholders counts the matches of \[.*?\].
func countPlaceholders(s string) int {
	n := 0
	for {
		i := strings.IndexByte(s, '[')
		if i < 0 {
			return n
		}
		s = s[i+1:]
		j := strings.IndexAny(s, "]\n")
		if j < 0 {
			return n
		}
		if s[j] == ']' {
			n++
		}
		s = s[j+1:]
	}
}

// countBullets counts the matches of ^\s*\*[^\*].*$ and of ^\s*-.*$ line by
// line. Both may begin on blank lines before the bullet, and a lone star takes
// the next line with it.
func countBullets(s string) int {
	return bulletLines(s, '*') + bulletLines(s, '-')
}

func bulletLines(s string, mark byte) int {
	n := 0
	for at := 0; at < len(s); {
		// at is a line's start.
		q := at
		for q < len(s) {
			r, size := utf8.DecodeRuneInString(s[q:])
			if !isSpace(r) {
				break
			}
			q += size
		}
		if q == len(s) {
			return n
		}
		end := q
		if s[q] == mark {
			if mark == '-' {
				n++
			} else if q+1 < len(s) && s[q+1] != '*' {
				n++
				_, size := utf8.DecodeRuneInString(s[q+1:])
				end = q + 1 + size
			}
		}
		// No line that starts before q can match otherwise: all lead to q.
		i := strings.IndexByte(s[end:], '\n')
		if i < 0 {
			return n
		}
		at = end + i + 1
	}
	return n
}

// countHighlights counts the matches of \*[^\n\*]*\* and of
// \*\*[^\n\*]*\*\* that hold more than blanks.
func countHighlights(s string) int {
	return starred(s, 1) + starred(s, 2)
}

func starred(s string, stars int) int {
	n := 0
	for at := 0; at < len(s); {
		i := strings.IndexByte(s[at:], '*')
		if i < 0 {
			break
		}
		i += at
		if stars == 2 && (i+1 >= len(s) || s[i+1] != '*') {
			at = i + 1
			continue
		}
		from := i + stars
		j := strings.IndexAny(s[from:], "*\n")
		if j < 0 {
			if stars == 1 {
				break
			}
			at = i + 1
			continue
		}
		j += from
		if s[j] == '*' && (stars == 1 || j+1 < len(s) && s[j+1] == '*') {
			if !blank(s[from:j]) {
				n++
			}
			at = j + stars
			continue
		}
		at = i + 1
	}
	return n
}

// countStarParagraphs splits at \s?\*\*\*\s? and counts the parts, less a
// blank first and last one. A blank part inside makes it false.
func countStarParagraphs(s string) (int, bool) {
	n, first := 0, true
	for {
		i := strings.Index(s, "***")
		if i < 0 {
			if !blank(s) {
				n++
			}
			return n, true
		}
		part := s[:i]
		if r, size := utf8.DecodeLastRuneInString(part); size > 0 && isSpace(r) {
			part = part[:i-size]
		}
		if !blank(part) {
			n++
		} else if !first {
			return 0, false
		}
		first = false
		s = s[i+3:]
		if r, size := utf8.DecodeRuneInString(s); size > 0 && isSpace(r) {
			s = s[size:]
		}
	}
}

// countSections counts the matches of splitter\s?\d+.
func countSections(s, splitter string) int {
	n := 0
	for {
		i := strings.Index(s, splitter)
		if i < 0 {
			return n
		}
		rest := s[i+len(splitter):]
		if r, size := utf8.DecodeRuneInString(rest); size > 0 && isSpace(r) {
			rest = rest[size:]
		}
		digits := 0
		for _, r := range rest {
			if !unicode.IsDigit(r) {
				break
			}
			digits += utf8.RuneLen(r)
		}
		if digits > 0 {
			n++
			s = rest[digits:]
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		s = s[i+size:]
	}
}

// hasInitials looks for initials in any case with at most one blank between
// them, such as p\.\s?s\. in the lower-cased text.
func hasInitials(s string, initials ...string) bool {
	for {
		i := strings.IndexAny(s, "pP")
		if i < 0 {
			return false
		}
		s = s[i:]
		rest, ok := s, true
		for k, word := range initials {
			if k > 0 {
				if r, size := utf8.DecodeRuneInString(rest); size > 0 && isSpace(r) {
					rest = rest[size:]
				}
			}
			if len(rest) < len(word) || asciiLower(rest[:len(word)]) != word {
				ok = false
				break
			}
			rest = rest[len(word):]
		}
		if ok {
			return true
		}
		s = s[1:]
	}
}

// paragraphStarts is the official check of the first word: blank paragraphs
// are not counted, yet the k-th is taken from all of them.
func paragraphStarts(s string, n, k int, word string) bool {
	count, at := 0, 0
	kth := ""
	for rest, more := s, true; more; at++ {
		var part string
		part, rest, more = strings.Cut(rest, "\n\n")
		if !blank(part) {
			count++
		}
		if at == k-1 {
			kth = strip(part)
		}
	}
	if k > count || kth == "" || count != n {
		return false
	}
	first := kth
	if i := strings.IndexFunc(kth, isSpace); i >= 0 {
		first = kth[:i]
	}
	first = strings.TrimLeft(strings.TrimLeft(first, "'"), `"`)
	if i := strings.IndexAny(first, `.,?!'"`); i >= 0 {
		first = first[:i]
	}
	return lowerEach(first) == word
}

// lowerEach lowers rune by rune, so that a sigma never becomes a final one.
func lowerEach(s string) string {
	if !strings.Contains(s, "İ") {
		return strings.Map(unicode.ToLower, s)
	}
	var b strings.Builder
	for _, r := range s {
		if r == 'İ' {
			b.WriteString("i̇")
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// hasTitle looks for <<[^\n]+>> with more than blanks and brackets inside.
func hasTitle(s string) bool {
	for {
		i := strings.Index(s, "<<")
		if i < 0 {
			return false
		}
		line := s[i:]
		next := ""
		if j := strings.IndexByte(line, '\n'); j >= 0 {
			line, next = line[:j], line[j+1:]
		}
		if j := strings.LastIndex(line, ">>"); j >= 3 {
			if !blank(strings.TrimRight(strings.TrimLeft(line[:j+2], "<"), ">")) {
				return true
			}
		}
		s = next
	}
}

// unfenced takes the code fence off, as the official checker does.
func unfenced(s string) string {
	s = strip(s)
	for _, fence := range []string{"```json", "```Json", "```JSON", "```"} {
		s = strings.TrimPrefix(s, fence)
	}
	return strip(strings.TrimSuffix(s, "```"))
}

// areTwoResponses splits at six stars.
func areTwoResponses(s string) bool {
	var valid []string
	for first, more := true, true; more; first = false {
		var part string
		part, s, more = strings.Cut(s, "******")
		if !blank(part) {
			if len(valid) == 2 {
				return false
			}
			valid = append(valid, strip(part))
		} else if !first && more {
			return false
		}
	}
	return len(valid) == 2 && valid[0] != valid[1]
}
