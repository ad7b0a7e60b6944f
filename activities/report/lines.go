package report

import (
	"fmt"
	"strconv"
	"strings"
)

// Size and plot area of a line chart, in pixels.
const (
	lineWidth, lineHeight               = 520.0, 270.0
	lineLeft, lineRight                 = 64.0, 506.0
	lineTop, lineBottom                 = 12.0, 222.0
	maxPoints                           = 1200 // of a drawn line
	maxTableRows                        = 40
	fewestSmoothed, smoothedShare       = 20, 15
	shortestSmoothing, longestSmoothing = 5, 50
)

// lineChart is a drawn chart of quantities over training steps.
type lineChart struct {
	ID, Title, Desc  string
	XTitle, YTitle   string
	X, Y             axis
	Curves           []curve
	Dots             []dot
	DotsClass        string
	Keys             []key
	Note             string
	Table            table
	W, H             px
	Left, Right      px
	Top, Bottom      px
	XTitleX, YTitleY px
}

// curve is one drawn line; Faint is for raw values behind their mean.
type curve struct {
	Class string
	Faint bool
	Path  string
}

type dot struct {
	X, Y px
	Text string
}

// key is an entry of the legend.
type key struct{ Class, Text string }

// table is the text alternative of a chart. The first column is the row's head.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
}

// series is a quantity of every step. A value that is not finite is a gap.
type series struct {
	Name, Class string
	Values      []float64
}

// point is one value of an evaluation.
type point struct {
	Step  int
	Value float64
}

// drawLines draws series over steps and marks as dots. Share says that the
// quantity is a share, drawn on a fixed axis from 0 to 100 %. It returns nil if
// no value is finite.
func drawLines(id, title, yTitle string, steps []int, all []series, marksName string, marks []point, share bool) *lineChart {
	lo, hi, found := extent(all, marks)
	if !found {
		return nil
	}
	c := &lineChart{
		ID: id, Title: title, XTitle: "optimizer step", YTitle: yTitle,
		W: lineWidth, H: lineHeight, Left: lineLeft, Right: lineRight, Top: lineTop, Bottom: lineBottom,
		XTitleX: (lineLeft + lineRight) / 2, YTitleY: (lineTop + lineBottom) / 2,
	}
	label := plainLabel
	if share {
		lo, hi, label = 0, 1, percentLabel
	}
	c.Y = newAxis(lo, hi, 5, 0, lineBottom, lineTop, label)
	first, last := stepRange(steps, marks)
	c.X = stepAxis(first, last, lineLeft, lineRight)

	window := 0
	if n := len(steps); n >= fewestSmoothed {
		window = min(max(n/smoothedShare, shortestSmoothing), longestSmoothing)
		c.Note = fmt.Sprintf("Faint: every step. Strong: the mean of the last %d steps.", window)
	}
	for _, s := range all {
		if !anyFinite(s.Values) {
			continue
		}
		if window > 0 {
			c.Curves = append(c.Curves,
				curve{Class: s.Class, Faint: true, Path: c.path(steps, s.Values)},
				curve{Class: s.Class, Path: c.path(steps, trailingMean(s.Values, window))})
		} else {
			c.Curves = append(c.Curves, curve{Class: s.Class, Path: c.path(steps, s.Values)})
		}
		c.Keys = append(c.Keys, key{s.Class, s.Name})
	}
	for _, m := range marks {
		if finite(m.Value) {
			c.Dots = append(c.Dots, dot{X: c.X.at(float64(m.Step)), Y: c.Y.at(m.Value),
				Text: fmt.Sprintf("%s, step %s: %s", marksName, count(int64(m.Step)), show(m.Value, share))})
		}
	}
	if len(c.Dots) > 0 {
		c.Keys = append(c.Keys, key{"dot", marksName})
	}
	c.Desc = describe(steps, all, marksName, marks, share)
	c.Table = stepTable(title, steps, all, share)
	return c
}

func show(v float64, share bool) string {
	if share {
		return percent(v)
	}
	return figure(v)
}

func anyFinite(values []float64) bool {
	for _, v := range values {
		if finite(v) {
			return true
		}
	}
	return false
}

func extent(all []series, marks []point) (lo, hi float64, found bool) {
	add := func(v float64) {
		if !finite(v) {
			return
		}
		if !found {
			lo, hi, found = v, v, true
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	for _, s := range all {
		for _, v := range s.Values {
			add(v)
		}
	}
	for _, m := range marks {
		add(m.Value)
	}
	return lo, hi, found
}

func stepRange(steps []int, marks []point) (first, last int) {
	all := append([]int{}, steps...)
	for _, m := range marks {
		all = append(all, m.Step)
	}
	first, last = all[0], all[0]
	for _, s := range all {
		first, last = min(first, s), max(last, s)
	}
	return first, last
}

// trailingMean returns the mean of the finite ones of the last n values at every
// place. Gaps stay gaps.
func trailingMean(values []float64, n int) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		if !finite(v) {
			out[i] = v
			continue
		}
		sum, seen := 0.0, 0
		for _, w := range values[max(0, i-n+1) : i+1] {
			if finite(w) {
				sum += w
				seen++
			}
		}
		out[i] = sum / float64(seen)
	}
	return out
}

// path draws values as an SVG path, broken at gaps. A lone value becomes a line
// of length zero, which round caps turn into a dot.
func (c *lineChart) path(steps []int, values []float64) string {
	var b strings.Builder
	pen, lone := false, false
	var lastX, lastY px
	lift := func() {
		if lone {
			fmt.Fprintf(&b, "L%v %v", lastX, lastY)
		}
		pen, lone = false, false
	}
	for _, i := range thin(values, maxPoints) {
		if !finite(values[i]) {
			lift()
			continue
		}
		lastX, lastY = c.X.at(float64(steps[i])), c.Y.at(values[i])
		if pen {
			fmt.Fprintf(&b, "L%v %v", lastX, lastY)
			lone = false
		} else {
			fmt.Fprintf(&b, "M%v %v", lastX, lastY)
			pen, lone = true, true
		}
	}
	lift()
	return b.String()
}

// thin returns the places of about n values: the ends, and of every bucket in
// between its lowest, its highest and a gap if it has one, so that no spike
// disappears.
func thin(values []float64, n int) []int {
	if len(values) <= n {
		out := make([]int, len(values))
		for i := range out {
			out[i] = i
		}
		return out
	}
	out := []int{0}
	size := (len(values)*2 + n - 1) / n
	for start := 1; start < len(values)-1; start += size {
		low, high, gap := start, start, -1
		for i := start; i < min(start+size, len(values)-1); i++ {
			switch {
			case !finite(values[i]):
				gap = i
			case !finite(values[low]) || values[i] < values[low]:
				low = i
			}
			if finite(values[i]) && (!finite(values[high]) || values[i] > values[high]) {
				high = i
			}
		}
		kept := map[int]bool{low: true, high: true}
		if gap >= 0 {
			kept[gap] = true
		}
		for i := start; i < min(start+size, len(values)-1); i++ {
			if kept[i] {
				out = append(out, i)
			}
		}
	}
	return append(out, len(values)-1)
}

// describe says in a sentence a line what the chart shows, for those who do not see it.
func describe(steps []int, all []series, marksName string, marks []point, share bool) string {
	var parts []string
	for _, s := range all {
		first, last := -1, -1
		for i, v := range s.Values {
			if finite(v) {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first >= 0 {
			parts = append(parts, fmt.Sprintf("%s: %s at step %d, %s at step %d.", s.Name,
				show(s.Values[first], share), steps[first], show(s.Values[last], share), steps[last]))
		}
	}
	for _, m := range marks {
		if finite(m.Value) {
			parts = append(parts, fmt.Sprintf("%s: %s at step %d.", marksName, show(m.Value, share), m.Step))
		}
	}
	return strings.Join(parts, " ")
}

// stepTable lists the values at up to maxTableRows evenly spaced steps.
func stepTable(title string, steps []int, all []series, share bool) table {
	t := table{Caption: title, Head: []string{"Step"}}
	for _, s := range all {
		t.Head = append(t.Head, s.Name)
	}
	rows := min(len(steps), maxTableRows)
	if rows < len(steps) {
		t.Caption += fmt.Sprintf(" (%d of %d steps, evenly spaced)", rows, len(steps))
	}
	for r := range rows {
		i := r
		if rows < len(steps) {
			i = r * (len(steps) - 1) / (rows - 1)
		}
		row := []string{strconv.Itoa(steps[i])}
		for _, s := range all {
			row = append(row, show(s.Values[i], share))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
