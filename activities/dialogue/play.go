package dialogue

import (
	"context"
	"slices"
	"strconv"

	"rpo/activities/chat"
	"rpo/schemas"
)

// queryAgain bounds how often a turn's query is asked for again.
const queryAgain = 3

// Players are the models. Judge is the zero Model where no judge was named.
type Players struct{ User, Responder, Judge chat.Model }

// Played is what became of one dialogue.
type Played struct {
	Dialogue schemas.Dialogue
	Turns    []schemas.Turn
	Triggers []schemas.Trigger
	Golden   []schemas.Golden
	// Verdicts are those of the golden responses.
	Verdicts []schemas.Verdict
	// Counts are summed over a stage.
	Counts map[string]int64
}

// Play plays one dialogue. An error is that of its first turn, or one that is
// not the dialogue's fault (chat.RowError); an error of a later turn ends the
// dialogue with the turns before it.
func Play(ctx context.Context, players Players, part Part, o schemas.DialogueOptions, endpoint string) (Played, error) {
	p, err := newPlay(players, part, o, endpoint)
	if err != nil {
		return p.out, err
	}
	p.out = Played{Counts: map[string]int64{}, Dialogue: schemas.Dialogue{
		DialogueID: part.ID(), ProfileID: part.Profile.ProfileID, Number: int64(part.Number), Split: part.Profile.Split,
		PersonaID: part.Persona.PersonaID, Traits: part.Traits, Language: part.language(),
		UserModel: players.User.Name + " " + userVersion, ResponderModel: players.Responder.Name + " " + respondVersion + " " + criticVersion,
	}}
	ended := schemas.EndedTurns
	for i := range o.MaxTurns {
		if ended, err = p.turn(ctx, i); err != nil || ended != "" {
			break
		}
		ended = schemas.EndedTurns
	}
	if err != nil {
		if len(p.out.Turns) == 0 || !chat.RowError(err) {
			return p.out, err
		}
		detail := err.Error()
		ended, p.out.Dialogue.Detail = schemas.EndedError, &detail
	}
	p.out.Dialogue.Ended, p.out.Dialogue.Turns = ended, int64(len(p.out.Turns))
	return p.out, nil
}

// needsJudge reports whether something of the profile is left to a judge model.
func needsJudge(p schemas.Profile) bool {
	return slices.ContainsFunc(p.Constraints, func(c schemas.Constraint) bool { return c.Trigger != "" || c.Rule.IsZero() })
}

// play is a dialogue under way.
type play struct {
	part     Part
	options  schemas.DialogueOptions
	players  Players
	endpoint string // the responder's
	chinese  bool
	history  []schemas.Message
	queries  []string
	// met are the constraints that an earlier turn has triggered.
	met map[string]bool
	out Played
}

// newPlay is about to begin. A profile that needs a judge when there is none is an
// InvalidInput error.
func newPlay(players Players, part Part, o schemas.DialogueOptions, endpoint string) (*play, error) {
	p := &play{part: part, options: o, players: players, endpoint: endpoint, chinese: part.chinese()}
	if needsJudge(part.Profile) && players.Judge.Completer == nil {
		return p, schemas.Errorf(schemas.InvalidInput,
			"profile %s has a constraint with a trigger or without a rule and no judge_endpoint was given: name one", part.Profile.ProfileID)
	}
	return p, nil
}

// turn plays one turn; ended says why there is none.
func (p *play) turn(ctx context.Context, index int) (ended string, err error) {
	profile := p.part.Profile
	t := schemas.Turn{
		DialogueID: p.part.ID(), ProfileID: profile.ProfileID, Split: profile.Split, Index: int64(index),
		System: profile.System, History: slices.Clone(p.history), Constraints: profile.Constraints,
	}
	triggers, ended, err := p.question(ctx, &t)
	if err != nil || ended != "" {
		return ended, err
	}
	best, ended, err := p.answer(ctx, t)
	if err != nil || ended != "" {
		return ended, err
	}
	p.out.Turns = append(p.out.Turns, t)
	p.out.Triggers = append(p.out.Triggers, triggers...)
	p.out.Golden = append(p.out.Golden, best.Golden)
	p.out.Verdicts = append(p.out.Verdicts, best.verdicts...)
	p.queries = append(p.queries, t.Query)
	if p.met == nil {
		p.met = map[string]bool{}
	}
	for _, id := range t.Triggered {
		p.met[id] = true
	}
	p.history = append(p.history,
		schemas.Message{Role: "user", Content: t.Query}, schemas.Message{Role: "assistant", Content: best.Text})
	return "", nil
}

// turnID names the turn by all that its prompt is made of: another play of the
// dialogue, by other models or of another generation, has other ids as soon as it
// says something else. The golden response of the turn before stands for all that
// came before: its id is made of that turn's id and of its own text.
func (p *play) turnID(t schemas.Turn) string {
	before := ""
	if n := len(p.out.Golden); n > 0 {
		before = p.out.Golden[n-1].ResponseID
	}
	return schemas.ID("turn", t.DialogueID, strconv.FormatInt(t.Index, 10), before, t.Query)
}

// question finds the turn's query, with it the turn's id, and what it triggers. A query that repeats an
// earlier one or triggers nothing is asked for again with the reason.
func (p *play) question(ctx context.Context, t *schemas.Turn) (triggers []schemas.Trigger, ended string, err error) {
	var refused []refusal
	for try := range 1 + queryAgain {
		if t.Query, err = p.query(ctx, *t, try, refused); err != nil {
			return nil, "", err
		}
		t.TurnID = p.turnID(*t)
		again := slices.ContainsFunc(refused, func(r refusal) bool { return r.query == t.Query })
		if again || repeats(t.Query, p.queries) {
			p.out.Counts["queries_repeated"]++
			refused = append(refused, refusal{t.Query, true})
			continue
		}
		if triggers, err = p.rubric(ctx, *t); err != nil {
			return nil, "", err
		}
		t.Triggered = nil
		for _, g := range triggers {
			if g.Triggered {
				t.Triggered = append(t.Triggered, g.ConstraintID)
			}
		}
		if len(t.Triggered) > 0 {
			return triggers, "", nil
		}
		p.out.Counts["queries_untriggered"]++
		refused = append(refused, refusal{t.Query, false})
	}
	if slices.ContainsFunc(refused, func(r refusal) bool { return !r.repeats }) {
		return nil, schemas.EndedUntriggered, nil
	}
	return nil, schemas.EndedRepeats, nil
}

// seed of a request: it depends on the dialogue, the purpose and counters alone.
func (p *play) seed(purpose string, counters ...int) int64 {
	for _, n := range counters {
		purpose += " " + strconv.Itoa(n)
	}
	return int64(p.part.draw(purpose, 0) >> 33)
}
