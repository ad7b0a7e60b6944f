package judge

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"rpo/activities/chat"
	"rpo/schemas"
)

// PromptVersion enters provenance and job identity: change it with the prompt.
const PromptVersion = "judge/2"

//go:embed prompts/judge.en.txt
var promptText string

var prompt = template.Must(template.New("judge").Parse(promptText))

// ByModel asks the judge model once about all constraints of one response and
// validates its reply by id. A reply that stays invalid is a CorruptData error.
// replied says that the model replied at all.
func ByModel(ctx context.Context, m chat.Model, t schemas.Turn, r schemas.Response, constraints []schemas.Constraint) (verdicts []schemas.Verdict, replied bool, err error) {
	req, err := request(m.Name, t, r, constraints)
	if err != nil {
		return nil, false, err
	}
	replied, err = m.Ask(ctx, req, func(text string) (err error) {
		verdicts, err = parse(text, m.Name, r, constraints)
		return err
	})
	if err != nil {
		return nil, replied, schemas.Errorf(schemas.TypeOf(err), "judge response %s: %w", r.ResponseID, err)
	}
	return verdicts, replied, nil
}

func request(model string, t schemas.Turn, r schemas.Response, constraints []schemas.Constraint) (chat.Request, error) {
	// The nonce is derived, so that a retry asks the same; a response cannot
	// hold it, because its own text is part of what is hashed.
	sum := sha256.Sum256([]byte(r.ResponseID + "\x00" + r.Text))
	nonce := "material-" + hex.EncodeToString(sum[:8])
	var system bytes.Buffer
	if err := prompt.Execute(&system, struct{ Nonce string }{nonce}); err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "render judge prompt: %w", err)
	}
	var user strings.Builder
	fmt.Fprintf(&user, "<%s>\n", nonce)
	for _, msg := range t.Messages() {
		if msg.Role == "system" {
			continue // its constraints are listed below by id
		}
		fmt.Fprintf(&user, "[%s %s]\n%s\n\n", nonce, msg.Role, msg.Content)
	}
	// Every heading bears the nonce: a query that holds the words of one does
	// not move the place where the response begins.
	fmt.Fprintf(&user, "[%s response to judge]\n%s\n</%s>\n\nConstraints:\n", nonce, r.Text, nonce)
	ids := make([]string, len(constraints))
	for i, c := range constraints {
		ids[i] = constraintTag(i)
		fmt.Fprintf(&user, "%s: %s\n", ids[i], c.Text)
	}
	schema, err := json.Marshal(replySchema(ids))
	if err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "encode judge schema: %w", err)
	}
	return chat.Request{
		Model:    model,
		Messages: []schemas.Message{{Role: "system", Content: system.String()}, {Role: "user", Content: user.String()}},
		N:        1, Temperature: 0, TopP: 1, MaxTokens: 200 + 150*len(constraints),
		Schema: schema, SchemaName: "verdicts",
	}, nil
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
			"reason":  map[string]any{"type": "string", "maxLength": 500},
			"verdict": map[string]any{"type": "string", "enum": []string{schemas.Followed, schemas.NotFollowed, schemas.NotApplicable}},
		}, "id", "reason", "verdict"),
	}}, "verdicts")
}

// parse demands exactly one known verdict per constraint id.
func parse(text, model string, r schemas.Response, constraints []schemas.Constraint) ([]schemas.Verdict, error) {
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
	byTag := map[string]schemas.Verdict{}
	for _, v := range reply.Verdicts {
		i := tagIndex(v.ID, len(constraints))
		switch {
		case i < 0:
			return nil, fmt.Errorf("unknown constraint id %q", v.ID)
		case byTag[v.ID].VerdictID != "":
			return nil, fmt.Errorf("constraint id %q is judged twice", v.ID)
		case v.Verdict != schemas.Followed && v.Verdict != schemas.NotFollowed && v.Verdict != schemas.NotApplicable:
			return nil, fmt.Errorf("constraint id %q has verdict %q", v.ID, v.Verdict)
		}
		row := verdict(r, constraints[i], v.Verdict, model+" "+PromptVersion)
		row.Source, row.Reason = schemas.ByModel, &v.Reason
		byTag[v.ID] = row
	}
	out := make([]schemas.Verdict, len(constraints))
	for i := range constraints {
		v, ok := byTag[constraintTag(i)]
		if !ok {
			return nil, fmt.Errorf("constraint id %q is not judged", constraintTag(i))
		}
		out[i] = v
	}
	return out, nil
}

func tagIndex(tag string, n int) int {
	for i := range n {
		if constraintTag(i) == tag {
			return i
		}
	}
	return -1
}
