package rules

import (
	"math/rand/v2"
	"testing"
)

// slowCapitals counts with the whole tokenizer.
func slowCapitals(s string) int {
	n := 0
	treebankTokens(s, func(token []byte) {
		if isUpperBytes(token) {
			n++
		}
	})
	return n
}

func TestQuickCapitalsEqualTheTokenizer(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	pieces := []string{"A", "b", "Ab", "AB", "I'm", "I'll", "I'd", "It's", "DON'T", "IT'S", "N'T", "n't", "'s", "b't", "I", "D", "WE'LL", "U.S.", "U.S.A", "CANNOT", "Gonna", "x-Y", "É", "é", "ǅ", "Ⅷ", "1", "١", "日",
		" ", " ", " ", "\n", "\t", "\u00a0", "\x1c", ".", ".", "..", ",", ":", ";", "!", "?", "-", "--", "–", "'", "''", "`", "\"", "“", "”", "‘", "’", "‚", "„", "«", "»",
		"(", ")", "[", "]", "*", "#", "&", "%", "/", "_", "+", "\\", "\xff", "😀"}
	quick := 0
	for range 60000 {
		s := ""
		for range 1 + g.IntN(12) {
			s += pieces[g.IntN(len(pieces))]
		}
		n, ok := quickCapitals(s)
		if !ok {
			continue
		}
		quick++
		if want := slowCapitals(s); n != want {
			t.Fatalf("%q has %d capital tokens, the quick count is %d", s, want, n)
		}
	}
	if quick < 10000 {
		t.Errorf("only %d texts were counted quickly", quick)
	}
}

func TestQuickCapitalsEqualTheTokenizerOnRealAnswers(t *testing.T) {
	quick, all := 0, 0
	for _, rows := range goldenRows(t) {
		for _, g := range rows {
			all++
			n, ok := quickCapitals(g.Response)
			if !ok {
				continue
			}
			quick++
			if want := slowCapitals(g.Response); n != want {
				t.Errorf("key %d by %q has %d capital tokens, the quick count is %d", g.Key, g.Model, want, n)
			}
		}
	}
	t.Logf("%d of %d answers were counted quickly", quick, all)
}
