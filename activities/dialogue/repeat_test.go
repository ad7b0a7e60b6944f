package dialogue

import (
	"testing"
	"unicode/utf8"
)

func TestARepeatIsTold(t *testing.T) {
	for _, c := range []struct {
		query, earlier string
		want           bool
	}{
		{"Which tea is good?", "which tea... is good", true},
		{"What's up?", "What’s up", true},
		{"Can you tell me about green tea?", "Can you tell me about your opening hours on public holidays?", true}, // the same first words
		{"Can you tell me your price?", "Can you explain the ceremony?", false},
		{"Which tea do you recommend in the evening?", "What tea would you recommend for the evening?", true},
		{"Hi, how long does it brew?", "Hi, which cups are blue?", false}, // a greeting is no clause
		{"Do you think it rains tomorrow, or should I take the early train to Leeds and stay?", "You think it rains tomorrow, right?", true},
		{"Where were the cups made?", "My sister hates bitter drinks, any idea?", false},
		{"推荐一款适合早上的茶。", "推荐一款适合早上喝的茶", true},
		{"请问这款茶多少钱？", "请问这款茶要泡多久？", true},
		{"杯子是哪里做的？", "茶要泡多久？", false},
		{"?", "??", false},
		{"?", "?", true},
		{"🍵", "🍵", true},
		{"🍵", "☕", false},
		{"a", "b", false},
	} {
		if got := repeats(c.query, []string{"Nothing of the kind", c.earlier}); got != c.want {
			t.Errorf("%q after %q: %v", c.query, c.earlier, got)
		}
		if got := repeats(c.earlier, []string{c.query}); got != c.want {
			t.Errorf("%q after %q: %v", c.earlier, c.query, got)
		}
	}
}

func FuzzRepeatsIsReflexiveAndSymmetric(f *testing.F) {
	f.Add("Which tea?", "Which, tea")
	f.Add("茶", "🍵")
	f.Add("", "\x00\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !repeats(a, []string{a}) {
			t.Errorf("%q does not repeat itself", a)
		}
		if repeats(a, []string{b}) != repeats(b, []string{a}) {
			t.Errorf("%q and %q repeat one way", a, b)
		}
	})
}

func FuzzRepliesAreTakenWholeOrNotAtAll(f *testing.F) {
	f.Add(`{"query": "Is there tea?"}`)
	f.Add(`{"response": "tea"}`)
	f.Add(`{"triggers": [{"id": "c2", "reason": "", "trigger": "unmet"}, {"id": "c1", "reason": "", "trigger": "query"}]}`)
	f.Add(`{"triggers": [{"id": "c1", "reason": "", "trigger": "query"}, {"id": "c1", "reason": "", "trigger": "query"}]}`)
	f.Add(`{"query": "x"} and more`)
	f.Fuzz(func(t *testing.T, reply string) {
		if q, err := parseQuery(reply, "material-0"); err == nil && (q == "" || utf8.RuneCountInString(q) > longestQuery || !utf8.ValidString(q)) {
			t.Errorf("query %q", q)
		}
		if r, err := parseEdit(reply, "material-0"); err == nil && (r == "" || !utf8.ValidString(r)) {
			t.Errorf("edit %q", r)
		}
		if d, err := parseRubric(reply, []string{"c1", "c2"}); err == nil && (len(d) != 2 || d[0].ID != "c1" || d[1].ID != "c2") {
			t.Errorf("rubric %+v", d)
		}
	})
}
