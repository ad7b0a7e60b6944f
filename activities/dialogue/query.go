package dialogue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/schemas"
)

const (
	// longestQuery is in characters, longestReason too.
	longestQuery, longestReason = 600, 500
	queryTokens                 = 512
)

// refusal is a query that was not taken, because it repeats an earlier one or
// because it triggers no constraint.
type refusal struct {
	query   string
	repeats bool
}

// query asks the user model for the turn's next query.
func (p *play) query(ctx context.Context, t schemas.Turn, try int, refused []refusal) (string, error) {
	m := &material{chinese: p.chinese}
	persona := p.part.Persona
	m.add("the user", "用户", 0, persona.Name+"\n"+persona.Description)
	if len(p.part.Traits) > 0 {
		m.add("traits of the user", "用户的特点", 0, list(p.part.Traits))
	}
	m.add("the assistant", "助手", 0, Description(p.part.Profile))
	situations := p.situations()
	if len(situations) > 0 {
		m.add("situations", "情形", 0, list(situations))
	}
	m.addMessages(t.History)
	for _, r := range refused {
		if r.repeats {
			m.add("refused message: it repeats an earlier one", "被拒绝的消息：与之前的消息重复", 0, r.query)
		} else {
			m.add("refused message: it brings about no situation", "被拒绝的消息：没有让任何情形发生", 0, r.query)
		}
	}
	var fence string
	req, err := request(userPrompt, m, func(nonce string) any {
		fence = nonce
		return struct {
			Nonce                      string
			Situations, Later, Refused bool
		}{nonce, len(situations) > 0, len(t.History) > 0, len(refused) > 0}
	}, "query", object(map[string]any{"query": text(longestQuery)}, "query"))
	if err != nil {
		return "", err
	}
	req.Model, req.Temperature, req.MaxTokens = p.players.User.Name, 1, queryTokens
	req.Seed = p.seed("query", int(t.Index), try)
	var query string
	_, err = p.players.User.Ask(ctx, req, func(reply string) (err error) {
		query, err = parseQuery(reply, fence)
		return err
	})
	if err != nil {
		return "", during(err, "query %d of dialogue %s", t.Index, t.DialogueID)
	}
	return query, nil
}

func parseQuery(text, nonce string) (string, error) {
	var reply struct {
		Query string `json:"query"`
	}
	if err := schemas.DecodeStrict([]byte(text), &reply); err != nil {
		return "", err
	}
	query := strings.TrimSpace(reply.Query)
	switch n := utf8.RuneCountInString(query); {
	case query == "":
		return "", errors.New("the query is blank")
	case n > longestQuery:
		return "", fmt.Errorf("the query has %d characters, more than %d", n, longestQuery)
	case strings.Contains(query, nonce):
		return "", errors.New("the query copies the fence of its prompt")
	}
	return query, nil
}

// situations are the triggers of the profile, those that no turn has met yet
// first, otherwise in an order of the dialogue's own.
func (p *play) situations() []string {
	var open, met []string
	for _, c := range p.part.Profile.Constraints {
		switch {
		case c.Trigger == "" || slices.Contains(open, c.Trigger) || slices.Contains(met, c.Trigger):
		case p.met[c.ConstraintID]:
			met = append(met, c.Trigger)
		default:
			open = append(open, c.Trigger)
		}
	}
	return append(p.part.shuffled("situation", open), p.part.shuffled("situation", met)...)
}

// list writes texts as the lines of a list.
func list(texts []string) string {
	var out strings.Builder
	for _, t := range texts {
		// A text of several lines stays one item.
		fmt.Fprintf(&out, "- %s\n", strings.Join(strings.Fields(t), " "))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// Description is what a user may know of an assistant: its system message
// without the constraints, and without the lines that held nothing else.
func Description(p schemas.Profile) string {
	const cut = "\x00"
	var whole strings.Builder
	at := int64(0)
	for _, c := range p.Constraints {
		if c.Start < at || c.End < c.Start || c.End > int64(len(p.System)) {
			continue
		}
		whole.WriteString(p.System[at:c.Start] + cut)
		at = c.End
	}
	whole.WriteString(p.System[at:])
	var lines []string
	for line := range strings.SplitSeq(whole.String(), "\n") {
		kept := strings.ReplaceAll(line, cut, "")
		if kept != line && !strings.ContainsFunc(kept, unicode.IsLetter) {
			continue
		}
		lines = append(lines, kept)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
