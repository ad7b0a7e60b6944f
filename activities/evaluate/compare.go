package evaluate

import (
	"maps"
	"math"
	"slices"

	"rpo/schemas"
)

// z95 is the 97.5 % quantile of the normal distribution.
const z95 = 1.959964

// Compare sums evaluation rows. Constraints that are not applicable, or that votes
// disagree on, are left out. The difference is that of the two shares over all
// verdicts; verdicts of one profile depend on each other, so its standard error is
// that of a ratio estimator over profiles (Cochran, Sampling Techniques, 1977,
// section 9.7, with the factor m/(m-1)). With fewer than two profiles the interval
// is [-1, 1].
func Compare(rows []schemas.Evaluation) schemas.EvaluationResult {
	type tally struct{ n, followed [2]float64 }
	profiles, families := map[string]*tally{}, map[string]*tally{}
	var total tally
	in := func(set map[string]*tally, key string) *tally {
		if set[key] == nil {
			set[key] = &tally{}
		}
		return set[key]
	}
	for _, r := range rows {
		if r.Outcome == schemas.NotApplicable || r.Outcome == schemas.Abstained {
			continue
		}
		arm, followed := 0, 0.0
		if r.Arm == schemas.ArmTrained {
			arm = 1
		}
		if r.Outcome == schemas.Followed {
			followed = 1
		}
		for _, t := range []*tally{in(profiles, r.ProfileID), in(families, r.Family), &total} {
			t.n[arm]++
			t.followed[arm] += followed
		}
	}
	var out schemas.EvaluationResult
	out.Base, out.Trained = share(total.followed[0], total.n[0]), share(total.followed[1], total.n[1])
	out.Difference = out.Trained - out.Base
	out.Verdicts, out.Profiles = int64(min(total.n[0], total.n[1])), int64(len(profiles))
	out.CI95 = [2]float64{-1, 1}
	if m := float64(len(profiles)); m >= 2 && total.n[0] > 0 && total.n[1] > 0 {
		var sum float64
		for _, p := range slices.Sorted(maps.Keys(profiles)) {
			t := profiles[p]
			// The linearised contribution of one profile to the difference.
			d := (t.followed[1]-out.Trained*t.n[1])/total.n[1] - (t.followed[0]-out.Base*t.n[0])/total.n[0]
			sum += d * d
		}
		half := z95 * math.Sqrt(m/(m-1)*sum)
		out.CI95 = [2]float64{out.Difference - half, out.Difference + half}
	}
	for _, f := range slices.Sorted(maps.Keys(families)) {
		t := families[f]
		out.Families = append(out.Families, schemas.FamilySatisfaction{
			Family: f, Base: share(t.followed[0], t.n[0]), Trained: share(t.followed[1], t.n[1]),
			Verdicts: int64(min(t.n[0], t.n[1])),
		})
	}
	return out
}

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}
