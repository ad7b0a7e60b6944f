package rules

import (
	"strings"
	"unicode/utf8"
)

// split gives the tokens between blanks, contractions taken apart.
func (w *rewriter) split(token func([]byte)) {
	for at := 0; at < len(w.text); {
		r, size := utf8.DecodeRune(w.text[at:])
		if isSpace(r) {
			at += size
			continue
		}
		end := at
		for end < len(w.text) {
			r, size := rune(w.text[end]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRune(w.text[end:])
			}
			if isSpace(r) {
				break
			}
			end += size
		}
		spaced := at > 0 && w.text[at-1] == ' '
		contracted(w.text[at:end], spaced, token)
		at = end
	}
}

// contractions are (?i)\b(can)(not)\b and its like; the second of the pair is
// where the word is cut.
var contractions = []struct {
	word string
	cut  int
}{
	{"cannot", 3}, {"d'ye", 1}, {"gimme", 3}, {"gonna", 3}, {"gotta", 3}, {"lemme", 3}, {"more'n", 4}, {"wanna", 3},
}

// contracted takes a token apart in one pass. spaced tells that a blank stands
// before it.
func contracted(t []byte, spaced bool, token func([]byte)) {
	from := 0
	for at := 0; at+4 <= len(t); {
		i := contractionAt(t, at)
		if i < 0 {
			at++
			continue
		}
		to := at + len(contractions[i].word)
		if from < at {
			twasOrTis(t[from:at], spaced, spaced, token)
		}
		token(t[at : at+contractions[i].cut])
		token(t[at+contractions[i].cut : to])
		from, at, spaced = to, to, true
	}
	if from < len(t) {
		twasOrTis(t[from:], spaced, spaced, token)
	}
}

// contractionAt returns the contraction that stands at an offset, or -1.
func contractionAt(t []byte, at int) int {
	if strings.IndexByte("cdglmw", t[at]|0x20) < 0 {
		return -1
	}
	for i, c := range contractions {
		to := at + len(c.word)
		if to <= len(t) && equalFold(t[at:to], c.word) && boundaryBytes(t, at) && boundaryBytes(t, to) &&
			(c.word != "wanna" || to == len(t)) {
			return i
		}
	}
	return -1
}

// twasOrTis matches (?i) ('t)(is)\b and then (?i) ('t)(was)\b at the start of
// a piece; what remains after the one may begin with the other.
func twasOrTis(t []byte, tis, twas bool, token func([]byte)) {
	for _, word := range []string{"'tis", "'twas"} {
		if (word == "'tis" && tis || word == "'twas" && twas) && len(t) >= len(word) && equalFold(t[:len(word)], word) && boundaryBytes(t, len(word)) {
			token(t[:2])
			token(t[2:len(word)])
			if len(word) < len(t) {
				twasOrTis(t[len(word):], false, word == "'tis", token)
			}
			return
		}
	}
	token(t)
}

// equalFold compares with a lower-case ASCII word.
func equalFold(b []byte, word string) bool {
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func boundaryBytes(t []byte, at int) bool {
	before, _ := utf8.DecodeLastRune(t[:at])
	after, _ := utf8.DecodeRune(t[at:])
	return isWordRune(before) != isWordRune(after)
}
