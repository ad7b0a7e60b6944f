package experiment

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"

	"rpo/schemas"
)

//go:embed templates/page.html
var templates embed.FS

var pageTemplate = template.Must(template.ParseFS(templates, "templates/page.html"))

// pageView is what the page shows. Everything is text by now.
type pageView struct {
	Title, Basis, Best, First string
	Rows                      []rowView
	Failed                    []rowView
	// Zero is where no gain lies on the axis, in percent of its width.
	Zero string
	// Low and High are the ends of the axis.
	Low, High string
	Places    [][2]string
}

type rowView struct {
	Arm, Options, Trained, Gain, Interval, OverFirst, Accuracy, Malformed, Loss, Tokens, Hours string
	Error, Status                                                                              string
	Best                                                                                       bool
	// Left and Width are the interval on the axis, At the gain, in percent.
	Left, Width, At string
}

// page draws the table. It loads nothing, so that it can be kept and sent.
func page(c Comparison) ([]byte, error) {
	v := pageView{Title: "Experiment " + c.Experiment, Best: c.Best}
	if len(c.Rows) > 0 {
		v.First = c.Rows[0].Arm
	}
	v.Basis = fmt.Sprintf("The base model follows %s of the constraints, by %d verdicts on %d held-out profiles.", percent(c.Base), c.Verdicts, c.HeldOut)
	low, high := axis(c.Rows)
	place := func(x float64) float64 { return 100 * (x - low) / (high - low) }
	v.Zero, v.Low, v.High = css(place(0)), points(low), points(high)
	for _, r := range c.Rows {
		row := rowView{Arm: r.Arm, Status: r.Status, Options: options(r.Options), Error: r.Error}
		if r.Status != schemas.StatusDone {
			v.Failed = append(v.Failed, row)
			continue
		}
		row.Best = r.Arm == c.Best
		row.Trained, row.Gain, row.Interval = percent(r.Trained), points(r.Gain), points(r.CI95[0])+" to "+points(r.CI95[1])
		if d := r.OverFirst; d != nil {
			row.OverFirst = points(d.Value) + " (" + points(d.CI95[0]) + " to " + points(d.CI95[1]) + ")"
		}
		if row.Accuracy = "–"; r.RewardAccuracy != nil {
			row.Accuracy = percent(*r.RewardAccuracy)
		}
		row.Malformed, row.Loss = percent(r.Malformed), fmt.Sprintf("%.4f", r.LossLast)
		row.Tokens, row.Hours = fmt.Sprint(r.Tokens), fmt.Sprintf("%.4f", r.Hours)
		row.Left, row.Width, row.At = css(place(r.CI95[0])), css(place(r.CI95[1])-place(r.CI95[0])), css(place(r.Gain))
		v.Rows = append(v.Rows, row)
	}
	v.Places = [][2]string{{"Rows", c.Manifest}, {"Held-out turns", c.Profiles}}
	for _, r := range c.Rows {
		if r.Model != "" {
			v.Places = append(v.Places, [2]string{"Model of " + r.Arm, r.Model})
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, "page.html", v); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "draw the page of experiment %s: %w", c.Experiment, err)
	}
	return b.Bytes(), nil
}

// axis spans all intervals and zero.
func axis(rows []Row) (low, high float64) {
	for _, r := range rows {
		if r.Status == schemas.StatusDone {
			low, high = min(low, r.CI95[0]), max(high, r.CI95[1])
		}
	}
	if high-low < 0.01 {
		high = low + 0.01
	}
	return low, high
}

// options are written as JSON, by name.
func options(of map[string]any) string {
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(of)) {
		value, err := json.Marshal(of[field])
		if err == nil {
			parts = append(parts, field+" "+strings.Trim(string(value), `"`))
		}
	}
	return strings.Join(parts, ", ")
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// points writes a difference of shares in percentage points.
func points(d float64) string { return fmt.Sprintf("%+.1f", 100*d) }

// css writes a percentage, which html/template takes as a number and no more.
func css(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	return fmt.Sprintf("%.2f", v)
}
