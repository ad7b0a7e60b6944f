package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rpo/schemas"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./activities/report -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is written now; look at it after go test ./activities/report -update", path)
	}
}

func render(t *testing.T, d Data) string {
	t.Helper()
	b, err := HTML(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func everyPage() map[string]Data {
	all := broken()
	all["sample"], all["hostile"] = sample(), hostile()
	return all
}

func TestPageIsTheGoldenFile(t *testing.T) { golden(t, "report.html", []byte(render(t, sample()))) }

func TestEveryPlotIsValidXMLWithTitleAndDescription(t *testing.T) {
	svg := regexp.MustCompile(`(?s)<svg .*?</svg>`)
	for name, d := range everyPage() {
		plots := svg.FindAllString(render(t, d), -1)
		if name == "sample" && len(plots) != 7 {
			t.Errorf("%s: %d plots, want 7", name, len(plots))
		}
		for _, p := range plots {
			elements := map[string]int{}
			decoder := xml.NewDecoder(strings.NewReader(p))
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v in %.200s", name, err, p)
				}
				if start, ok := token.(xml.StartElement); ok {
					elements[start.Name.Local]++
				}
			}
			if elements["title"] == 0 || elements["desc"] != 1 {
				t.Errorf("%s: a plot without title or description: %.200s", name, p)
			}
			if elements["script"]+elements["img"] > 0 {
				t.Errorf("%s: foreign element in %.200s", name, p)
			}
		}
	}
}

func TestPageLoadsNothing(t *testing.T) {
	loads := regexp.MustCompile(`(?i)<(script|img|link|iframe|object|embed|base|form)\b|\bsrc\s*=|url\(|@import|xlink`)
	address := regexp.MustCompile(`https?://[^"\s<]*`)
	for name, d := range everyPage() {
		html := render(t, d)
		if m := loads.FindString(withoutText(html)); m != "" {
			t.Errorf("%s: the page holds %q", name, m)
		}
		for _, a := range address.FindAllString(html, -1) {
			if a != d.RunLink {
				t.Errorf("%s: the page points at %s", name, a)
			}
		}
	}
}

// withoutText keeps the tags only: escaped text cannot load anything.
func withoutText(html string) string {
	style := regexp.MustCompile(`(?s)<style>.*?</style>`).FindString(html)
	return style + strings.Join(regexp.MustCompile(`<[^>]*>`).FindAllString(html, -1), "")
}

func TestTextsOfModelsCannotLeaveTheirPlace(t *testing.T) {
	html := render(t, hostile())
	for _, bad := range []string{"<script", "<img", "javascript:alert(1)\"", "\x00", "\x1b", "\xff"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(html, "&lt;script&gt;alert(") {
		t.Error("the escaped text is not shown")
	}
	// The same elements as for harmless texts of the same shape: nothing was added.
	for _, tag := range []string{"title", "style", "h1", "main"} {
		want := 1
		if tag == "title" {
			continue // plots have titles, too
		}
		if n := strings.Count(html, "</"+tag+">"); n != want {
			t.Errorf("%d closing tags of %s, want %d", n, tag, want)
		}
	}
}

func TestMissingFiguresNeverPrintNaNOrInf(t *testing.T) {
	for name, d := range everyPage() {
		html := render(t, d)
		if m := regexp.MustCompile(`(?i)[>" (]([+-]?NaN|[+−-]?Inf)\b|ZgotmplZ|%!|&lt;nil|<nil`).FindString(html); m != "" {
			t.Errorf("%s: the page holds %q", name, m)
		}
		if n := len(html); n > 600_000 {
			t.Errorf("%s: the page has %d bytes", name, n)
		}
	}
}

func TestElementsAreBalancedAndIDsUnique(t *testing.T) {
	for name, d := range everyPage() {
		html := render(t, d)
		for _, tag := range []string{"div", "section", "figure", "details", "table", "tr", "p", "span", "ul", "li", "svg", "article", "ins", "del"} {
			open := len(regexp.MustCompile(`<`+tag+`[ >]`).FindAllString(html, -1))
			if shut := strings.Count(html, "</"+tag+">"); open != shut {
				t.Errorf("%s: %d <%s> and %d </%s>", name, open, tag, shut, tag)
			}
		}
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(`\bid="([^"]*)"`).FindAllStringSubmatch(html, -1) {
			if seen[m[1]] {
				t.Errorf("%s: two elements have the id %s", name, m[1])
			}
			seen[m[1]] = true
		}
	}
}

func TestHeadlineSaysWhatTheIntervalAllows(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*schemas.Summary)
		tone     string
		sentence string
		plot     bool
	}{
		{"above zero", func(*schemas.Summary) {}, "better", "above zero", true},
		{"below zero", func(s *schemas.Summary) { s.Difference, s.DifferenceCI95 = -0.1, [2]float64{-0.15, -0.05} }, "worse", "below zero", true},
		{"around zero", func(s *schemas.Summary) { s.Difference, s.DifferenceCI95 = 0.02, [2]float64{-0.01, 0.05} }, "open", "includes zero", true},
		{"touching zero", func(s *schemas.Summary) { s.Difference, s.DifferenceCI95 = 0.02, [2]float64{0, 0.04} }, "open", "includes zero", true},
		{"one profile", func(s *schemas.Summary) { s.EvalProfiles = 1 }, "open", "no usable interval", false},
		{"not around the difference", func(s *schemas.Summary) { s.DifferenceCI95 = [2]float64{0.5, 0.6} }, "open", "no usable interval", false},
		{"no verdicts", func(s *schemas.Summary) { s.EvalVerdicts = 0 }, "open", "not compared", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sample().Summary
			c.change(&s)
			h := newHeadline(s)
			if h.Tone != c.tone || !strings.Contains(h.Sentence, c.sentence) || (h.Plot != nil) != c.plot {
				t.Errorf("tone %q, sentence %q, plot %v", h.Tone, h.Sentence, h.Plot != nil)
			}
		})
	}
}

func TestReversedConstraintsAreMarkedInThePrompt(t *testing.T) {
	html := render(t, sample())
	for _, want := range []string{
		"- <del>Write at most 40 words.</del> <ins>Write more than 40 words.</ins>\n",
		"- <del>Do not end with a question.</del> <ins>End with a question.</ins>\n",
		"also fails 2 constraints that the prompt keeps",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
}

func TestHighlightKeepsEveryByteOfTheSystemMessage(t *testing.T) {
	for _, c := range []struct {
		system   string
		opposite []string
		marked   int
	}{
		{"a X b Y c", []string{"X", "Y"}, 2},
		{"X", []string{"X"}, 1},
		{"X X", []string{"X", "X"}, 2},
		{"a Y b X", []string{"X", "Y"}, 1}, // out of order: the second is not found after the first
		{"abc", []string{"X", ""}, 0},
		{"", nil, 0},
	} {
		var reversed []schemas.Reversal
		for _, o := range c.opposite {
			reversed = append(reversed, schemas.Reversal{Opposite: o})
		}
		text, marked := "", 0
		for _, p := range highlight(c.system, reversed) {
			text += p.Text
			if p.Replaced {
				marked++
			}
		}
		if text != c.system || marked != c.marked {
			t.Errorf("%q with %q: %q with %d marks, want %d", c.system, c.opposite, text, marked, c.marked)
		}
	}
}

func TestLongTextsAreCutAndSaySo(t *testing.T) {
	d := sample()
	d.Examples[0].Chosen[0].Content = strings.Repeat("ä", maxShown+7)
	if html := render(t, d); !strings.Contains(html, "7 characters more not shown") {
		t.Error("the page does not say how much it left out")
	}
}
