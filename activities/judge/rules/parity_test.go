package rules

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"rpo/schemas"
)

// testData returns the folder of golden files, or skips.
func testData(tb testing.TB) string {
	dir := os.Getenv("RPO_TEST_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("no golden data at %s; set RPO_TEST_DATA to its folder", dir)
	}
	return dir
}

// readLines decodes every line of a JSON lines file, gzipped or not.
func readLines[T any](tb testing.TB, path string) []T {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			tb.Fatal(err)
		}
	}
	var out []T
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<26)
	for scan.Scan() {
		var v T
		if err := json.Unmarshal(scan.Bytes(), &v); err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		out = append(out, v)
	}
	if err := scan.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

type goldenRow struct {
	Key           int             `json:"key"`
	InstructionID string          `json:"instruction_id"`
	Kwargs        json.RawMessage `json:"kwargs"`
	Response      string          `json:"response"`
	Strict        bool            `json:"strict"`
	Loose         bool            `json:"loose"`
	Variants      []bool          `json:"variants"`
	Stable        bool            `json:"stable"`
	Model         string          `json:"model"`
}

func goldenRows(tb testing.TB) map[string][]goldenRow {
	dir := testData(tb)
	out := map[string][]goldenRow{}
	for _, name := range []string{"golden_gpt4.jsonl", "golden_17_models.jsonl.gz"} {
		out[name] = readLines[goldenRow](tb, filepath.Join(dir, "ifeval", name))
	}
	return out
}

func (g goldenRow) rule(tb testing.TB, profile string) schemas.Rule {
	canonical, err := CanonicalArgs(g.Kwargs)
	if err != nil {
		tb.Fatal(err)
	}
	return schemas.Rule{Profile: profile, Kind: g.InstructionID, Args: canonical}
}

func TestIFEvalEqualsTheOfficialVerdicts(t *testing.T) {
	for name, rows := range goldenRows(t) {
		stable, wrong := 0, map[string]int{}
		for _, g := range rows {
			c, err := Parse(g.rule(t, "ifeval"))
			if err != nil {
				t.Errorf("key %d %s: %v", g.Key, g.InstructionID, err)
				continue
			}
			if !g.Stable {
				continue
			}
			stable++
			strict, loose := c.Strict(g.Response), c.Loose(g.Response)
			if strict != g.Strict || loose != g.Loose {
				if wrong[g.InstructionID]++; wrong[g.InstructionID] < 4 {
					t.Errorf("%s: key %d %s %s by %q: strict %v and loose %v, the official ones are %v and %v",
						name, g.Key, g.InstructionID, g.Kwargs, g.Model, strict, loose, g.Strict, g.Loose)
				}
			}
		}
		report := []string{}
		for id, n := range wrong {
			report = append(report, id+" "+number(n))
		}
		sort.Strings(report)
		t.Logf("%s: %d stable rows of %d, wrong: %v", name, stable, len(rows), report)
	}
}

func TestMeasuresEqualNLTKAndLangdetect(t *testing.T) {
	dir := testData(t)
	texts := map[string]string{}
	for _, rows := range goldenRows(t) {
		for _, g := range rows {
			texts[fmt.Sprintf("%x", sha256.Sum256([]byte(g.Response)))] = g.Response
		}
	}
	type measure struct {
		Model     string `json:"model"`
		Key       int    `json:"key"`
		SHA256    string `json:"sha256"`
		Words     int    `json:"num_words"`
		Sentences int    `json:"num_sentences_punkt"`
		Tokens    int    `json:"num_treebank_tokens"`
		Capitals  int    `json:"num_capital_words"`
		Language  string `json:"langdetect"`
		Stable    bool   `json:"langdetect_stable"`
	}
	rows := readLines[measure](t, filepath.Join(dir, "ifeval", "measures.jsonl.gz"))
	wrong := map[string]int{}
	seen, stable := 0, 0
	expect := func(m measure, what string, got, want any) {
		if got != want {
			if wrong[what]++; wrong[what] < 4 {
				t.Errorf("%s key %d: %s is %v, want %v", m.Model, m.Key, what, got, want)
			}
		}
	}
	for _, m := range rows {
		s, ok := texts[m.SHA256]
		if !ok {
			t.Errorf("no text for %s key %d", m.Model, m.Key)
			continue
		}
		seen++
		tokens := 0
		treebankTokens(s, func([]byte) { tokens++ })
		expect(m, "words", runsOfWordRunes(s), m.Words)
		expect(m, "sentences", countPunkt(s), m.Sentences)
		expect(m, "tokens", tokens, m.Tokens)
		expect(m, "capital words", countCapitalTokens(s), m.Capitals)
		if m.Stable {
			stable++
			got, ok := detectLanguage(s)
			if !ok {
				got = ""
			}
			expect(m, "language", got, m.Language)
		}
	}
	t.Logf("%d texts, %d of them with a stable language, wrong: %v", seen, stable, wrong)
}

func TestMultiIFEqualsTheOfficialVerdicts(t *testing.T) {
	dir := testData(t)
	type key struct {
		key   int
		model string
	}
	texts := map[key]string{}
	for name, rows := range goldenRows(t) {
		for _, g := range rows {
			if name == "golden_gpt4.jsonl" {
				g.Model = "gpt-4 (google-research 20231107)"
			}
			texts[key{g.Key, g.Model}] = g.Response
		}
	}
	type row struct {
		Key       string            `json:"key"`
		Turn      int               `json:"turn"`
		Model     string            `json:"model"`
		IDs       []string          `json:"instruction_id_list"`
		Kwargs    []json.RawMessage `json:"kwargs"`
		IFEvalKey int               `json:"ifeval_key"`
		Strict    []bool            `json:"strict"`
		Loose     []bool            `json:"loose"`
		Random    []int             `json:"random_idx"`
	}
	rows := readLines[row](t, filepath.Join(dir, "multi_if", "golden.jsonl.gz"))
	verdicts, wrong := 0, map[string]int{}
	for _, r := range rows {
		response, ok := texts[key{r.IFEvalKey, r.Model}]
		if !ok {
			t.Errorf("no text for %s by %s", r.Key, r.Model)
			continue
		}
		for i, id := range r.IDs {
			g := goldenRow{InstructionID: id, Kwargs: r.Kwargs[i]}
			c, err := Parse(g.rule(t, "multi_if"))
			if err != nil {
				t.Errorf("%s turn %d %s: %v", r.Key, r.Turn, id, err)
				continue
			}
			if slices.Contains(r.Random, i) {
				continue
			}
			verdicts++
			strict, loose := c.Strict(response), c.Loose(response)
			if strict != r.Strict[i] || loose != r.Loose[i] {
				if wrong[id]++; wrong[id] < 4 {
					t.Errorf("%s turn %d %s %s by %s: strict %v and loose %v, the official ones are %v and %v",
						r.Key, r.Turn, id, r.Kwargs[i], r.Model, strict, loose, r.Strict[i], r.Loose[i])
				}
			}
		}
	}
	t.Logf("%d rows, %d verdicts, wrong: %v", len(rows), verdicts, wrong)
}

func TestMultiIFCountsEqualTheOfficialOnes(t *testing.T) {
	dir := testData(t)
	type row struct {
		Source         string `json:"source"`
		Text           string `json:"text"`
		Language       string `json:"langdetect"`
		Stable         bool   `json:"langdetect_stable"`
		Words          int    `json:"num_words"`
		Sentences      int    `json:"num_sentences"`
		CJKWords       int    `json:"num_words_cjk_rule"`
		CJKSentences   int    `json:"num_sentences_cjk_rule"`
		RunWords       int    `json:"num_words_w_rule"`
		PunktSentences int    `json:"num_sentences_punkt_en"`
		HindiSentences int    `json:"num_sentences_hindi_rule"`
	}
	rows := readLines[row](t, filepath.Join(dir, "multi_if", "counts.jsonl.gz"))
	wrong, stable := map[string]int{}, 0
	expect := func(r row, what string, got, want any) {
		if got != want {
			if wrong[what]++; wrong[what] < 4 {
				t.Errorf("%s %.40q: %s is %v, want %v", r.Source, r.Text, what, got, want)
			}
		}
	}
	for _, r := range rows {
		expect(r, "words by the CJK rule", cjkWords(r.Text), r.CJKWords)
		expect(r, "sentences by the CJK rule", cjkSentences(r.Text), r.CJKSentences)
		expect(r, "words by runs", runsOfWordRunes(r.Text), r.RunWords)
		expect(r, "Punkt sentences", countPunkt(r.Text), r.PunktSentences)
		expect(r, "sentences by the Hindi rule", hindiSentences(r.Text), r.HindiSentences)
		if r.Stable {
			stable++
			got, ok := detectLanguage(r.Text)
			if !ok {
				got = ""
			}
			expect(r, "language", got, r.Language)
			expect(r, "words", routedWords(r.Text), r.Words)
			expect(r, "sentences", routedSentences(r.Text), r.Sentences)
		}
	}
	t.Logf("%d texts, %d of them with a stable language, wrong: %v", len(rows), stable, wrong)
}
