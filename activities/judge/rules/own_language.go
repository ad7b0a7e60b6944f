package rules

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// ownLanguages are the codes of the rpo profile: langdetect's, but one Chinese.
var ownLanguages = func() map[string]string {
	m := maps.Clone(languages)
	delete(m, "zh-cn")
	delete(m, "zh-tw")
	return m
}()

// buildLanguage: {"language": code} passes if most of the response is in that
// language. A response without letters is in none.
func buildLanguage(a *args) spec {
	code := a.choice("language", slices.Sorted(maps.Keys(ownLanguages))...)
	name := ownLanguages[code]
	return fixed(func(response string) bool { return mainLanguage(response) == code },
		[]string{
			"Write your answer in " + name + ".",
			"Your answer must be in " + name + ".",
			"Answer in " + name + ".",
		},
		[]string{
			"Write your answer in a language other than " + name + ".",
			"Your answer must not be in " + name + ".",
			"Do not answer in " + name + ".",
		})
}

type script struct {
	table     *unicode.RangeTable
	languages []string
}

// scripts maps a script to the languages written in it; one language alone
// needs no look at the n-grams.
var scripts = []script{
	{unicode.Latin, nil},
	{unicode.Cyrillic, []string{"ru", "uk", "bg", "mk"}},
	{unicode.Arabic, []string{"ar", "fa", "ur"}},
	{unicode.Devanagari, []string{"hi", "mr", "ne"}},
	{unicode.Hangul, []string{"ko"}},
	{unicode.Thai, []string{"th"}},
	{unicode.Hebrew, []string{"he"}},
	{unicode.Greek, []string{"el"}},
	{unicode.Bengali, []string{"bn"}},
	{unicode.Gurmukhi, []string{"pa"}},
	{unicode.Gujarati, []string{"gu"}},
	{unicode.Tamil, []string{"ta"}},
	{unicode.Telugu, []string{"te"}},
	{unicode.Kannada, []string{"kn"}},
	{unicode.Malayalam, []string{"ml"}},
}

// mainLanguage decides by script first, since detection by n-grams takes short
// Chinese texts for Korean, and by n-grams within a script. Chinese and
// Japanese characters count one by one, other scripts by words.
func mainLanguage(s string) string {
	var counts [32]int
	han, kana := 0, 0
	in := -1 // the script of the word we are in
	for _, r := range s {
		switch {
		case r < 0x80:
			if 'a' <= r|0x20 && r|0x20 <= 'z' {
				if in != 0 {
					counts[0]++
				}
				in = 0
			} else if r != '\'' {
				in = -1
			}
		case isIdeograph(r):
			in = -1
			if unicode.Is(unicode.Han, r) {
				han++
			} else {
				kana++
			}
		case unicode.IsLetter(r):
			at := slices.IndexFunc(scripts, func(sc script) bool { return unicode.Is(sc.table, r) })
			if at >= 0 && at != in {
				counts[at]++
			}
			in = at
		case !unicode.IsMark(r):
			in = -1
		}
	}
	best, most := -1, han+kana
	for i, n := range counts {
		if n > most {
			best, most = i, n
		}
	}
	switch {
	case most == 0:
		return ""
	case best < 0 && kana*20 >= han+kana:
		return "ja"
	case best < 0:
		return "zh"
	}
	known := scripts[best].languages
	if len(known) == 1 {
		return known[0]
	}
	code, ok := detectLanguage(s)
	if !ok || known != nil && !slices.Contains(known, code) {
		return ""
	}
	return code
}

// buildJSON: {"keys"?: [...]} passes if the whole response, a code fence
// allowed, is one JSON object that has all the keys; without keys an object or
// a list.
func buildJSON(a *args) spec {
	var keys []string
	if a.has("keys") {
		keys = a.texts("keys")
	}
	test := func(response string) bool {
		text := unfenced(response)
		if len(keys) == 0 {
			return text != "" && (text[0] == '{' || text[0] == '[') && json.Valid([]byte(text))
		}
		var object map[string]json.RawMessage
		if text == "" || text[0] != '{' || json.Unmarshal([]byte(text), &object) != nil {
			return false
		}
		for _, k := range keys {
			if _, ok := object[k]; !ok {
				return false
			}
		}
		return true
	}
	if len(keys) == 0 {
		return fixed(test,
			[]string{
				"Your whole answer must be one JSON object or list.",
				"Answer with a JSON object or list and nothing else.",
			},
			[]string{
				"Your answer as a whole must not be a JSON object or list.",
				"Answer with anything but a bare JSON object or list.",
			})
	}
	all := "the key " + sayAll(keys, "and")
	none := "the key " + sayAll(keys, "or")
	if len(keys) > 1 {
		all = "the keys " + sayAll(keys, "and")
		none = "all of the keys " + sayAll(keys, "and")
	}
	return fixed(test,
		[]string{
			"Your whole answer must be one JSON object with " + all + ".",
			"Answer with a JSON object that has " + all + " and nothing around it.",
		},
		[]string{
			"Your answer as a whole must not be a JSON object with " + none + ".",
			"Answer with anything but a bare JSON object that has " + none + ".",
		})
}

// buildUppercase passes a response without any lower-case letter.
func buildUppercase(*args) spec {
	return fixed(func(response string) bool { return strings.IndexFunc(response, isLowerRune) < 0 },
		[]string{
			"Do not use any lower-case letters.",
			"Write in capital letters only.",
			"Your answer must not contain a single lower-case letter.",
		},
		[]string{
			"Use at least one lower-case letter.",
			"Do not write in capital letters only.",
			"Your answer must contain at least one lower-case letter.",
		})
}

// buildLowercase passes a response without any capital letter.
func buildLowercase(*args) spec {
	return fixed(func(response string) bool {
		return strings.IndexFunc(response, func(r rune) bool { return isUpperRune(r) || isTitleRune(r) }) < 0
	},
		[]string{
			"Do not use any capital letters.",
			"Write in lower-case letters only.",
			"Your answer must not contain a single capital letter.",
		},
		[]string{
			"Use at least one capital letter.",
			"Do not write in lower-case letters only.",
			"Your answer must contain at least one capital letter.",
		})
}
