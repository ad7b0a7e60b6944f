package profile

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/schemas"
)

// languageOf tells the two languages that prompts are written in apart: Chinese
// has more Chinese characters than words of other scripts, and no kana. Anything
// else gets English prompts.
func languageOf(text string) string {
	han, words := 0, 0
	var before rune
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return schemas.English
		case unicode.Is(unicode.Han, r):
			han++
		case unicode.IsLetter(r) && (!unicode.IsLetter(before) || unicode.Is(unicode.Han, before)):
			words++
		}
		before = r
	}
	if han > words {
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
