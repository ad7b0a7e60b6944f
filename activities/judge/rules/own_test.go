package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"rpo/schemas"
)

func own(kind, args string) schemas.Rule { return schemas.Rule{Profile: "rpo", Kind: kind, Args: args} }

func TestOwnRulesDecideAsDocumented(t *testing.T) {
	for _, c := range []struct {
		kind, args, response string
		want                 bool
	}{
		{"words", `{"n":8,"relation":"at least"}`, "one two three four five six seven eight", true},
		{"words", `{"n":8,"relation":"at least"}`, "one two three four five six seven", false},
		{"words", `{"n":2,"relation":"exactly"}`, "don't - well-known", true},
		{"words", `{"n":4,"relation":"exactly"}`, "你好世界。", true},
		{"words", `{"n":2,"relation":"exactly"}`, "naïve नमस्ते", true},
		{"words", `{"n":2,"relation":"other than"}`, "a b", false},
		{"characters", `{"n":3,"relation":"at most"}`, " äöü\n", true},
		{"characters", `{"n":3,"relation":"more than"}`, "äöü!", true},
		{"sentences", `{"n":2,"relation":"exactly"}`, "Dr. Smith left. He said \"no.\" ", true},
		{"sentences", `{"n":3,"relation":"exactly"}`, "你好。再见！吗", true},
		{"sentences", `{"n":1,"relation":"exactly"}`, "Version 3.5 is out", true},
		{"sentences", `{"n":2,"relation":"exactly"}`, "A title\n\nA text", true},
		{"lines", `{"n":2,"relation":"exactly"}`, "a\n\n  \nb\n", true},
		{"paragraphs", `{"n":2,"relation":"exactly"}`, "a\nb\n\n\nc", true},
		{"contains", `{"text":"Venus"}`, "the planet VENUS!", true},
		{"contains", `{"text":"Venus"}`, "mars", false},
		{"contains", `{"count":2,"text":"aa"}`, "aaa", false},
		{"contains", `{"count":2,"text":"aa"}`, "aaaa", true},
		{"contains", `{"text":"cat","whole_word":true}`, "category", false},
		{"contains", `{"text":"cat","whole_word":true}`, "category cat", true},
		{"contains", `{"text":"AI","whole_word":true}`, "使用AI技术", true},
		{"starts_with", `{"text":"No","whole_word":true}`, "Nothing", false},
		{"starts_with", `{"text":"No","whole_word":true}`, "no, nothing", true},
		{"starts_with", `{"ignore_marks":true,"text":"No","whole_word":true}`, "**No**", true},
		{"ends_with", `{"text":"on","whole_word":true}`, "moon", false},
		{"ends_with", `{"ignore_marks":true,"text":"on","whole_word":true}`, "turn it on.", true},
		{"ends_with", `{"text":"on","whole_word":true}`, "on", true},
		{"commas", `{"n":1,"relation":"fewer than"}`, "苹果、香蕉", true},
		{"commas", `{"n":1,"relation":"exactly"}`, "りんご、バナナ", true},
		{"starts_with", `{"text":"Dear"}`, "\n dear reader", true},
		{"ends_with", `{"text":"Bye."}`, "well, BYE.\n", true},
		{"ends_with", `{"text":"Bye."}`, "bye", false},
		{"commas", `{"n":1,"relation":"fewer than"}`, "none", true},
		{"commas", `{"n":1,"relation":"fewer than"}`, "a，b", false},
		{"emoji", `{"n":1,"relation":"exactly"}`, "ok 👍🏽", true},
		{"emoji", `{"n":2,"relation":"exactly"}`, "👨‍👩‍👧 🇩🇪", true},
		{"emoji", `{"n":0,"relation":"exactly"}`, "© 2024 → 1 # ✓", true},
		{"emoji", `{"n":2,"relation":"exactly"}`, "©️ 1️⃣", true},
		{"emoji", `{"n":1,"relation":"exactly"}`, "❤️", true},
		{"digits", `{"n":4,"relation":"exactly"}`, "in 2024", true},
		{"links", `{"n":2,"relation":"exactly"}`, "see https://www.a.org/?x=1 and www.b.org.", true},
		{"links", `{"n":1,"relation":"fewer than"}`, "awww. http://", true},
		{"questions", `{"n":2,"relation":"exactly"}`, "Really?! Why?? See a.org/?q=1", true},
		{"questions", `{"n":1,"relation":"exactly"}`, "是吗？a", true},
		{"lists", `{"n":4,"relation":"exactly"}`, "- a\n* b\n1. c\n2) d\n---\n3.5 is no item", true},
		{"hanzi", `{"n":2,"relation":"exactly"}`, "你好 ok はい。", true},
		{"exclamations", `{"n":2,"relation":"exactly"}`, "What?! Yes!!", true},
		{"bullets", `{"n":1,"relation":"exactly"}`, "- a\n1. b", true},
		{"starts_with", `{"ignore_marks":true,"text":"ok"}`, "**OK**, then", true},
		{"starts_with", `{"text":"ok"}`, "**OK**, then", false},
		{"ends_with", `{"ignore_marks":true,"text":"bye"}`, "and \"bye\".", true},
		{"ends_with", `{"ignore_marks":true,"text":"bye"}`, "bye now", false},
		{"language", `{"language":"zh"}`, "好的", true},
		{"language", `{"language":"zh"}`, "请使用 Python 和 Docker 来部署应用程序", true},
		{"language", `{"language":"ja"}`, "日本語を話します", true},
		{"language", `{"language":"en"}`, "This is certainly written in the English language.", true},
		{"language", `{"language":"de"}`, "Das ist ganz gewiss auf Deutsch geschrieben worden.", true},
		{"language", `{"language":"ru"}`, "Это предложение написано на русском языке.", true},
		{"language", `{"language":"en"}`, "1 + 1 = 2", false},
		{"json", `{}`, "```json\n{\"a\": 1}\n```", true},
		{"json", `{}`, "5", false},
		{"json", `{"keys":["a","b"]}`, "{\"a\": 1, \"b\": null}", true},
		{"json", `{"keys":["a","b"]}`, "{\"a\": 1}", false},
		{"uppercase", ``, "ALL 1, É", true},
		{"uppercase", ``, "ALl", false},
		{"lowercase", ``, "all 1", true},
		{"lowercase", ``, "aǅ", false},
		{"headings", `{"n":1,"relation":"exactly"}`, "# A\n#b\n####### c", true},
	} {
		chk, err := Parse(own(c.kind, c.args))
		if err != nil {
			t.Fatalf("%s %s: %v", c.kind, c.args, err)
		}
		if got := chk.Strict(c.response); got != c.want {
			t.Errorf("%s %s on %q is %v", c.kind, c.args, c.response, got)
		}
	}
}

func TestABlankResponsePassesNothing(t *testing.T) {
	for _, blank := range []string{"", " \n\t", "\u3000", "\x1c"} {
		for _, negated := range []bool{false, true} {
			r := own("commas", `{"n":1,"relation":"fewer than"}`)
			r.Negated = negated
			c, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if c.Strict(blank) || c.Loose(blank) {
				t.Errorf("%q passes, negated %v", blank, negated)
			}
		}
	}
}

func TestBadRulesFailClosedNamingTheField(t *testing.T) {
	for _, c := range []struct {
		rule schemas.Rule
		want string
	}{
		{schemas.Rule{Profile: "x", Kind: "words"}, `profile "x"`},
		{own("word", ""), `kind "word"`},
		{own("words", `{"n":1}`), "args.relation"},
		{own("words", `{"n":1,"relation":"less than"}`), "args.relation"},
		{own("words", `{"relation":"at least"}`), "args.n"},
		{own("words", `{"n":-1,"relation":"at most"}`), "args.n"},
		{own("words", `{"n":0,"relation":"at least"}`), "args.n"},
		{own("words", `{"n":1.5,"relation":"at least"}`), "args.n"},
		{own("words", `{"n":1e300,"relation":"at least"}`), "args.n"},
		{own("words", `{"m":1,"n":1,"relation":"at least"}`), "args.m"},
		{own("words", `[]`), "args"},
		{own("words", `{} {}`), "args"},
		{own("words", `null`), "args"},
		{own("contains", `{"text":" "}`), "args.text"},
		{own("contains", `{"text":7}`), "args.text"},
		{own("contains", `{"count":0,"text":"a"}`), "args.count"},
		{own("contains", `{"text":"a","whole_word":1}`), "args.whole_word"},
	} {
		_, err := Parse(c.rule)
		if err == nil || schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want InvalidInput naming %s", c.rule, err, c.want)
		}
		if _, err := Opposite(schemas.Constraint{Rule: c.rule}); err == nil {
			t.Errorf("%+v has an opposite", c.rule)
		}
		if Phrasings(c.rule) != 0 {
			t.Errorf("%+v has phrasings", c.rule)
		}
	}
}

// ownRules are rules of every kind of the rpo profile.
func ownRules() []schemas.Rule {
	var out []schemas.Rule
	for name := range ownKinds {
		for relation := range complement {
			for n := 0; n <= 9; n++ {
				r := own(name, fmt.Sprintf(`{"n":%d,"relation":"%s"}`, n, relation))
				if _, err := Parse(r); err == nil {
					out = append(out, r)
				}
			}
		}
	}
	for _, name := range []string{"contains", "starts_with", "ends_with"} {
		for _, text := range []string{"a", "😀", "The", "?", "。"} {
			out = append(out, own(name, fmt.Sprintf(`{"text":"%s"}`, text)))
		}
	}
	out = append(out, own("language", `{"language":"en"}`), own("language", `{"language":"zh"}`), own("json", ""), own("json", `{"keys":["a","b"]}`),
		own("json", `{"keys":["a"]}`), own("uppercase", ""), own("lowercase", "{}"),
		own("starts_with", `{"ignore_marks":true,"text":"the"}`), own("ends_with", `{"ignore_marks":true,"text":"x"}`),
		own("starts_with", `{"text":"a","whole_word":true}`), own("ends_with", `{"ignore_marks":true,"text":"a","whole_word":true}`))
	out = append(out, own("contains", `{"count":2,"text":"a"}`), own("contains", `{"count":3,"text":"the","whole_word":true}`))
	return out
}

// randomText strings pieces together that the rules look at.
func randomText(g *rand.Rand) string {
	pieces := []string{"a", "the", "The cat", " ", " ", "\n", "\n\n", ",", "，", "。", ". ", "? ", "？", "! ", "1", "2. ", "- ", "* ", "# ",
		"😀", "👩‍👧", "🇫🇷", "\ufe0f", "https://a.b", "www.x", "你好", "**x**", "[y]", "<<t>>", "***", "******", "P.S. ", "\"", "“", "”",
		"SECTION 1", "A1", "U.S. ", "\x1c", "\u2028", "\xff", "{\"a\":1}", "```json\n", "İ", "ß", "ǅ", "My answer is yes.", "é", "क", "ก"}
	var b strings.Builder
	for range g.IntN(14) {
		b.WriteString(pieces[g.IntN(len(pieces))])
	}
	return b.String()
}

// checkOpposites tests the contract of Opposite for rules over texts.
func checkOpposites(t *testing.T, rs []schemas.Rule, texts []string) {
	t.Helper()
	checkOppositesOf(t, "the original", phrasings, rs, texts)
}

// checkOppositesOf does so for constraints of a text, whose opposites are among
// the phrasings.
func checkOppositesOf(t *testing.T, original string, phrasings func(schemas.Rule) ([]string, error), rs []schemas.Rule, texts []string) {
	t.Helper()
	for _, r := range rs {
		c := schemas.Constraint{ConstraintID: uuid.NewString(), Text: original, Family: Family(r), Rule: r, Start: 3, End: 9}
		o, err := Opposite(c)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		back, err := Opposite(o)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if back.Rule != r || back.Text != c.Text || back.Family != c.Family {
			t.Fatalf("the opposite of the opposite of %+v is %+v", c, back)
		}
		if o.OppositeOf != c.Text || o.Start != 0 || o.End != 0 || o.Text == c.Text || o.ConstraintID == c.ConstraintID {
			t.Fatalf("%+v has the opposite %+v", c, o)
		}
		known, err := phrasings(o.Rule)
		if err != nil {
			t.Fatalf("describe %+v: %v", o.Rule, err)
		}
		if o.Text == "" || !slices.Contains(known, o.Text) {
			t.Fatalf("%q is no phrasing of %+v", o.Text, o.Rule)
		}
		yes, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		no, err := Parse(o.Rule)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range texts {
			a, b := yes.Strict(s), no.Strict(s)
			if blank(s) && (a || b) || !blank(s) && a == b {
				t.Fatalf("%+v is %v and its opposite %+v is %v on %q", r, a, o.Rule, b, s)
			}
			if a && !yes.Loose(s) {
				t.Fatalf("%+v passes strict but not loose on %q", r, s)
			}
		}
	}
}

func TestExactlyOneOfARuleAndItsOppositePasses(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 2))
	var texts []string
	for range 300 {
		texts = append(texts, randomText(g))
	}
	checkOpposites(t, ownRules(), texts)
}

func TestPhrasingsAreDistinctAndComplete(t *testing.T) {
	for _, r := range ownRules() {
		for _, r.Negated = range []bool{false, true} {
			if Phrasings(r) < 2 {
				t.Errorf("%+v has %d phrasings", r, Phrasings(r))
			}
			seen := map[string]bool{}
			for v := range Phrasings(r) {
				s, err := Describe(r, v)
				if err != nil || seen[s] || strings.Contains(s, "%!") {
					t.Errorf("%+v phrasing %d: %q, %v", r, v, s, err)
				}
				seen[s] = true
			}
			if _, err := Describe(r, Phrasings(r)); err == nil {
				t.Errorf("%+v has a phrasing too many", r)
			}
		}
	}
}

func TestOppositeReadsNaturally(t *testing.T) {
	for _, c := range []struct {
		rule schemas.Rule
		want string
	}{
		{own("words", `{"n":8,"relation":"at least"}`), "Write fewer than 8 words."},
		{own("words", `{"n":8,"relation":"exactly"}`), "Write any number of words other than 8."},
		{own("commas", `{"n":1,"relation":"fewer than"}`), "Use at least one comma."},
		{own("emoji", `{"n":1,"relation":"at least"}`), "Do not use any emojis."},
		{own("contains", `{"text":"blue"}`), `Do not include "blue" in your answer.`},
	} {
		r, err := oppositeRule(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := Describe(r, 0); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestATriggerStaysInTheOpposite(t *testing.T) {
	for trigger, want := range map[string]string{
		"the user mentions love": `When the user mentions love, do not include "Venus" in your answer.`,
		"When the user is sad,":  `When the user is sad, do not include "Venus" in your answer.`,
		"if asked for a poem":    `If asked for a poem, do not include "Venus" in your answer.`,
		"I'm asked about love":   `When I'm asked about love, do not include "Venus" in your answer.`,
		"USA is mentioned":       `When USA is mentioned, do not include "Venus" in your answer.`,
	} {
		c := schemas.Constraint{Text: "t", Rule: own("contains", `{"text":"Venus"}`), Trigger: trigger}
		for i := 0; ; i++ {
			c.ConstraintID = fmt.Sprint(i)
			o, err := Opposite(c)
			if err != nil {
				t.Fatal(err)
			}
			if o.Trigger != trigger {
				t.Fatalf("trigger is %q", o.Trigger)
			}
			if o.Text == want {
				break
			}
			if i > 99 {
				t.Fatalf("got %q, want %q", o.Text, want)
			}
		}
	}
}

func TestCanonicalArgsSortKeysAndDropBlanksAndNulls(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{nil, "{}"}, {"", "{}"}, {"{}", "{}"},
		{`{ "b" : [1, "x<y"], "a": null, "A": {"d":1,"c":2.50} }`, `{"A":{"c":2.50,"d":1},"b":[1,"x<y"]}`},
		{map[string]any{"n": 3, "relation": "at least"}, `{"n":3,"relation":"at least"}`},
	} {
		got, err := CanonicalArgs(c.in)
		want := c.want
		if err != nil || got != want {
			t.Errorf("%v: got %s, %v, want %s", c.in, got, err, want)
		}
		again, err := CanonicalArgs(got)
		if err != nil || again != got {
			t.Errorf("%s is not a fixed point: %s, %v", got, again, err)
		}
	}
	if _, err := CanonicalArgs("[1]"); err == nil {
		t.Error("a list passes")
	}
}
