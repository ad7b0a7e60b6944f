package rules

import (
	"maps"
	"slices"
)

// languages are the codes that langdetect can answer, with their names.
var languages = map[string]string{
	"af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
	"da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian",
	"fi": "Finnish", "fr": "French", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
	"id": "Indonesian", "it": "Italian", "ja": "Japanese", "kn": "Kannada", "ko": "Korean", "lt": "Lithuanian",
	"lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi", "ne": "Nepali", "nl": "Dutch",
	"no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
	"sk": "Slovak", "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
	"te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
	"zh-cn": "Simplified Chinese", "zh-tw": "Traditional Chinese", "zh": "Chinese",
}

// responseLanguage passes a text without usable features, as the official
// checker does, and compares codes: "zh" is never detected, zh-cn is.
func responseLanguage(a *args) spec {
	code := a.choice("language", slices.Sorted(maps.Keys(languages))...)
	name := languages[code]
	return fixed(
		func(response string) bool {
			got, ok := detectLanguage(response)
			return !ok || got == code
		},
		[]string{
			"Write your entire answer in " + name + ".",
			"Your answer must be in " + name + " and no other language.",
			"Answer in " + name + " only.",
		},
		[]string{
			"Write your answer in a language other than " + name + ".",
			"Your answer must not be in " + name + ".",
			"Do not answer in " + name + ".",
		})
}

func englishCapital(*args) spec {
	return fixed(
		func(response string) bool { return isUpper(response) && isEnglish(response) },
		[]string{
			"Write your entire answer in English and in capital letters only.",
			"Your answer must be in English, with every letter a capital.",
			"Use only capital letters, and write in English.",
		},
		[]string{
			"Use at least one lower-case letter, or write in a language other than English.",
			"Your answer must not be entirely in English capital letters: use some lower-case letters or another language.",
			"Either let lower-case letters appear in your answer or write it in a language other than English.",
		})
}

func englishLowercase(*args) spec {
	return fixed(
		func(response string) bool { return isLower(response) && isEnglish(response) },
		[]string{
			"Write your entire answer in English and in lower-case letters only.",
			"Your answer must be in English, without a single capital letter.",
			"Use only lower-case letters, and write in English.",
		},
		[]string{
			"Use at least one capital letter, or write in a language other than English.",
			"Your answer must not be entirely in English lower-case letters: use some capital letters or another language.",
			"Either let capital letters appear in your answer or write it in a language other than English.",
		})
}

// isEnglish holds for text without usable features, too.
func isEnglish(s string) bool {
	got, ok := detectLanguage(s)
	return !ok || got == "en"
}

func capitalWords(a *args) spec {
	return numberOf("capital_frequency", "capital_relation", "Use",
		noun{"word in all capital letters", "words in all capital letters"}, countCapitalTokens)(a)
}
