package reverse

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
	"rpo/activities/judge/rules"
	"rpo/activities/store"
	"rpo/schemas"
)

// PromptVersion enters provenance, job identity and the key of cached opposites.
const PromptVersion = "reverse/1"

//go:embed prompts/reverse.en.txt
var promptText string

var prompt = template.Must(template.New("reverse").Parse(promptText))

// ByRule reverses a constraint that has a rule, by construction.
func ByRule(c schemas.Constraint) (schemas.Opposite, error) {
	o, err := rules.Opposite(c)
	if err != nil {
		return schemas.Opposite{}, schemas.Errorf(schemas.InvalidInput, "reverse constraint %s: %w", c.ConstraintID, err)
	}
	return opposite(c, o.Text, o.Rule, schemas.ByRule, rules.Version(c.Rule.Profile)), nil
}

func opposite(c schemas.Constraint, text string, rule schemas.Rule, source, by string) schemas.Opposite {
	return schemas.Opposite{
		OppositeID:   schemas.ID("opposite", c.ConstraintID, by, text),
		ConstraintID: c.ConstraintID, Original: c.Text, Text: text, Rule: rule, Source: source, ReversedBy: by,
	}
}

// cached is what the store keeps per constraint text, model and prompt version.
type cached struct {
	Constraint string `json:"constraint"`
	Opposite   string `json:"opposite"`
	ReversedBy string `json:"reversed_by"`
}

// ByModel reverses a constraint that has no rule. The reply for a text is kept
// in the store, first writer wins, so that a text is reversed once over all data
// sets and every retry sees the same opposite. replied says that the model replied
// at all.
func ByModel(ctx context.Context, s store.Store, m chat.Model, c schemas.Constraint) (o schemas.Opposite, replied bool, err error) {
	by := m.Name + " " + PromptVersion
	sum := sha256.Sum256([]byte(by + "\x00" + c.Text))
	key := "cache/reverse/" + hex.EncodeToString(sum[:]) + ".json"
	hit, err := s.Exists(ctx, key)
	if err != nil {
		return schemas.Opposite{}, replied, err
	}
	if !hit {
		var text string
		if text, replied, err = ask(ctx, m, c); err != nil {
			return schemas.Opposite{}, replied, err
		}
		data, err := json.Marshal(cached{c.Text, text, by})
		if err != nil {
			return schemas.Opposite{}, replied, schemas.Errorf(schemas.Internal, "encode opposite of %s: %w", c.ConstraintID, err)
		}
		if _, err := s.PutIfAbsent(ctx, key, data); err != nil {
			return schemas.Opposite{}, replied, err
		}
	}
	data, err := s.Get(ctx, key)
	if err != nil {
		return schemas.Opposite{}, replied, err
	}
	var entry cached
	if err := json.Unmarshal(data, &entry); err != nil || entry.Constraint != c.Text {
		return schemas.Opposite{}, replied, schemas.Errorf(schemas.CorruptData, "cached opposite %s does not belong to constraint %s: delete it", key, c.ConstraintID)
	}
	return opposite(c, entry.Opposite, schemas.Rule{}, schemas.ByModel, entry.ReversedBy), replied, nil
}

func ask(ctx context.Context, m chat.Model, c schemas.Constraint) (text string, replied bool, err error) {
	sum := sha256.Sum256([]byte(c.Text))
	nonce := "material-" + hex.EncodeToString(sum[:8])
	var system bytes.Buffer
	if err := prompt.Execute(&system, struct{ Nonce string }{nonce}); err != nil {
		return "", false, schemas.Errorf(schemas.Internal, "render reverse prompt: %w", err)
	}
	req := chat.Request{
		Model: m.Name,
		Messages: []schemas.Message{
			{Role: "system", Content: system.String()},
			{Role: "user", Content: fmt.Sprintf("<%s>\n%s\n</%s>", nonce, c.Text, nonce)},
		},
		N: 1, Temperature: 0, TopP: 1, MaxTokens: 200 + len(c.Text),
		Schema: json.RawMessage(`{"type":"object","properties":{"opposite":{"type":"string","minLength":1}},` +
			`"required":["opposite"],"additionalProperties":false}`),
		SchemaName: "opposite",
	}
	replied, err = m.Ask(ctx, req, func(reply string) (err error) {
		text, err = parse(reply, c)
		return err
	})
	if err != nil {
		return "", replied, schemas.Errorf(schemas.TypeOf(err), "reverse constraint %s: %w", c.ConstraintID, err)
	}
	return text, replied, nil
}

func parse(reply string, c schemas.Constraint) (string, error) {
	var out struct {
		Opposite string `json:"opposite"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &out); err != nil {
		return "", err
	}
	text := strings.TrimSpace(out.Opposite)
	switch {
	case text == "":
		return "", fmt.Errorf("the opposite is empty")
	case strings.EqualFold(text, strings.TrimSpace(c.Text)):
		return "", fmt.Errorf("the opposite is the constraint itself")
	case len(text) > 10*len(c.Text)+200:
		return "", fmt.Errorf("the opposite is %d bytes long for a constraint of %d", len(text), len(c.Text))
	}
	return text, nil
}
