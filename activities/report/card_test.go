package report

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"rpo/schemas"
)

func sampleCard() Card {
	s := sample().Summary
	return Card{
		Dataset: s.Dataset, Version: s.DatasetVersion, Hash: s.DatasetHash, Pairs: s.Pairs, PairsByG: s.PairsByG,
		Files: []CardFile{
			{Path: "data/train-00000-of-00002.parquet", Rows: 2200, Bytes: 310_112},
			{Path: "data/train-00001-of-00002.parquet", Rows: 2118, Bytes: 301_870},
		},
		Model: "tiny-llama", JudgedBy: "rules", Sources: "the bundled profiles", License: "Apache-2.0",
		Summary: &s, Books: schemas.Books{In: 2550, OK: 2391, Skipped: 159},
	}
}

// header parses the YAML between the first two lines of dashes.
func header(t *testing.T, c Card) (meta map[string]any, prose string) {
	t.Helper()
	b, err := DatasetCard(c)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(b), "---\n")
	front, prose, found := strings.Cut(rest, "\n---\n")
	if !ok || !found {
		t.Fatalf("no front matter in %.200s", b)
	}
	if err := yaml.Unmarshal([]byte(front), &meta); err != nil {
		t.Fatalf("%v in\n%s", err, front)
	}
	return meta, prose
}

func TestCardIsTheGoldenFile(t *testing.T) {
	b, err := DatasetCard(sampleCard())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "card.md", b)
}

func TestEveryColumnOfAPairHasAMeaningAndNoMeaningIsLeftOver(t *testing.T) {
	columns := map[string]bool{}
	for _, c := range schemas.ColumnTypes[schemas.Pair]() {
		columns[c.Name] = true
		if columnMeanings[c.Name] == "" {
			t.Errorf("column %s has no meaning", c.Name)
		}
	}
	for name := range columnMeanings {
		if !columns[name] {
			t.Errorf("%s is no column", name)
		}
	}
}

func TestFrontMatterSaysWhereTheFilesAreAndWhatTheyHold(t *testing.T) {
	c := sampleCard()
	c.Files = append(c.Files, CardFile{Path: "data/test.parquet", Rows: 7, Bytes: 99, Split: "test"})
	meta, _ := header(t, c)
	want := []any{map[string]any{"config_name": "default", "data_files": []any{
		map[string]any{"split": "train", "path": []any{"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"}},
		map[string]any{"split": "test", "path": []any{"data/test.parquet"}},
	}}}
	if !reflect.DeepEqual(meta["configs"], want) {
		t.Errorf("configs are %v", meta["configs"])
	}
	info := meta["dataset_info"].(map[string]any)
	splits := []any{
		map[string]any{"name": "train", "num_bytes": 611_982, "num_examples": 4318},
		map[string]any{"name": "test", "num_bytes": 99, "num_examples": 7},
	}
	if !reflect.DeepEqual(info["splits"], splits) {
		t.Errorf("splits are %v", info["splits"])
	}
	features := map[string]any{}
	for _, f := range info["features"].([]any) {
		f := f.(map[string]any)
		features[f["name"].(string)] = f
	}
	messages := []any{map[string]any{"name": "role", "dtype": "string"}, map[string]any{"name": "content", "dtype": "string"}}
	for name, want := range map[string]any{
		"prompt":    map[string]any{"name": "prompt", "list": messages},
		"margin":    map[string]any{"name": "margin", "dtype": "float64"},
		"differing": map[string]any{"name": "differing", "list": "string"},
	} {
		if !reflect.DeepEqual(features[name], want) {
			t.Errorf("feature %s is %v, want %v", name, features[name], want)
		}
	}
	if meta["license"] != "apache-2.0" || meta["pretty_name"] != "bundled" {
		t.Errorf("license %v, name %v", meta["license"], meta["pretty_name"])
	}
}

func TestNoTextCanChangeTheFrontMatter(t *testing.T) {
	texts := []string{attack, "a: b", "- x", "\n---\n", "yes", "'", `\`, "#", "\u2028\u2029\ufeff\u0085\x7f", "é日本🙂", "{}", "", "\t", "\xff"}
	for r := rune(0); r < 0x300; r++ {
		texts = append(texts, fmt.Sprintf("a%cb", r))
	}
	for _, text := range texts {
		var got string
		if err := yaml.Unmarshal([]byte(quote(text)), &got); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if want := strings.ToValidUTF8(text, "\ufffd"); got != want {
			t.Errorf("%q is read as %q", text, got)
		}
		if q := quote(text); strings.ContainsAny(q, "\n\r") {
			t.Errorf("%q is quoted over lines", text)
		}
	}
	c := sampleCard()
	c.Dataset, c.License, c.Model, c.JudgedBy, c.Sources, c.Hash = attack, attack, attack, attack, attack, attack
	c.PairsByG = map[string]int64{attack: c.Pairs}
	meta, prose := header(t, c)
	if meta["license"] != "other" || !strings.Contains(meta["license_name"].(string), "<script>") {
		t.Errorf("license %v, license_name %v", meta["license"], meta["license_name"])
	}
	for l := range strings.Lines(prose) {
		// What stands in a code span is shown as it is.
		if i := strings.Index(l, "<script"); i >= 0 && strings.Count(l[:i], "`") == 0 {
			t.Errorf("HTML in %q", l)
		}
	}
}

func TestCodeSpansHoldAnyText(t *testing.T) {
	for in, want := range map[string]string{"a": "`a`", "a`b": "``a`b``", "`": "`` ` ``", "a``b`": "``` a``b` ```", "a\nb": "`a b`", "a|b": "`a\\|b`"} {
		if got := code(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestCardRefusesToContradictTheData(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Card)
		want   schemas.ErrorType
	}{
		"rows and pairs differ": {func(c *Card) { c.Files = c.Files[:1] }, schemas.CorruptData},
		"pairs by g differ":     {func(c *Card) { c.PairsByG = map[string]int64{"1": 1} }, schemas.CorruptData},
		"a split's name":        {func(c *Card) { c.Files[0].Split = "a b" }, schemas.InvalidInput},
		"a file elsewhere":      {func(c *Card) { c.Files[0].Path = "data/../../x.parquet" }, schemas.InvalidInput},
		"a file by address":     {func(c *Card) { c.Files[0].Path = "s3://bucket/x.parquet" }, schemas.InvalidInput},
		"an absolute path":      {func(c *Card) { c.Files[0].Path = "/x.parquet" }, schemas.InvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			card := sampleCard()
			c.change(&card)
			if b, err := DatasetCard(card); schemas.TypeOf(err) != c.want || err == nil || b != nil {
				t.Errorf("%d bytes, error %v", len(b), err)
			}
		})
	}
}

func TestAnEmptyVersionHasACard(t *testing.T) {
	meta, prose := header(t, Card{})
	if _, ok := meta["configs"]; ok || !strings.Contains(prose, "holds no files") {
		t.Errorf("configs %v in\n%s", meta["configs"], prose)
	}
}
