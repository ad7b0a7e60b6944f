package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"rpo/schemas"
)

func TestVerifyKeepsTheLineAndAddsVerdicts(t *testing.T) {
	in := `{"key": 7, "instruction_id": "punctuation:no_comma", "kwargs": {"n": null}, "response": "a, b", "strict": false, "extra": [1,  2], "z": "<é>"}

{"instruction_id": "length_constraints:number_words", "kwargs": "{\"num_words\": 2, \"relation\": \"at least\"}", "response": "one two"}
`
	var out, summary bytes.Buffer
	bad, err := VerifyLines(strings.NewReader(in), &out, "ifeval", &summary)
	if err != nil || bad != 0 {
		t.Fatalf("%d bad lines, %v", bad, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"key": 7, "instruction_id": "punctuation:no_comma", "kwargs": {"n": null}, "response": "a, b", "extra": [1,  2], "z": "<é>", "strict": false, "loose": false, "opposite": "`) {
		t.Fatalf("wrote %s", out.String())
	}
	var row struct {
		Strict, Loose  bool
		Opposite       string
		OppositeStrict bool `json:"opposite_strict"`
		Verifier       string
	}
	if err := json.Unmarshal([]byte(lines[1]), &row); err != nil {
		t.Fatal(err)
	}
	if !row.Strict || !row.Loose || row.OppositeStrict || !strings.Contains(row.Opposite, "2") || row.Verifier != "ifeval/1" {
		t.Errorf("wrote %+v", row)
	}
	if s := summary.String(); !strings.Contains(s, "1 of 1") || !strings.Contains(s, "punctuation:no_comma") {
		t.Errorf("summary is %s", s)
	}
}

func TestVerifyWritesErrorsAndGoesOn(t *testing.T) {
	in := `not json
[1]
{"kwargs": {}, "response": "a"}
{"instruction_id": "punctuation:no_comma", "kwargs": {}}
{"instruction_id": "punctuation:no_comma", "response": 5}
{"instruction_id": "nothing:known", "kwargs": {}, "response": "a"}
{"instruction_id": "keywords:existence", "kwargs": {"keywords": ["("]}, "response": "a"}
{"instruction_id": "keywords:existence", "kwargs": [], "response": "a"}
{"instruction_id": "punctuation:no_comma", "kwargs": {}, "response": "a"}`
	var out bytes.Buffer
	bad, err := VerifyLines(strings.NewReader(in), &out, "multi_if", nil)
	if err != nil || bad != 8 {
		t.Fatalf("%d bad lines, %v", bad, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	wants := []string{"no JSON object", "another JSON value", "instruction_id is missing", "response is missing", "field response", "nothing:known", "args.keywords", "field kwargs"}
	for i, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if i == len(wants) {
			if row["strict"] != true || row["error"] != nil {
				t.Errorf("the good line became %s", line)
			}
			continue
		}
		if text, _ := row["error"].(string); !strings.Contains(text, wants[i]) {
			t.Errorf("%q has no error with %q", line, wants[i])
		}
	}
}

func TestVerifyRefusesBytesThatAreNoTextAndDropsAnOldError(t *testing.T) {
	in := "{\"instruction_id\": \"punctuation:no_comma\", \"response\": \"caf\xff\"}\r\n" +
		`{"instruction_id": "punctuation:no_comma", "response": "a", "error": "of an earlier run"}`
	var out bytes.Buffer
	bad, err := VerifyLines(strings.NewReader(in), &out, "ifeval", nil)
	if err != nil || bad != 1 || !utf8.Valid(out.Bytes()) {
		t.Fatalf("%d bad lines, %v, wrote %q", bad, err, out.String())
	}
	first, second, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(first, "UTF-8") || strings.Contains(second, "error") || !strings.Contains(second, `"strict": true`) {
		t.Errorf("wrote %s", out.String())
	}
}

func TestVerifyRefusesAnUnknownProfile(t *testing.T) {
	if _, err := VerifyLines(strings.NewReader(""), &bytes.Buffer{}, "official", nil); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("got %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

func TestVerifyReportsAWriterThatFails(t *testing.T) {
	in := `{"instruction_id": "punctuation:no_comma", "kwargs": {}, "response": "a"}`
	if _, err := VerifyLines(strings.NewReader(in), brokenWriter{}, "ifeval", nil); err == nil {
		t.Error("a failing writer went unnoticed")
	}
}

func TestVerifyAgreesWithTheGoldenFile(t *testing.T) {
	f, err := os.Open(filepath.Join(testData(t), "ifeval", "golden_gpt4.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out, summary bytes.Buffer
	bad, err := VerifyLines(f, &out, "ifeval", &summary)
	if err != nil || bad != 0 {
		t.Fatalf("%d bad lines, %v", bad, err)
	}
	if !strings.Contains(summary.String(), "239 of 239") {
		t.Errorf("summary is\n%s", summary.String())
	}
	for line := range bytes.Lines(out.Bytes()) {
		var row struct {
			Strict, Loose  bool
			OppositeStrict bool `json:"opposite_strict"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if row.Strict == row.OppositeStrict || row.Strict && !row.Loose {
			t.Errorf("wrote %+v", row)
		}
	}
}
