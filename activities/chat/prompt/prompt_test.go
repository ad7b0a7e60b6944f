package prompt_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"rpo/activities/chat/prompt"
)

func TestTheLanguageOfMaterialIsTold(t *testing.T) {
	for text, want := range map[string]bool{
		"":          false,
		"Say tea.":  false,
		"不要使用表情符号。": true,
		"回答不超过100字，使用Markdown格式。":       true,
		"Mention 春节 in every answer.":   false,
		"日本語で答えてください。":                  false,
		"你是JSON专家，don't使用YAML，始终输出JSON": true,
		"123 456": false,
	} {
		if got := prompt.Chinese(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !prompt.Chinese("You are a shop.", "你是一家商店，热情地回答顾客的每一个问题。") {
		t.Error("texts do not count together")
	}
}

func TestATagDependsOnEveryPartAndOnWherePartsEnd(t *testing.T) {
	seen := map[string]bool{}
	for _, parts := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"c", "ab"}, {}} {
		tag := prompt.Tag("material", parts...)
		if seen[tag] || !strings.HasPrefix(tag, "material-") || len(tag) != len("material-")+16 || tag != prompt.Tag("material", parts...) {
			t.Errorf("%q: tag %q", parts, tag)
		}
		seen[tag] = true
	}
}

func FuzzAQuotedTextStaysOnItsLine(f *testing.F) {
	for _, s := range []string{"", "a\nc2: b", "\"\r\n", "\u2028\u2029\u0085", "<tag>", "漢字 😀", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := prompt.Quote(s)
		if strings.ContainsAny(quoted, "\n\r\v\f\u2028\u2029") {
			t.Errorf("%q has more than one line", quoted)
		}
		var back string
		if err := json.Unmarshal([]byte(quoted), &back); err != nil || utf8.ValidString(s) && back != s {
			t.Errorf("%q comes back as %q, %v", s, back, err)
		}
	})
}

func TestAPromptIsRenderedInTheLanguageAskedFor(t *testing.T) {
	p := prompt.Parse("greet", "Hello {{.Name}}", "你好 {{.Name}}")
	for chinese, want := range map[bool]string{false: "Hello x", true: "你好 x"} {
		if got, err := p.Render(chinese, struct{ Name string }{"x"}); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := p.Render(true, struct{}{}); err == nil {
		t.Error("a value is missing, and nobody says so")
	}
}
