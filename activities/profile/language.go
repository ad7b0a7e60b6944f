package profile

import (
	"strings"
	"unicode/utf8"

	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// languageOf is the language of the prompts about a text.
func languageOf(text string) string {
	if prompt.Chinese(text) {
		return schemas.Chinese
	}
	return schemas.English
}

var quotationMarks = map[rune]rune{'"': '"', '“': '”', '‘': '’', '「': '」', '『': '』'}

// unquoted replaces what stands in quotation marks by the empty quotation, since
// it is said of the response's words and demands nothing itself. It returns the
// quoted texts, too. A mark without its partner quotes nothing.
func unquoted(text string) (rest string, quoted []string) {
	var out strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		out.WriteString(text[i : i+n])
		i += n
		closing, opens := quotationMarks[r]
		if !opens {
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

// oneLine folds every run of blanks, line breaks among them, into one blank.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
