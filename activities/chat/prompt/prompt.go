package prompt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"text/template"
	"unicode"

	"rpo/schemas"
)

// Bilingual is one prompt in English and in Chinese.
type Bilingual struct{ english, chinese *template.Template }

// Parse reads the two texts as Go templates. It panics on a text that is none:
// prompts are embedded files.
func Parse(name, english, chinese string) Bilingual {
	parse := func(text string) *template.Template {
		return template.Must(template.New(name).Option("missingkey=error").Parse(text))
	}
	return Bilingual{parse(english), parse(chinese)}
}

// Render fills in the prompt of one language.
func (b Bilingual) Render(chinese bool, data any) (string, error) {
	t := b.english
	if chinese {
		t = b.chinese
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", schemas.Errorf(schemas.Internal, "render prompt %s: %w", t.Name(), err)
	}
	return out.String(), nil
}

// Tag names a fence around the parts: "<kind>-" and 16 hex digits. It is derived
// from the parts, so that a retry asks the same; no part can hold it, because its
// own text is part of what is hashed.
func Tag(kind string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// With lengths, so that no other parts give the same bytes.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// Quote writes a text as a JSON string, which has one line whatever the text has.
func Quote(text string) string {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string can always be encoded
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// Chinese reports whether texts are Chinese on the whole: they have more Chinese
// characters than words of other scripts, and hardly any kana, which would make
// them Japanese.
func Chinese(texts ...string) bool {
	han, kana, words := 0, 0, 0
	for _, text := range texts {
		inWord := false
		for _, r := range text {
			letter := unicode.IsLetter(r)
			switch {
			case unicode.Is(unicode.Han, r):
				han++
				letter = false
			case unicode.In(r, unicode.Hiragana, unicode.Katakana):
				kana++
				letter = false
			case letter && !inWord:
				words++
			}
			inWord = letter
		}
	}
	return han > words && han > 10*kana
}
