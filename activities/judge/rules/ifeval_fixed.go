package rules

import (
	"fmt"
	"strings"
)

// fixed is the spec of a kind that only negation reverses, with its phrasings.
func fixed(test func(string) bool, demand, reverse []string) spec {
	return spec{
		test:    test,
		demand:  func() []string { return demand },
		reverse: func() []string { return reverse },
	}
}

// shrinking marks a test that no part of a text passes alone.
func shrinking(s spec) spec {
	s.shrinks = true
	return s
}

var threeAnswers = []string{"My answer is yes.", "My answer is no.", "My answer is maybe."}

func constrainedResponse(*args) spec {
	return shrinking(fixed(
		func(response string) bool {
			for _, option := range threeAnswers {
				if strings.Contains(response, option) {
					return true
				}
			}
			return false
		},
		[]string{
			`Include one of these sentences word for word: "My answer is yes.", "My answer is no." or "My answer is maybe."`,
			`Answer with "My answer is yes.", "My answer is no." or "My answer is maybe."`,
			`Your answer must contain "My answer is yes.", "My answer is no." or "My answer is maybe."`,
		},
		[]string{
			`Use none of the sentences "My answer is yes.", "My answer is no." and "My answer is maybe."`,
			`Do not write "My answer is yes.", "My answer is no." or "My answer is maybe."`,
			`Your answer must contain neither "My answer is yes." nor "My answer is no." nor "My answer is maybe."`,
		}))
}

func jsonFormat(*args) spec {
	return fixed(func(response string) bool { return isJSON(unfenced(response)) },
		[]string{
			"Write your entire answer as valid JSON; a code fence around it is allowed.",
			"The whole answer must be valid JSON.",
			"Give the entire output in JSON format, with nothing but an optional code fence around it.",
		},
		[]string{
			"Your answer as a whole must not be valid JSON.",
			"Write the answer in any form but valid JSON.",
			"Do not give the entire output in JSON format.",
		})
}

func title(*args) spec {
	return shrinking(fixed(hasTitle,
		[]string{
			"Include a title in double angle brackets, such as <<a title>>.",
			"Your answer must contain a title wrapped in double angle brackets, such as <<a title>>.",
			"Give your answer a title and put it in double angle brackets, such as <<a title>>.",
		},
		[]string{
			"Do not put a title in double angle brackets, such as <<a title>>, anywhere.",
			"Leave out titles in double angle brackets, such as <<a title>>.",
			"Your answer must not contain any title wrapped in double angle brackets, such as <<a title>>.",
		}))
}

func twoResponses(*args) spec {
	return fixed(areTwoResponses,
		[]string{
			"Give exactly two different answers, separated by six asterisks: ******.",
			"Write two different answers with ****** between them and nothing else so marked.",
			"Your output must be two different answers separated by ******.",
		},
		[]string{
			"Do not give exactly two different answers separated by ******: give one, give more than two, or give the same one twice.",
			"Write anything but two different answers with ****** between them.",
			"Your output must not be two different answers separated by ******.",
		})
}

func repeatPrompt(a *args) spec {
	prompt := a.text("prompt_to_repeat")
	start := lower(strip(prompt))
	shown := say(strip(prompt))
	return fixed(
		func(response string) bool {
			text := strip(response)
			// Only so much of the text can lower to the start. A sigma at the cut
			// would not know what follows it.
			if most := 4*len(start) + 8; len(text) > most && !strings.Contains(text[:most], "Σ") {
				text = strings.ToValidUTF8(text[:most], "")
			}
			return strings.HasPrefix(lower(text), start)
		},
		[]string{
			"Begin by repeating this request word for word, and then answer: " + shown,
			"First repeat the following without change, then give your answer: " + shown,
			"Your answer must open with this text, word for word: " + shown,
		},
		[]string{
			"Do not begin by repeating this request word for word: " + shown,
			"Start with anything other than the following text: " + shown,
			"Your answer must not open with this text, word for word: " + shown,
		})
}

func endsWithPhrase(a *args) spec {
	phrase := strip(a.text("end_phrase"))
	end := lower(phrase)
	shown := say(phrase)
	return fixed(
		func(response string) bool {
			text := strings.Trim(strip(response), `"`)
			if from := len(text) - 4*len(end) - 8; from > 0 && !strings.Contains(text[from:], "Σ") {
				text = strings.ToValidUTF8(text[from:], "")
			}
			return strings.HasSuffix(lower(text), end)
		},
		[]string{
			"End your answer with the exact phrase " + shown,
			"Finish with the phrase " + shown + ", with nothing after it.",
			"The last words of your answer must be " + shown,
		},
		[]string{
			"Do not end your answer with the phrase " + shown,
			"Finish with anything other than the phrase " + shown + ".",
			"The last words of your answer must not be " + shown,
		})
}

func quotation(*args) spec {
	return fixed(func(response string) bool {
		s := strip(response)
		return len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"'
	},
		[]string{
			"Wrap your entire answer in double quotation marks.",
			"Put the whole answer between double quotation marks.",
			"Your answer must begin and end with a double quotation mark.",
		},
		[]string{
			"Do not wrap your entire answer in double quotation marks.",
			"Leave the answer as a whole without double quotation marks around it.",
			"Your answer must not both begin and end with a double quotation mark.",
		})
}

func noComma(*args) spec {
	w := noun{"comma", "commas"}
	b := bound{fewerThan, 1}
	return fixed(func(response string) bool { return strings.IndexByte(response, ',') < 0 },
		b.phrases("Use", w), b.opposite().phrases("Use", w))
}

// say quotes a text so that its own quotation marks stay readable.
func say(text string) string {
	if strings.ContainsAny(text, "\"\n") {
		return "“" + text + "”"
	}
	return `"` + text + `"`
}

// sayAll lists texts: "a", "b" and "c".
func sayAll(texts []string, and string) string {
	said := make([]string, len(texts))
	for i, t := range texts {
		said[i] = say(t)
	}
	if len(said) == 1 {
		return said[0]
	}
	last := len(said) - 1
	return strings.Join(said[:last], ", ") + " " + and + " " + said[last]
}

func existPhrases(words []string) []string {
	if len(words) == 1 {
		w := say(words[0])
		return []string{
			"Include the keyword " + w + " in your answer.",
			"Mention " + w + ".",
			"Your answer must contain the keyword " + w + ".",
		}
	}
	all := sayAll(words, "and")
	return []string{
		"Include all of the keywords " + all + " in your answer.",
		"Mention each of " + all + ".",
		"Your answer must contain every one of the keywords " + all + ".",
	}
}

func lackPhrases(words []string) []string {
	if len(words) == 1 {
		w := say(words[0])
		return []string{
			"Do not include " + w + " in your answer.",
			"Leave out " + w + ".",
			"Your answer must not contain " + w + ".",
		}
	}
	all := sayAll(words, "and")
	return []string{
		"Leave out at least one of the keywords " + all + ".",
		"At least one of the keywords " + all + " must be missing from your answer.",
		"Do not use all of the keywords " + all + " in one answer.",
	}
}

func forbidPhrases(words []string) []string {
	if len(words) == 1 {
		w := say(words[0])
		return []string{
			"Do not use the word " + w + ".",
			"Leave out the word " + w + ".",
			"Your answer must not contain the word " + w + ".",
		}
	}
	return []string{
		"Do not use any of the words " + sayAll(words, "or") + ".",
		"Leave out the words " + sayAll(words, "and") + ".",
		"Your answer must contain none of the words " + sayAll(words, "and") + ".",
	}
}

func anyWordPhrases(words []string) []string {
	if len(words) == 1 {
		w := say(words[0])
		return []string{
			"Use the word " + w + " at least once.",
			"Include the word " + w + " in your answer.",
			"Your answer must contain the word " + w + ".",
		}
	}
	return []string{
		"Use at least one of the words " + sayAll(words, "and") + ".",
		"Include one or more of the words " + sayAll(words, "and") + ".",
		"Your answer must contain at least one of the words " + sayAll(words, "and") + ".",
	}
}

// timesPhrases says how often something appears.
func timesPhrases(what string, b bound) []string {
	switch {
	case b.zero():
		return []string{
			"Do not use " + what + " at all.",
			"Leave out " + what + ".",
			"Your answer must not contain " + what + ".",
		}
	case b.some():
		return []string{
			"Use " + what + " at least once.",
			"Include " + what + " one or more times.",
			"Your answer must contain " + what + ".",
		}
	case b.relation == fewerThan:
		return []string{
			fmt.Sprintf("Use %s fewer than %s.", what, times(b.n)),
			fmt.Sprintf("Let %s appear at most %s.", what, times(b.n-1)),
			fmt.Sprintf("In your answer, %s must appear fewer than %s.", what, times(b.n)),
		}
	}
	return []string{
		fmt.Sprintf("Use %s at least %s.", what, times(b.n)),
		fmt.Sprintf("Let %s appear %s or more.", what, times(b.n)),
		fmt.Sprintf("In your answer, %s must appear at least %s.", what, times(b.n)),
	}
}

func starParagraphPhrases(n int) []string {
	return []string{
		fmt.Sprintf("Write exactly %s %s separated by the divider ***.", number(n), paragraphNoun.of(n)),
		fmt.Sprintf("Your answer must have %s %s, with *** as the divider between paragraphs.", number(n), paragraphNoun.of(n)),
		fmt.Sprintf("Divide your answer by *** into exactly %s %s, none of them empty.", number(n), paragraphNoun.of(n)),
	}
}

func notStarParagraphPhrases(n int) []string {
	return []string{
		fmt.Sprintf("Do not write exactly %s %s separated by the divider ***.", number(n), paragraphNoun.of(n)),
		fmt.Sprintf("Write any number of paragraphs separated by *** other than %s.", number(n)),
		fmt.Sprintf("Your answer must not divide by *** into exactly %s proper %s.", number(n), paragraphNoun.of(n)),
	}
}

var paragraphNoun = noun{"paragraph", "paragraphs"}

func nthParagraphPhrases(n, k int, word string) []string {
	return []string{
		fmt.Sprintf("Write exactly %s %s separated by blank lines and start paragraph %d with the word %s.", number(n), paragraphNoun.of(n), k, say(word)),
		fmt.Sprintf("Your answer must have %s %s with a blank line between them, and paragraph %d must start with %s.", number(n), paragraphNoun.of(n), k, say(word)),
	}
}

func notNthParagraphPhrases(n, k int, word string) []string {
	return []string{
		fmt.Sprintf("Either write any number of paragraphs (separated by blank lines) other than %s, or do not start paragraph %d with the word %s.", number(n), k, say(word)),
		fmt.Sprintf("Your answer must not have exactly %s %s separated by blank lines, or paragraph %d must start with a word other than %s.", number(n), paragraphNoun.of(n), k, say(word)),
	}
}

func postscriptPhrases(marker string) []string {
	return []string{
		"Add a postscript that starts with " + say(marker) + ".",
		"Include a postscript marked " + say(marker) + ".",
		"Your answer must contain a postscript starting with " + say(marker) + ".",
	}
}

func noPostscriptPhrases(marker string) []string {
	return []string{
		"Do not add a postscript that starts with " + say(marker) + " anywhere.",
		"Leave out any postscript marked " + say(marker) + ".",
		"Your answer must not contain a postscript starting with " + say(marker) + ".",
	}
}

// sectionPhrases avoids the singular of a noun that lists its marks.
func sectionPhrases(b bound, w noun) []string {
	switch {
	case b.zero(), b.some(), b.n == 1:
		return b.phrases("Write", noun{w.one, "sections marked " + strings.TrimPrefix(w.one, "section marked ")})
	}
	return b.phrases("Write", w)
}
