package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rpo/schemas"
)

// allRules has rules of every kind of every profile.
func allRules(t testing.TB) []schemas.Rule {
	return append(officialRules(t), ownRules()...)
}

// eightVariants writes IFEval's variants down as the official code does.
func eightVariants(response string) []string {
	lines := strings.Split(response, "\n")
	join := func(from, to int) string {
		if from >= to {
			return ""
		}
		return strip(strings.Join(lines[from:to], "\n"))
	}
	n := len(lines)
	cut := []string{response, join(1, n), join(0, n-1), join(1, n-1)}
	var out []string
	for _, v := range cut {
		out = append(out, v, strings.ReplaceAll(v, "*", ""))
	}
	return out
}

func TestLooseIsAnyOfTheEightVariants(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 8))
	var texts []string
	for range 40 {
		texts = append(texts, randomText(g)+"\n"+randomText(g)+"\n"+randomText(g))
	}
	for _, r := range allRules(t) {
		if profiles[r.Profile].kinds[r.Kind].family == "" {
			t.Fatalf("%+v has no family", r)
		}
		if strings.Contains(r.Kind, "language") || strings.Contains(r.Kind, "english") {
			continue // slow, and by the same path as the others
		}
		for _, r.Negated = range []bool{false, true} {
			c, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range texts {
				want := false
				for _, v := range eightVariants(s) {
					want = want || c.Strict(v)
				}
				if got := c.Loose(s); got != want {
					t.Fatalf("%+v on %q: loose is %v, of the eight variants %v", r, s, got, want)
				}
				if strict, loose := Both(c, s); strict != c.Strict(s) || loose != want {
					t.Fatalf("%+v on %q: both are %v and %v", r, s, strict, loose)
				}
			}
		}
	}
}

func TestAMegabyteTakesNoRuleLong(t *testing.T) {
	const size = 1 << 20
	units := []string{"a", " ", "\n", "*", "**", "* ", "- \n", "\n\n", "<<", ">>", "<<a>>", "[", "[]", ".", ". ", ". . ", "...", "a.)", "A.", "'", "\"", "`",
		"cannot-", "'tis", "I'm ", "\x00", "\xff", "İ", "Σ", "é", "中", "。", "😀", "👩\u200d", "\u200d", "\ufe0f", "https://", "www.a", "a@", "@", "aa@b.c ", "P.", "p. ",
		"S 1", "SECTION", "{", "[\"", "1", "-1", "the ", "Mr. ", "A ", "x,", ":", "?", "? ", "!?", "# ", "1. "}
	for _, unit := range units {
		s := strings.Repeat(unit, size/len(unit))
		for _, r := range oneOfEachKind(t) {
			if r.Profile == "multi_if" && !strings.HasPrefix(r.Kind, "length") {
				continue // the same code as in ifeval
			}
			c, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			Both(c, s)
			// Linear work on eight variants takes a fraction of this; quadratic work minutes.
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%+v took %v on a megabyte of %q", r, took, unit)
			}
		}
	}
}

// oneOfEachKind has one rule of every kind of every profile.
func oneOfEachKind(t testing.TB) []schemas.Rule {
	seen := map[string]bool{}
	var out []schemas.Rule
	for _, r := range allRules(t) {
		if name := r.Profile + r.Kind; !seen[name] {
			seen[name] = true
			out = append(out, r)
		}
	}
	return out
}

func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "a", "Mr. A. said \"no.\" 'Tis I'm.", "* a\n- b\n***\n<<t>> [x] P.S.", "你好。👩‍👧 https://a.b c@d.e", "\xff\x00\x1c"} {
		f.Add(s, "a", 1)
	}
	fixed := oneOfEachKind(f)
	f.Fuzz(func(t *testing.T, response, word string, n int) {
		rules := slices.Clone(fixed)
		add := func(profile, kind string, args map[string]any) {
			text, err := CanonicalArgs(args)
			if err != nil {
				return
			}
			rules = append(rules, schemas.Rule{Profile: profile, Kind: kind, Args: text})
		}
		for _, p := range []string{"ifeval", "multi_if"} {
			add(p, "keywords:existence", map[string]any{"keywords": []string{word}})
			add(p, "keywords:frequency", map[string]any{"keyword": word, "frequency": n, "relation": "at least"})
			add(p, "keywords:forbidden_words", map[string]any{"forbidden_words": []string{word}})
			add(p, "keywords:letter_frequency", map[string]any{"letter": word, "let_frequency": n, "let_relation": "less than"})
			add(p, "detectable_content:postscript", map[string]any{"postscript_marker": word})
			add(p, "detectable_format:multiple_sections", map[string]any{"section_spliter": word, "num_sections": n})
			add(p, "startend:end_checker", map[string]any{"end_phrase": word})
			add(p, "combination:repeat_prompt", map[string]any{"prompt_to_repeat": word})
			add(p, "length_constraints:nth_paragraph_first_word", map[string]any{"first_word": word, "nth_paragraph": 1, "num_paragraphs": n})
		}
		for _, kind := range []string{"contains", "starts_with", "ends_with"} {
			add("rpo", kind, map[string]any{"text": word})
		}
		add("rpo", "json", map[string]any{"keys": []string{word}})
		for _, r := range rules {
			c, err := Parse(r)
			if err != nil {
				if schemas.TypeOf(err) != schemas.InvalidInput || len(err.Error()) > 1024 {
					t.Fatalf("%+v: %v", r, err)
				}
				continue
			}
			o, err := Opposite(schemas.Constraint{ConstraintID: fmt.Sprint(n), Text: word, Rule: r})
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			no, err := Parse(o.Rule)
			if err != nil {
				t.Fatalf("%+v: %v", o.Rule, err)
			}
			strict, loose := Both(c, response)
			if blank(response) && strict || !blank(response) && strict == no.Strict(response) || strict && !loose {
				t.Fatalf("%+v on %q: strict %v, loose %v, opposite %v", r, response, strict, loose, no.Strict(response))
			}
		}
		Recognise(response)
	})
}
