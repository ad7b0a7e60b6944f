package profile

import (
	"strings"
	"testing"
)

func TestConstraintsAlignOneToOneOrNotAtAll(t *testing.T) {
	words := parseInstruction(t, wordsID, atLeast80)
	comma := parseInstruction(t, commaID, `{}`)
	quotes := parseInstruction(t, quotationID, `{}`)
	for _, c := range []struct {
		name, text   string
		instructions []instruction
		rest         bool
		want         string // the texts in the order of the instructions, or an error
	}{
		{"out of order", "Wrap your response with double quotes. Use no commas. Write at least 80 words.", []instruction{words, comma, quotes}, false,
			"Write at least 80 words.|Use no commas.|Wrap your response with double quotes."},
		{"more sentences", "Be kind. Use no commas. Write at least 80 words.", []instruction{words, comma}, false,
			"cannot align 2 constraints with 3 sentences of the prompt"},
		{"fewer sentences", "Use no commas and at least 80 words.", []instruction{words, comma}, false,
			"cannot align 2 constraints with 1 sentence of the prompt"},
		{"right number, wrong content", "Use no commas and at least 80 words. Be kind.", []instruction{words, comma}, false,
			"cannot align constraint length_constraints:number_words: no sentence of the prompt states it alone"},
		{"stated twice", "Use no commas. Do not use commas.", []instruction{comma, words}, false, "2 sentences of the prompt state it alone"},
		{"listed twice", "Use no commas. Be kind.", []instruction{comma, comma}, false, "states another constraint as well"},
		{"the task stays outside", "Describe a harbour at night. Use no commas.", []instruction{comma}, true, "Use no commas."},
		{"nor is an example", "Wrap your response with double quotes. For example: *tea*.", []instruction{quotes}, true, `says "*"`},
		{"the only sentence is the task", "Write a poem of at least 80 words.", []instruction{words}, true, "it asks for a poem"},
		{"an elaboration is not the task", "Wrap your response with double quotes. No other text should follow.", []instruction{quotes}, true,
			`says "should" and belongs to none of them`},
	} {
		spans, err := align(c.text, "prompt", c.instructions, c.text, c.rest)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %q, want %q", c.name, err, c.want)
			}
			continue
		}
		var got []string
		for _, s := range spans {
			got = append(got, c.text[s.start:s.end])
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
