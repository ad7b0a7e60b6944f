package profile

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// span is a stretch of a text in byte offsets, end excluded.
type span struct{ start, end int }

var (
	// neverEnds are the abbreviations that never end a sentence.
	neverEnds = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])(?:i\.e|e\.g|cf|vs|approx)$`)
	// postscriptMark is a P.S. before its last dot, which ends a sentence only if
	// a capital letter follows.
	postscriptMark = regexp.MustCompile(`(?:^|[^\pL\pN])(?:P\.)+S$`)
	abbreviation   = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])etc$`)
	// enumerator is the number of a list item before its dot.
	enumerator = regexp.MustCompile(`(?:^|[.!?:;]\s+|\n\s*)\d{1,2}$`)
	// listLine begins a line that belongs to a list or to an example of a format.
	listLine = regexp.MustCompile(`^(?:[*•-][ \t]|\.\.\.|\*{3,}[ \t]*(?:\n|$))`)
)

// sentences splits a text into sentences, trimmed of blanks, in order. What
// quotation marks and brackets enclose is never split, and a list belongs to
// the sentence that announces it. Words are never lost: all that lies between
// two spans is blank.
func sentences(text string) []span {
	closed := enclosed(text)
	var out []span
	start, block := 0, false // block: lines of a form that a colon announced
	end := func(i int) {
		if s, ok := trimmed(text, span{start, i}); ok {
			if len(out) > 0 && !strings.ContainsFunc(text[s.start:s.end], wordRune) {
				out[len(out)-1].end = s.end
			} else {
				out = append(out, s)
			}
		}
		start, block = i, false
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		next := i + n
		switch {
		case closed[i]:
		case r == '\n':
			var ends bool
			if ends, block = lineEnds(text[start:i], text[next:], block); ends {
				end(next)
			}
		case strings.ContainsRune(".!?", r):
			for next < len(text) && strings.IndexByte(".!?", text[next]) >= 0 {
				next++
			}
			if endsSentence(text[start:i], text[i:next], text[next:]) {
				end(next)
			}
		case strings.ContainsRune("\"'”’)", r) && i > 0 && strings.IndexByte(".!?", text[i-1]) >= 0 && closed[i-1]:
			// The sentence may end inside the quotation.
			if c := following(text[next:]); next < len(text) && unicode.IsSpace(rune(text[next])) && unicode.IsUpper(c) {
				end(next)
			}
		}
		i = next
	}
	end(len(text))
	return out
}

// endsSentence decides about a run of sentence marks between what the sentence
// has so far and the rest of the text.
func endsSentence(before, marks, after string) bool {
	if after == "" {
		return true
	}
	if c, _ := utf8.DecodeRuneInString(after); !unicode.IsSpace(c) {
		return false
	}
	if i := strings.IndexFunc(after, func(r rune) bool { return !unicode.IsSpace(r) }); i < 0 {
		return true
	} else if strings.Contains(after[:i], "\n") {
		return false // the line break decides
	}
	c := following(after)
	before = before[max(0, len(before)-40):] // enough for any abbreviation
	switch {
	case c == '*' || c == '•' || c == '-':
		return false
	case marks == "." && (neverEnds.MatchString(before) || enumerator.MatchString(strings.TrimLeft(before, " "))):
		return false
	case marks != ".", postscriptMark.MatchString(before), abbreviation.MatchString(before):
		return !unicode.IsLower(c)
	}
	return true
}

// lineEnds decides whether a line break ends the sentence.
func lineEnds(before, after string, block bool) (ends, inBlock bool) {
	blankLine := strings.HasPrefix(strings.TrimLeft(after, " \t\r"), "\n")
	rest := strings.TrimLeftFunc(after, unicode.IsSpace)
	soFar := strings.TrimRightFunc(before, unicode.IsSpace)
	last, _ := utf8.DecodeLastRuneInString(soFar)
	switch {
	case listLine.MatchString(rest):
		return false, block
	case last == ':':
		return false, true
	case block && !strings.Contains(soFar, ":\n* ") && !strings.Contains(soFar, ":\n- "):
		return blankLine, !blankLine
	}
	c := following(rest)
	return !(unicode.IsLower(c) && strings.IndexRune(".!?", last) < 0 && !blankLine), false
}

// following is the first rune of a text that is neither blank nor an opening
// mark, 0 if there is none.
func following(text string) rune {
	for _, r := range text {
		if !unicode.IsSpace(r) && !strings.ContainsRune("\"'“‘([", r) {
			return r
		}
	}
	return 0
}

// enclosed marks the bytes that lie inside quotation marks or brackets, their
// closing mark excluded. A mark without a partner encloses nothing.
func enclosed(text string) []bool {
	in := make([]bool, len(text)+1)
	mark := func(from, to int) {
		for i := from; i < to; i++ {
			in[i] = true
		}
	}
	var quotes []int
	for i, r := range text {
		if strings.ContainsRune("\"“”", r) {
			quotes = append(quotes, i)
		}
	}
	if len(quotes)%2 == 0 {
		for i := 0; i < len(quotes); i += 2 {
			mark(quotes[i]+1, quotes[i+1])
		}
	}
	var open []int
	single := -1
	prev := ' '
	for i, r := range text {
		switch {
		case in[i]:
		case r == '(' || r == '[':
			open = append(open, i)
		case (r == ')' || r == ']') && len(open) > 0:
			mark(open[len(open)-1]+1, i)
			open = open[:len(open)-1]
		case r == '\'' && single < 0 && !wordRune(prev) && !strings.ContainsRune(".!?'", prev):
			single = i
		case r == '\'' && single >= 0 && !unicode.IsSpace(prev) && !wordRune(following1(text[i+1:])):
			mark(single+1, i)
			single = -1
		}
		prev = r
	}
	return in
}

func following1(text string) rune {
	r, _ := utf8.DecodeRuneInString(text)
	return r
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

func trimmed(text string, s span) (span, bool) {
	part := text[s.start:s.end]
	left := len(part) - len(strings.TrimLeftFunc(part, unicode.IsSpace))
	right := len(strings.TrimRightFunc(part, unicode.IsSpace))
	if left >= right {
		return span{}, false
	}
	return span{s.start + left, s.start + right}, true
}
