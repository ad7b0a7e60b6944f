package profile

import (
	"regexp"
	"strings"
)

// cues know for each kind how a sentence demands it. A cue takes what it
// understands out of the reading; a sentence fits when nothing but small talk
// remains.
var cues = map[string]func(r *reading, a arguments){
	"punctuation:no_comma":                          noComma,
	"detectable_format:json_format":                 jsonFormat,
	"detectable_format:title":                       title,
	"startend:quotation":                            quotation,
	"startend:end_checker":                          endPhrase,
	"change_case:english_capital":                   allCapital,
	"change_case:english_lowercase":                 allLowercase,
	"change_case:capital_word_frequency":            capitalWords,
	"language:response_language":                    language,
	"length_constraints:number_words":               numberWordsCue,
	"length_constraints:number_sentences":           numberSentences,
	"length_constraints:number_paragraphs":          numberParagraphs,
	"combination:two_responses":                     twoResponses,
	"combination:repeat_prompt":                     repeatPrompt,
	"detectable_format:multiple_sections":           multipleSections,
	"detectable_format:number_highlighted_sections": highlights,
	"detectable_format:number_bullet_lists":         bullets,
	"detectable_format:constrained_response":        constrainedResponse,
	"detectable_content:number_placeholders":        placeholders,
	"detectable_content:postscript":                 postscript,
	"keywords:existence":                            existence,
	"keywords:forbidden_words":                      forbidden,
	"keywords:frequency":                            frequency,
	"keywords:letter_frequency":                     letterFrequency,
}

var (
	commas       = regexp.MustCompile(`\bcommas?\b`)
	isJSON       = regexp.MustCompile(`\bjson\b`)
	jsonExtras   = regexp.MustCompile("`+|'''|,? ?nothing else\\b|\\b1 (?:json)?\\b")
	angled       = regexp.MustCompile(`<<[^<>]*>>`)
	anglesNamed  = regexp.MustCompile(`<<[^<>]*>>|\bdouble (?:angular|angle) brackets\b`)
	titleWord    = regexp.MustCompile(`\btitle\b`)
	doubleQuotes = regexp.MustCompile(`\bdouble quot(?:e|es|ation|ations)\b`)

	capitals        = regexp.MustCompile(`\b(?:capitals?|capitali[sz]ed?|caps|uppercase|upper case)\b`)
	lowers          = regexp.MustCompile(`\b(?:lowercases?|lowercased|lower case)\b`)
	every           = regexp.MustCompile(`\b(?:all|only|every|entire|entirely|whole|throughout)\b`)
	noLowers        = regexp.MustCompile(`\b(?:no|without(?: any)?|not (?:use|contain)(?: any)?) (?:lowercase|lower case)(?: letters?)?(?: (?:are|is))?(?: (?:allowed|used))?\b`)
	noCapitals      = regexp.MustCompile(`\b(?:no|without(?: any)?|(?:not|don't) (?:use|contain|have|include)(?: any)?) (?:capital|uppercase|upper case)(?: letters?)?(?: (?:are|is))?(?: (?:allowed|used))?\b|\bnot a single letter in your entire response is capitali[sz]ed(?: whatsoever)?\b`)
	noOtherLanguage = regexp.MustCompile(`\b(?:ensur\w+ (?:that )?|with )?no other languages? (?:is |are )?(?:allowed|used)(?: throughout)?\b|\bno other languages?\b`)
	wordsWord       = regexp.MustCompile(`\bwords?\b`)
	sentencesWord   = regexp.MustCompile(`\bsentences?\b`)
)

func noComma(r *reading, _ arguments) {
	r.need(commas, "commas")
	r.negations(1)
	r.only("comma commas any allowed from appear")
}

func jsonFormat(r *reading, _ arguments) {
	r.need(isJSON, "JSON")
	r.take(jsonExtras)
	r.negations(0)
	r.only("json format formatted markdown ticks block wrap wrapped object valid only just all words into")
}

func title(r *reading, _ arguments) {
	r.need(anglesNamed, "double angular brackets")
	r.take(angled)
	r.need(titleWord, "a title")
	r.negations(0)
	r.only("title wrapped wrap contained enclosed inside double angular angle brackets")
}

func quotation(r *reading, _ arguments) {
	r.need(doubleQuotes, "double quotation marks")
	r.negations(0)
	r.only("double quote quotes quotation mark marks wrap wrapped enclose enclosed surround surrounded inside around placed")
}

func allCapital(r *reading, _ arguments) {
	r.take(noLowers)
	r.ban(lowers)
	r.need(capitals, "capital letters")
	r.need(every, "all letters")
	r.negations(0)
	r.only("english all only every capital capitals letter letters case uppercase upper caps capitalized capitalize")
}

func allLowercase(r *reading, _ arguments) {
	if !r.take(noCapitals) {
		r.need(lowers, "lowercase letters")
		r.need(every, "all letters")
	}
	r.ban(capitals)
	r.negations(0)
	r.only("english all only every letter letters case lowercase lowercases lowercased lower words")
}

func capitalWords(r *reading, a arguments) {
	r.need(capitals, "capital letters")
	r.need(wordsWord, "words")
	r.ban(lowers)
	r.count(a.bound("capital_relation", "capital_frequency"), false)
	r.only("word words capital letters letter caps capitalized uppercase all appear appears times number limit")
}

func language(r *reading, a arguments) {
	name := languages[a.text("language")]
	r.take(noOtherLanguage)
	if name == "" {
		r.fail("language %q has no name here", a.text("language"))
		return
	}
	r.keywords(strings.ToLower(name))
	for _, other := range languages {
		if r.failed == "" && wholeWordIn(r.rest, strings.ToLower(other)) {
			r.fail("it names another language")
		}
	}
	r.negations(0)
	r.only("language only completely")
}

func numberWordsCue(r *reading, a arguments) {
	r.need(wordsWord, "words")
	r.count(a.bound("relation", "num_words"), false)
	r.only("word words long length limit number keep count")
}

func numberSentences(r *reading, a arguments) {
	r.need(sentencesWord, "sentences")
	r.count(a.bound("relation", "num_sentences"), false)
	r.only("sentence sentences long length limit number keep consist consists")
}

var (
	threeStars = regexp.MustCompile(`(^|[^*])["']?\*{3}["']?([^*]|$)`)
	threeNamed = regexp.MustCompile(`\b3 asterisks?(?: symbols?| markers?| marks?)?`)
	sixStars   = regexp.MustCompile(`(^|[^*])["']?\*{6}["']?([^*]|$)`)
	sixNamed   = regexp.MustCompile(`\b6 asterisks?(?: symbols?| markers?| marks?)?`)
	stars      = regexp.MustCompile(`\*`)
	parts      = regexp.MustCompile(`\b(?:paragraphs?|parts|sections|stanzas)\b`)
	separation = regexp.MustCompile(`\bseparat\w+|\bdivide\w*|\bbreak\b`)
	brackets   = regexp.MustCompile(`\[[^\[\]]*\]`)
)

func numberParagraphs(r *reading, a arguments) {
	r.need(separation, "what separates the paragraphs")
	named, drawn := r.take(threeNamed), r.take(threeStars)
	if !named && !drawn {
		r.fail("it does not name the divider ***")
	}
	r.ban(stars)
	r.need(parts, "paragraphs")
	n := a.number("num_paragraphs")
	r.count(claim{n, n, false}, true)
	r.only("paragraph paragraphs parts part sections section stanzas each separated separate separating divider dividers divided markdown nearby consist consists split break into symbols")
}

func twoResponses(r *reading, _ arguments) {
	r.need(separation, "what separates the two responses")
	named, drawn := r.take(sixNamed), r.take(sixStars)
	if !named && !drawn {
		r.fail("it does not name the divider ******")
	}
	r.ban(stars)
	r.count(claim{2, 2, false}, true)
	r.only("different versions version jokes limericks ads letters separate separated separating each other them")
}

var repeating = regexp.MustCompile(`\brepeat (?:the|this|your) (?:(?:exact|entire|whole|same|original),? )*(?:request|prompt|input|sentence|question|query|message|instruction)\b|\brepeat the request itself\b`)
var unchanged = regexp.MustCompile(`\bword for word\b|\bwithout (?:any )?chang\w+|\bexact(?:ly)?\b`)
var notRepeat = regexp.MustCompile(`\b(?:not|don't|never|without|avoid|refrain from) repeat\w*`)

func repeatPrompt(r *reading, a arguments) {
	r.need(repeating, "repeating the request")
	r.need(unchanged, "repeating without change")
	r.ban(notRepeat)
	if prompt := fold(a.text("prompt_to_repeat")); prompt == "" || !strings.HasPrefix(fold(r.user), prompt) {
		r.fail("the message to repeat is not the prompt_to_repeat of the rule")
	}
	r.take(negation)
	r.only(`first repeat repeating request prompt input sentence question query message instruction word words for
		without change changing exact exactly itself above below before then any say characters letter single
		anything very beginning following let's 1 2 chang`)
}

// fold compares as the rule does: letters without case, blanks around ignored.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func wholeWordIn(s, w string) bool {
	i := strings.Index(s, w)
	return i >= 0 && wholeWord(s, i, i+len(w))
}
