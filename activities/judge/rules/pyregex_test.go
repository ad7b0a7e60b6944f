package rules

import (
	"fmt"
	"testing"

	"rpo/schemas"
)

func TestBracesInKeywordsMeanWhatTheyMeanToPython(t *testing.T) {
	for _, c := range []struct {
		keyword, response string
		found             bool
	}{
		{"^a{,2}$", "aa", true},
		{"^a{,2}$", "aaa", false},
		{"^a{,}b", "aaab", true},
		{"^xa{,3}?b", "xb", true},
		{"a{,b}", "a{,b}", true},
		{"x{,1,}", "x{,1,}", true},
		{"^[{,3}]$", ",", true},
		{`a\{,3}b`, "a{,3}b", true},
		{"a{", "a{", true},
		{`\b{a`, "b{a", true},
		{"^a{2,}$", "a", false},
	} {
		chk, err := Parse(schemas.Rule{Profile: "ifeval", Kind: "keywords:existence", Args: fmt.Sprintf(`{"keywords":[%q]}`, c.keyword)})
		if err != nil {
			t.Fatalf("%q: %v", c.keyword, err)
		}
		if chk.Strict(c.response) != c.found {
			t.Errorf("%q in %q: %v", c.keyword, c.response, !c.found)
		}
	}
}

func TestMatchesAreCountedAsPythonCountsThem(t *testing.T) {
	for _, c := range []struct {
		keyword, response string
		n                 int
	}{
		{"a*", "ba", 3}, // "", "a", ""
		{"1?|.", "{", 3},
		{`\b|b`, "ab b", 6},
		{"x*?", "xx", 5},
		{"İ+", "ı i I", 3},
		{"aa|a", "aaa", 2},
	} {
		p, err := compile(c.keyword, false, false, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := p.count(c.response, caseKey(c.response), 99); n != c.n {
			t.Errorf("%q stands %d times in %q, not %d", c.keyword, n, c.response, c.n)
		}
	}
}
