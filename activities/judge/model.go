package judge

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// PromptVersion enters provenance and job identity: change it with the prompt, in
// any language, and with what else a request holds.
const PromptVersion = "judge/3"

// PromptVersions are all that a verdict depends on beside its judge.
func PromptVersions() []string { return []string{PromptVersion} }

var (
	//go:embed prompts/judge.en.txt
	english string
	//go:embed prompts/judge.zh.txt
	chinese string

	instructions = prompt.Parse("judge", english, chinese)
)

const (
	// voteTemperature is that of every vote but the first, which is greedy.
	voteTemperature = 0.7
	// voteSeeds keeps the seeds of one vote, its repetitions among them, from
	// those of the next.
	voteSeeds = 100
)

// answer is what a judge says about one constraint.
type answer struct{ outcome, reason string }

// ByModel asks the judge model once about all constraints of one response and
// validates its reply by id. A reply that stays invalid is a CorruptData error.
// replied says that the model replied at all.
func ByModel(ctx context.Context, m chat.Model, t schemas.Turn, r schemas.Response, constraints []schemas.Constraint) (verdicts []schemas.Verdict, replied bool, err error) {
	answers, replied, err := ask(ctx, m, t, r, texts(constraints), 0)
	if err != nil {
		return nil, replied, err
	}
	for i, c := range constraints {
		v := verdict(r, c, answers[i].outcome, judgedBy(m))
		v.Source, v.Reason = schemas.ByModel, &answers[i].reason
		verdicts = append(verdicts, v)
	}
	return verdicts, replied, nil
}

// ask has a judge give one vote on all constraints of one response.
func ask(ctx context.Context, m chat.Model, t schemas.Turn, r schemas.Response, constraints []string, vote int) (answers []answer, replied bool, err error) {
	req, err := request(t, r.Text, constraints, vote)
	if err != nil {
		return nil, false, err
	}
	req.Model = m.Name
	replied, err = m.Ask(ctx, req, func(text string) (err error) {
		answers, err = parse(text, len(constraints))
		return err
	})
	if err != nil {
		return nil, replied, schemas.Errorf(schemas.TypeOf(err), "judge response %s: %w", r.ResponseID, err)
	}
	return answers, replied, nil
}

func judgedBy(m chat.Model) string { return m.Name + " " + PromptVersion }

func texts(constraints []schemas.Constraint) []string {
	out := make([]string, len(constraints))
	for i, c := range constraints {
		out[i] = c.Text
	}
	return out
}

// request depends on texts only, never on ids, so that equal work is asked once
// over all data sets. What the responses of a turn share comes first, for servers
// that keep the prefix of a prompt.
func request(t schemas.Turn, response string, constraints []string, vote int) (chat.Request, error) {
	var parts []string
	for _, msg := range t.Messages() {
		if msg.Role != "system" { // its constraints are listed by id
			parts = append(parts, msg.Role, msg.Content)
		}
	}
	shared := slices.Concat(parts, constraints)
	whole := append(shared, response)
	tag, own := prompt.Tag("material", shared...), prompt.Tag("response", whole...)
	if strings.Contains(response, tag) {
		// Somebody knew what the turn's tag would be: this response gets another.
		tag = prompt.Tag("material", whole...)
	}
	system, err := instructions.Render(prompt.Chinese(t.System, t.Query), struct{ Nonce string }{tag})
	if err != nil {
		return chat.Request{}, err
	}
	var user strings.Builder
	fmt.Fprintf(&user, "<%s>\n", tag)
	for i := 0; i < len(parts); i += 2 {
		fmt.Fprintf(&user, "[%s %s]\n%s\n\n", tag, parts[i], parts[i+1])
	}
	fmt.Fprintf(&user, "</%s>\n<constraints-%s>\n", tag, tag)
	ids := make([]string, len(constraints))
	for i, text := range constraints {
		ids[i] = constraintTag(i)
		// Quoted, so that no text can add a line that looks like another constraint.
		fmt.Fprintf(&user, "%s: %s\n", ids[i], prompt.Quote(text))
	}
	fmt.Fprintf(&user, "</constraints-%s>\n<%s>\n%s\n</%s>", tag, own, response, own)
	schema, err := json.Marshal(replySchema(ids))
	if err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "encode judge schema: %w", err)
	}
	req := chat.Request{
		Messages: []schemas.Message{{Role: "system", Content: system}, {Role: "user", Content: user.String()}},
		N:        1, TopP: 1, MaxTokens: 200 + 200*len(constraints),
		Schema: schema, SchemaName: "verdicts",
		Affinity: t.DialogueID,
	}
	if vote > 0 {
		req.Temperature, req.Seed = voteTemperature, int64(vote*voteSeeds)
	}
	return req, nil
}

// constraintTag is the id a prompt uses: short, so that a model copies it right.
func constraintTag(i int) string { return fmt.Sprintf("c%d", i+1) }

func replySchema(ids []string) map[string]any {
	object := func(properties map[string]any, required ...string) map[string]any {
		return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	}
	return object(map[string]any{"verdicts": map[string]any{
		"type": "array", "minItems": len(ids), "maxItems": len(ids),
		"items": object(map[string]any{
			"id":      map[string]any{"type": "string", "enum": ids},
			"reason":  map[string]any{"type": "string", "maxLength": 300},
			"verdict": map[string]any{"type": "string", "enum": []string{schemas.Followed, schemas.NotFollowed, schemas.NotApplicable}},
		}, "id", "reason", "verdict"),
	}}, "verdicts")
}

// parse demands exactly one known verdict for each of n constraint ids and
// returns them in the order of the constraints.
func parse(text string, n int) ([]answer, error) {
	var reply struct {
		Verdicts []struct {
			ID      string `json:"id"`
			Reason  string `json:"reason"`
			Verdict string `json:"verdict"`
		} `json:"verdicts"`
	}
	if err := schemas.DecodeStrict([]byte(text), &reply); err != nil {
		return nil, err
	}
	answers := make([]answer, n)
	for _, v := range reply.Verdicts {
		i := tagIndex(v.ID, n)
		switch {
		case i < 0:
			return nil, fmt.Errorf("unknown constraint id %q", v.ID)
		case answers[i].outcome != "":
			return nil, fmt.Errorf("constraint id %q is judged twice", v.ID)
		case v.Verdict != schemas.Followed && v.Verdict != schemas.NotFollowed && v.Verdict != schemas.NotApplicable:
			return nil, fmt.Errorf("constraint id %q has verdict %q", v.ID, v.Verdict)
		}
		answers[i] = answer{v.Verdict, v.Reason}
	}
	for i := range answers {
		if answers[i].outcome == "" {
			return nil, fmt.Errorf("constraint id %q is not judged", constraintTag(i))
		}
	}
	return answers, nil
}

func tagIndex(tag string, n int) int {
	for i := range n {
		if constraintTag(i) == tag {
			return i
		}
	}
	return -1
}
