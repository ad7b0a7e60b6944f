package promote

import (
	"fmt"

	"rpo/activities/evaluate"
	"rpo/schemas"
)

// rival is the comparison with the version in use.
type rival struct {
	number int
	// same says that both were evaluated on the same turns; else result is empty.
	same   bool
	result schemas.EvaluationResult
}

// check measures an evaluation against the gates, in the order of their fields. A
// nil rival is a model without any version.
func check(g schemas.Gates, r evaluate.Reading, over *rival) []schemas.GateOutcome {
	var out []schemas.GateOutcome
	gate := func(name string, passed bool, value, bound float64, format string, args ...any) {
		out = append(out, schemas.GateOutcome{Gate: name, Passed: passed, Value: value, Bound: bound, Reason: fmt.Sprintf(format, args...)})
	}
	atLeast := func(name string, value, bound float64, what, mend string) {
		if value >= bound {
			gate(name, true, value, bound, "%s: %.4g, at least %g", what, value, bound)
		} else {
			gate(name, false, value, bound, "%s: %.4g, less than %g: %s", what, value, bound, mend)
		}
	}
	// The least lower end of an interval there is lets any through, so that the gate
	// can be switched off.
	above := func(name string, low, bound float64, what string) {
		if low > bound || bound == -1 {
			gate(name, true, low, bound, "%s: %.4g, above %g", what, low, bound)
		} else {
			gate(name, false, low, bound, "%s: %.4g, not above %g: what was gained may be chance; evaluate more profiles or responses", what, low, bound)
		}
	}
	atLeast("min_gain", r.Difference, g.MinGain, "gain over the base", "the model is not better enough")
	above("min_ci_low", r.CI95[0], g.MinCILow, "lower end of the gain's 95 % interval")
	atLeast("min_verdicts", float64(r.Verdicts), float64(g.MinVerdicts), "verdicts of each arm", "evaluate more profiles or responses")
	atLeast("min_profiles", float64(r.Profiles), float64(g.MinProfiles), "held-out profiles", "evaluate more profiles")
	share := schemas.PromotedScore{Responses: r.Responses, Malformed: r.Malformed}.MalformedShare()
	if share <= g.MaxMalformed {
		gate("max_malformed", true, share, g.MaxMalformed, "malformed answers: %.4g of all, at most %g", share, g.MaxMalformed)
	} else {
		gate("max_malformed", false, share, g.MaxMalformed, "malformed answers: %.4g of all, more than %g: look at the empty, cut off and unjudged ones", share, g.MaxMalformed)
	}
	if !g.BeatCurrent {
		return out
	}
	switch {
	case over == nil:
		gate("beat_current", true, 0, 0, "there is no version in use to beat")
	case !over.same:
		gate("beat_current", false, 0, 0, "version %d was evaluated on other turns: evaluate it on the same manifest, or promote without beat_current", over.number)
	default:
		d := over.result.Difference
		if d > 0 {
			gate("beat_current", true, d, 0, "gain over version %d: %.4g, above 0", over.number, d)
		} else {
			gate("beat_current", false, d, 0, "gain over version %d: %.4g, not above 0", over.number, d)
		}
		above("min_ci_low_over_current", over.result.CI95[0], g.MinCILowOverCurrent,
			fmt.Sprintf("lower end of the 95 %% interval of the gain over version %d", over.number))
	}
	return out
}

// failed are the reasons of the gates that did not let the model through.
func failed(outcomes []schemas.GateOutcome) []string {
	var reasons []string
	for _, o := range outcomes {
		if !o.Passed {
			reasons = append(reasons, o.Gate+": "+o.Reason)
		}
	}
	return reasons
}
