package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// barChart is a drawn bar chart: columns upright or rows lying.
type barChart struct {
	ID, Title, Desc string
	XTitle          string
	Scale           axis
	Groups          []barGroup
	Keys            []key
	Note            string
	Table           table
	W, H            px
	Left, Right     px
	Top, Bottom     px
	MidX            px
}

type barGroup struct {
	Label, Note string
	// LabelX and LabelY place Label, NoteY places Note below it.
	LabelX, LabelY, NoteY px
	Bars                  []bar
}

type bar struct {
	Class, Text, Value string
	X, Y, W, H         px
	ValueX, ValueY     px
}

const (
	maxColumns   = 24
	maxFamilies  = 40
	familyLeft   = 116.0
	familyHeight = 52.0
	maxLabel     = 15 // runes

	wideWidth, wideRight                  = 1060.0, 1000.0
	columnHeight, columnTop, columnBottom = 230.0, 22.0, 182.0
	columnLeft, columnRight               = 66.0, 1050.0
)

// gCount is the number of pairs with a margin.
type gCount struct {
	G     string
	Pairs int64
}

// sortedByG orders the margins by number, names that are no numbers last.
func sortedByG(byG map[string]int64) []gCount {
	number := func(g string) (float64, bool) {
		f, err := strconv.ParseFloat(g, 64)
		return f, err == nil && finite(f)
	}
	names := slices.SortedFunc(maps.Keys(byG), func(a, b string) int {
		x, xOK := number(a)
		y, yOK := number(b)
		switch {
		case xOK && yOK && x != y:
			if x < y {
				return -1
			}
			return 1
		case xOK != yOK:
			if xOK {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	var out []gCount
	for _, g := range names {
		out = append(out, gCount{g, byG[g]})
	}
	return out
}

// drawPairsByG draws how many pairs differ on g constraints; nil without pairs.
func drawPairsByG(byG map[string]int64) *barChart {
	counts := sortedByG(byG)
	total, most := int64(0), int64(0)
	for _, c := range counts {
		if c.Pairs > 0 {
			total += c.Pairs
		}
	}
	if total == 0 {
		return nil
	}
	t := table{Caption: "Pairs by g", Head: []string{"g", "Pairs", "Share"}}
	for _, c := range counts {
		t.Rows = append(t.Rows, []string{printable(c.G), count(c.Pairs), percent(float64(c.Pairs) / float64(total))})
	}
	if len(counts) > maxColumns {
		rest := gCount{G: "more"}
		for _, c := range counts[maxColumns-1:] {
			rest.Pairs += c.Pairs
		}
		counts = append(counts[:maxColumns-1:maxColumns-1], rest)
	}
	for _, c := range counts {
		most = max(most, c.Pairs)
	}
	c := &barChart{
		ID: "pairs-by-g", Title: "Pairs by g", XTitle: "g: constraints that only the chosen response follows",
		W: wideWidth, H: columnHeight, Left: columnLeft, Right: columnRight, Top: columnTop, Bottom: columnBottom,
		MidX: (columnLeft + columnRight) / 2, Table: t,
	}
	c.Scale = newAxis(0, float64(most), 4, 1, columnBottom, columnTop, plainLabel)
	slot := (columnRight - columnLeft) / float64(len(counts))
	width := min(slot*0.72, 96)
	var said []string
	for i, n := range counts {
		middle := px(columnLeft + slot*(float64(i)+0.5))
		top := c.Scale.at(float64(max(n.Pairs, 0)))
		label, _ := shorten(printable(n.G), maxLabel)
		text := fmt.Sprintf("g = %s: %s", label, plural(n.Pairs, "pair"))
		said = append(said, text)
		c.Groups = append(c.Groups, barGroup{Label: label, LabelX: middle, LabelY: columnBottom + 18, Bars: []bar{{
			Class: "trained", Text: text, Value: count(n.Pairs),
			X: middle - px(width/2), Y: top, W: px(width), H: columnBottom - top, ValueX: middle, ValueY: top - 5,
		}}})
	}
	c.Desc = strings.Join(said, "; ") + "."
	return c
}

// drawFamilies draws the satisfaction of every constraint family before and
// after training; nil if no family has verdicts.
func drawFamilies(families []schemas.FamilySatisfaction) *barChart {
	c := &barChart{
		ID: "families", Title: "Constraints followed, by family", XTitle: "share of verdicts that say “followed”",
		W: wideWidth, Left: familyLeft, Right: wideRight, Top: 6, MidX: (familyLeft + wideRight) / 2,
		Keys: []key{{"base", "base model"}, {"trained", "trained model"}},
		Table: table{Caption: "Constraints followed, by family",
			Head: []string{"Family", "Base", "Trained", "Difference (points)", "Verdicts of each model"}},
	}
	c.Scale = newAxis(0, 1, 5, 0, float64(c.Left), float64(c.Right), percentLabel)
	var said []string
	for _, f := range families {
		if f.Verdicts <= 0 && !(finite(f.Base) && finite(f.Trained)) {
			continue
		}
		name := printable(f.Family)
		c.Table.Rows = append(c.Table.Rows, []string{name, percent(f.Base), percent(f.Trained), points(f.Trained - f.Base), count(f.Verdicts)})
		if len(c.Groups) == maxFamilies {
			c.Note = fmt.Sprintf("The first %d families are drawn; the table holds all.", maxFamilies)
			continue
		}
		top := float64(c.Top) + familyHeight*float64(len(c.Groups))
		label, left := shorten(name, maxLabel)
		if left > 0 {
			label += "…"
		}
		g := barGroup{Label: label, Note: "n = " + count(f.Verdicts),
			LabelX: familyLeft - 10, LabelY: px(top + 22), NoteY: px(top + 38)}
		for i, arm := range []struct {
			class, name string
			share       float64
		}{{"base", "base model", f.Base}, {"trained", "trained model", f.Trained}} {
			share := 0.0
			if finite(arm.share) {
				share = min(max(arm.share, 0), 1)
			}
			y := px(top + 7 + 19*float64(i))
			end := c.Scale.at(share)
			text := fmt.Sprintf("%s, %s: %s of %s", label, arm.name, percent(arm.share), plural(f.Verdicts, "verdict"))
			said = append(said, text)
			g.Bars = append(g.Bars, bar{Class: arm.class, Text: text, Value: percent(arm.share),
				X: c.Left, Y: y, W: end - c.Left, H: 17, ValueX: end + 6, ValueY: y + 13})
		}
		c.Groups = append(c.Groups, g)
	}
	if len(c.Groups) == 0 {
		return nil
	}
	c.Bottom = c.Top + px(familyHeight*float64(len(c.Groups)))
	c.H = c.Bottom + 46
	c.Desc = strings.Join(said, "; ") + "."
	return c
}
