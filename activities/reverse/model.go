package reverse

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// PromptVersion and CheckVersion enter provenance and job identity: change them
// with the prompts, in any language, and with what is refused without a call.
const (
	PromptVersion = "reverse/3"
	CheckVersion  = "check/1"
)

// PromptVersions are all that an opposite depends on beside its models.
func PromptVersions() []string { return []string{PromptVersion, CheckVersion} }

var (
	//go:embed prompts/reverse.en.txt
	reverseEnglish string
	//go:embed prompts/reverse.zh.txt
	reverseChinese string
	//go:embed prompts/check.en.txt
	checkEnglish string
	//go:embed prompts/check.zh.txt
	checkChinese string

	reversing = prompt.Parse("reverse", reverseEnglish, reverseChinese)
	checking  = prompt.Parse("check", checkEnglish, checkChinese)
)

// demand is what of a constraint determines its opposite: equal demands have equal
// opposites, whatever constraints they are of.
type demand struct{ text, trigger string }

// refusal is an opposite that failed, and why.
type refusal struct{ text, reason string }

// Team is who reverses constraints without a rule: one model writes the opposites,
// another one or the same checks them. The zero Team stands for nobody.
type Team struct{ Writer, Checker chat.Model }

// reversedBy names the models with the versions of their prompts.
func (t Team) reversedBy() string {
	return t.Writer.Name + " " + PromptVersion + " + " + t.Checker.Name + " " + CheckVersion
}

// entry is one line of the material.
type entry struct{ name, text string }

// request makes a call out of material that depends on texts only, so that equal
// demands are asked once over all data sets.
func request(p prompt.Bilingual, d demand, extra []entry) (chat.Request, error) {
	material := []entry{{"constraint", d.text}}
	if d.trigger != "" {
		material = append(material, entry{"condition", d.trigger})
	}
	var parts []string
	var lines strings.Builder
	for _, e := range append(material, extra...) {
		parts = append(parts, e.name, e.text)
		fmt.Fprintf(&lines, "%s: %s\n", e.name, prompt.Quote(e.text))
	}
	tag := prompt.Tag("material", parts...)
	system, err := p.Render(prompt.Chinese(d.text, d.trigger), struct{ Nonce string }{tag})
	if err != nil {
		return chat.Request{}, err
	}
	return chat.Request{
		Messages: []schemas.Message{
			{Role: "system", Content: system},
			{Role: "user", Content: "<" + tag + ">\n" + lines.String() + "</" + tag + ">"},
		},
		N: 1, TopP: 1,
	}, nil
}

// write asks for the opposite of a demand, given those that were refused.
func (t Team) write(ctx context.Context, d demand, refused []refusal) (text string, replied bool, err error) {
	var extra []entry
	for _, r := range refused {
		extra = append(extra, entry{"refused", r.text}, entry{"reason", r.reason})
	}
	req, err := request(reversing, d, extra)
	if err != nil {
		return "", false, err
	}
	req.Model, req.MaxTokens = t.Writer.Name, 200+len(d.text)
	req.Schema, req.SchemaName = json.RawMessage(`{"type":"object","properties":{"opposite":{"type":"string","minLength":1}},`+
		`"required":["opposite"],"additionalProperties":false}`), "opposite"
	replied, err = t.Writer.Ask(ctx, req, func(reply string) (err error) {
		text, err = parseOpposite(reply, d.text)
		return err
	})
	return text, replied, err
}

// parseOpposite demands a text that could be an opposite; whether it is one is
// not decided here.
func parseOpposite(reply, original string) (string, error) {
	var out struct {
		Opposite string `json:"opposite"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &out); err != nil {
		return "", err
	}
	text := strings.TrimSpace(out.Opposite)
	switch {
	case text == "":
		return "", errors.New("the opposite is empty")
	case len(text) > 10*len(original)+200:
		return "", fmt.Errorf("the opposite is %d bytes long for a constraint of %d", len(text), len(original))
	}
	return text, nil
}

// check asks whether the text is the exact opposite of a demand and returns why
// not, "" if it is.
func (t Team) check(ctx context.Context, d demand, text string) (objection string, replied bool, err error) {
	req, err := request(checking, d, []entry{{"opposite", text}})
	if err != nil {
		return "", false, err
	}
	req.Model, req.MaxTokens = t.Checker.Name, 400
	req.Schema, req.SchemaName = json.RawMessage(`{"type":"object","properties":{"reason":{"type":"string","maxLength":300},`+
		`"exclusive":{"type":"boolean"},"exhaustive":{"type":"boolean"},"definite":{"type":"boolean"}},`+
		`"required":["reason","exclusive","exhaustive","definite"],"additionalProperties":false}`), "check"
	replied, err = t.Checker.Ask(ctx, req, func(reply string) (err error) {
		objection, err = parseCheck(reply)
		return err
	})
	return objection, replied, err
}

// maxReason bounds what a model says about an opposite, in bytes.
const maxReason = 500

// parseCheck demands all three answers and returns the objection that they make.
func parseCheck(reply string) (objection string, err error) {
	var out struct {
		Reason     *string `json:"reason"`
		Exclusive  *bool   `json:"exclusive"`
		Exhaustive *bool   `json:"exhaustive"`
		Definite   *bool   `json:"definite"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &out); err != nil {
		return "", err
	}
	if out.Reason == nil || out.Exclusive == nil || out.Exhaustive == nil || out.Definite == nil {
		return "", errors.New("reason, exclusive, exhaustive and definite are all demanded")
	}
	var faults []string
	if !*out.Exclusive {
		faults = append(faults, "a response can follow both")
	}
	if !*out.Exhaustive {
		faults = append(faults, "a response can follow neither")
	}
	if !*out.Definite {
		faults = append(faults, "it is not a definite demand")
	}
	if faults == nil {
		return "", nil
	}
	reason := *out.Reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return strings.Join(faults, ", ") + ": " + reason, nil
}
