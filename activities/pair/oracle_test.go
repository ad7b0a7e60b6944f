package pair_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rpo/activities/pair"
	"rpo/schemas"
)

// randomWorld has three to six responses with random verdicts, abstentions among
// them, of random lengths, and misses some opposites.
func randomWorld(t *testing.T, random *rand.Rand, name string) (w *world, vectors map[string]string) {
	kinds, judged := make([]byte, 1+random.IntN(8)), []byte{}
	for i := range kinds {
		kinds[i] = "rrffffu"[random.IntN(7)]
		if kinds[i] != 'u' {
			judged = append(judged, kinds[i])
		}
	}
	w, vectors = newWorld(t, name, string(kinds)), map[string]string{}
	for range 3 + random.IntN(4) {
		vector := make([]byte, len(judged))
		for i, kind := range judged {
			vector[i] = "01"[random.IntN(2)]
			if kind == 'f' {
				vector[i] = "001111-?"[random.IntN(8)]
			}
		}
		r := w.add(string(vector))
		w.Responses[len(w.Responses)-1].Text += strings.Repeat(" 好", random.IntN(30))
		vectors[r.ResponseID] = string(vector)
	}
	for id, o := range w.Opposites {
		switch random.IntN(12) {
		case 0:
			delete(w.Opposites, id)
		case 1:
			o.Text = "" // marked irreversible
			w.Opposites[id] = o
		}
	}
	return w, vectors
}

// fate says what must become of the ordered pair of two vectors.
func (w *world) fate(a, b schemas.Response, va, vb string, o schemas.PairOptions) (what string, g int) {
	if o.NotApplicable == schemas.FollowedNotApplicable {
		va, vb = strings.ReplaceAll(va, "-", "1"), strings.ReplaceAll(vb, "-", "1")
	}
	triggered := w.TriggeredConstraints()
	irreversible := false
	for i := range triggered {
		if !strings.Contains("01", va[i:i+1]) || !strings.Contains("01", vb[i:i+1]) {
			continue
		}
		if va[i] != vb[i] {
			g++
		}
		if va[i] == '0' && w.Opposites[triggered[i].ConstraintID].Text == "" {
			irreversible = true
		}
	}
	la, lb := utf8.RuneCountInString(a.Text), utf8.RuneCountInString(b.Text)
	switch {
	case g == 0:
		return "equal", g
	case g < max(1, o.MinMargin):
		return "margin", g
	case o.MaxLengthRatio > 0 && float64(max(la, lb))/float64(min(la, lb)) > o.MaxLengthRatio:
		return "length", g
	case irreversible:
		return "irreversible", g
	}
	return "kept", g
}

// representatives are the first responses of every vector, what does not count
// being one and the same.
func (w *world) representatives(vectors map[string]string, policy string) []schemas.Response {
	seen := map[string]bool{}
	var out []schemas.Response
	for _, r := range w.Responses {
		v := vectors[r.ResponseID]
		if policy == schemas.FollowedNotApplicable {
			v = strings.ReplaceAll(v, "-", "1")
		}
		if v = strings.ReplaceAll(v, "?", "-"); !seen[v] {
			seen[v] = true
			out = append(out, r)
		}
	}
	return out
}

// follows says whether a response with that vector follows place i of the prompt,
// by its verdict and by its text.
func (w *world) follows(i int, vector, text string, reversed bool) bool {
	byVerdict := (vector[i] == '1') != reversed
	place := slices.IndexFunc(w.Constraints, func(c schemas.Constraint) bool { return c.ConstraintID == w.Triggered[i] })
	if word := w.words[place]; word != "" {
		return byVerdict && strings.Contains(text, word) != reversed
	}
	return byVerdict
}

func TestEveryPairMeetsAnOracleUnderEveryOption(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	seen := map[string]int{}
	for round := range 1500 {
		w, vectors := randomWorld(t, random, fmt.Sprint("oracle", round))
		o := schemas.PairOptions{
			MinMargin: 1 + random.IntN(3), MaxLengthRatio: []float64{0, 1, 1.5, 4}[random.IntN(4)],
			NotApplicable: []string{schemas.ExcludeNotApplicable, schemas.FollowedNotApplicable}[random.IntN(2)],
		}
		all, err := pair.NewBuilder(o, nil).Build(w.Turn)
		if err != nil {
			t.Fatal(err)
		}
		fates := map[string]int64{}
		want := map[[2]string]int{}
		representatives := w.representatives(vectors, o.NotApplicable)
		for _, a := range representatives {
			for _, b := range representatives {
				what, g := w.fate(a, b, vectors[a.ResponseID], vectors[b.ResponseID], o)
				fates[what]++
				if what == "kept" {
					want[[2]string{a.ResponseID, b.ResponseID}] = g
				}
			}
		}
		if got := (pair.Drops{SmallMargin: fates["margin"], LengthRatio: fates["length"], Irreversible: fates["irreversible"]}); all.Drops != got {
			t.Fatalf("round %d: drops %+v, want %+v", round, all.Drops, got)
		}
		if all.Vectors != int64(len(representatives)) || len(all.Pairs) != len(want) {
			t.Fatalf("round %d: %d vectors, %d pairs, want %d and %d", round, all.Vectors, len(all.Pairs), len(representatives), len(want))
		}
		for _, p := range all.Pairs {
			g, ok := want[[2]string{p.ChosenResponseID, p.RejectedResponseID}]
			if !ok || p.Margin != float64(g) || p.NotApplicable != o.NotApplicable {
				t.Fatalf("round %d: pair %+v, want g %d (%v)", round, p, g, ok)
			}
			w.checkPerfect(t, p, vectors)
			checkSystem(t, w, p)
		}
		for what, n := range fates {
			seen[what] += int(n)
		}
		// The largest g of a turn, ties by pair id.
		o.MaxPairsPerTurn = 1 + random.IntN(4)
		some, err := pair.NewBuilder(o, nil).Build(w.Turn)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(all.Pairs, func(a, b schemas.Pair) int {
			return cmp.Or(cmp.Compare(b.Margin, a.Margin), strings.Compare(a.PairID, b.PairID))
		})
		kept := all.Pairs[:min(len(all.Pairs), o.MaxPairsPerTurn)]
		if !slices.EqualFunc(ids(some.Pairs), ids(kept), func(a, b string) bool { return a == b }) || some.OverMaximum != int64(len(all.Pairs)-len(kept)) {
			t.Fatalf("round %d: at most %d pairs gives %d of %d, %d dropped", round, o.MaxPairsPerTurn, len(some.Pairs), len(all.Pairs), some.OverMaximum)
		}
	}
	for _, what := range []string{"kept", "margin", "length", "irreversible", "equal"} {
		if seen[what] < 300 {
			t.Errorf("only %d ordered pairs were %s: the property was hardly tested", seen[what], what)
		}
	}
}

// checkPerfect demands, from vectors and texts, that of what counts for both the
// chosen response follows everything in its prompt and the rejected one fails g.
func (w *world) checkPerfect(t *testing.T, p schemas.Pair, vectors map[string]string) {
	t.Helper()
	va, vb := vectors[p.ChosenResponseID], vectors[p.RejectedResponseID]
	if p.NotApplicable == schemas.FollowedNotApplicable {
		va, vb = strings.ReplaceAll(va, "-", "1"), strings.ReplaceAll(vb, "-", "1")
	}
	failed := 0
	for i, id := range w.Triggered {
		reversed := slices.ContainsFunc(p.Reversed, func(r schemas.Reversal) bool { return r.ConstraintID == id })
		if !strings.Contains("01", va[i:i+1]) || !strings.Contains("01", vb[i:i+1]) {
			if reversed || slices.Contains(p.Differing, id) {
				t.Fatalf("%s and %s: constraint %d is reversed or counted", va, vb, i)
			}
			continue
		}
		if !w.follows(i, va, p.Chosen[0].Content, reversed) {
			t.Fatalf("%s and %s: the chosen response fails constraint %d of its prompt", va, vb, i)
		}
		if !w.follows(i, vb, p.Rejected[0].Content, reversed) {
			failed++
		}
	}
	if float64(failed) != p.Margin {
		t.Fatalf("%s and %s: the rejected response fails %d, margin %v", va, vb, failed, p.Margin)
	}
}

func ids(pairs []schemas.Pair) []string {
	var out []string
	for _, p := range pairs {
		out = append(out, p.PairID)
	}
	slices.Sort(out)
	return out
}

// bruteCase classifies two sets of followed constraints by the words of the
// paper's table.
func bruteCase(a, b string) int {
	var both, onlyA, onlyB, counted int
	for i := range a {
		if !strings.Contains("01", a[i:i+1]) || !strings.Contains("01", b[i:i+1]) {
			continue
		}
		counted++
		switch a[i:i+1] + b[i:i+1] {
		case "11":
			both++
		case "10":
			onlyA++
		case "01":
			onlyB++
		}
	}
	sameScore, disjoint := onlyA == onlyB, both == 0
	dominates := onlyA == 0 || onlyB == 0
	perfect := both+onlyA == counted || both+onlyB == counted
	switch {
	case sameScore && disjoint:
		return 1
	case sameScore:
		return 2
	case dominates && perfect:
		return 6
	case dominates:
		return 5
	case disjoint:
		return 3
	default:
		return 4
	}
}

func TestUnorderedPairsAreCountedByCaseBeforeAnyFilter(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	var sum [7]int64
	for round := range 1500 {
		w, vectors := randomWorld(t, random, fmt.Sprint("case", round))
		var want [7]int64
		representatives := w.representatives(vectors, schemas.ExcludeNotApplicable)
		for i, a := range representatives {
			for _, b := range representatives[:i] {
				va, vb := vectors[a.ResponseID], vectors[b.ResponseID]
				if hamming(strings.ReplaceAll(va, "?", "-"), strings.ReplaceAll(vb, "?", "-")) > 0 {
					want[bruteCase(va, vb)]++
				}
			}
		}
		o := schemas.PairOptions{MinMargin: 3, MaxPairsPerTurn: 1, MaxLengthRatio: 1.1, NearDuplicate: 0.3}
		built, err := pair.NewBuilder(o, nil).Build(w.Turn)
		if err != nil || built.Cases != want {
			t.Fatalf("round %d: cases %v, want %v (%v)", round, built.Cases, want, err)
		}
		for i, n := range want {
			sum[i] += n
		}
	}
	for i, n := range sum[1:] {
		if n < 50 {
			t.Errorf("only %d pairs of case %d: it was hardly tested", n, i+1)
		}
	}
}

func TestAStricterFilterKeepsNothingThatALooserOneDrops(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	build := func(w *world, o schemas.PairOptions) pair.Built {
		built, err := pair.NewBuilder(o, nil).Build(w.Turn)
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	stricter := []struct {
		name string
		o    []schemas.PairOptions // from loose to strict
	}{
		{"margin", []schemas.PairOptions{{MinMargin: 1}, {MinMargin: 2}, {MinMargin: 3}}},
		{"number", []schemas.PairOptions{{}, {MaxPairsPerTurn: 5}, {MaxPairsPerTurn: 2}, {MaxPairsPerTurn: 1}}},
		{"length", []schemas.PairOptions{{}, {MaxLengthRatio: 5}, {MaxLengthRatio: 1.5}, {MaxLengthRatio: 1}}},
	}
	for round := range 300 {
		w, _ := randomWorld(t, random, fmt.Sprint("monotone", round))
		for _, s := range stricter {
			looser := ids(build(w, s.o[0]).Pairs)
			for _, o := range s.o[1:] {
				now := ids(build(w, o).Pairs)
				for _, id := range now {
					if !slices.Contains(looser, id) {
						t.Fatalf("round %d: %+v keeps a pair that a looser %s drops", round, o, s.name)
					}
				}
				looser = now
			}
		}
		// A removed response may leave its vector to a later one, so here responses
		// are compared.
		kept := int64(len(w.Responses))
		for _, bound := range []float64{1, 0.9, 0.7, 0.5, 0.2, 0.01} {
			built := build(w, schemas.PairOptions{NearDuplicate: bound})
			if built.Responses > kept || built.Responses+built.NearDuplicates != int64(len(w.Responses)) {
				t.Fatalf("round %d: bound %v keeps %d responses, a higher one %d", round, bound, built.Responses, kept)
			}
			kept = built.Responses
		}
	}
}
