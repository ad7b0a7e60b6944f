package profile

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

func split(text string) []string {
	var out []string
	for _, s := range sentences(text) {
		out = append(out, text[s.start:s.end])
	}
	return out
}

func TestASentenceEndsWhereAReaderWouldEndIt(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"plain":                       {"Use no commas. Be brief! Why?", []string{"Use no commas.", "Be brief!", "Why?"}},
		"no mark at the end":          {" Use no commas ", []string{"Use no commas"}},
		"i.e. and e.g.":               {"Add a title, i.e. <<title>>, e.g. <<Tea>>. Stop.", []string{"Add a title, i.e. <<title>>, e.g. <<Tea>>.", "Stop."}},
		"etc. before a capital":       {"Use maps, charts, etc. Be brief.", []string{"Use maps, charts, etc.", "Be brief."}},
		"etc. inside":                 {"Use maps, charts, etc. in colour.", []string{"Use maps, charts, etc. in colour."}},
		"a P.S. goes on":              {"Add a P.S. at the end. Stop.", []string{"Add a P.S. at the end.", "Stop."}},
		"a P.S. ends it":              {"End with P.P.S. The word tea is banned.", []string{"End with P.P.S.", "The word tea is banned."}},
		"quotation with a mark":       {`End with "Any more? Ask me!" and stop. Good.`, []string{`End with "Any more? Ask me!" and stop.`, "Good."}},
		"quotation ends the sentence": {`End with "Any more?" Say tea twice.`, []string{`End with "Any more?"`, "Say tea twice."}},
		"list of quoted sentences":    {`Say "It is." or "It is not." only.`, []string{`Say "It is." or "It is not." only.`}},
		"brackets":                    {"Repeat it (1. say nothing else. 2. do it once). Then answer.", []string{"Repeat it (1. say nothing else. 2. do it once).", "Then answer."}},
		"apostrophes are no quotes":   {"Don't shout. It's rude.", []string{"Don't shout.", "It's rude."}},
		"numbers":                     {"Use 3.5 as pi. At most 100. Then stop.", []string{"Use 3.5 as pi.", "At most 100.", "Then stop."}},
		"a lone capital":              {"Mark it with Part X. Be brief.", []string{"Mark it with Part X.", "Be brief."}},
		"lower-case sentences":        {"use no commas. be brief.", []string{"use no commas.", "be brief."}},
		"lines":                       {"Use no commas\nBe brief\n\n", []string{"Use no commas", "Be brief"}},
		"a wrapped line":              {"Use no\ncommas at all. Be brief.", []string{"Use no\ncommas at all.", "Be brief."}},
		"a list after a colon": {"Use 2 bullets like:\n* One point.\n* Two points.\nBe brief.",
			[]string{"Use 2 bullets like:\n* One point.\n* Two points.", "Be brief."}},
		"a list in the line": {"Use 2 bullets such as: * One. * Two. Be brief.", []string{"Use 2 bullets such as: * One. * Two.", "Be brief."}},
		"a form after a colon": {"Mark sections, like:\nPART 1\n[text of part 1]\nPART 2\n\nBe brief.",
			[]string{"Mark sections, like:\nPART 1\n[text of part 1]\nPART 2", "Be brief."}},
		"stars alone": {"Separate them: ***\nBe brief.", []string{"Separate them: ***", "Be brief."}},
		"nothing":     {" \n ", nil},
	} {
		if got := split(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func FuzzSentencesLoseNothing(f *testing.F) {
	for _, s := range []string{"A. b! (C. d) \"E.\" F\n* g\n", "'a.' B", "x:\n\n1. y\n***", "“a. b” c…", "\xff. A", "((a) b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at := 0
		for _, s := range sentences(text) {
			if s.start < at || s.end <= s.start || s.end > len(text) {
				t.Fatalf("spans of %q are not ordered: %v", text, sentences(text))
			}
			if strings.TrimFunc(text[at:s.start], unicode.IsSpace) != "" {
				t.Fatalf("lost %q of %q", text[at:s.start], text)
			}
			at = s.end
		}
		if strings.TrimFunc(text[at:], unicode.IsSpace) != "" {
			t.Fatalf("lost %q of %q", text[at:], text)
		}
	})
}
