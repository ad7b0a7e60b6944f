package rules

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"rpo/schemas"
)

// officialArgs has arguments for every official kind.
var officialArgs = map[string][]string{
	"keywords:existence":                            {`{"keywords":["a"]}`, `{"keywords":["the","cat"]}`, `{"keywords":["t.e","[12]"]}`},
	"keywords:frequency":                            {`{"frequency":1,"keyword":"a","relation":"less than"}`, `{"frequency":2,"keyword":"the","relation":"at least"}`, `{"frequency":3,"keyword":"a|e","relation":"less than"}`},
	"keywords:forbidden_words":                      {`{"forbidden_words":["a"]}`, `{"forbidden_words":["the","好"]}`},
	"keywords:letter_frequency":                     {`{"let_frequency":2,"let_relation":"at least","letter":"t"}`, `{"let_frequency":1,"let_relation":"less than","letter":"#"}`},
	"language:response_language":                    {`{"language":"en"}`, `{"language":"zh-cn"}`, `{"language":"hi"}`},
	"length_constraints:number_sentences":           {`{"num_sentences":2,"relation":"at least"}`, `{"num_sentences":3,"relation":"less than"}`},
	"length_constraints:number_paragraphs":          {`{"num_paragraphs":1}`, `{"num_paragraphs":2}`},
	"length_constraints:number_words":               {`{"num_words":5,"relation":"at least"}`, `{"num_words":9,"relation":"less than"}`},
	"length_constraints:nth_paragraph_first_word":   {`{"first_word":"the","nth_paragraph":1,"num_paragraphs":2}`, `{"first_word":"a","nth_paragraph":1,"num_paragraphs":1}`},
	"detectable_content:number_placeholders":        {`{"num_placeholders":1}`, `{"num_placeholders":2}`},
	"detectable_content:postscript":                 {`{"postscript_marker":"P.S."}`, `{"postscript_marker":"P.P.S"}`, `{"postscript_marker":"Note"}`},
	"detectable_format:number_bullet_lists":         {`{"num_bullets":1}`, `{"num_bullets":2}`},
	"detectable_format:constrained_response":        {""},
	"detectable_format:number_highlighted_sections": {`{"num_highlights":1}`, `{"num_highlights":2}`},
	"detectable_format:multiple_sections":           {`{"num_sections":1,"section_spliter":"SECTION"}`, `{"num_sections":2,"section_spliter":"S.*N"}`},
	"detectable_format:json_format":                 {"{}"},
	"detectable_format:title":                       {""},
	"combination:two_responses":                     {""},
	"combination:repeat_prompt":                     {`{"prompt_to_repeat":"The"}`},
	"startend:end_checker":                          {`{"end_phrase":"the"}`, `{"end_phrase":"x?"}`},
	"startend:quotation":                            {""},
	"change_case:capital_word_frequency":            {`{"capital_frequency":2,"capital_relation":"at least"}`, `{"capital_frequency":1,"capital_relation":"less than"}`},
	"change_case:english_capital":                   {""},
	"change_case:english_lowercase":                 {""},
	"punctuation:no_comma":                          {""},
}

func officialRules(t testing.TB) []schemas.Rule {
	t.Helper()
	var out []schemas.Rule
	for _, profile := range []string{"ifeval", "multi_if"} {
		for _, id := range slices.Sorted(maps.Keys(profiles[profile].kinds)) {
			if len(officialArgs[id]) == 0 {
				t.Errorf("%s has no arguments to test with", id)
			}
			for _, a := range officialArgs[id] {
				out = append(out, schemas.Rule{Profile: profile, Kind: id, Args: a})
			}
		}
	}
	return out
}

func TestAllOfTheOfficialKindsAreThere(t *testing.T) {
	for _, p := range []string{"ifeval", "multi_if"} {
		if n := len(profiles[p].kinds); n != 25 {
			t.Errorf("%s has %d kinds, not 25", p, n)
		}
		if Version(p) != p+"/1" {
			t.Errorf("the version of %s is %q", p, Version(p))
		}
	}
}

func TestExactlyOneOfAnOfficialRuleAndItsOppositePasses(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 4))
	var texts []string
	for range 100 {
		texts = append(texts, randomText(g))
	}
	rs := officialRules(t)
	checkOpposites(t, rs, texts)
	for i := range rs {
		rs[i].Negated = true
	}
	checkOpposites(t, rs, texts[:20])
}

func TestOfficialRulesHaveDistinctPhrasings(t *testing.T) {
	for _, r := range officialRules(t) {
		seen := map[string]bool{}
		for _, r.Negated = range []bool{false, true} {
			if Phrasings(r) < 2 {
				t.Errorf("%+v has %d phrasings", r, Phrasings(r))
			}
			for v := range Phrasings(r) {
				s, err := Describe(r, v)
				if err != nil || seen[s] || strings.Contains(s, "%!") || strings.Contains(s, "  ") {
					t.Errorf("%+v phrasing %d: %q, %v", r, v, s, err)
				}
				seen[s] = true
			}
		}
	}
}

func TestExactlyOneOfEachGoldenRuleAndItsOppositePasses(t *testing.T) {
	for _, rows := range goldenRows(t) {
		for _, g := range rows {
			c := schemas.Constraint{ConstraintID: uuid.NewString(), Text: "the original", Rule: g.rule(t, "ifeval")}
			o, err := Opposite(c)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Opposite(o)
			if err != nil || back.Rule != c.Rule || back.Text != c.Text {
				t.Fatalf("the opposite of the opposite of %+v is %+v, %v", c, back, err)
			}
			yes, err := Parse(c.Rule)
			if err != nil {
				t.Fatal(err)
			}
			no, err := Parse(o.Rule)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := yes.Strict(g.Response), no.Strict(g.Response); a == b && !blank(g.Response) {
				t.Errorf("%+v and its opposite are both %v on the answer to %d by %q", c.Rule, a, g.Key, g.Model)
			}
		}
	}
}

func TestEveryPublishedRuleIsUnderstood(t *testing.T) {
	dir := testData(t)
	type prompt struct {
		Key    int               `json:"key"`
		IDs    []string          `json:"instruction_id_list"`
		Kwargs []json.RawMessage `json:"kwargs"`
	}
	n := 0
	understood := func(profile, id string, kwargs json.RawMessage, where any) {
		n++
		g := goldenRow{InstructionID: id, Kwargs: kwargs}
		r := g.rule(t, profile)
		if _, err := Parse(r); err != nil {
			t.Errorf("%v: %v", where, err)
		} else if _, err := Opposite(schemas.Constraint{Rule: r}); err != nil {
			t.Errorf("%v: %v", where, err)
		}
	}
	for _, p := range readLines[prompt](t, filepath.Join(dir, "ifeval", "prompts.jsonl")) {
		for i, id := range p.IDs {
			understood("ifeval", id, p.Kwargs[i], p.Key)
		}
	}
	if n != 834 {
		t.Errorf("%d IFEval rules, not 834", n)
	}
	f, err := os.Open(filepath.Join(dir, "multi_if", "english.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		for _, turn := range []string{"1", "2", "3"} {
			ids := row[column["turn_"+turn+"_instruction_id_list"]]
			if ids == "" || ids == "None" {
				continue
			}
			var idList, kwargs []string
			if err := json.Unmarshal([]byte(ids), &idList); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(row[column["turn_"+turn+"_kwargs"]]), &kwargs); err != nil {
				t.Fatal(err)
			}
			for i, id := range idList {
				understood("multi_if", id, json.RawMessage(kwargs[i]), row[column["key"]])
			}
		}
	}
	t.Logf("%d rules", n)
}

func TestBadOfficialArgumentsFailClosedNamingTheField(t *testing.T) {
	for _, c := range []struct{ kind, args, want string }{
		{"keywords:existence", `{}`, "args.keywords"},
		{"keywords:existence", `{"keywords":[]}`, "args.keywords"},
		{"keywords:existence", `{"keywords":["a",5]}`, "args.keywords[1]"},
		{"keywords:existence", `{"keywords":["a("]}`, "args.keywords"},
		{"keywords:existence", `{"keywords":["(?=a)"]}`, "args.keywords"},
		{"keywords:forbidden_words", `{"forbidden_words":["*"]}`, "args.forbidden_words"},
		{"keywords:frequency", `{"frequency":1,"keyword":"[","relation":"less than"}`, "args.keyword"},
		{"keywords:frequency", `{"frequency":-1,"keyword":"a","relation":"less than"}`, "args.frequency"},
		{"keywords:frequency", `{"frequency":1,"keyword":"a","relation":"fewer than"}`, "args.relation"},
		{"keywords:letter_frequency", `{"let_frequency":1,"let_relation":"at least","letter":"ab"}`, "args.letter"},
		{"language:response_language", `{"language":"xx"}`, "args.language"},
		{"length_constraints:nth_paragraph_first_word", `{"first_word":"a","nth_paragraph":3,"num_paragraphs":2}`, "args.nth_paragraph"},
		{"length_constraints:number_words", `{"num_words":null,"relation":"at least"}`, "args.num_words"},
		{"detectable_content:postscript", `{"postscript_marker":"P(S"}`, "args.postscript_marker"},
		{"detectable_format:multiple_sections", `{"num_sections":2,"section_spliter":"S["}`, "args.section_spliter"},
		{"punctuation:no_comma", `{"n":1}`, "args.n"},
		{"keywords:key_sentences", `{}`, "keywords:key_sentences"},
	} {
		for _, profile := range []string{"ifeval", "multi_if"} {
			_, err := Parse(schemas.Rule{Profile: profile, Kind: c.kind, Args: c.args})
			if err == nil || schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %s: got %v, want InvalidInput naming %s", c.kind, c.args, err, c.want)
			}
		}
	}
}
