package profile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/schemas"
)

func sysRow(key int, system, user, ids, kwargs string) string {
	return fmt.Sprintf(`{"key": %d, "prompt": "p", "instruction_id_list": %s, "kwargs": %s, "messages": [{"role": "system", "content": %q}, {"role": "user", "content": %q}]}`,
		key, ids, kwargs, system, user)
}

func TestARowOfSystemIFEvalBecomesAProfileWithOneTurn(t *testing.T) {
	system := " Use no commas.  Write at least 80 words.\n"
	row := sysRow(7, system, "What is tea?", `["length_constraints:number_words", "punctuation:no_comma"]`,
		`[{"num_words": 80, "relation": "at least", "keyword": null}, {}]`)
	in, err := ReadSystemIFEval(strings.NewReader(row), Options{EvalFraction: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Profiles) != 1 || len(in.Turns) != 1 || in.Books != (schemas.Books{In: 1, OK: 1}) {
		t.Fatalf("got %+v", in)
	}
	p, turn := in.Profiles[0], in.Turns[0]
	if p.Source != "system_ifeval" || p.SourceID != "7" || p.Split != schemas.SplitEval || p.System != system {
		t.Errorf("profile %+v", p)
	}
	checkProfile(t, p)
	want := []schemas.Rule{
		{Profile: "ifeval", Kind: "punctuation:no_comma", Args: "{}"},
		{Profile: "ifeval", Kind: "length_constraints:number_words", Args: `{"num_words":80,"relation":"at least"}`},
	}
	for i, c := range p.Constraints {
		if c.Rule != want[i] || c.Family == "" {
			t.Errorf("constraint %d is %+v", i, c)
		}
	}
	if turn.Query != "What is tea?" || turn.System != system || turn.ProfileID != p.ProfileID || turn.Split != p.Split || len(turn.TriggeredConstraints()) != 2 {
		t.Errorf("turn %+v", turn)
	}
}

func TestThePromptOfIFEvalIsTheInstruction(t *testing.T) {
	row := `{"key": 7, "prompt": "Describe tea. Use no commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}`
	in, err := ReadIFEval(strings.NewReader(row), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Turns) != 1 {
		t.Fatalf("got %+v", in)
	}
	turn := in.Turns[0]
	if turn.Query != "" || turn.System != "Describe tea. Use no commas." || turn.Constraints[0].Text != "Use no commas." || turn.Split != schemas.SplitTrain {
		t.Errorf("turn %+v", turn)
	}
}

func TestATextToRepeatThatHoldsAConstraintIsSetAside(t *testing.T) {
	const repeat = `First repeat the request word for word without change, then give your answer.`
	for prompt, ok := range map[string]int64{"Describe tea. Use no commas.": 0, "Describe tea.": 1} {
		row := fmt.Sprintf(`{"key": 7, "prompt": %q, "instruction_id_list": ["punctuation:no_comma", "combination:repeat_prompt"], "kwargs": [{}, {"prompt_to_repeat": %q}]}`,
			"Describe tea. Use no commas. "+repeat, prompt)
		in, err := ReadIFEval(strings.NewReader(row), Options{})
		if err != nil || in.Books.OK != ok {
			t.Errorf("%q: %v %+v", prompt, err, in)
		}
	}
}

func TestARowThatCannotBeUsedIsSetAsideWithItsReason(t *testing.T) {
	for want, row := range map[string]string{
		"cannot align 1 constraint with 2 sentences of the system message": sysRow(1, "Be kind. Use no commas.", "u", `["punctuation:no_comma"]`, `[{}]`),
		"unheard_of": sysRow(1, "Be odd.", "u", `["detectable_format:unheard_of"]`, `[{}]`),
		"num_words":  sysRow(1, "Be brief.", "u", `["length_constraints:number_words"]`, `[{"relation": "at least"}]`),
	} {
		in, err := ReadSystemIFEval(strings.NewReader(row), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if in.Books != (schemas.Books{In: 1, Quarantined: 1}) || len(in.Quarantined) != 1 {
			t.Fatalf("%s: got %+v", want, in)
		}
		q := in.Quarantined[0]
		if !strings.Contains(q.Reason, want) || q.Request != row || q.Stage != "import" || q.Table != "profile" || q.RowID == "" || q.ErrorType != "InvalidInput" {
			t.Errorf("got %+v, want reason %q", q, want)
		}
	}
}

func TestAnIFEvalFileWithAFaultIsRefusedWhole(t *testing.T) {
	good := sysRow(1, "Use no commas.", "u", `["punctuation:no_comma"]`, `[{}]`)
	for want, file := range map[string]string{
		"the file is empty":                            " \n\n",
		"line 2: malformed JSON at byte":               good + "\n{\"key\": 2,",
		"line 2: key 1 is that of line 1":              good + "\n" + good,
		"line 1: unknown field extra":                  strings.Replace(good, `"key"`, `"extra": 1, "key"`, 1),
		"line 1: unknown field messages[1].name":       strings.Replace(good, `"role": "user"`, `"name": "x", "role": "user"`, 1),
		"line 1: field instruction_id_list is empty":   sysRow(1, "s", "u", `[]`, `[]`),
		"must be equally long":                         sysRow(1, "s", "u", `["a", "b"]`, `[{}]`),
		"line 1: field messages[1].content is blank":   sysRow(1, "s", " ", `["a"]`, `[{}]`),
		"line 1: field kwargs[0] must be an object":    sysRow(1, "s", "u", `["a"]`, `[3]`),
		"line 1: field key must be a whole number":     strings.Replace(good, `"key": 1`, `"key": "one"`, 1),
		"line 1: field key is missing":                 strings.Replace(good, `"key": 1`, `"key": null`, 1),
		"line 3: it is not UTF-8":                      good + "\n\n\xff",
		"line 1: the line must be an object, it is []": "[]",
	} {
		in, err := ReadSystemIFEval(strings.NewReader(file), Options{})
		if err == nil || !strings.Contains(err.Error(), want) || schemas.TypeOf(err) != schemas.InvalidInput {
			t.Errorf("error %v, want %q", err, want)
		}
		if len(in.Profiles)+len(in.Quarantined) > 0 {
			t.Errorf("%s: rows came along", want)
		}
	}
	for _, f := range []float64{-0.1, 1.1} {
		if _, err := ReadSystemIFEval(strings.NewReader(good), Options{EvalFraction: f}); err == nil {
			t.Errorf("an evaluation fraction of %v was taken", f)
		}
	}
}

// checkProfile demands what every reader of the profile table relies on.
func checkProfile(t *testing.T, p schemas.Profile) {
	t.Helper()
	at, rendered := int64(0), ""
	for _, c := range p.Constraints {
		if c.Start < at || c.End <= c.Start || c.End > int64(len(p.System)) {
			t.Fatalf("%s %s: spans are not ordered: %+v", p.Source, p.SourceID, p.Constraints)
		}
		rendered += p.System[at:c.Start] + c.Text
		at = c.End
	}
	if rendered+p.System[at:] != p.System || len(p.Constraints) == 0 {
		t.Fatalf("%s %s: rendering with the original constraints changes the message", p.Source, p.SourceID)
	}
}

// realData is a file of the public data sets, which are not part of the
// repository.
func realData(t *testing.T, path ...string) []byte {
	t.Helper()
	root := os.Getenv("RPO_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Skipf("no public test data (set RPO_TEST_DATA): %v", err)
	}
	return data
}

func TestEveryRealRowIsAlignedOrSetAside(t *testing.T) {
	for _, c := range []struct {
		path []string
		most int // rows that may be set aside
		read func(*bytes.Reader) (Imported, error)
	}{
		{[]string{"system_ifeval", "sys_ifeval.jsonl"}, 300, func(r *bytes.Reader) (Imported, error) { return ReadSystemIFEval(r, Options{EvalFraction: 0.2}) }},
		{[]string{"ifeval", "prompts.jsonl"}, 430, func(r *bytes.Reader) (Imported, error) { return ReadIFEval(r, Options{EvalFraction: 0.2}) }},
	} {
		in, err := c.read(bytes.NewReader(realData(t, c.path...)))
		if err != nil {
			t.Fatal(err)
		}
		if in.Books.In != 541 || !in.Books.Closed() || int(in.Books.OK) != len(in.Profiles) || int(in.Books.Quarantined) != len(in.Quarantined) {
			t.Errorf("%s: books %+v with %d profiles and %d quarantined", c.path[1], in.Books, len(in.Profiles), len(in.Quarantined))
		}
		if len(in.Quarantined) > c.most {
			t.Errorf("%s: %d rows were set aside, at most %d are expected", c.path[1], len(in.Quarantined), c.most)
		}
		ids := map[string]bool{}
		for _, p := range in.Profiles {
			checkProfile(t, p)
			ids[p.ProfileID] = true
			for _, k := range p.Constraints {
				ids[k.ConstraintID] = true
			}
		}
		constraints := 0
		for _, p := range in.Profiles {
			constraints += len(p.Constraints)
		}
		if len(ids) != len(in.Profiles)+constraints {
			t.Errorf("%s: ids are not unique", c.path[1])
		}
		reasons := map[string]int{}
		for _, q := range in.Quarantined {
			_, reason, _ := strings.Cut(q.Reason, ": ")
			reason, _, _ = strings.Cut(reason, ":")
			reasons[reason]++
		}
		t.Logf("%s: %d profiles with %d constraints, %d quarantined: %v", c.path[1], len(in.Profiles), constraints, len(in.Quarantined), reasons)
	}
}
