package chat

import (
	"encoding/json"
	"regexp"
	"strings"
)

// namesKey finds request keys in a server's words, of n also what servers call it
// inside.
var namesKey = regexp.MustCompile(`(?i)\b(n|n_cmpl|best_of|num_(?:return_sequences|choices|completions|generations)|seed|temperature|` +
	`top_p|top_k|min_p|presence_penalty|frequency_penalty|repetition_penalty|stop|max_tokens|stream_options|response_format)\b`)

// refusesKey finds the words for a key that a server does not know at all.
var refusesKey = regexp.MustCompile(`(?i)\b(not (yet )?(supported|permitted|allowed|recogni[sz]ed)|unsupported|(does|do) not support|doesn't support|` +
	`unrecogni[sz]ed|unknown|unexpected|extra (inputs?|fields?)|extra_forbidden|forbidden|additional propert(y|ies)|cannot find field|use 'max_completion_tokens')`)

// blame says which keys a refusal names: by the error's param, by the places of a
// validation report, else by the words of the message.
func (a answer) blame() *blame {
	var shape struct {
		Error struct {
			Param string `json:"param"`
		} `json:"error"`
		Detail []struct {
			Loc []any `json:"loc"`
		} `json:"detail"`
	}
	said := a.said()
	b := &blame{plainly: refusesKey.MatchString(said)}
	if json.Unmarshal(a.body, &shape) == nil {
		b.named = keysIn(shape.Error.Param)
		for _, item := range shape.Detail {
			for _, step := range item.Loc {
				if word, ok := step.(string); ok {
					b.named |= keysIn(word)
				}
			}
		}
	}
	if b.named == 0 {
		b.named = keysIn(said)
	}
	return b
}

// keysIn returns the keys that a text names.
func keysIn(text string) parameters {
	var found parameters
	for _, word := range namesKey.FindAllString(text, -1) {
		found |= keyOf(strings.ToLower(word))
	}
	return found
}

func keyOf(word string) parameters {
	for i, name := range parameterNames {
		if word == name {
			return 1 << i
		}
	}
	return paramN // its other names
}
