package dialogue

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/chat/prompt"
	"rpo/activities/judge"
	"rpo/schemas"
)

// Versions of the prompts enter provenance and job identity: change one with its
// prompt.
const (
	userVersion    = "user/1"
	rubricVersion  = "rubric/1"
	respondVersion = "respond/1"
	criticVersion  = "critic/1"
)

// PromptVersions are those of all prompts that decide what a dialogue becomes.
func PromptVersions() []string {
	return append(judge.PromptVersions(), userVersion, rubricVersion, respondVersion, criticVersion)
}

var (
	//go:embed prompts/user.en.txt
	userEnglish string
	//go:embed prompts/user.zh.txt
	userChinese string
	//go:embed prompts/rubric.en.txt
	rubricEnglish string
	//go:embed prompts/rubric.zh.txt
	rubricChinese string
	//go:embed prompts/respond.en.txt
	respondEnglish string
	//go:embed prompts/respond.zh.txt
	respondChinese string
	//go:embed prompts/critic.en.txt
	criticEnglish string
	//go:embed prompts/critic.zh.txt
	criticChinese string

	userPrompt    = prompt.Parse("user", userEnglish, userChinese)
	rubricPrompt  = prompt.Parse("rubric", rubricEnglish, rubricChinese)
	respondPrompt = prompt.Parse("respond", strings.TrimSpace(respondEnglish), strings.TrimSpace(respondChinese))
	criticPrompt  = prompt.Parse("critic", criticEnglish, criticChinese)
)

// material collects texts under headings, in a prompt's language.
type material struct {
	chinese  bool
	headings []string
	texts    []string
}

// add puts a text under a heading; a number other than 0 tells equal headings apart.
func (m *material) add(english, chinese string, number int, text string) {
	heading := english
	if m.chinese {
		heading = chinese
	}
	if number > 0 {
		heading = fmt.Sprintf("%s %s", heading, tag(number-1))
	}
	m.headings, m.texts = append(m.headings, heading), append(m.texts, text)
}

// addMessages puts the conversation.
func (m *material) addMessages(messages []schemas.Message) {
	for _, msg := range messages {
		if msg.Role == "user" {
			m.add("earlier message of the user", "用户之前的消息", 0, msg.Content)
		} else {
			m.add("earlier message of the assistant", "助手之前的消息", 0, msg.Content)
		}
	}
}

// fence writes the parts, each under a heading that bears the nonce, which no
// part can hold: a text that looks like a heading moves no boundary.
func (m *material) fence() (nonce, fenced string) {
	nonce = prompt.Tag("material", slices.Concat(m.headings, m.texts)...)
	var out strings.Builder
	fmt.Fprintf(&out, "<%s>\n", nonce)
	for i, text := range m.texts {
		fmt.Fprintf(&out, "[%s %s]\n%s\n\n", nonce, m.headings[i], text)
	}
	fmt.Fprintf(&out, "</%s>", nonce)
	return nonce, out.String()
}

// tag is the id that a prompt uses for a constraint: short, so that a model
// copies it right.
func tag(i int) string { return fmt.Sprintf("c%d", i+1) }

// request asks for a JSON object about fenced material.
func request(p prompt.Bilingual, m *material, data func(nonce string) any, name string, schema map[string]any) (chat.Request, error) {
	nonce, fenced := m.fence()
	system, err := p.Render(m.chinese, data(nonce))
	if err != nil {
		return chat.Request{}, err
	}
	encoded, err := json.Marshal(schema)
	if err != nil {
		return chat.Request{}, schemas.Errorf(schemas.Internal, "encode schema %s: %w", name, err)
	}
	return chat.Request{
		Messages: []schemas.Message{{Role: "system", Content: system}, {Role: "user", Content: fenced}},
		N:        1, TopP: 1, Schema: encoded, SchemaName: name,
	}, nil
}

// object is the JSON schema of an object with these properties, all required.
func object(properties map[string]any, order ...string) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "required": order, "additionalProperties": false}
}

func text(maxLength int) map[string]any {
	s := map[string]any{"type": "string"}
	if maxLength > 0 {
		s["maxLength"] = maxLength
	}
	return s
}
