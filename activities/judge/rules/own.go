package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/schemas"
)

// ownKinds is the rpo profile. docs/rules.md lists the arguments of each kind.
var ownKinds = map[string]kind{
	"words":      countKind(schemas.FamilyFormat, "Write", noun{"word", "words"}, countWords),
	"characters": countKind(schemas.FamilyFormat, "Write", noun{"character", "characters"}, countCharacters),
	"sentences":  countKind(schemas.FamilyFormat, "Write", noun{"sentence", "sentences"}, countSentences),
	"lines":      countKind(schemas.FamilyFormat, "Write", noun{"line", "lines"}, countLines),
	"paragraphs": countKind(schemas.FamilyFormat, "Write", noun{"paragraph", "paragraphs"}, countParagraphs),
	"commas":     countKind(schemas.FamilyStyle, "Use", noun{"comma", "commas"}, countCommas),
	"emoji":      countKind(schemas.FamilyStyle, "Use", noun{"emoji", "emojis"}, countEmoji),
	"digits":     countKind(schemas.FamilyStyle, "Use", noun{"digit", "digits"}, countDigits),
	"links":      countKind(schemas.FamilyContent, "Include", noun{"link", "links"}, countLinks),
	"questions":  countKind(schemas.FamilyStyle, "Ask", noun{"question", "questions"}, countQuestions),
	"lists":      countKind(schemas.FamilyFormat, "Use", noun{"list item", "list items"}, countListItems),
	"headings":   countKind(schemas.FamilyFormat, "Use", noun{"heading", "headings"}, countHeadings),

	"hanzi":        countKind(schemas.FamilyFormat, "Write", noun{"Chinese character", "Chinese characters"}, countHanzi),
	"exclamations": countKind(schemas.FamilyStyle, "Use", noun{"exclamation mark", "exclamation marks"}, countExclamations),
	"bullets":      countKind(schemas.FamilyFormat, "Use", noun{"bullet point", "bullet points"}, countBulletItems),

	"language":  {schemas.FamilyFormat, buildLanguage},
	"json":      {schemas.FamilyFormat, buildJSON},
	"uppercase": {schemas.FamilyStyle, buildUppercase},
	"lowercase": {schemas.FamilyStyle, buildLowercase},

	"contains":    {schemas.FamilyContent, buildContains},
	"starts_with": {schemas.FamilyFormat, buildStartsWith},
	"ends_with":   {schemas.FamilyFormat, buildEndsWith},
}

func countKind(family, verb string, w noun, count func(string) int) kind {
	return kind{family, func(a *args) spec { return counted(a, verb, w, count) }}
}

// buildContains: {"text": T, "count"?: N, "whole_word"?: B} passes if T stands
// in the response at least N times (1 by default), counted without overlap,
// letters compared without case.
func buildContains(a *args) spec {
	text := fold(strip(a.text("text")))
	shown := strip(a.text("text"))
	n := 1
	if a.has("count") {
		n = a.number("count", 1)
	}
	whole := a.flag("whole_word")
	what := fmt.Sprintf("%q", shown)
	if strings.ContainsAny(shown, "\"\\\n") {
		what = "“" + shown + "”"
	}
	if whole {
		what = "the word " + what
	}
	return spec{
		test: func(response string) bool { return occurs(fold(response), text, n, whole) },
		demand: func() []string {
			if n == 1 {
				return []string{
					"Include " + what + " in your answer.",
					"Mention " + what + ".",
					"Your answer must contain " + what + ".",
				}
			}
			return []string{
				fmt.Sprintf("Include %s at least %d times in your answer.", what, n),
				fmt.Sprintf("Mention %s %d times or more.", what, n),
				fmt.Sprintf("Your answer must contain %s at least %d times.", what, n),
			}
		},
		reverse: func() []string {
			if n == 1 {
				return []string{
					"Do not include " + what + " in your answer.",
					"Leave out " + what + ".",
					"Your answer must not contain " + what + ".",
				}
			}
			return []string{
				fmt.Sprintf("Include %s fewer than %d times in your answer.", what, n),
				fmt.Sprintf("Mention %s at most %s.", what, times(n-1)),
				fmt.Sprintf("Your answer must contain %s fewer than %d times.", what, n),
			}
		},
	}
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// buildStartsWith: {"text": T, "ignore_marks"?: B, "whole_word"?: B} passes if
// the response, blanks around it removed, begins with T, letters compared
// without case. With ignore_marks, quotation marks, brackets and Markdown signs
// may stand before; with whole_word no word goes on behind T.
func buildStartsWith(a *args) spec {
	ignore, whole := a.flag("ignore_marks"), a.flag("whole_word")
	shown := strip(a.text("text"))
	text := fold(shown)
	what := "“" + shown + "”"
	if !strings.ContainsAny(shown, "\"\\\n") {
		what = fmt.Sprintf("%q", shown)
	}
	return spec{
		test: func(response string) bool { return startsWith(fold(strip(response)), text, ignore, whole) },
		demand: func() []string {
			return []string{
				"Start your answer with " + what + ".",
				"Begin with " + what + ".",
				"The first thing in your answer must be " + what + ".",
			}
		},
		reverse: func() []string {
			return []string{
				"Do not start your answer with " + what + ".",
				"Begin with anything other than " + what + ".",
				"The first thing in your answer must not be " + what + ".",
			}
		},
	}
}

// buildEndsWith: {"text": T, "ignore_marks"?: B, "whole_word"?: B} passes if the
// response, blanks around it removed, ends with T, letters compared without
// case. With ignore_marks, punctuation, quotation marks, brackets and Markdown
// signs may follow; with whole_word T does not begin inside of a word.
func buildEndsWith(a *args) spec {
	ignore, whole := a.flag("ignore_marks"), a.flag("whole_word")
	shown := strip(a.text("text"))
	text := fold(shown)
	what := "“" + shown + "”"
	if !strings.ContainsAny(shown, "\"\\\n") {
		what = fmt.Sprintf("%q", shown)
	}
	return spec{
		test: func(response string) bool { return endsWith(fold(strip(response)), text, ignore, whole) },
		demand: func() []string {
			return []string{
				"End your answer with " + what + ".",
				"Finish with " + what + ".",
				"The last thing in your answer must be " + what + ".",
			}
		},
		reverse: func() []string {
			return []string{
				"Do not end your answer with " + what + ".",
				"Finish with anything other than " + what + ".",
				"The last thing in your answer must not be " + what + ".",
			}
		},
	}
}

const (
	openingMarks = "\"'“‘「『《【([*_`#>~ \n\t"
	closingMarks = "\"'”’」』》】)]*_`~.!?。！？…；;,， \n\t"
)

func startsWith(s, text string, ignore, whole bool) bool {
	rest, ok := strings.CutPrefix(s, text)
	if !ok && ignore {
		rest, ok = strings.CutPrefix(strings.TrimLeft(s, openingMarks), text)
	}
	next, _ := utf8.DecodeRuneInString(rest)
	return ok && !(whole && joins(next))
}

// endsWith allows closing marks after the last place of the text.
func endsWith(s, text string, ignore, whole bool) bool {
	i := strings.LastIndex(s, text)
	if i < 0 || strings.TrimRight(s[i+len(text):], closingMarks) != "" || !ignore && i+len(text) < len(s) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	return !(whole && joins(before))
}

// joins reports a rune that makes one word with a letter beside it. A Chinese
// character does not: AI is a word of 使用AI技术.
func joins(r rune) bool { return isWordRune(r) && !isIdeograph(r) }

// fold makes texts comparable without case, one rune for one rune.
func fold(s string) string { return strings.ToLower(s) }

// occurs reports whether text stands in s at least n times without overlap; as
// a whole word it has no letter (but Chinese ones), digit or underscore right
// beside it.
func occurs(s, text string, n int, whole bool) bool {
	for at := 0; n > 0; {
		i := strings.Index(s[at:], text)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(text)
		at = to
		if whole {
			before, _ := utf8.DecodeLastRuneInString(s[:from])
			after, _ := utf8.DecodeRuneInString(s[to:])
			if joins(before) || joins(after) {
				_, size := utf8.DecodeRuneInString(s[from:])
				at = from + size
				continue
			}
		}
		n--
	}
	return true
}

// isWordRune is Python's \w.
func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r))
}
