package report

import (
	"fmt"

	"rpo/schemas"
)

// fewProfiles is the number of independent units below which an interval from
// resampling them is itself rough.
const fewProfiles = 30

// headline is the result in one look: two shares, their difference and what the
// interval allows to say about it.
type headline struct {
	Evaluated     bool
	Base, Trained string
	Difference    string
	Interval      string // "" if there is none
	// Tone is "better", "worse" or "open".
	Tone     string
	Sentence string
	Basis    string
	Caution  string
	Plot     *intervalPlot
}

// intervalPlot draws the interval of the difference against zero.
type intervalPlot struct {
	Desc        string
	X           axis
	W, H        px
	Zero        px
	Lo, Hi, Mid px
	BarW        px
	Tone        string
}

func newHeadline(s schemas.Summary) headline {
	h := headline{Tone: "open"}
	if s.EvalVerdicts <= 0 || !finite(s.BaseSatisfaction) || !finite(s.TrainedSatisfaction) {
		h.Sentence = "The models were not compared on held-out profiles, so this run shows no improvement and no loss."
		return h
	}
	h.Evaluated = true
	h.Base, h.Trained, h.Difference = percent(s.BaseSatisfaction), percent(s.TrainedSatisfaction), points(s.Difference)
	h.Basis = fmt.Sprintf("Share of constraints followed on held-out profiles: %s of each model over %s.",
		plural(s.EvalVerdicts, "verdict"), plural(s.EvalProfiles, "profile"))
	lo, hi := s.DifferenceCI95[0], s.DifferenceCI95[1]
	if !usableInterval(s) {
		h.Sentence = "There is no usable interval for the difference, so it cannot be told from chance."
		return h
	}
	h.Interval = points(lo) + " to " + points(hi)
	switch {
	case lo > 0:
		h.Tone = "better"
		h.Sentence = "The 95 % interval lies above zero: the trained model follows more of the constraints than its base."
	case hi < 0:
		h.Tone = "worse"
		h.Sentence = "The 95 % interval lies below zero: the trained model follows fewer of the constraints than its base."
	default:
		h.Sentence = "The 95 % interval includes zero: this evaluation does not show a difference between the two models."
	}
	if s.EvalProfiles < fewProfiles {
		h.Caution = fmt.Sprintf("With %s the interval itself is rough.", plural(s.EvalProfiles, "profile"))
	}
	h.Plot = drawInterval(lo, s.Difference, hi, h.Tone)
	return h
}

// usableInterval reports whether the summary holds an interval that can carry a
// statement: finite, ordered, around the difference, from two profiles or more.
func usableInterval(s schemas.Summary) bool {
	lo, hi, d := s.DifferenceCI95[0], s.DifferenceCI95[1], s.Difference
	const rounding = 1e-9
	return finite(lo) && finite(hi) && finite(d) && s.EvalProfiles >= 2 &&
		lo <= d+rounding && d <= hi+rounding
}

func drawInterval(lo, mid, hi float64, tone string) *intervalPlot {
	const left, right = 18.0, 402.0
	p := &intervalPlot{W: 420, H: 92, Tone: tone}
	p.X = newAxis(min(lo, 0), max(hi, 0), 5, 0.005, left, right, pointsLabel)
	p.Zero, p.Lo, p.Hi, p.Mid = p.X.at(0), p.X.at(lo), p.X.at(hi), p.X.at(mid)
	p.BarW = max(p.Hi-p.Lo, 1)
	p.Desc = fmt.Sprintf("Difference trained minus base: %s percentage points, 95 %% interval from %s to %s.", points(mid), points(lo), points(hi))
	return p
}
