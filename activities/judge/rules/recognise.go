package rules

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/schemas"
)

// Recognise reads a free-text demand such as "Answer in fewer than 150 words."
// as a rule of the rpo profile, in English or Chinese. It does so only if the
// whole text is one demand that the rule decides as a reader would: whatever
// speaks of a part of the response, of two demands, of a condition or of an
// approximate number is left to the judge. A trigger must be cut off before.
func Recognise(text string) (schemas.Rule, bool) {
	if len(text) > 400 {
		return schemas.Rule{}, false
	}
	text = strings.Join(strings.FieldsFunc(text, isSpace), " ")
	if inChinese(text) {
		return recogniseChinese(text)
	}
	return english.recognise(text)
}

// recognised makes a rule; it is none if its own arguments are refused.
func recognised(kind string, args map[string]any) (schemas.Rule, bool) {
	text, err := CanonicalArgs(args)
	if err != nil {
		return schemas.Rule{}, false
	}
	r := schemas.Rule{Profile: "rpo", Kind: kind, Args: text}
	if _, err := Parse(r); err != nil {
		return schemas.Rule{}, false
	}
	return r, true
}

func recognisedCount(kind, relation string, n int) (schemas.Rule, bool) {
	return recognised(kind, map[string]any{"relation": relation, "n": n})
}

// negated turns a recognised rule into its negation.
func negated(r schemas.Rule, ok bool) (schemas.Rule, bool) {
	r.Negated = ok
	return r, ok
}

// grammar is a list of whole-text patterns in order of preference.
type grammar []production

type production struct {
	pattern *regexp.Regexp
	read    func(m map[string]string) (schemas.Rule, bool)
}

func (g grammar) recognise(text string) (schemas.Rule, bool) {
	for _, p := range g {
		found := p.pattern.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		m := map[string]string{}
		for i, name := range p.pattern.SubexpNames() {
			if name != "" && found[i] != "" {
				m[name] = found[i]
			}
		}
		return p.read(m)
	}
	return schemas.Rule{}, false
}

// expand builds a pattern over the whole text from named parts, {part}.
func expand(parts map[string]string, pattern string) *regexp.Regexp {
	for range 4 {
		for name, part := range parts {
			pattern = strings.ReplaceAll(pattern, "{"+name+"}", part)
		}
	}
	return regexp.MustCompile(`(?i)^` + pattern + `$`)
}

var englishParts = map[string]string{
	"please":   `(?:please |always |make sure to |be sure to |make sure that you |you (?:must|should|need to|have to|are to|shall) (?:always )?)?`,
	"never":    `(?:please )?(?:do not|don't|don’t|never|you (?:must|should|may|can|shall) (?:not|never)|you cannot|avoid|refrain from)`,
	"response": `(?:response|responses|answer|answers|reply|replies|output|outputs)`,
	"your":     `(?:your|the|each|every|all|any|all your|all of your|your entire|the entire|your whole|the whole)`,
	"must":     `(?:must|should|has to|have to|needs to|need to|shall|is to|are to)`,
	"number":   `(?P<n>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|a hundred|one hundred|two hundred|three hundred|five hundred)`,
	"relation": `(?P<rel>fewer than|less than|under|below|at least|no fewer than|no less than|not less than|not fewer than|a minimum of|at most|no more than|not more than|a maximum of|up to|more than|over|exactly|precisely)`,
	"after":    `(?P<post> or more| or fewer| or less)`,
	"unit":     `(?P<unit>words?|characters?|sentences?|lines?)`,
	"sign":     `(?P<sign>emojis?|commas?|digits?|links?|hyperlinks?|urls?|question marks?|exclamation marks?|exclamation points?|bullet points?|bulleted lists?|bullets|lists?|headings?|headers?)`,
	"long":     `(?: long| in length| in total| total| overall)?`,
	"place":    `(?: (?:in|anywhere in|to|within|throughout|with) {your} {response})?(?: at all| whatsoever| anywhere)?`,
	"quote":    `["“'‘](?P<text>[^"“”]{1,120})["”'’]`,
	"end":      `[.!]?`,
	"language": `(?P<language>english|chinese|french|german|spanish|italian|portuguese|russian|japanese|korean|arabic|hindi|dutch|polish|turkish|swedish|vietnamese|thai)`,
}

var english grammar

func init() {
	add := func(pattern string, read func(map[string]string) (schemas.Rule, bool)) {
		english = append(english, production{expand(englishParts, pattern), read})
	}
	// Length of the whole response.
	add(`{please}(?:answer|respond|reply|write)(?: in| with| using)? {relation} {number} {unit}{long}{end}`, englishCount)
	add(`{please}(?:use|write) {number} {unit}{after}{long}{end}`, englishCount)
	add(`{please}(?:use|write) {number}{after} {unit}{long}{end}`, englishCount)
	add(`{please}(?:answer|respond|reply)(?: in| with| using) {number} {unit}{after}{long}{end}`, englishCount)
	add(`{please}(?:answer|respond|reply)(?: in| with| using) {number}{after} {unit}{long}{end}`, englishCount)
	add(`{your} {response} {must} (?:be|have|contain|consist of|use|include|be written in)(?: only)? {relation} {number} {unit}{long}{end}`, englishCount)
	add(`{your} {response} {must} (?:be|have|contain|consist of|use|include) {number} {unit}{after}{long}{end}`, englishCount)
	add(`{please}(?:keep|limit|restrict) {your} {response} (?:to )?{relation} {number} {unit}{long}{end}`, englishCount)
	add(`{please}(?:keep|limit|restrict) {your} {response} (?:to|within) {number} {unit}{after}{long}{end}`, englishCount)
	add(`{please}(?:keep|limit|restrict) {your} {response} (?:to|within) (?:a maximum of )?{number} {unit}{long}{end}`, englishAtMost)
	add(`(?:{never}|{your} {response} {must} not|{your} {response} (?:may|can) ?not) (?:exceed|exceeding|go over|be longer than|be more than|use more than|write more than) {number} {unit}{long}{end}`, englishAtMost)
	// Signs.
	add(`{never} (?:(?:use|using|include|including|add|adding|insert|inserting|put|write) )?(?:(?:any|the use of|an?|any kind of) )?{sign}{place}{end}`, englishNone)
	add(`(?:{your} {response} {must} (?:not|never) (?:contain|include|have|use)|{your} {response} {must} be free of|{please}use no)(?: any| an?)? ?{sign}{place}{end}`, englishNone)
	add(`{your} {response} {must} (?:contain|include|have|use) no {sign}{place}{end}`, englishNone)
	add(`{please}(?:answer|respond|reply|write) without(?: using)?(?: any)? {sign}{end}`, englishNone)
	add(`(?:{please}(?:use|include|add|insert)|{your} {response} {must} (?:contain|include|have|use)) {relation} {number} {sign}{place}{end}`, englishCount)
	add(`(?:{please}(?:use|include|add|insert)|{your} {response} {must} (?:contain|include|have|use)) {number}{after} {sign}{place}{end}`, englishCount)
	add(`(?:{please}ask|{your} {response} {must} ask) {relation} {number} (?P<sign>questions?){place}{end}`, englishCount)
	add(`{never} (?:ask|asking) (?:any |the user |the user any )?(?P<sign>questions?){place}{end}`, englishNone)
	// Given texts.
	add(`{please}(?:start|begin|open)(?: {your} {response})?(?: with| by saying)(?: the (?P<what>word|phrase|words|exact phrase|text|sentence))? {quote}{end}`, quotedAs("starts_with"))
	add(`{your} {response} {must} (?:start|begin|open) with(?: the (?P<what>word|phrase|words|exact phrase|text|sentence))? {quote}{end}`, quotedAs("starts_with"))
	add(`{please}(?:end|finish|conclude|close)(?: {your} {response})?(?: with| by saying)(?: the (?P<what>word|phrase|words|exact phrase|text|sentence))? {quote}{end}`, quotedAs("ends_with"))
	add(`{your} {response} {must} (?:end|finish|conclude|close) with(?: the (?P<what>word|phrase|words|exact phrase|text|sentence))? {quote}{end}`, quotedAs("ends_with"))
	add(`{never} (?:use|using|include|including|mention|mentioning|say|saying|write|writing)(?: the (?P<what>word|phrase|term|name|exact phrase))? {quote}{place}{end}`, quotedNot)
	add(`{your} {response} {must} (?:not|never) (?:use|include|mention|contain|say)(?: the (?P<what>word|phrase|term|name|exact phrase))? {quote}{end}`, quotedNot)
	add(`{please}(?:use|include|mention|say)(?: the (?P<what>word|phrase|term|name|exact phrase))? {quote}(?: at least once)?{place}{end}`, quotedAs("contains"))
	add(`{your} {response} {must} (?:include|mention|contain)(?: the (?P<what>word|phrase|term|name|exact phrase))? {quote}(?: at least once)?{end}`, quotedAs("contains"))
	// The whole response.
	add(`{please}(?:answer|respond|reply|write|speak|communicate) in {language}{end}`, englishLanguage)
	add(`{your} {response} {must} be (?:written )?in {language}{end}`, englishLanguage)
	add(`(?:{please}(?:write|answer|respond|reply)|{your} {response} {must} be)(?: entirely| only)? in all (?P<case>capital letters|capitals|caps|uppercase|upper case|uppercase letters|lowercase|lower case|lowercase letters|lower-case letters){end}`, englishCase)
	add(`{never} use (?:any )?(?P<case>capital|uppercase|upper-case|lowercase|lower-case) letters{place}{end}`, englishNoCase)
	add(`{please}(?:answer|respond|reply|output) (?:only (?:with|in)|with nothing but) (?:a )?(?:single )?(?:valid )?json(?: object| format)?{end}`, func(map[string]string) (schemas.Rule, bool) { return recognised("json", nil) })
}

var englishNumbers = map[string]int{
	"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
	"eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "a hundred": 100,
	"one hundred": 100, "two hundred": 200, "three hundred": 300, "five hundred": 500,
}

func englishNumber(s string) (int, bool) {
	if n, ok := englishNumbers[strings.ToLower(s)]; ok {
		return n, true
	}
	n, err := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
	return n, err == nil
}

var englishRelations = map[string]string{
	"fewer than": fewerThan, "less than": fewerThan, "under": fewerThan, "below": fewerThan,
	"at least": atLeast, "no fewer than": atLeast, "no less than": atLeast, "not less than": atLeast, "not fewer than": atLeast,
	"a minimum of": atLeast, " or more": atLeast,
	"at most": atMost, "no more than": atMost, "not more than": atMost, "a maximum of": atMost, "up to": atMost,
	" or fewer": atMost, " or less": atMost,
	"more than": moreThan, "over": moreThan,
	"exactly": exactly, "precisely": exactly,
}

// englishKinds maps a singular noun to the kind that counts it.
var englishKinds = map[string]string{
	"word": "words", "character": "characters", "sentence": "sentences", "line": "lines",
	"emoji": "emoji", "comma": "commas", "digit": "digits", "link": "links", "hyperlink": "links", "url": "links",
	"question": "questions", "question mark": "questions", "exclamation mark": "exclamations", "exclamation point": "exclamations",
	"bullet point": "bullets", "bulleted list": "bullets", "bullet": "bullets", "list": "lists", "heading": "headings", "header": "headings",
}

func englishKind(m map[string]string) string {
	name := m["unit"] + m["sign"]
	return englishKinds[strings.TrimSuffix(strings.ToLower(name), "s")]
}

func englishCount(m map[string]string) (schemas.Rule, bool) {
	n, ok := englishNumber(m["n"])
	kind := englishKind(m)
	relation := englishRelations[strings.ToLower(m["rel"]+m["post"])]
	// A list is not its items.
	if kind == "lists" || strings.HasPrefix(strings.ToLower(m["sign"]), "bulleted") {
		return schemas.Rule{}, false
	}
	if !ok || kind == "" || relation == "" {
		return schemas.Rule{}, false
	}
	marks := kind == "exclamations" || strings.HasPrefix(strings.ToLower(m["sign"]), "question mark")
	return recognisedSigns(kind, marks, bound{relation, n})
}

// recognisedSigns knows that marks stand in runs, which count as one: of them
// only none or any is sure.
func recognisedSigns(kind string, marks bool, b bound) (schemas.Rule, bool) {
	if marks && !b.zero() && !b.some() {
		return schemas.Rule{}, false
	}
	return recognisedCount(kind, b.relation, b.n)
}

func englishAtMost(m map[string]string) (schemas.Rule, bool) {
	m["rel"] = atMost
	return englishCount(m)
}

func englishNone(m map[string]string) (schemas.Rule, bool) {
	return recognisedCount(englishKind(m), fewerThan, 1)
}

// sketched reports a text that only sketches what to write.
func sketched(text string) bool {
	lower := strings.ToLower(text)
	return strings.ContainsAny(text, "{}[]<>_【】…/|") || strings.Contains(text, "...") || strings.Contains(lower, "xx") ||
		strings.Contains(text, "某") || strings.Contains(lower, "your name")
}

// spaced reports a text in scripts that set words apart by blanks and put no
// particles on them; elsewhere a word stands right beside others.
func spaced(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return unicode.IsLetter(r) && !isSpacedLetter(r) }) < 0
}

func isSpacedLetter(r rune) bool {
	return unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic)
}

// manyTexts reports that the pattern saw the outer marks of several texts, as
// in "not 'a' or 'b'". Only an apostrophe inside of a word is none of them.
func manyTexts(text string) bool {
	runes := []rune(text)
	for i, r := range runes {
		inside := i > 0 && i+1 < len(runes) && isSpacedLetter(runes[i-1]) && isSpacedLetter(runes[i+1])
		if r == '‘' || (r == '\'' || r == '’') && !inside {
			return true
		}
	}
	return false
}

func quotedAs(kind string) func(m map[string]string) (schemas.Rule, bool) {
	return func(m map[string]string) (schemas.Rule, bool) {
		text := strip(m["text"])
		if text == "" || sketched(text) || manyTexts(text) {
			return schemas.Rule{}, false
		}
		// A mark at either end has wide and narrow forms, and others may follow it.
		if kind != "contains" && strings.Trim(text, openingMarks+closingMarks+"-") == "" {
			return schemas.Rule{}, false
		}
		args := map[string]any{"text": text}
		first, _ := utf8.DecodeRuneInString(text)
		last, _ := utf8.DecodeLastRuneInString(text)
		whole := false
		switch kind {
		case "contains":
			// "AI" does not stand in "said", but "refund" in "refunds".
			word := strings.EqualFold(m["what"], "word") || utf8.RuneCountInString(text) < 5
			whole = word && isWordRune(first) && isWordRune(last)
		case "starts_with":
			args["ignore_marks"] = true
			whole = isWordRune(last)
		case "ends_with":
			args["ignore_marks"] = true
			whole = isWordRune(first)
		}
		if whole && spaced(text) {
			args["whole_word"] = true
		}
		return recognised(kind, args)
	}
}

func quotedNot(m map[string]string) (schemas.Rule, bool) { return negated(quotedAs("contains")(m)) }

func englishLanguage(m map[string]string) (schemas.Rule, bool) {
	for code, name := range ownLanguages {
		if strings.EqualFold(name, m["language"]) {
			return recognised("language", map[string]any{"language": code})
		}
	}
	return schemas.Rule{}, false
}

func englishCase(m map[string]string) (schemas.Rule, bool) {
	if strings.HasPrefix(strings.ToLower(m["case"]), "lower") {
		return recognised("lowercase", nil)
	}
	return recognised("uppercase", nil)
}

func englishNoCase(m map[string]string) (schemas.Rule, bool) {
	if strings.HasPrefix(strings.ToLower(m["case"]), "lower") {
		return recognised("uppercase", nil)
	}
	return recognised("lowercase", nil)
}
