package rules

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
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
