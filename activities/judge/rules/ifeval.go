package rules

import (
	"rpo/schemas"
)

// ifevalKinds are the 25 registered checks of google-research's
// instruction_following_eval, equal verdict by verdict, its known defects
// included. Where the official code draws an argument at random because it is
// missing or out of range, the rule is refused. The one exception is a letter
// that is no a-z, whose official verdict is random: it is counted as it is.
var ifevalKinds = map[string]kind{
	"keywords:existence":        {schemas.FamilyContent, keywordsExist},
	"keywords:frequency":        {schemas.FamilyContent, keywordFrequency},
	"keywords:forbidden_words":  {schemas.FamilyContent, wordsForbidden},
	"keywords:letter_frequency": {schemas.FamilyContent, letterFrequency},

	"language:response_language":                  {schemas.FamilyContent, responseLanguage},
	"change_case:capital_word_frequency":          {schemas.FamilyFormat, capitalWords},
	"change_case:english_capital":                 {schemas.FamilyFormat, englishCapital},
	"change_case:english_lowercase":               {schemas.FamilyFormat, englishLowercase},
	"length_constraints:number_sentences":         {schemas.FamilyFormat, numberOf("num_sentences", "relation", "Write", noun{"sentence", "sentences"}, countPunkt)},
	"length_constraints:number_paragraphs":        {schemas.FamilyFormat, starParagraphs},
	"length_constraints:number_words":             {schemas.FamilyFormat, shrinkingAtLeast("relation", numberOf("num_words", "relation", "Write", noun{"word", "words"}, runsOfWordRunes))},
	"length_constraints:nth_paragraph_first_word": {schemas.FamilyFormat, nthParagraph},

	"detectable_content:number_placeholders":        {schemas.FamilyContent, minimumOf("num_placeholders", placeholderNoun, countPlaceholders)},
	"detectable_content:postscript":                 {schemas.FamilyContent, postscript},
	"detectable_format:number_bullet_lists":         {schemas.FamilyFormat, bulletLists},
	"detectable_format:constrained_response":        {schemas.FamilyContent, constrainedResponse},
	"detectable_format:number_highlighted_sections": {schemas.FamilyFormat, minimumOf("num_highlights", highlightNoun, countHighlights)},
	"detectable_format:multiple_sections":           {schemas.FamilyFormat, multipleSections},
	"detectable_format:json_format":                 {schemas.FamilyFormat, jsonFormat},
	"detectable_format:title":                       {schemas.FamilyFormat, title},
	"combination:two_responses":                     {schemas.FamilyLogic, twoResponses},
	"combination:repeat_prompt":                     {schemas.FamilyLogic, repeatPrompt},
	"startend:end_checker":                          {schemas.FamilyFormat, endsWithPhrase},
	"startend:quotation":                            {schemas.FamilyFormat, quotation},
	"punctuation:no_comma":                          {schemas.FamilyStyle, noComma},
}

var (
	placeholderNoun = noun{"placeholder in square brackets", "placeholders in square brackets"}
	highlightNoun   = noun{"highlighted section in asterisks", "highlighted sections in asterisks"}
)

// relation reads one of the official relations.
func (a *args) relation(name string) string { return a.choice(name, officialLess, officialLeast) }

const (
	officialLess  = "less than"
	officialLeast = "at least"
)

// official turns an official relation into ours.
func official(relation string, n int) bound {
	if relation == officialLess {
		return bound{fewerThan, n}
	}
	return bound{atLeast, n}
}

func otherOfficial(relation string) string {
	if relation == officialLess {
		return officialLeast
	}
	return officialLess
}

// numberOf builds a kind that compares a count by a relation argument.
func numberOf(number, relation, verb string, w noun, count func(string) int) func(*args) spec {
	return func(a *args) spec {
		rel := a.relation(relation)
		b := official(rel, a.number(number, 0))
		return spec{
			test:    func(response string) bool { return b.holds(count(response)) },
			flip:    map[string]any{relation: otherOfficial(rel)},
			demand:  func() []string { return b.phrases(verb, w) },
			reverse: func() []string { return b.opposite().phrases(verb, w) },
		}
	}
}

// shrinkingAtLeast marks "at least" as one that no part of a text passes alone.
func shrinkingAtLeast(relation string, build func(*args) spec) func(*args) spec {
	return func(a *args) spec {
		s := build(a)
		s.shrinks = a.m[relation] == officialLeast
		return s
	}
}

// minimumOf builds a kind that demands at least n of something that stands on
// one line.
func minimumOf(number string, w noun, count func(string) int) func(*args) spec {
	return func(a *args) spec {
		b := bound{atLeast, a.number(number, 0)}
		return spec{
			shrinks: true,
			test:    func(response string) bool { return b.holds(count(response)) },
			demand:  func() []string { return b.phrases("Use", w) },
			reverse: func() []string { return b.opposite().phrases("Use", w) },
		}
	}
}

func keywordsExist(a *args) spec {
	words := a.texts("keywords")
	found := a.patterns("keywords", words, false)
	return spec{
		shrinks: found.plain(),
		test: func(response string) bool {
			key := found.key(response)
			for _, p := range found {
				if p.count(response, key, 1) == 0 {
					return false
				}
			}
			return true
		},
		demand:  func() []string { return existPhrases(words) },
		reverse: func() []string { return lackPhrases(words) },
	}
}

type patterns []*pattern

// plain reports whether all of the keywords are found as plain texts.
func (ps patterns) plain() bool {
	for _, p := range ps {
		if p.prog != nil {
			return false
		}
	}
	return true
}

// key is the text in key form if any keyword needs it.
func (ps patterns) key(s string) string {
	for _, p := range ps {
		if p.prog == nil {
			return caseKey(s)
		}
	}
	return ""
}

// patterns compiles keywords as Python regular expressions.
func (a *args) patterns(field string, words []string, bounded bool) patterns {
	out := make(patterns, 0, len(words))
	for _, w := range words {
		p, err := compile(w, bounded, false, false)
		if err != nil {
			a.fail(field, "keyword %s %v", quoted(w), err)
			return nil
		}
		out = append(out, p)
	}
	return out
}

func keywordFrequency(a *args) spec {
	word := strip(a.text("keyword"))
	rel := a.relation("relation")
	n := a.number("frequency", 0)
	b := official(rel, n)
	found := a.patterns("keyword", []string{word}, false)
	return spec{
		shrinks: rel == officialLeast && found.plain(),
		// Counting stops at n, which decides either relation.
		test:    func(response string) bool { return b.holds(found[0].count(response, found.key(response), max(n, 1))) },
		flip:    map[string]any{"relation": otherOfficial(rel)},
		demand:  func() []string { return timesPhrases("the keyword "+say(word), b) },
		reverse: func() []string { return timesPhrases("the keyword "+say(word), b.opposite()) },
	}
}

func wordsForbidden(a *args) spec {
	words := a.texts("forbidden_words")
	found := a.patterns("forbidden_words", words, true)
	return spec{
		test: func(response string) bool {
			key := found.key(response)
			for _, p := range found {
				if p.count(response, key, 1) > 0 {
					return false
				}
			}
			return true
		},
		demand:  func() []string { return forbidPhrases(words) },
		reverse: func() []string { return anyWordPhrases(words) },
	}
}

func letterFrequency(a *args) spec {
	letter := lower(strip(a.text("letter")))
	rel := a.relation("let_relation")
	b := official(rel, a.number("let_frequency", 0))
	if a.err == nil && len([]rune(letter)) != 1 {
		a.fail("letter", "must be one letter, it is %s", quoted(letter))
	}
	sign := "the sign "
	if len(letter) == 1 && 'a' <= letter[0] && letter[0] <= 'z' {
		sign = "the letter "
	}
	return spec{
		shrinks: rel == officialLeast,
		test:    func(response string) bool { return b.holds(countFolded(response, letter)) },
		flip:    map[string]any{"let_relation": otherOfficial(rel)},
		demand:  func() []string { return timesPhrases(sign+say(letter), b) },
		reverse: func() []string { return timesPhrases(sign+say(letter), b.opposite()) },
	}
}

func starParagraphs(a *args) spec {
	n := a.number("num_paragraphs", 0)
	return spec{
		test: func(response string) bool {
			parts, ok := countStarParagraphs(response)
			return ok && parts == n
		},
		demand:  func() []string { return starParagraphPhrases(n) },
		reverse: func() []string { return notStarParagraphPhrases(n) },
	}
}

func nthParagraph(a *args) spec {
	n := a.number("num_paragraphs", 1)
	k := a.number("nth_paragraph", 1)
	if a.err == nil && k > n {
		a.fail("nth_paragraph", "must be at most num_paragraphs, which is %d; it is %d", n, k)
	}
	word := ""
	if v, ok := a.get("first_word"); !ok {
		a.fail("first_word", "is missing; give a word")
	} else if word, ok = v.(string); !ok {
		a.fail("first_word", "must be a text, it is %s", shown(v))
	}
	want := lower(word)
	return spec{
		test:    func(response string) bool { return paragraphStarts(response, n, k, want) },
		demand:  func() []string { return nthParagraphPhrases(n, k, word) },
		reverse: func() []string { return notNthParagraphPhrases(n, k, word) },
	}
}

func postscript(a *args) spec {
	marker := strip(a.text("postscript_marker"))
	var test func(string) bool
	shrinks := true
	switch marker {
	case "P.P.S":
		test = func(response string) bool { return hasInitials(response, "p.", "p.", "s") }
	case "P.S.":
		test = func(response string) bool { return hasInitials(response, "p.", "s.") }
	default:
		p, err := compile(lower(marker), false, true, true)
		if err != nil {
			a.fail("postscript_marker", "%s %v", quoted(marker), err)
			break
		}
		shrinks = false
		test = func(response string) bool {
			text := lower(response)
			return p.count(text, text, 1) == 1
		}
	}
	return spec{
		shrinks: shrinks,
		test:    test,
		demand:  func() []string { return postscriptPhrases(marker) },
		reverse: func() []string { return noPostscriptPhrases(marker) },
	}
}

func bulletLists(a *args) spec {
	b := bound{exactly, a.number("num_bullets", 0)}
	w := noun{"bullet point", "bullet points"}
	return spec{
		test:    func(response string) bool { return b.holds(countBullets(response)) },
		demand:  func() []string { return b.phrases("Use", w) },
		reverse: func() []string { return b.opposite().phrases("Use", w) },
	}
}

func multipleSections(a *args) spec {
	splitter := strip(a.text("section_spliter"))
	n := a.number("num_sections", 0)
	b := bound{atLeast, n}
	var count func(string) int
	shrinks := false
	if literal, err := compile(splitter, false, false, true); err != nil {
		a.fail("section_spliter", "%s %v", quoted(splitter), err)
	} else if literal.prog == nil {
		count = func(response string) int { return countSections(response, splitter) }
		shrinks = true
	} else {
		p, err := compile(`\s?`+splitter+`\s?\d+\s?`, false, false, true)
		if err != nil {
			a.fail("section_spliter", "%s %v", quoted(splitter), err)
		}
		count = func(response string) int { return p.count(response, response, max(n, 1)) }
	}
	w := noun{"section marked " + say(splitter+" 1"), "sections marked " + say(splitter+" 1") + ", " + say(splitter+" 2") + " and so on"}
	return spec{
		shrinks: shrinks,
		test:    func(response string) bool { return b.holds(count(response)) },
		demand:  func() []string { return sectionPhrases(b, w) },
		reverse: func() []string { return sectionPhrases(b.opposite(), w) },
	}
}
