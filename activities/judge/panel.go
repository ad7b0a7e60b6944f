package judge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"rpo/activities/chat"
	"rpo/schemas"
)

// Panel is who judges constraints without a rule: every judge gives Votes votes on
// every response, and a constraint on which votes disagree is abstained from. The
// zero Panel stands for "no judge".
type Panel struct {
	Judges []chat.Model
	Votes  int
}

// JudgedBy names the judges with the version of their prompt.
func (p Panel) JudgedBy() string {
	names := make([]string, len(p.Judges))
	for i, m := range p.Judges {
		names[i] = judgedBy(m)
	}
	return strings.Join(names, " + ")
}

// Judge finds the judges if any of the turns needs one.
func Judge(ctx context.Context, models chat.Models, turns []schemas.Turn, o schemas.JudgeOptions, generation int64, meter *chat.Meter) (Panel, func(), error) {
	o.SetDefaults()
	needed := slices.ContainsFunc(turns, func(t schemas.Turn) bool {
		return slices.ContainsFunc(t.TriggeredConstraints(), func(c schemas.Constraint) bool { return c.Rule.IsZero() || o.Calibrate })
	})
	if !needed || o.JudgeEndpoint == "" {
		return Panel{}, func() {}, nil
	}
	p := Panel{Votes: o.JudgeVotes}
	var releases []func()
	release := func() {
		for _, r := range releases {
			r()
		}
	}
	uses := []chat.Use{{Endpoint: o.JudgeEndpoint, Model: o.JudgeModel, Generation: generation, Meter: meter}}
	if o.SecondJudgeEndpoint != "" {
		uses = append(uses, chat.Use{Endpoint: o.SecondJudgeEndpoint, Model: o.SecondJudgeModel, Generation: generation, Meter: meter})
	}
	for _, use := range uses {
		m, done, err := models.Model(ctx, use)
		if err != nil {
			release()
			return Panel{}, nil, err
		}
		p.Judges, releases = append(p.Judges, m), append(releases, done)
	}
	return p, release, nil
}

// inquiry is one vote of one judge on some constraints of one response.
type inquiry struct {
	turn        schemas.Turn
	response    schemas.Response
	constraints []schemas.Constraint
	vote        int
}

// finding is what came of an inquiry. err is one that the response is to blame
// for, or nil.
type finding struct {
	answers []answer
	replied bool
	err     error
}

// inquire puts the inquiries to every judge, whose findings are in the order of
// the inquiries. A judge that replies to none is at fault itself: that is an error,
// but one that lets the other judges finish. Their votes are paid for once, since
// the call cache keeps them, and an estimate, in which nobody replies, sees every
// vote of every judge.
func (p Panel) inquire(ctx context.Context, meter *chat.Meter, inquiries []inquiry) ([][]finding, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, mute := make([][]finding, len(p.Judges)), make([]error, len(p.Judges))
	var mu sync.Mutex
	done := 0
	var judges sync.WaitGroup
	for j, m := range p.Judges {
		out[j] = make([]finding, len(inquiries))
		judges.Go(func() {
			err := m.Each(ctx, len(inquiries), func(ctx context.Context, i int) error {
				q := inquiries[i]
				f := finding{}
				f.answers, f.replied, f.err = ask(chat.Own(ctx, q.turn.ProfileID), m, q.turn, q.response, texts(q.constraints), q.vote)
				mu.Lock()
				defer mu.Unlock()
				done++
				meter.Beat(ctx, done, len(p.Judges)*len(inquiries))
				out[j][i] = f
				if f.err != nil && !chat.RowError(f.err) {
					return f.err
				}
				return nil
			})
			switch {
			case err != nil:
				cancel(err)
			case len(inquiries) > 0 && !slices.ContainsFunc(out[j], func(f finding) bool { return f.replied }):
				mute[j] = out[j][0].err
			}
		})
	}
	judges.Wait()
	return out, cmp.Or(context.Cause(ctx), cmp.Or(mute...))
}

// decide makes the verdict on a constraint from the votes on it.
func (p Panel) decide(r schemas.Response, c schemas.Constraint, votes []schemas.Vote) schemas.Verdict {
	outcome, reason := votes[0].Outcome, votes[0].Reason
	if slices.ContainsFunc(votes, func(v schemas.Vote) bool { return v.Outcome != outcome }) {
		outcome, reason = schemas.Abstained, "the votes disagree: "+tally(votes)
	}
	v := verdict(r, c, outcome, p.JudgedBy())
	v.Source, v.Reason = schemas.ByModel, &reason
	if len(votes) > 1 {
		v.Votes = votes
	}
	return v
}

// tally counts votes by outcome, the most frequent first.
func tally(votes []schemas.Vote) string {
	of := map[string]int{}
	var outcomes []string
	for _, v := range votes {
		if of[v.Outcome]++; of[v.Outcome] == 1 {
			outcomes = append(outcomes, v.Outcome)
		}
	}
	slices.SortFunc(outcomes, func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
	for i, o := range outcomes {
		outcomes[i] = fmt.Sprintf("%d %s", of[o], o)
	}
	return strings.Join(outcomes, ", ")
}
