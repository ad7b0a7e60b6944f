package profile

import (
	"fmt"
	"strings"
	"testing"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// TestWhatIsSaidOfTwoCountsHoldsForEveryText counts commas, whose checks are
// simple enough to try every count.
func TestWhatIsSaidOfTwoCountsHoldsForEveryText(t *testing.T) {
	var all []schemas.Rule
	for _, relation := range []string{"at least", "fewer than", "at most", "more than", "exactly", "other than"} {
		for n := range 4 {
			for _, negated := range []bool{false, true} {
				r := schemas.Rule{Profile: "rpo", Kind: "commas", Args: fmt.Sprintf(`{"n":%d,"relation":%q}`, n, relation), Negated: negated}
				if _, err := rules.Parse(r); err == nil {
					all = append(all, r)
				}
			}
		}
	}
	follows := func(r schemas.Rule, commas int) bool {
		check, err := rules.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		return check.Strict("a" + strings.Repeat(",", commas))
	}
	seen := map[relation]int{}
	for _, a := range all {
		for _, b := range all {
			both, aAlone, bAlone := 0, 0, 0
			for commas := range 8 {
				x, y := follows(a, commas), follows(b, commas)
				switch {
				case x && y:
					both++
				case x:
					aAlone++
				case y:
					bAlone++
				}
			}
			got := relate(a, b)
			seen[got]++
			want := compatible
			switch {
			case both == 0:
				want = exclusive
			case aAlone == 0:
				want = implies
			case bAlone == 0:
				want = implied
			}
			if got != want {
				t.Errorf("%+v and %+v: %v, want %v", a, b, got, want)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("relations seen %v", seen)
	}
}

func TestRulesOfGivenTextsLanguagesAndCasesAreRelated(t *testing.T) {
	rule := func(text string) schemas.Rule {
		r, ok := rules.Recognise(text)
		if !ok {
			t.Fatalf("%q has no rule", text)
		}
		return r
	}
	for _, c := range []struct {
		a, b string
		want relation
	}{
		{"Answer in English.", "Answer in French.", exclusive},
		{"Answer in English.", "Answer in English.", implies},
		{"Write in all capital letters.", "Write in all lowercase letters.", exclusive},
		{`Start with "Dear guest".`, `Start with "Hello".`, exclusive},
		{`Start with "Dear guest".`, `Start with "Dear".`, unknown},
		{`End with "Goodbye".`, `End with "See you".`, exclusive},
		{`Start with "Dear guest".`, `Do not use the phrase "dear guest".`, exclusive},
		{`Mention "green tea leaves".`, `Do not mention "green tea".`, exclusive},
		{`Mention "green tea".`, `Do not mention "green tea leaves".`, unknown},
		{`Mention "green tea".`, `Mention "black tea".`, unknown},
		{"Do not use emojis.", "Answer in fewer than 50 words.", unknown},
	} {
		if got := relate(rule(c.a), rule(c.b)); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.want)
		}
	}
	if relate(schemas.Rule{}, schemas.Rule{}) != unknown {
		t.Error("no rule is related to none")
	}
}
