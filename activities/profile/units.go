package profile

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/activities/chat/prompt"
)

// listMark begins an item of a list or a heading.
var listMark = regexp.MustCompile(`^(?:[-*•·–—+]+\s+|#+\s+|\d{1,2}[.．)）、:：]\s*|[(（]\d{1,2}[)）]\s*|[一二三四五六七八九十]{1,3}、\s*|[①②③④⑤⑥⑦⑧⑨⑩]\s*)`)

// unlisted drops the mark of a list item before a text. A number with decimals
// is none.
func unlisted(text string) string {
	rest := text[len(listMark.FindString(text)):]
	if r, _ := utf8.DecodeRuneInString(rest); len(rest) < len(text) && unicode.IsDigit(r) && strings.IndexByte(text, '.') == len(text)-len(rest)-1 {
		return strings.TrimSpace(text)
	}
	return strings.TrimSpace(rest)
}

// breaks end a line for some reader or other.
func breaks(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) }

// units splits a system prompt into what a reader would number: sentences,
// English and Chinese, each inside of one line and without the mark of its list.
// What has no letters is no unit.
func units(text string) []span {
	var out []span
	for at := 0; at < len(text); {
		length := strings.IndexFunc(text[at:], breaks)
		if length < 0 {
			length = len(text) - at
		}
		line := text[at : at+length]
		for _, s := range sentences(line) {
			for _, p := range chineseSentences(line[s.start:s.end]) {
				out = appendUnit(out, text, span{at + s.start + p.start, at + s.start + p.end})
			}
		}
		_, n := utf8.DecodeRuneInString(text[at+length:])
		at += length + n
	}
	return out
}

func appendUnit(out []span, text string, s span) []span {
	s, ok := trimmed(text, s)
	if !ok {
		return out
	}
	rest := unlisted(text[s.start:s.end])
	s.start = s.end - len(rest)
	if !strings.ContainsFunc(rest, unicode.IsLetter) {
		return out
	}
	return append(out, s)
}

// chineseSentences splits behind the marks that end a Chinese sentence and the
// closing marks that follow them, outside of quotation marks.
func chineseSentences(text string) []span {
	var out []span
	start := 0
	var until rune
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		switch {
		case until != 0:
			if r == until {
				until = 0
			}
			continue
		case prompt.ClosingMark(r) != 0 && strings.ContainsRune(text[i:], prompt.ClosingMark(r)):
			until = prompt.ClosingMark(r)
			continue
		case !strings.ContainsRune("。！？；", r):
			continue
		}
		for i < len(text) {
			next, m := utf8.DecodeRuneInString(text[i:])
			if !strings.ContainsRune("。！？；”’」』）》", next) {
				break
			}
			i += m
		}
		out = append(out, span{start, i})
		start = i
	}
	if start < len(text) {
		out = append(out, span{start, len(text)})
	}
	return out
}
