package rules

import (
	"strings"
	"unicode/utf8"
)

// punktToken is a word of a context with its annotations.
type punktToken struct {
	tok       string
	typ       string
	sentBreak bool
	abbr      bool
	ellipsis  bool
}

// breaks reports whether a sentence break stands before the context's end.
func breaks(context string) bool {
	m := punktEnglish()
	var held [8]punktToken
	tokens := held[:0]
	for line, rest, more := "", context, true; more; {
		line, rest, more = strings.Cut(rest, "\n")
		tokens = punktWords(line, tokens)
	}
	for i := range tokens {
		m.annotate(&tokens[i])
	}
	for i := 0; i+1 < len(tokens); i++ {
		m.annotatePair(&tokens[i], &tokens[i+1])
		if tokens[i].sentBreak {
			return true
		}
	}
	return false
}

// punktWords splits a line as PunktLanguageVars.word_tokenize does.
func punktWords(line string, tokens []punktToken) []punktToken {
	for at := 0; at < len(line); {
		r, size := utf8.DecodeRuneInString(line[at:])
		if isSpace(r) {
			at += size
			continue
		}
		end := at + multiChar(line[at:])
		if end == at {
			end = at + size
			if startsWord(r) {
				for end < len(line) && !endsWord(line[end:]) {
					_, n := utf8.DecodeRuneInString(line[end:])
					end += n
				}
			}
		}
		tok := line[at:end]
		tokens = append(tokens, punktToken{tok: tok})
		at = end
	}
	return tokens
}

func startsWord(r rune) bool { return !strings.ContainsRune("(\"`{[:;&#*@)}]-,", r) }

func endsWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	if r == ',' {
		rest := s[size:]
		if rest == "" {
			return true
		}
		next, _ := utf8.DecodeRuneInString(rest)
		return isSpace(next) || nonWord(next) || hasMultiChar(rest)
	}
	return isSpace(r) || nonWord(r) || hasMultiChar(s)
}

// hasMultiChar reports whether multiChar(s) > 0 by a look at a few runes.
func hasMultiChar(s string) bool {
	if s == "" || s[0] != '-' && s[0] != '.' {
		return false
	}
	if len(s) > 1 && s[1] == s[0] {
		return true
	}
	return s[0] == '.' && spacedDots(s, 3) > 0
}

// multiChar matches -{2,} or \.{2,} or (?:\.\s){2,}\. at the start of s.
func multiChar(s string) int {
	if !hasMultiChar(s) {
		return 0
	}
	if s[1] == s[0] {
		return len(s) - len(strings.TrimLeft(s, s[:1]))
	}
	return spacedDots(s, len(s))
}

// spacedDots returns the length of at least three dots with one blank between
// any two, looking at no more than most of them.
func spacedDots(s string, most int) int {
	dots, end := 0, 0
	for at := 0; at < len(s) && s[at] == '.' && dots < most; {
		dots++
		end = at + 1
		r, size := utf8.DecodeRuneInString(s[end:])
		if size == 0 || !isSpace(r) {
			break
		}
		at = end + size
	}
	if dots < 3 {
		return 0
	}
	return end
}
