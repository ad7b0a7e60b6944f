package prompt_test

import (
	"slices"
	"testing"

	"rpo/activities/chat/prompt"
)

func TestWhatIsQuotedIsToldFromWhatIsSaid(t *testing.T) {
	for text, want := range map[string][]string{
		`Say "may" once.`:       {`Say "" once.`, "may"},
		"说“可以”和「不必」。":           {"说“”和「」。", "可以", "不必"},
		`A screen of 5" is big`: {`A screen of 5" is big`},
		"“open":                 {"“open"},
		"":                      {""},
	} {
		rest, quoted := prompt.Unquoted(text)
		if got := append([]string{rest}, quoted...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
