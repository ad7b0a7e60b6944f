package prompt

import (
	"strings"
	"unicode/utf8"
)

var quotationMarks = map[rune]rune{'"': '"', '“': '”', '‘': '’', '「': '」', '『': '』'}

// ClosingMark is the partner of an opening quotation mark, 0 for any other sign.
func ClosingMark(opening rune) rune { return quotationMarks[opening] }

// Unquoted replaces what stands in quotation marks by the empty quotation, since
// it is said of a response's words and demands nothing itself. It returns the
// quoted texts, too. A mark without its partner quotes nothing.
func Unquoted(text string) (rest string, quoted []string) {
	var out strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		out.WriteString(text[i : i+n])
		i += n
		closing := ClosingMark(r)
		if closing == 0 {
			continue
		}
		if length := strings.IndexRune(text[i:], closing); length >= 0 {
			quoted = append(quoted, text[i:i+length])
			out.WriteRune(closing)
			i += length + len(string(closing))
		}
	}
	return out.String(), quoted
}
