package dialogue

import (
	"context"
	"strings"
	"sync"

	"rpo/activities/chat"
	"rpo/schemas"
)

// longestVerdictReason is in characters, and so no fewer than its tokens.
const longestVerdictReason = 300

// estimate puts the calls of all dialogues to a meter that makes none, as many as
// there can be: every dialogue has all its turns, every query but the last of a
// turn is refused, every candidate is a call of its own and is judged, and every
// round of edits is made and judged. Replies that are not valid at once come on
// top. Nothing that was said before is known to it, so what the call cache holds
// is counted, too.
func estimate(ctx context.Context, players Players, meter *chat.Meter, parts []Part, o schemas.DialogueOptions) error {
	var mu sync.Mutex
	done := 0
	return players.Responder.Each(ctx, len(parts), func(ctx context.Context, i int) error {
		p, err := newPlay(players, parts[i], o, o.ResponderEndpoint)
		if err == nil {
			err = p.rehearse(ctx)
		}
		if err != nil && !chat.RowError(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(parts))
		return nil
	})
}

// rehearse makes the requests of a dialogue with stand-ins for all replies.
func (p *play) rehearse(ctx context.Context) error {
	profile, o, players := p.part.Profile, p.options, p.players
	query, response := standIn(queryTokens), standIn(editTokens(o))
	for index := range o.MaxTurns {
		t := schemas.Turn{
			DialogueID: p.part.ID(), ProfileID: profile.ProfileID, Split: profile.Split, Index: int64(index),
			System: profile.System, History: p.history, Query: query, Constraints: profile.Constraints,
		}
		best := candidate{Golden: schemas.Golden{Text: response}}
		reason := standIn(longestVerdictReason)
		for _, c := range profile.Constraints {
			t.Triggered = append(t.Triggered, c.ConstraintID)
			best.verdicts = append(best.verdicts, schemas.Verdict{ConstraintID: c.ConstraintID, Outcome: schemas.NotFollowed, Reason: &reason})
		}
		refused := make([]refusal, queryAgain)
		for i := range refused {
			refused[i].query = query
		}
		const tries = 1 + queryAgain
		judged := o.Candidates + o.RefineRounds
		for _, call := range []struct {
			players Players
			make    func() error
		}{
			{Players{User: repeat(players.User, tries)}, func() error { _, err := p.query(ctx, t, queryAgain, refused); return err }},
			{Players{Judge: repeat(players.Judge, tries)}, func() error { _, err := p.rubric(ctx, t); return err }},
			{Players{Responder: repeat(players.Responder, o.Candidates)}, func() error { return p.candidate(ctx, t) }},
			{Players{Judge: repeat(players.Judge, judged)}, func() error { _, err := p.judged(ctx, t, response, 0, 0); return err }},
			{Players{Responder: repeat(players.Responder, o.RefineRounds)}, func() error { _, err := p.edited(ctx, t, best, 0); return err }},
		} {
			p.players = call.players
			if err := call.make(); err != nil && !chat.RowError(err) {
				return err
			}
		}
		p.history = append(p.history,
			schemas.Message{Role: "user", Content: query}, schemas.Message{Role: "assistant", Content: response})
	}
	return nil
}

// candidate asks for a single one.
func (p *play) candidate(ctx context.Context, t schemas.Turn) error {
	req, err := p.responderRequest(t)
	if err != nil {
		return err
	}
	req.N = 1
	_, err = p.players.Responder.Complete(ctx, req)
	return err
}

// standIn is a text of so many tokens at the four bytes each that estimates count
// with. It is one word, and so does not change the language of a prompt.
func standIn(tokens int) string { return strings.Repeat("x", 4*tokens) }

// repeat returns the model with every call made n times.
func repeat(m chat.Model, n int) chat.Model {
	m.Completer = repeated{m.Completer, n}
	return m
}

type repeated struct {
	chat.Completer
	times int
}

func (r repeated) Complete(ctx context.Context, req chat.Request) (resp chat.Response, err error) {
	for range r.times {
		resp, err = r.Completer.Complete(ctx, req)
		if err != nil && !chat.RowError(err) {
			return resp, err
		}
	}
	return resp, err
}
