package dialogue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/schemas"
)

// criticTemperature is above 0, so that a round after a failed one tries
// something else.
const criticTemperature = 0.5

// candidate is a response with its verdicts.
type candidate struct {
	schemas.Golden
	verdicts []schemas.Verdict
}

// answer finds the turn's golden response: the best of the candidates, edited
// while it is under the threshold.
func (p *play) answer(ctx context.Context, t schemas.Turn) (best candidate, ended string, err error) {
	best, ended, err = p.sampled(ctx, t)
	if err != nil || ended != "" {
		return best, ended, err
	}
	first := best.Share
	rounds := int64(0)
	for ; best.Share < p.options.Threshold && rounds < int64(p.options.RefineRounds); rounds++ {
		text, err := p.edited(ctx, t, best, int(rounds))
		if err != nil {
			return best, "", err
		}
		next, err := p.judged(ctx, t, text, rounds+1, best.SampleIndex)
		if err != nil {
			return best, "", err
		}
		next.Candidates = best.Candidates
		if next.Share > best.Share {
			best = next
		}
	}
	p.out.Counts["refine_rounds"] += rounds
	if best.Share < p.options.Threshold {
		return best, schemas.EndedThreshold, nil
	}
	if rounds > 0 {
		p.out.Counts["refined"]++
	}
	best.FirstShare = first
	return best, "", nil
}

// sampled returns the best candidate, the first of equals. Blank ones, those
// that were cut off and repetitions are left out; one whose verdicts cannot be
// had is too, unless that leaves none.
func (p *play) sampled(ctx context.Context, t schemas.Turn) (best candidate, ended string, err error) {
	req, err := p.responderRequest(t)
	if err != nil {
		return best, "", err
	}
	resp, err := p.players.Responder.Complete(ctx, req)
	if err != nil {
		return best, "", during(err, "answer turn %d of dialogue %s", t.Index, t.DialogueID)
	}
	places := whole(resp.Choices)
	p.out.Counts["candidates"] += int64(len(resp.Choices))
	p.out.Counts["candidates_dropped"] += int64(len(resp.Choices) - len(places))
	if len(places) == 0 {
		return best, schemas.EndedTruncated, nil
	}
	found := false
	var unjudged error
	for _, i := range places {
		c, err := p.judged(ctx, t, resp.Choices[i].Text, 0, int64(i))
		if err != nil {
			if !chat.RowError(err) {
				return best, "", err
			}
			unjudged = err
			p.out.Counts["candidates_unjudged"]++
			continue
		}
		c.Candidates = int64(len(places))
		if !found || c.Share > best.Share {
			best, found = c, true
		}
		if best.Share == 1 {
			break // nothing can be better, and of equals the first is taken
		}
	}
	if !found {
		return best, "", unjudged
	}
	return best, "", nil
}

// whole returns the places of the choices that the model itself ended, without
// blank ones and repetitions.
func whole(choices []chat.Choice) []int {
	seen := map[string]bool{}
	var out []int
	for i, c := range choices {
		if c.FinishReason != "stop" || strings.TrimSpace(c.Text) == "" || seen[c.Text] {
			continue
		}
		seen[c.Text] = true
		out = append(out, i)
	}
	return out
}

// responderRequest asks for the candidates: the plain conversation, with the
// triggered constraints repeated after the query.
func (p *play) responderRequest(t schemas.Turn) (chat.Request, error) {
	messages := slices.Clone(t.Messages())
	last := &messages[len(messages)-1]
	content, err := respondPrompt.Render(p.chinese, struct {
		Query       string
		Constraints []schemas.Constraint
	}{t.Query, t.TriggeredConstraints()})
	if err != nil {
		return chat.Request{}, err
	}
	last.Content = content
	return chat.Request{
		Model: p.players.Responder.Name, Messages: messages,
		N: p.options.Candidates, Temperature: 1, TopP: 1, MaxTokens: p.options.DialogueMaxTokens,
		Seed: p.seed("answer", int(t.Index)),
	}, nil
}

// judged judges one text, by rules first. Its share is of the constraints that
// apply to it.
func (p *play) judged(ctx context.Context, t schemas.Turn, text string, rounds, index int64) (candidate, error) {
	model := p.players.Responder.Name
	c := candidate{Golden: schemas.Golden{
		TurnID: t.TurnID, Text: text, Rounds: rounds, SampleIndex: index, Endpoint: p.endpoint, Model: model,
		ResponseID: schemas.ID("golden", t.TurnID, model, strconv.FormatInt(rounds, 10), strconv.FormatInt(index, 10), text),
	}}
	row := schemas.Response{
		ResponseID: c.ResponseID, TurnID: t.TurnID, SampleIndex: index, Text: text, FinishReason: "stop",
		Endpoint: p.endpoint, Model: model,
	}
	var err error
	if c.verdicts, err = p.verdicts(ctx, t, row); err != nil {
		return c, err
	}
	for _, v := range c.verdicts {
		switch v.Outcome {
		case schemas.Followed:
			c.Followed++
		case schemas.NotFollowed:
			c.NotFollowed++
		}
	}
	c.Share = 1
	if n := c.Followed + c.NotFollowed; n > 0 {
		c.Share = float64(c.Followed) / float64(n)
	}
	return c, nil
}

// verdicts is the seam to the judge step: one verdict per triggered constraint,
// in the order of the system message.
func (p *play) verdicts(ctx context.Context, t schemas.Turn, r schemas.Response) ([]schemas.Verdict, error) {
	constraints := t.TriggeredConstraints()
	verdicts, rest, err := judge.ByRules(r, constraints)
	if err != nil || len(rest) == 0 {
		return verdicts, err
	}
	byModel, _, err := judge.ByModel(ctx, p.players.Judge, t, r, rest)
	if err != nil {
		return nil, err
	}
	verdicts = append(verdicts, byModel...)
	place := func(v schemas.Verdict) int {
		return slices.IndexFunc(constraints, func(c schemas.Constraint) bool { return c.ConstraintID == v.ConstraintID })
	}
	slices.SortStableFunc(verdicts, func(a, b schemas.Verdict) int { return place(a) - place(b) })
	return verdicts, nil
}

// edited asks the critic for the response with what it fails mended.
func (p *play) edited(ctx context.Context, t schemas.Turn, c candidate, round int) (string, error) {
	texts := map[string]string{}
	for _, one := range t.Constraints {
		texts[one.ConstraintID] = one.Text
	}
	m := &material{chinese: p.chinese}
	m.add("instructions of the assistant", "助手收到的指令", 0, t.System)
	m.addMessages(t.History)
	m.add("latest message of the user", "用户的最新消息", 0, t.Query)
	m.add("response to edit", "需要修改的回答", 0, c.Text)
	for i, v := range c.verdicts {
		switch v.Outcome {
		case schemas.Followed:
			m.add("followed constraint", "已遵守的约束", i+1, texts[v.ConstraintID])
		case schemas.NotFollowed:
			m.add("broken constraint", "违反的约束", i+1, texts[v.ConstraintID])
			if v.Reason != nil && *v.Reason != "" {
				m.add("why it is broken:", "违反的理由：", i+1, *v.Reason)
			}
		}
	}
	var fence string
	req, err := request(criticPrompt, m, func(nonce string) any {
		fence = nonce
		return struct{ Nonce string }{nonce}
	}, "edit", object(map[string]any{"response": text(0)}, "response"))
	if err != nil {
		return "", err
	}
	req.Model, req.Temperature = p.players.Responder.Name, criticTemperature
	req.MaxTokens = editTokens(p.options)
	req.Seed = p.seed("edit", int(t.Index), round)
	var out string
	_, err = p.players.Responder.Ask(ctx, req, func(reply string) (err error) {
		out, err = parseEdit(reply, fence)
		return err
	})
	if err != nil {
		return "", during(err, "edit %d of turn %d of dialogue %s", round+1, t.Index, t.DialogueID)
	}
	return out, nil
}

// editTokens bounds an edit: quotation marks and line breaks take more in JSON
// than in a text.
func editTokens(o schemas.DialogueOptions) int { return o.DialogueMaxTokens + o.DialogueMaxTokens/4 }

func parseEdit(text, nonce string) (string, error) {
	var reply struct {
		Response string `json:"response"`
	}
	if err := schemas.DecodeStrict([]byte(text), &reply); err != nil {
		return "", err
	}
	switch {
	case strings.TrimSpace(reply.Response) == "":
		return "", errors.New("the edited response is blank")
	case strings.Contains(reply.Response, nonce):
		return "", errors.New("the edited response copies the fence of its prompt")
	}
	return reply.Response, nil
}
