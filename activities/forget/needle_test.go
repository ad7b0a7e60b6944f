package forget

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rpo/activities/store"
)

// text is random and repeats itself, so that rolling hashes meet.
func randomText(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString([]string{"boat ", "a", "天气", "\"", "<b>", "the river runs ", "\n", "0"}[r.IntN(8)])
	}
	return b.String()
}

func TestASearchFindsExactlyTheLinesThatStandInAText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	found := 0
	for range 3000 {
		line := strings.TrimSpace(strings.ReplaceAll(randomText(r, anchor+r.IntN(40)), "\n", " "))
		n := newNeedles(nil)
		if n.text(line) != (len(line) >= anchor) {
			t.Fatalf("%q is long: %v", line, len(line) >= anchor)
		}
		text := randomText(r, r.IntN(300))
		if r.IntN(2) == 0 {
			text = text[:r.IntN(len(text)+1)] + line + text
		}
		want := len(line) >= anchor && (strings.Contains(text, line) || strings.Contains(text, escape(line, true)) || strings.Contains(text, escape(line, false)))
		if got := n.in(text); got != want {
			t.Fatalf("%q in %q: %v", line, text, got)
		}
		quoted, err := json.Marshal(map[string]string{"request": line})
		if err != nil || len(line) >= anchor && !n.in(string(quoted)) {
			t.Fatalf("%q is not found in %s", line, quoted)
		}
		again := newNeedles(n.all())
		if again.in(text) != want {
			t.Fatalf("a set that was read again differs on %q", text)
		}
		if again.drop(n.all()); again.in(text) {
			t.Fatal("dropped needles are found")
		}
		if want {
			found++
		}
	}
	if found < 300 {
		t.Errorf("only %d were found: the test is weak", found)
	}
}

func TestAUsersKeyIsFoundOnlyWhereItStandsAlone(t *testing.T) {
	n := newNeedles(nil)
	if n.key("u1") || !n.key("user-1") {
		t.Error("which keys are searched for")
	}
	for text, want := range map[string]bool{"user-1": true, "of user-1.": true, `{"id":"user-1"}`: true, "user-10": false, "auser-1": false, "user-10 user-1": true, "": false} {
		if n.in(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// A table that is added must be added here, too: its rows would be left.
func TestEveryTableOfTheVocabularyIsKnown(t *testing.T) {
	w := &work{store: store.NewMemory("rpo"), closure: newClosure(), needles: newNeedles(nil)}
	known := map[string]bool{}
	for _, c := range w.tables() {
		known[c.table] = true
	}
	files, err := filepath.Glob("../../schemas/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\bTable[A-Z]\w* *= *"(\w+)"`)
	seen := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(data), -1) {
			if seen++; !known[m[1]] {
				t.Errorf("table %s of %s is not known", m[1], file)
			}
		}
	}
	if seen != len(known) {
		t.Errorf("%d tables are named, %d known", seen, len(known))
	}
	if err := w.store.Put(t.Context(), "data/novel/x.parquet", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.tablesKnown(t.Context()); err == nil || !strings.Contains(err.Error(), `"novel"`) {
		t.Errorf("a table of a newer program: %v", err)
	}
}

func BenchmarkSearch(b *testing.B) {
	for _, many := range []int{100, 10_000} {
		b.Run(fmt.Sprint(many), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 5))
			n := newNeedles(nil)
			for i := range many {
				n.text(fmt.Sprintf("line %d of a response that somebody wanted to be forgotten", i))
			}
			text := randomText(r, 1<<20)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				n.in(text)
			}
		})
	}
}
