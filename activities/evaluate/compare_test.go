package evaluate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"rpo/activities/evaluate"
	"rpo/schemas"
)

// rows makes one evaluation row per letter: 1 followed, 0 not, - not applicable,
// ? abstained from.
func rows(profile, family, base, trained string) []schemas.Evaluation {
	outcomes := map[rune]string{'1': schemas.Followed, '0': schemas.NotFollowed, '-': schemas.NotApplicable, '?': schemas.Abstained}
	var out []schemas.Evaluation
	for arm, letters := range map[string]string{schemas.ArmBase: base, schemas.ArmTrained: trained} {
		for _, l := range letters {
			out = append(out, schemas.Evaluation{Arm: arm, ProfileID: profile, Family: family, Outcome: outcomes[l]})
		}
	}
	return out
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestSmallExamplesWorkedOutByHand(t *testing.T) {
	const z = 1.959964
	for _, c := range []struct {
		name               string
		rows               [][]schemas.Evaluation
		base, trained      float64
		verdicts, profiles int64
		ci                 [2]float64
	}{
		// d = (2-0.75*2)/4 - (1-0.5*2)/4 = 1/8 for a and -1/8 for b; the error is
		// sqrt(2/1 * (1/64 + 1/64)) = 1/4.
		{"two profiles", [][]schemas.Evaluation{rows("a", "f", "10", "11"), rows("b", "f", "10", "10")},
			0.5, 0.75, 4, 2, [2]float64{0.25 - z/4, 0.25 + z/4}},
		{"what does not apply is left out", [][]schemas.Evaluation{rows("a", "f", "1-0--", "11-"), rows("b", "f", "10", "-10"), rows("c", "f", "--", "-")},
			0.5, 0.75, 4, 2, [2]float64{0.25 - z/4, 0.25 + z/4}},
		{"what votes disagree on is left out", [][]schemas.Evaluation{rows("a", "f", "1?0", "?11?"), rows("b", "f", "10", "10??")},
			0.5, 0.75, 4, 2, [2]float64{0.25 - z/4, 0.25 + z/4}},
		// Every profile gains the same: nothing varies.
		{"a constant gain", [][]schemas.Evaluation{rows("a", "f", "10", "11"), rows("b", "g", "10", "11"), rows("c", "f", "01", "11")},
			0.5, 1, 6, 3, [2]float64{0.5, 0.5}},
		// d = (1-0.5*3)/4 - (2-0.75*3)/4 = -1/16 for a and 1/16 for b; the error is
		// sqrt(2/1 * 2/256) = 1/8.
		{"profiles of different size", [][]schemas.Evaluation{rows("a", "f", "110", "100"), rows("b", "f", "1", "1")},
			0.75, 0.5, 4, 2, [2]float64{-0.25 - z/8, -0.25 + z/8}},
		{"one profile says nothing about others", [][]schemas.Evaluation{rows("a", "f", "10", "11")}, 0.5, 1, 2, 1, [2]float64{-1, 1}},
		{"nothing", nil, 0, 0, 0, 0, [2]float64{-1, 1}},
	} {
		got := evaluate.Compare(slices.Concat(c.rows...))
		if !near(got.Base, c.base) || !near(got.Trained, c.trained) || !near(got.Difference, c.trained-c.base) ||
			got.Verdicts != c.verdicts || got.Profiles != c.profiles || !near(got.CI95[0], c.ci[0]) || !near(got.CI95[1], c.ci[1]) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c)
		}
	}
}

func TestFamiliesAreSummedApart(t *testing.T) {
	got := evaluate.Compare(slices.Concat(rows("a", "format", "10", "11"), rows("b", "format", "00-", "10"), rows("a", "content", "1", "0")))
	want := []schemas.FamilySatisfaction{
		{Family: "content", Base: 1, Trained: 0, Verdicts: 1},
		{Family: "format", Base: 0.25, Trained: 0.75, Verdicts: 4},
	}
	if !slices.Equal(got.Families, want) {
		t.Errorf("families %+v", got.Families)
	}
}

func TestAFamilyWithTheNameOfAProfileIsCountedForBoth(t *testing.T) {
	got := evaluate.Compare(slices.Concat(rows("x", "x", "1", "1"), rows("y", "x", "0", "1")))
	if got.Profiles != 2 || len(got.Families) != 1 || got.Families[0].Verdicts != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestTheOrderOfRowsDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	all := world(random, 20)
	want := evaluate.Compare(all)
	for range 10 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := evaluate.Compare(all); got.CI95 != want.CI95 || got.Difference != want.Difference {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

// world makes profiles of different sizes whose verdicts depend on each other.
func world(random *rand.Rand, profiles int) []schemas.Evaluation {
	var out []schemas.Evaluation
	for p := range profiles {
		ease, gain := random.Float64(), 0.4*random.Float64()-0.1
		n := 2 + random.IntN(12)
		arm := func(share float64, n int) string {
			letters := make([]byte, n)
			for i := range letters {
				letters[i] = '0'
				if random.Float64() < share {
					letters[i] = '1'
				}
			}
			return string(letters)
		}
		out = append(out, rows(fmt.Sprint("p", p), "f", arm(ease, n), arm(ease+gain, n+random.IntN(3)))...)
	}
	return out
}

func TestTheIntervalIsThatOfABootstrapOverProfiles(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 7))
		const profiles = 80
		all := world(random, profiles)
		got := evaluate.Compare(all)
		// Sums per profile: followed and all verdicts of both arms.
		var sums [profiles][4]float64
		for _, r := range all {
			var p int
			fmt.Sscanf(r.ProfileID, "p%d", &p)
			arm := 0
			if r.Arm == schemas.ArmTrained {
				arm = 2
			}
			sums[p][arm+1]++
			if r.Outcome == schemas.Followed {
				sums[p][arm]++
			}
		}
		var differences []float64
		for range 4000 {
			var total [4]float64
			for range profiles {
				p := random.IntN(profiles)
				for k := range total {
					total[k] += sums[p][k]
				}
			}
			differences = append(differences, total[2]/total[3]-total[0]/total[1])
		}
		slices.Sort(differences)
		low, high := differences[len(differences)/40], differences[len(differences)*39/40]
		width := high - low
		if math.Abs(got.CI95[0]-low) > 0.1*width || math.Abs(got.CI95[1]-high) > 0.1*width {
			t.Errorf("interval %v, the bootstrap's is [%v %v]", got.CI95, low, high)
		}
	}
}
