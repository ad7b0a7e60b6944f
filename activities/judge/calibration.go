package judge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/schemas"
)

// invalidCount names the count of responses that a judge gave no valid reply about
// when it was calibrated.
const invalidCount = "calibration_invalid"

// CalibrationKey names the count of constraints of a family by what the rule and
// what a judge says about them.
func CalibrationKey(family, ruleOutcome, judgeOutcome string) string {
	return "calibration_" + family + "_" + ruleOutcome + "_" + judgeOutcome
}

// measure compares each judge's finding about a response with what rules say. An
// invalid reply is counted and has no other consequence: a verdict never depends
// on calibration.
func (s *sitting) measure(f *file, findings [][]finding, at int) {
	byRule := map[string]string{}
	for _, v := range f.verdicts {
		if v.Source == schemas.ByRule {
			byRule[v.ConstraintID] = v.Outcome
		}
	}
	for j, m := range s.Judges {
		found := findings[j][at]
		if found.err != nil {
			s.work.Count(invalidCount, 1)
			continue
		}
		for k, c := range f.known {
			row := schemas.Calibration{
				ResponseID: f.response.ResponseID, TurnID: f.turn.TurnID, ConstraintID: c.ConstraintID, Family: c.Family,
				RuleOutcome: byRule[c.ConstraintID], JudgeOutcome: found.answers[k].outcome, JudgedBy: judgedBy(m),
			}
			s.calibration = append(s.calibration, row)
			s.work.Count(CalibrationKey(row.Family, row.RuleOutcome, row.JudgeOutcome), 1)
		}
	}
}

// Calibration compares judges with rules, by judge and family, all families
// together first.
func Calibration(rows []schemas.Calibration) []schemas.FamilyCalibration {
	var t tallies
	t.add(rows)
	return t.families()
}

type judgeFamily struct{ judgedBy, family string }

// confusion counts constraints by the rule's outcome and the judge's.
type confusion map[[2]string]int64

// tallies sum calibration rows, shard by shard.
type tallies struct {
	rows int64
	of   map[judgeFamily]confusion
}

func (t *tallies) add(rows []schemas.Calibration) {
	if t.of == nil {
		t.of = map[judgeFamily]confusion{}
	}
	t.rows += int64(len(rows))
	for _, r := range rows {
		for _, family := range []string{"", r.Family} {
			key := judgeFamily{r.JudgedBy, family}
			if t.of[key] == nil {
				t.of[key] = confusion{}
			}
			t.of[key][[2]string{r.RuleOutcome, r.JudgeOutcome}]++
		}
	}
}

func (t *tallies) families() []schemas.FamilyCalibration {
	keys := slices.SortedFunc(maps.Keys(t.of), func(a, b judgeFamily) int {
		return cmp.Or(cmp.Compare(a.judgedBy, b.judgedBy), cmp.Compare(a.family, b.family))
	})
	var out []schemas.FamilyCalibration
	for _, key := range keys {
		c := t.of[key]
		f := schemas.FamilyCalibration{JudgedBy: key.judgedBy, Family: key.family}
		for pair, n := range c {
			f.N += n
			if pair[0] == schemas.Followed {
				f.Pass += n
			} else {
				f.Fail += n
			}
			if pair[1] == schemas.NotApplicable {
				f.NotApplicable += n
			}
		}
		agree := c[[2]string{schemas.Followed, schemas.Followed}] + c[[2]string{schemas.NotFollowed, schemas.NotFollowed}]
		f.Accuracy = rate(agree, f.N)
		f.FalsePass = rate(c[[2]string{schemas.NotFollowed, schemas.Followed}], f.Fail)
		f.FalseFail = rate(c[[2]string{schemas.Followed, schemas.NotFollowed}], f.Pass)
		out = append(out, f)
	}
	return out
}

func rate(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	r := float64(part) / float64(whole)
	return &r
}

func encodeReport(r schemas.CalibrationResult) ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "encode calibration report: %w", err)
	}
	return append(data, '\n'), nil
}

// page is the report for people.
func page(r schemas.CalibrationResult) string {
	var out strings.Builder
	out.WriteString("# How often the judge is right\n\n" +
		"Judges were also asked about constraints that rules decide. A rule's verdict is taken for the truth.\n" +
		"Accuracy is over all constraints; a false pass is one that the judge holds for followed and the rule does not, out of those\n" +
		"not followed; a false fail the reverse, out of those followed. \"Not applicable\" is neither, and not accurate.\n\n" +
		"| judge | family | n | accuracy | false pass | false fail | not applicable |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	for _, f := range r.Families {
		family := f.Family
		if family == "" {
			family = "all"
		}
		fmt.Fprintf(&out, "| %s | %s | %d | %s | %s | %s | %d |\n", cell.Replace(f.JudgedBy), cell.Replace(family),
			f.N, percent(f.Accuracy, f.N), percent(f.FalsePass, f.Fail), percent(f.FalseFail, f.Pass), f.NotApplicable)
	}
	if r.Invalid > 0 {
		fmt.Fprintf(&out, "\n%d responses got no valid reply and are left out.\n", r.Invalid)
	}
	return out.String()
}

// percent shows a rate with its denominator, without which it says little.
func percent(r *float64, of int64) string {
	if r == nil {
		return "– of 0"
	}
	return fmt.Sprintf("%.1f %% of %d", 100**r, of)
}
