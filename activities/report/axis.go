package report

import (
	"math"
	"strconv"
	"strings"
)

// axis maps values to a pixel range of the drawing.
type axis struct {
	// Lo and Hi are the values at the ends.
	Lo, Hi float64
	// From and To are the pixels of Lo and Hi.
	From, To float64
	Ticks    []tick
}

type tick struct {
	At    px
	Label string
	// Zero marks the tick at 0, where its line is drawn stronger.
	Zero bool
}

// px is a coordinate of a drawing, written with at most two decimals.
type px float64

func (p px) String() string {
	s := strconv.FormatFloat(math.Round(float64(p)*100)/100, 'f', -1, 64)
	if s == "-0" {
		return "0"
	}
	return s
}

func (a axis) at(v float64) px {
	return px(a.From + (v-a.Lo)/(a.Hi-a.Lo)*(a.To-a.From))
}

// newAxis covers [lo, hi] with about target steps of 1, 2 or 5 times a power of
// ten, no step smaller than least. Both ends are ticks.
func newAxis(lo, hi float64, target int, least, from, to float64, label func(v float64, decimals int) string) axis {
	if !finite(lo) || !finite(hi) {
		lo, hi = 0, 1
	}
	lo, hi = min(lo, hi), max(lo, hi)
	// A span too small for the digits of a float64 has no distinct ticks.
	if size := max(math.Abs(lo), math.Abs(hi)); hi-lo < 1e-9*size || hi == lo {
		pad := size * 0.05
		if pad == 0 {
			pad = 0.5
		}
		lo, hi = lo-pad, hi+pad
	}
	step := max(niceStep((hi-lo)/float64(target)), least)
	first, last := math.Floor(lo/step+1e-6), math.Ceil(hi/step-1e-6)
	a := axis{Lo: first * step, Hi: last * step, From: from, To: to}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	for i := first; i <= last; i++ {
		v := i * step
		a.Ticks = append(a.Ticks, tick{At: a.at(v), Label: label(v, decimals), Zero: i == 0})
	}
	return a
}

// niceStep returns the smallest of 1, 2 and 5 times a power of ten that is not
// below raw.
func niceStep(raw float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// stepAxis covers the steps from first to last exactly, with ticks at round
// numbers in between.
func stepAxis(first, last int, from, to float64) axis {
	a := newAxis(float64(first), float64(last), 6, 1, from, to, plainLabel)
	if first == last {
		a.Lo, a.Hi = float64(first)-1, float64(last)+1
		a.Ticks = []tick{{At: a.at(float64(first)), Label: plainLabel(float64(first), 0)}}
		return a
	}
	wide := a
	a.Lo, a.Hi, a.Ticks = float64(first), float64(last), nil
	for i, t := range wide.Ticks {
		v := wide.Lo + (wide.Hi-wide.Lo)*float64(i)/float64(len(wide.Ticks)-1)
		if v >= a.Lo && v <= a.Hi {
			a.Ticks = append(a.Ticks, tick{At: a.at(v), Label: t.Label})
		}
	}
	return a
}

func plainLabel(v float64, decimals int) string {
	if decimals > 6 || math.Abs(v) >= 1e7 {
		return minus(strconv.FormatFloat(v, 'g', 4, 64))
	}
	if decimals == 0 {
		return minus(count(int64(math.Round(v))))
	}
	return minus(strconv.FormatFloat(v, 'f', decimals, 64))
}

func percentLabel(v float64, decimals int) string {
	return minus(strconv.FormatFloat(100*v, 'f', max(0, decimals-2), 64)) + "\u00a0%"
}

func pointsLabel(v float64, decimals int) string {
	s := strings.TrimSuffix(percentLabel(v, decimals), "\u00a0%")
	if v > 0 && s != "0" {
		return "+" + s
	}
	return s
}
