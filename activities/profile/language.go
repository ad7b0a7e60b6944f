package profile

import (
	"strings"

	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// languageOf is the language of the prompts about a text.
func languageOf(text string) string {
	if prompt.Chinese(text) {
		return schemas.Chinese
	}
	return schemas.English
}

// oneLine folds every run of blanks, line breaks among them, into one blank.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
