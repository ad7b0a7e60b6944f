package judge

import (
	"context"
	"encoding/json"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// sitting is the judging of one shard.
type sitting struct {
	Panel
	meter *chat.Meter
	work  *store.Work
	// calibrate asks for the rows of calibration, too.
	calibrate   bool
	calibration []schemas.Calibration
}

// file is what is known of one response while it is judged.
type file struct {
	turn     schemas.Turn
	response schemas.Response
	// verdicts are complete when the sitting ends, unless err is set.
	verdicts []schemas.Verdict
	// rest are the constraints that need a judge; known are those that a rule
	// decided and that judges are measured by.
	rest, known []schemas.Constraint
	err         error
}

// judge decides the responses, by rule and then by the panel, and returns the
// verdicts in the order of the responses.
func (s *sitting) judge(ctx context.Context, turns []schemas.Turn, responses []schemas.Response) ([]schemas.Verdict, error) {
	files, err := s.byRules(turns, responses)
	if err != nil {
		return nil, err
	}
	var inquiries []inquiry
	// asked and measured hold the places of a response's inquiries.
	asked, measured := make([][]int, len(files)), make([][]int, len(files))
	put := func(f *file, constraints []schemas.Constraint, vote int) int {
		inquiries = append(inquiries, inquiry{f.turn, f.response, constraints, vote})
		return len(inquiries) - 1
	}
	for _, i := range byTurn(turns, responses) {
		f := &files[i]
		if f.err != nil {
			continue
		}
		if len(f.rest) > 0 {
			for vote := range s.Votes {
				asked[i] = append(asked[i], put(f, f.rest, vote))
			}
		}
		if len(f.known) > 0 {
			measured[i] = append(measured[i], put(f, f.known, 0))
		}
	}
	findings, err := s.inquire(ctx, s.meter, inquiries)
	if err != nil {
		return nil, err
	}
	var rows []schemas.Verdict
	for i := range files {
		f := &files[i]
		s.count(f, findings, asked[i])
		for _, at := range measured[i] {
			s.measure(f, findings, at)
		}
		if f.err != nil {
			request, _ := json.Marshal(f.response)
			s.work.Quarantine(schemas.TableResponse, f.response.ResponseID, f.err, string(request))
			continue
		}
		s.work.Record.Books.OK++
		rows = append(rows, f.verdicts...)
	}
	s.work.Count("verdicts", int64(len(rows)))
	if len(s.Judges)*s.Votes > 1 {
		s.work.Count("abstained", abstained(rows))
	}
	return rows, nil
}

// byRules opens the files of all responses and enters what rules decide.
func (s *sitting) byRules(turns []schemas.Turn, responses []schemas.Response) ([]file, error) {
	byID := make(map[string]schemas.Turn, len(turns))
	for _, t := range turns {
		byID[t.TurnID] = t
	}
	files := make([]file, len(responses))
	for i, r := range responses {
		s.work.Record.Books.In++
		t, ok := byID[r.TurnID]
		if !ok {
			return nil, schemas.Errorf(schemas.CorruptData, "response %s is of turn %s, which the shard lacks", r.ResponseID, r.TurnID)
		}
		f := &files[i]
		f.turn, f.response = t, r
		f.verdicts, f.rest, f.err = ByRules(r, t.TriggeredConstraints())
		switch {
		case f.err != nil:
		case len(f.rest) > 0 && len(s.Judges) == 0:
			f.err = schemas.Errorf(schemas.InvalidInput,
				"constraint %s has no rule and no judge_endpoint was given: name one", f.rest[0].ConstraintID)
		case s.calibrate:
			for _, c := range t.TriggeredConstraints() {
				if !c.Rule.IsZero() {
					f.known = append(f.known, c)
				}
			}
		}
	}
	return files, nil
}

// count enters the votes of all judges into a response's file. One vote that
// cannot be had leaves the others without a decision.
func (s *sitting) count(f *file, findings [][]finding, asked []int) {
	if len(asked) == 0 {
		return
	}
	votes := make([][]schemas.Vote, len(f.rest))
	for j, m := range s.Judges {
		for _, at := range asked {
			found := findings[j][at]
			if found.err != nil {
				f.err = found.err
				return
			}
			for k, a := range found.answers {
				votes[k] = append(votes[k], schemas.Vote{JudgedBy: judgedBy(m), Outcome: a.outcome, Reason: a.reason})
			}
		}
	}
	for k, c := range f.rest {
		f.verdicts = append(f.verdicts, s.decide(f.response, c, votes[k]))
	}
}

func abstained(rows []schemas.Verdict) (n int64) {
	for _, v := range rows {
		if v.Outcome == schemas.Abstained {
			n++
		}
	}
	return n
}
