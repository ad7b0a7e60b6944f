package pair_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/schemas"
)

// share is the score of a vector and whether it has one.
func share(vector string) (float64, bool) {
	followed, counted := strings.Count(vector, "1"), strings.Count(vector, "1")+strings.Count(vector, "0")
	if counted == 0 {
		return 0, false
	}
	return float64(followed) / float64(counted), true
}

// lead is by how many constraints a is ahead of b where both count.
func lead(a, b string) int {
	n := 0
	for i := range a {
		if strings.Contains("01", a[i:i+1]) && strings.Contains("01", b[i:i+1]) {
			n += int(a[i]) - int(b[i])
		}
	}
	return n
}

func TestBaselinesAreWhatTheirDefinitionsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(19, 20))
	dpo, desirable, undesirable := 0, 0, 0
	for round := range 600 {
		w, vectors := randomWorld(t, random, fmt.Sprint("baseline", round))
		built, err := pair.NewBuilder(schemas.PairOptions{Baselines: true}, nil).Build(w.Turn)
		if err != nil {
			t.Fatal(err)
		}
		want := map[[2]string]int{}
		representatives := w.representatives(vectors, schemas.ExcludeNotApplicable)
		for _, a := range representatives {
			for _, b := range representatives {
				if n := lead(vectors[a.ResponseID], vectors[b.ResponseID]); n > 0 {
					want[[2]string{a.ResponseID, b.ResponseID}] = n
				}
			}
		}
		for _, p := range built.DPO {
			key := [2]string{p.ChosenResponseID, p.RejectedResponseID}
			if p.Margin != float64(want[key]) || len(p.Reversed) > 0 || !slices.Equal(p.Prompt, w.Messages()) {
				t.Fatalf("round %d: dpo %+v, want margin %d", round, p, want[key])
			}
			delete(want, key)
		}
		if len(want) > 0 {
			t.Fatalf("round %d: %d score-gap pairs are missing", round, len(want))
		}
		dpo += len(built.DPO)
		best, scored := "", 0
		for _, r := range w.Responses {
			score, ok := share(vectors[r.ResponseID])
			i := slices.IndexFunc(built.KTO, func(k schemas.Desirability) bool { return k.ResponseID == r.ResponseID })
			if ok != (i >= 0) {
				t.Fatalf("round %d: a response with vector %s has row %d", round, vectors[r.ResponseID], i)
			}
			if !ok {
				continue
			}
			scored++
			k := built.KTO[i]
			if k.Score != score || k.Label != (score >= 0.7) || k.Completion[0].Content != r.Text || !slices.Equal(k.Prompt, w.Messages()) {
				t.Fatalf("round %d: kto %+v of vector %s", round, k, vectors[r.ResponseID])
			}
			if k.Label {
				desirable++
			} else {
				undesirable++
			}
			top, _ := share(vectors[best])
			if best == "" || score > top || score == top && r.ResponseID < best {
				best = r.ResponseID
			}
		}
		switch {
		case len(built.KTO) != scored:
			t.Fatalf("round %d: %d kto rows of %d responses", round, len(built.KTO), scored)
		case scored == 0 && len(built.SFT) > 0:
			t.Fatalf("round %d: a demonstration without a score", round)
		case scored > 0 && (len(built.SFT) != 1 || built.SFT[0].ResponseID != best || built.SFT[0].Completion[0].Role != "assistant"):
			t.Fatalf("round %d: sft %+v, want response %s", round, built.SFT, best)
		}
	}
	if dpo < 500 || desirable < 500 || undesirable < 500 {
		t.Errorf("only %d dpo pairs, %d desirable and %d undesirable responses", dpo, desirable, undesirable)
	}
}

func TestWithoutTheOptionThereAreNoBaselines(t *testing.T) {
	w := newWorld(t, "none", "ff")
	w.add("11")
	w.add("00")
	built, err := pair.NewBuilder(schemas.PairOptions{}, nil).Build(w.Turn)
	if err != nil || len(built.DPO)+len(built.KTO)+len(built.SFT) > 0 || len(built.Pairs) != 2 {
		t.Errorf("%+v, %v", built, err)
	}
}
