package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestAxesCoverTheirValuesWithAFewDistinctRoundTicks(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	ranges := [][2]float64{{0, 0}, {5, 5}, {0, 1}, {-1, 1}, {1e9, 1e9 + 1e-6}, {0, 1e-12}, {-1e99, 1e99}, {3, 2}, {math.NaN(), 1}, {0, math.Inf(1)}}
	for range 2000 {
		scale := math.Pow(10, random.Float64()*16-8)
		ranges = append(ranges, [2]float64{scale * random.NormFloat64(), scale * random.NormFloat64()})
	}
	for _, r := range ranges {
		a := newAxis(r[0], r[1], 5, 0, 200, 10, plainLabel)
		if lo, hi := min(r[0], r[1]), max(r[0], r[1]); finite(lo) && finite(hi) && (a.Lo > lo+1e-5*(hi-lo) || a.Hi < hi-1e-5*(hi-lo)) {
			t.Errorf("%v: the axis covers %v to %v", r, a.Lo, a.Hi)
		}
		if len(a.Ticks) < 2 || len(a.Ticks) > 9 {
			t.Errorf("%v: %d ticks", r, len(a.Ticks))
		}
		var labels []string
		for i, k := range a.Ticks {
			labels = append(labels, k.Label)
			if k.At < 9.99 || k.At > 200.01 || i > 0 && k.At >= a.Ticks[i-1].At {
				t.Errorf("%v: tick %d is at %v", r, i, k.At)
			}
		}
		// Labels of values that agree in their first four digits may coincide.
		if size := max(math.Abs(r[0]), math.Abs(r[1])); math.Abs(r[1]-r[0]) > 1e-2*size && size < 1e6 {
			if slices.Sort(labels); len(slices.Compact(labels)) != len(a.Ticks) {
				t.Errorf("%v: labels %q", r, labels)
			}
		}
	}
}

func TestStepAxesEndAtTheirStepsAndCountInWholeSteps(t *testing.T) {
	for _, r := range [][2]int{{0, 1}, {1, 1}, {0, 0}, {1, 7}, {1, 180}, {3, 20000}, {5000, 5001}} {
		a := stepAxis(r[0], r[1], 60, 500)
		if len(a.Ticks) == 0 {
			t.Errorf("%v: no ticks", r)
		}
		for _, k := range a.Ticks {
			if strings.Contains(k.Label, ".") || k.At < 60 || k.At > 500 {
				t.Errorf("%v: tick %q at %v", r, k.Label, k.At)
			}
		}
		if r[0] < r[1] && (a.at(float64(r[0])) != 60 || a.at(float64(r[1])) != 500) {
			t.Errorf("%v is drawn from %v to %v", r, a.at(float64(r[0])), a.at(float64(r[1])))
		}
	}
}

func TestThinningKeepsTheEndsTheExtremesAndTheGaps(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	values := make([]float64, 30_000)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	values[12_345], values[23_456], values[7_777] = 99, -99, math.NaN()
	kept := thin(values, maxPoints)
	if len(kept) > maxPoints+maxPoints/2 || !slices.IsSorted(kept) || len(slices.Compact(slices.Clone(kept))) != len(kept) {
		t.Errorf("%d places kept, in order: %v", len(kept), slices.IsSorted(kept))
	}
	for _, i := range []int{0, 12_345, 23_456, 7_777, len(values) - 1} {
		if !slices.Contains(kept, i) {
			t.Errorf("place %d is lost", i)
		}
	}
}

func TestALineBreaksAtGapsAndShowsLoneValues(t *testing.T) {
	nan := math.NaN()
	c := lineChart{X: stepAxis(0, 4, 0, 4), Y: axis{Lo: 0, Hi: 1, From: 0, To: 1}}
	for _, k := range []struct {
		values []float64
		want   string
	}{
		{[]float64{0, 1, nan, 1, 0}, "M0 0L1 1M3 1L4 0"},
		{[]float64{0, nan, 1, nan, nan}, "M0 0L0 0M2 1L2 1"},
		{[]float64{nan, nan, nan, nan, 1}, "M4 1L4 1"},
		{[]float64{nan, nan, nan, nan, nan}, ""},
	} {
		if got := c.path([]int{0, 1, 2, 3, 4}, k.values); got != k.want {
			t.Errorf("%v is drawn as %q, want %q", k.values, got, k.want)
		}
	}
}

func TestTrailingMeanNeverLooksAhead(t *testing.T) {
	nan := math.NaN()
	got := trailingMean([]float64{1, 3, nan, 5, 8}, 3)
	want := []float64{1, 2, nan, 4, 6.5}
	for i := range want {
		if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			t.Errorf("means %v, want %v", got, want)
		}
	}
}

func TestMarginsAreOrderedByNumber(t *testing.T) {
	var got []string
	for _, c := range sortedByG(map[string]int64{"10": 1, "2": 1, "1": 1, "x": 1, "1.5": 1, "NaN": 1}) {
		got = append(got, c.G)
	}
	if want := []string{"1", "1.5", "2", "10", "NaN", "x"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestFiguresReadWell(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.77096: "0.7710", -1.5: "−1.500", 12.345: "12.35", 1234.5: "1,235", 5e-4: "5.00e-04", math.Inf(1): none} {
		if got := figure(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
	for v, want := range map[float64]string{0.2252: "+22.5", -0.03: "−3.0", 0.0001: "0.0", -0.0001: "0.0"} {
		if got := points(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}
