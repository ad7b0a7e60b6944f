package profile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"text/template"

	"rpo/activities/chat"
	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// Versions of the prompts enter provenance and job identity: change them with
// the prompts, in either language.
const (
	ProfilePromptVersion = "profile/1"
	CheckPromptVersion   = "check/1"
	ExtractPromptVersion = "extract/1"
	PersonaPromptVersion = "persona/1"
)

// PromptVersions are those of all prompts that profiles and personas depend on.
func PromptVersions() []string {
	return []string{ProfilePromptVersion, CheckPromptVersion, ExtractPromptVersion, PersonaPromptVersion}
}

//go:embed prompts
var promptFiles embed.FS

// Each file is a template that takes the nonce, by its name, such as
// "persona.zh.txt".
var prompts = template.Must(template.New("").ParseFS(promptFiles, "prompts/*.txt"))

// part is a piece of material under its own heading, "" for none.
type part struct{ heading, text string }

// question is one call about one seed, before it is a request.
type question struct {
	prompt, language string
	material         []part
	temperature      float64
	seed             int64
	maxTokens        int
	schema           map[string]any
}

// request fences the material. The nonce is derived from it, so that a retry
// asks the same, and no material can hold its own nonce.
func (q question) request(model string) (chat.Request, error) {
	var texts []string
	for _, p := range q.material {
		texts = append(texts, p.heading, p.text)
	}
	nonce := prompt.Tag("material", texts...)
	var system bytes.Buffer
	if err := prompts.ExecuteTemplate(&system, q.prompt+"."+q.language+".txt", struct{ Nonce string }{nonce}); err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "render prompt %s: %w", q.prompt, err)
	}
	var user strings.Builder
	user.WriteString("<" + nonce + ">\n")
	for _, p := range q.material {
		if p.heading != "" {
			user.WriteString("[" + nonce + " " + p.heading + "]\n")
		}
		user.WriteString(p.text + "\n")
	}
	user.WriteString("</" + nonce + ">")
	schema, err := json.Marshal(q.schema)
	if err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "encode schema of prompt %s: %w", q.prompt, err)
	}
	return chat.Request{
		Model:    model,
		Messages: []schemas.Message{{Role: "system", Content: strings.TrimSpace(system.String())}, {Role: "user", Content: user.String()}},
		N:        1, Temperature: q.temperature, TopP: 1, MaxTokens: q.maxTokens, Seed: q.seed,
		Schema: schema, SchemaName: q.prompt,
	}, nil
}

// maker asks about one seed and remembers what a quarantine must tell.
type maker struct {
	write, check chat.Model
	// seed is the option generate_seed.
	seed int64
	last chat.Request
	// wrote and checked say whether the models replied at all; checks counts the
	// times that the second one was asked.
	wrote, checked bool
	checks         int
}

// writes asks the writing model until accept takes its reply.
func (k *maker) writes(ctx context.Context, q question, accept func(reply string) error) error {
	replied, err := k.ask(ctx, k.write, q, accept)
	k.wrote = k.wrote || replied
	return err
}

// checksWith asks the checking model until accept takes its reply.
func (k *maker) checksWith(ctx context.Context, q question, accept func(reply string) error) error {
	k.checks++
	replied, err := k.ask(ctx, k.check, q, accept)
	k.checked = k.checked || replied
	return err
}

func (k *maker) ask(ctx context.Context, m chat.Model, q question, accept func(reply string) error) (bool, error) {
	req, err := q.request(m.Name)
	if err != nil {
		return false, err
	}
	k.last = req
	return m.Ask(ctx, req, accept)
}

// seedOf is the sampling seed of one attempt at one seed row.
func (k *maker) seedOf(s schemas.Seed, attempt int) int64 {
	sum := sha256.Sum256([]byte(s.SeedID + "\x00" + strconv.FormatInt(k.seed, 10) + "\x00" + strconv.Itoa(attempt)))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 33)
}

// JSON schemas of replies. Lengths of texts are left out, since grammars of some
// servers grow with them: the parsers check them.
func objectSchema(properties map[string]any, required ...string) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func listSchema(items map[string]any, low, high int) map[string]any {
	return map[string]any{"type": "array", "items": items, "minItems": low, "maxItems": high}
}

func textSchema() map[string]any { return map[string]any{"type": "string"} }

func oneOfSchema(values []string) map[string]any {
	return map[string]any{"type": "string", "enum": values}
}
