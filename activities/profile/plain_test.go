package profile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/schemas"
)

const plainLine = `{"id": "a", "split": "eval", "system": "You sell tea. No emoji. At most 9 words. When asked about milk, say no.",
"constraints": [{"text": "When asked about milk, say no.", "trigger": "asked about milk", "family": "behaviour"},
{"text": "No emoji."}, {"text": "At most 9 words.", "rule": {"profile": "rpo", "kind": "words", "args": {"relation": "at most", "n": 9}}}],
"queries": ["Hi", {"query": "Milk?", "triggered": [0, 2]}]}`

func plain(edits ...string) string {
	return strings.ReplaceAll(strings.NewReplacer(edits...).Replace(plainLine), "\n", " ")
}

func TestAPlainProfileKeepsWhatTheFileSays(t *testing.T) {
	in, err := ReadPlain(strings.NewReader(plain()), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := in.Profiles[0]
	checkProfile(t, p)
	if p.Source != "shop" || p.SourceID != "a" || p.Split != schemas.SplitEval || in.Books != (schemas.Books{In: 1, OK: 1}) {
		t.Errorf("got %+v, books %+v", p, in.Books)
	}
	var got []string
	for _, c := range p.Constraints {
		got = append(got, c.Text+"|"+c.Family+"|"+c.Trigger+"|"+c.Rule.Kind+c.Rule.Args)
	}
	want := []string{"No emoji.|content||", `At most 9 words.|format||words{"n":9,"relation":"at most"}`,
		"When asked about milk, say no.|behaviour|asked about milk|"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if len(in.Turns) != 2 || len(in.Turns[0].Triggered) != 3 || in.Turns[0].DialogueID == in.Turns[1].DialogueID {
		t.Fatalf("turns %+v", in.Turns)
	}
	// Places in the file's list, not in the message.
	if want := []string{p.Constraints[1].ConstraintID, p.Constraints[2].ConstraintID}; !slices.Equal(in.Turns[1].Triggered, want) {
		t.Errorf("triggered %q, want %q", in.Turns[1].Triggered, want)
	}
}

func TestAConstraintWithoutRuleGetsTheOneThatItsTextStates(t *testing.T) {
	const line = `{"id": "a", "system": "Do not use emojis. 回答不超过80字。Never ask questions. Be kind. Avoid commas.",
"constraints": [{"text": "Do not use emojis."}, {"text": "回答不超过80字。", "family": "style"}, {"text": "Never ask questions.", "trigger": "the user is sad"},
{"text": "Be kind."}, {"text": "Avoid commas.", "rule": {"profile": "ifeval", "kind": "punctuation:no_comma", "args": {}}}], "queries": ["Hi"]}`
	in, err := ReadPlain(strings.NewReader(strings.ReplaceAll(line, "\n", " ")), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkProfile(t, in.Profiles[0])
	var got []string
	for _, c := range in.Profiles[0].Constraints {
		got = append(got, c.Family+"|"+c.Rule.Profile+"|"+c.Rule.Kind+c.Rule.Args)
	}
	want := []string{`style|rpo|emoji{"n":1,"relation":"fewer than"}`, `style|rpo|words{"n":80,"relation":"at most"}`, "content||", "content||",
		"style|ifeval|punctuation:no_comma{}"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTheAnswersOfADialogueAreTheHistoryOfWhatFollows(t *testing.T) {
	line := plain(`"queries": ["Hi", {"query": "Milk?", "triggered": [0, 2]}]`,
		`"dialogues": [[{"query": "Hi", "answer": "Hello", "triggered": []}, {"query": "Tea?", "answer": "Yes"}, {"query": "Now?"}]]`)
	in, err := ReadPlain(strings.NewReader(line), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Turns) != 3 {
		t.Fatalf("got %d turns", len(in.Turns))
	}
	for i, want := range []string{"[]", "[{user Hi} {assistant Hello}]", "[{user Hi} {assistant Hello} {user Tea?} {assistant Yes}]"} {
		turn := in.Turns[i]
		if got := fmt.Sprint(turn.History); got != want || turn.Index != int64(i) || turn.DialogueID != in.Turns[0].DialogueID {
			t.Errorf("turn %d has history %s, want %s", i, got, want)
		}
	}
	if len(in.Turns[0].Triggered) != 0 || len(in.Turns[1].Triggered) != 3 {
		t.Error("an empty list of triggered constraints is not all of them")
	}
}

func TestIdsDependOnTheContentAlone(t *testing.T) {
	first, err := ReadPlain(strings.NewReader(plain()), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := ReadPlain(strings.NewReader("\ufeff\r\n"+plain()+"\r\n"), "shop", Options{EvalFraction: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadPlain(strings.NewReader(plain("You sell", "You buy")), "shop", Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		t.Errorf("a byte order mark and blank lines change the rows:\n%s\n%s", a, b)
	}
	if other.Profiles[0].ProfileID == first.Profiles[0].ProfileID || other.Turns[0].TurnID == first.Turns[0].TurnID {
		t.Error("another system message has the same ids")
	}
}

func TestTheSplitFollowsTheFraction(t *testing.T) {
	var file strings.Builder
	for i := range 400 {
		fmt.Fprintf(&file, `{"id":"%d","system":"Name town %d.","constraints":[{"text":"Name town %d."}],"queries":["Where?","Where?"]}`+"\n", i, i/2, i/2)
	}
	count := func(f float64) (n int) {
		in, err := ReadPlain(strings.NewReader(file.String()), "shop", Options{EvalFraction: f})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range in.Profiles {
			if p.Split == schemas.SplitEval {
				n++
			}
		}
		return n
	}
	if count(0) != 0 || count(1) != 400 {
		t.Errorf("fractions 0 and 1 give %d and %d of 400", count(0), count(1))
	}
	// Six standard deviations of a fair draw: 400 * 0.25.
	if n := count(0.25); n < 48 || n > 152 {
		t.Errorf("a quarter of 400 is %d", n)
	}
}

func TestRepeatedTextsTakeTheirPlacesInOrder(t *testing.T) {
	for _, c := range []struct {
		system string
		texts  []string
		want   string
	}{
		{"A. B. A.", []string{"A.", "B.", "A."}, "[{0 2} {3 5} {6 8}]"},
		{"Use no tea. Use no tea bags.", []string{"Use no tea", "Use no tea bags"}, "[{0 10} {12 27}]"},
		{"A. B.", []string{"C."}, `"C." does not stand in system`},
		{"A. A.", []string{"A."}, "stands in system 2 times, but 1 constraints"},
		{"A.", []string{"A.", "A."}, "stands in system 1 times, but 2 constraints"},
		{"abcd", []string{"abc", "bcd"}, "overlaps another constraint"},
	} {
		paths := make([]string, len(c.texts))
		spans, err := locate(c.system, c.texts, paths)
		got := fmt.Sprint(spans)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q in %q: got %s, want %s", c.texts, c.system, got, c.want)
		}
	}
}

func TestAPlainFileWithAFaultIsRefusedWhole(t *testing.T) {
	for want, file := range map[string]string{
		`line 2: id "a" is that of line 1`:                                       plain() + "\n" + plain(),
		`line 1: id "a": unknown field constraints[0].texts`:                     plain(`"text": "When`, `"texts": "When`),
		`line 1: id "a": unknown field constraints[2].rule.kinds`:                plain(`"kind"`, `"kinds"`),
		`line 1: id "a": unknown field queries[1].when`:                          plain(`"triggered"`, `"when"`),
		"line 1: field system stands twice":                                      plain(`"id"`, `"system": "x", "id"`),
		`id "a": field split must be train or eval`:                              plain(`"eval"`, `"test"`),
		`id "a": field constraints is empty`:                                     `{"id": "a", "system": "s", "constraints": [], "queries": ["q"]}`,
		`id "a": field constraints is missing`:                                   `{"id": "a", "system": "s", "queries": ["q"]}`,
		`id "a": field constraints[1].text: "No gifs." does not stand in system`: plain(`"No emoji."}`, `"No gifs."}`),
		`id "a": field constraints[0].family must be one of`:                     plain(`"behaviour"`, `"mood"`),
		`id "a": field constraints[2].rule: resolve`:                             plain(`"words"`, `"wards"`),
		`id "a": field constraints[2].rule.args must be an object`:               plain(`{"relation": "at most", "n": 9}`, `[9]`),
		`id "a": field queries[0] is blank`:                                      plain(`"Hi"`, `" "`),
		`id "a": field queries[1].query is blank`:                                plain(`"Milk?"`, `""`),
		`id "a": field queries[1].triggered[1] is 3`:                             plain(`[0, 2]`, `[0, 3]`),
		`id "a": field queries[1].triggered[1] names constraint 0 again`:         plain(`[0, 2]`, `[0, 0]`),
		`id "a": field queries[1].triggered must be a list of places`:            plain(`[0, 2]`, `"all"`),
		`id "a": give either queries or dialogues`:                               plain(`"queries"`, `"dialogues": [[{"query": "q"}]], "queries"`),
		`id "a": field dialogues[0] must be a list of turns`:                     `{"id": "a", "system": "s", "constraints": [{"text": "s"}], "dialogues": [[]]}`,
		`id "a": field dialogues[0][0].answer is missing`:                        `{"id": "a", "system": "s", "constraints": [{"text": "s"}], "dialogues": [[{"query": "q"}, {"query": "r"}]]}`,
		"line 1: field id is blank":                                              plain(`"id": "a"`, `"id": ""`),
		"line 1: field id must be a text":                                        plain(`"id": "a"`, `"id": 1`),
		"line 1: field id holds a control character":                             plain(`"id": "a"`, `"id": "a\u0000"`),
		"the file is empty":                                                      "",
	} {
		in, err := ReadPlain(strings.NewReader(file), "shop", Options{})
		if err == nil || !strings.Contains(err.Error(), want) || schemas.TypeOf(err) != schemas.InvalidInput || len(err.Error()) >= 1024 {
			t.Errorf("error %v, want %q", err, want)
		}
		if len(in.Profiles) > 0 {
			t.Errorf("%s: rows came along", want)
		}
	}
	if _, err := ReadPlain(strings.NewReader(plain()), " ", Options{}); err == nil {
		t.Error("a blank source was taken")
	}
}

func TestTheFirstLineTellsTheFormat(t *testing.T) {
	sys := sysRow(1, "s", "u", `["a"]`, `[{}]`)
	for _, c := range []struct{ first, want string }{
		{sys + "\n{", FormatSystemIFEval},
		{sys[:strings.Index(sys, `"role"`)], FormatSystemIFEval},
		{"\ufeff \n" + `{"key": 1, "prompt": "p", "instruction_id_list": ["a"], "kwargs": [{}]}` + "\n", FormatIFEval},
		{plain(), FormatProfiles},
		{`{"id": "a", "system": "cut off in the mid`, FormatProfiles},
		{sys[:strings.Index(sys, `"kwargs"`)], "cannot tell the format from the first"},
		{`{"text": "x"}`, "cannot tell the format from"},
		{"", "cannot tell the format from"},
		{"a,b,c", "cannot tell the format from"},
	} {
		got, err := Sniff([]byte(c.first))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%.80q: got %q, want %q", c.first, got, c.want)
		}
	}
}

func FuzzReadPlain(f *testing.F) {
	f.Add(plain())
	f.Add(`{"id": "a", "system": "s", "constraints": [{"text": "s"}], "dialogues": [[{"query": "q", "answer": "b"}, {"query": "r"}]]}`)
	f.Add(`{"id": "a", "constraints": [null], "queries": [null, {}]}` + "\n[1]\n\xff")
	f.Fuzz(func(t *testing.T, file string) {
		in, err := ReadPlain(strings.NewReader(file), "fuzz", Options{EvalFraction: 0.5})
		if err != nil {
			if schemas.TypeOf(err) != schemas.InvalidInput {
				t.Fatalf("error %v is not the user's", err)
			}
			return
		}
		if !in.Books.Closed() || int(in.Books.OK) != len(in.Profiles) {
			t.Fatalf("books %+v", in.Books)
		}
		for _, p := range in.Profiles {
			checkProfile(t, p)
		}
	})
}
