package rules

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The counts of the rpo profile. All of them are one pass over the text.

// isIdeograph reports runes that are words by themselves: Chinese characters
// and Japanese kana.
func isIdeograph(r rune) bool {
	return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) && unicode.IsLetter(r)
}

// countWords counts runs of letters, marks, digits and underscores; one
// apostrophe or hyphen between two of them joins ("don't", "well-known"), and
// a Chinese character or kana is a word by itself.
func countWords(s string) int {
	n, inside := 0, false
	var joiner bool
	for _, r := range s {
		switch {
		case isIdeograph(r):
			n++
			inside, joiner = false, false
		case r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || inside && unicode.IsMark(r):
			if !inside {
				n++
			}
			inside, joiner = true, false
		case inside && !joiner && (r == '\'' || r == '’' || r == '-' || r == '‐' || r == '‑'):
			joiner = true
		default:
			inside, joiner = false, false
		}
	}
	return n
}

// countCharacters counts all characters (code points) but blanks and line ends
// around the response; "\r\n" counts as one.
func countCharacters(s string) int {
	s = strip(s)
	return utf8.RuneCountInString(s) - strings.Count(s, "\r\n")
}

// countLines counts the lines that are not blank.
func countLines(s string) int {
	n := 0
	for line := range strings.Lines(s) {
		if !blank(line) {
			n++
		}
	}
	return n
}

// countParagraphs counts blocks of lines that blank lines set apart.
func countParagraphs(s string) int {
	n, inside := 0, false
	for line := range strings.Lines(s) {
		if b := blank(line); b {
			inside = false
		} else if !inside {
			n, inside = n+1, true
		}
	}
	return n
}

// countSentences counts stretches that hold a letter or digit and end with
// . ! ? … (before a blank or the end, closing quotes and brackets allowed),
// with 。！？ anywhere, or with a blank line or the text's end. A dot after a
// single capital letter or a known title does not end a sentence.
func countSentences(s string) int {
	n, content := 0, false
	word := 0 // byte offset of the current word
	lineBlank := true
	end := func() {
		if content {
			n++
		}
		content = false
	}
	for i, r := range s {
		switch {
		case r == '\n':
			if lineBlank {
				end()
			}
			lineBlank = true
			word = i + 1
			continue
		case isSpace(r):
			word = i + utf8.RuneLen(r)
			continue
		case r == '。' || r == '！' || r == '？' || r == '．':
			end()
		case r == '.' || r == '!' || r == '?' || r == '…':
			if sentenceEnds(s[i+utf8.RuneLen(r):]) && !(r == '.' && abbreviation(s[word:i])) {
				end()
			}
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			content = true
		}
		lineBlank = false
	}
	end()
	return n
}

// sentenceEnds reports whether only closing marks stand between a terminator
// and the next blank or the end. It looks at a few runes at most.
func sentenceEnds(rest string) bool {
	const closers = "\"'”’»)]}*_`.!?…"
	seen := 0
	for _, r := range rest {
		if isSpace(r) {
			return true
		}
		if seen++; seen > 8 || !strings.ContainsRune(closers, r) {
			return seen <= 8 && isIdeograph(r)
		}
	}
	return true
}

var titles = map[string]bool{
	"mr": true, "mrs": true, "ms": true, "dr": true, "prof": true, "st": true, "vs": true, "e.g": true, "i.e": true,
	"jr": true, "sr": true, "no": true, "cf": true, "approx": true,
}

func abbreviation(word string) bool {
	word = strings.TrimLeft(word, "\"'“‘(*_[")
	r, size := utf8.DecodeRuneInString(word)
	if size == len(word) && unicode.IsUpper(r) && r != 'I' {
		return true
	}
	return len(word) <= 6 && titles[strings.ToLower(word)] && strings.ToLower(word) != "no"
}

// countCommas counts ASCII, Chinese and Arabic commas, and 、 in a text with
// kana: it is the comma of Japanese, but in Chinese a mark of its own.
func countCommas(s string) int {
	n, listing, kana := 0, 0, false
	for _, r := range s {
		switch {
		case r == ',' || r == '，' || r == '،':
			n++
		case r == '、':
			listing++
		case !kana && r >= 0x3040 && unicode.In(r, unicode.Hiragana, unicode.Katakana):
			kana = true
		}
	}
	if kana {
		n += listing
	}
	return n
}

// countDigits counts decimal digits of any script.
func countDigits(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// countLinks counts addresses that begin with http://, https:// or www.
func countLinks(s string) int {
	n := 0
	s = asciiLower(s)
	for i := 0; i < len(s); {
		j := strings.IndexAny(s[i:], "hw")
		if j < 0 {
			break
		}
		i += j
		size := linkPrefix(s[i:])
		if size > 0 {
			before, _ := utf8.DecodeLastRuneInString(s[:i])
			next, _ := utf8.DecodeRuneInString(s[i+size:])
			if !isWordRune(before) && isWordRune(next) {
				n++
				// The rest of the address is no second link.
				for i < len(s) && s[i] > ' ' && !strings.ContainsRune(")>\"]|", rune(s[i])) {
					i++
				}
				continue
			}
		}
		i++
	}
	return n
}

func linkPrefix(s string) int {
	for _, p := range []string{"http://", "https://", "www."} {
		if strings.HasPrefix(s, p) {
			return len(p)
		}
	}
	return 0
}

// asciiLower lowers A to Z and keeps every byte offset.
func asciiLower(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// countQuestions counts runs of question marks that a letter or digit does not
// follow, so that the query part of a link is no question.
func countQuestions(s string) int {
	n := 0
	open, wide := false, false // inside a run of marks; it has a wide one
	for _, r := range s {
		switch r {
		case '?', '？', '؟':
			if !open {
				n++
				wide = false
			}
			open = true
			wide = wide || r != '?'
		case '!', '！':
		default:
			if open && !wide && r < utf8.RuneSelf && isWordRune(r) {
				n--
			}
			open = false
		}
	}
	return n
}

// countListItems counts lines that begin with a bullet (- * + • ◦ ‣ ·) and a
// blank, or with a number or a letter and "." or ")" or "、".
func countListItems(s string) int {
	n := 0
	for line := range strings.Lines(s) {
		if isListItem(strip(line)) {
			n++
		}
	}
	return n
}

// countBulletItems counts list items with a bullet, not those with a number.
func countBulletItems(s string) int {
	n := 0
	for line := range strings.Lines(s) {
		if isBullet(strip(line)) {
			n++
		}
	}
	return n
}

func isBullet(line string) bool {
	r, size := utf8.DecodeRuneInString(line)
	if len(line) == size || !strings.ContainsRune("-*+•◦‣·▪●", r) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(line[size:])
	return isSpace(next) || r == '•' || r == '●' || r == '▪'
}

// countHanzi counts Chinese characters.
func countHanzi(s string) int {
	n := 0
	for _, r := range s {
		if r >= 0x2e80 && unicode.Is(unicode.Han, r) && unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// countExclamations counts runs of exclamation marks.
func countExclamations(s string) int {
	n, open := 0, false
	for _, r := range s {
		switch r {
		case '!', '！':
			if !open {
				n++
			}
			open = true
		case '?', '？':
		default:
			open = false
		}
	}
	return n
}

func isListItem(line string) bool {
	if isBullet(line) {
		return true
	}
	digits := 0
	for digits < len(line) && '0' <= line[digits] && line[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > 3 {
		return false
	}
	mark, size := utf8.DecodeRuneInString(line[digits:])
	rest := line[digits+size:]
	switch mark {
	case '、', '．', '）':
		return rest != ""
	case '.', ')':
		next, _ := utf8.DecodeRuneInString(rest)
		return rest != "" && (isSpace(next) || isIdeograph(next) || next == '*')
	}
	return false
}

// countHeadings counts Markdown heading lines, # to ######.
func countHeadings(s string) int {
	n := 0
	for line := range strings.Lines(s) {
		line = strip(line)
		marks := len(line) - len(strings.TrimLeft(line, "#"))
		if marks >= 1 && marks <= 6 && len(line) > marks {
			if next, _ := utf8.DecodeRuneInString(line[marks:]); isSpace(next) {
				n++
			}
		}
	}
	return n
}
