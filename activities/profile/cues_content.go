package profile

import (
	"regexp"
	"strings"
)

var (
	placeholderWord = regexp.MustCompile(`\bplaceholders?\b`)
	bracketWord     = regexp.MustCompile(`\bbrackets?\b`)
	emphasis        = regexp.MustCompile(`\b(?:highlight\w*|italici[sz]\w*|italics?|bold)\b`)
	emphasised      = regexp.MustCompile(`\*[^*\n]+\*`)
	quotedStar      = regexp.MustCompile(`["']\*["']|\*`)
	starNamed       = regexp.MustCompile(`\bmarkdown\b|\basterisks?\b`)
	bulletWord      = regexp.MustCompile(`\bbullets?\b`)
	bulletExamples  = regexp.MustCompile(`(?s)[:\n]\s*[*-] .*$`)
	bulletMark      = regexp.MustCompile(`\(?\buse\b ?["']\* ?["'] to indicate each bullet\)?`)
	bracketedStar   = regexp.MustCompile(`\busing asterisks \(\*\)`)
	postscripts     = regexp.MustCompile(`\b(?:p\.)+s\b\.?`)
	postscriptWord  = regexp.MustCompile(`\b(?:postscript|note|(?:p\.)+s)\b`)
	noMoreWords     = regexp.MustCompile(`,? ?(?:and |with )?no other words should follow (?:this|that|the) (?:phrase|statement|sentence)\b`)
	ending          = regexp.MustCompile(`\b(?:end|ends|ending|finish|finishes|conclude|very last)\b`)
	choices         = regexp.MustCompile(`["']?my answer is (yes|no|maybe)\.?["']?`)
	onceAtLeast     = regexp.MustCompile(`\bat least 1 times\b`)
	listBrackets    = regexp.MustCompile(`[\[\]]`)
)

func multipleSections(r *reading, a arguments) {
	splitter := a.text("section_spliter")
	marker, err := regexp.Compile(`\b` + regexp.QuoteMeta(splitter) + ` (?:[xX]|\d+)\b`)
	if err != nil || splitter == "" || !marker.MatchString(r.original) {
		r.fail("it does not name the marker %q", splitter)
		return
	}
	r.take(regexp.MustCompile(`["']?\b` + regexp.QuoteMeta(strings.ToLower(splitter)) + ` (?:x|\d+)\b["']?`))
	r.take(brackets)
	r.ban(regexp.MustCompile(`\bexactly\b`))
	r.negations(0)
	r.count(atLeast(a.number("num_sections")), true)
	r.only("section sections day days marked mark marking beginning start starting starts each label labeled labeling noted")
}

func highlights(r *reading, a arguments) {
	drawn := r.take(emphasised)
	drawn = r.take(quotedStar) || drawn
	r.need(emphasis, "highlighting")
	if !drawn {
		r.need(starNamed, "markdown")
	}
	r.ban(regexp.MustCompile(`\bexactly\b`))
	r.negations(0)
	r.count(atLeast(a.number("num_highlights")), true)
	r.only(`highlight highlighted italicize italic italics bold section sections part parts phrases
		markdown format syntax example wrapping each them asterisks asterisk starting ending single`)
}

func bullets(r *reading, a arguments) {
	r.take(bulletMark)
	r.take(bracketedStar)
	r.take(bulletExamples)
	r.need(bulletWord, "bullet points")
	r.negations(0)
	n := a.number("num_bullets")
	r.count(claim{n, n, false}, true)
	r.only("bullet bullets point points markdown format form style following below list")
}

func placeholders(r *reading, a arguments) {
	if !r.take(brackets) {
		r.need(bracketWord, "square brackets")
	}
	r.need(placeholderWord, "placeholders")
	r.ban(regexp.MustCompile(`\bexactly\b`))
	r.negations(0)
	r.count(atLeast(a.number("num_placeholders")), true)
	r.only("placeholder placeholders represented square brackets bracket wrapped indicated")
}

func postscript(r *reading, a arguments) {
	r.need(postscriptWord, "a postscript")
	want := strings.Trim(strings.ToLower(a.text("postscript_marker")), ".")
	found := postscripts.FindAllString(r.rest, -1)
	if len(found) == 0 {
		r.fail("it names no marker of a postscript")
	}
	for _, m := range found {
		if strings.Trim(m, ".") != want {
			r.fail("it names another marker")
		}
	}
	r.take(postscripts)
	r.negations(0)
	r.only("postscript note starting starts start begin beginning end ending finish explicitly after preceded indicated")
}

func endPhrase(r *reading, a arguments) {
	phrase := inDigits(strings.ToLower(straight.Replace(a.text("end_phrase"))))
	i := strings.Index(r.rest, phrase)
	if phrase == "" || i < 0 {
		r.fail("it does not name the phrase at the end")
		return
	}
	before, after := r.rest[:i], r.rest[i+len(phrase):]
	open := strings.TrimRight(before, `"'`) != before
	quoted := strings.TrimLeft(after, `"'`) != after
	if open != quoted || !open && strings.Trim(after, " .") != "" {
		r.fail("its phrase goes on where that of the rule ends")
	}
	r.rest = before + " " + after
	r.need(ending, "the end of the response")
	r.take(noMoreWords)
	r.negations(0)
	r.only("end ends ending finish finishes conclude exact exactly phrase sentence question very last read statement")
}

func constrainedResponse(r *reading, _ arguments) {
	said := map[string]bool{}
	for _, m := range choices.FindAllStringSubmatch(r.rest, -1) {
		said[m[1]] = true
	}
	if len(said) != 3 {
		r.fail("it does not name the three answers")
	}
	r.take(choices)
	r.negations(0)
	r.only("1 exact exactly phrase phrases following choose say just options")
}

func existence(r *reading, a arguments) {
	r.take(listBrackets)
	r.keywords(a.texts("keywords")...)
	r.take(onceAtLeast)
	r.negations(0)
	r.only("keyword keywords word words phrase mention following")
}

func forbidden(r *reading, a arguments) {
	r.take(listBrackets)
	r.keywords(a.texts("forbidden_words")...)
	r.negations(1)
	r.only("keyword keywords word words say saying mention mentioning following any appear appears from")
}

func frequency(r *reading, a arguments) {
	r.keywords(a.text("keyword"))
	r.count(a.bound("relation", "frequency"), false)
	r.only("word words keyword keywords appear appears appearing times time mention mentioning show up occur")
}

func letterFrequency(r *reading, a arguments) {
	letter := strings.ToLower(a.text("letter"))
	named := regexp.MustCompile(`\bletter ["']?` + regexp.QuoteMeta(letter) + `["']?([^\pL\pN]|$)`)
	if letter == "" || !r.take(named) {
		r.fail("it does not name the letter %q", letter)
	}
	r.count(a.bound("let_relation", "let_frequency"), false)
	r.only("appear appears appearing times time show up any whatsoever")
}

// languages names the codes of the rule's language detector.
var languages = map[string]string{
	"af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
	"da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian",
	"fi": "Finnish", "fr": "French", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
	"id": "Indonesian", "it": "Italian", "ja": "Japanese", "kn": "Kannada", "ko": "Korean", "lt": "Lithuanian",
	"lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi", "ne": "Nepali", "nl": "Dutch",
	"no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
	"sk": "Slovak", "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
	"te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
	"zh": "Chinese",
}
