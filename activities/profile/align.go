package profile

import (
	"fmt"
	"regexp"
	"strings"
)

// instruction is one constraint as IFEval names it.
type instruction struct {
	kind string
	args arguments
}

// fits returns why a sentence of text does not state the instruction and
// nothing else, "" if it does.
func (in instruction) fits(text string, s span, user string) string {
	cue, ok := cues[in.kind]
	if !ok {
		return "no single sentence states a constraint of this kind"
	}
	context := text[:s.start] + "\n" + text[s.end:]
	if user != text {
		context += "\n" + user
	}
	r := read(text[s.start:s.end], user, context)
	cue(r, in.args)
	return r.failed
}

// align finds for each instruction the one sentence of text that states it and
// nothing else, and returns their spans in the order of the instructions. The
// cover must be one to one: a sentence that states two instructions, and an
// instruction that two sentences state, are refused. Unless rest is allowed,
// every sentence must be used; rest allows sentences that carry no sign of a
// constraint.
func align(text, where string, instructions []instruction, user string, rest bool) ([]span, error) {
	all := sentences(text)
	if !rest && len(all) != len(instructions) {
		return nil, fmt.Errorf("cannot align %s with %s of the %s",
			plural(len(instructions), "constraint"), plural(len(all), "sentence"), where)
	}
	of := make([]int, len(instructions)) // sentence of each instruction
	by := make([]int, len(all))          // instructions of each sentence
	for i, in := range instructions {
		n, why := 0, ""
		for j, s := range all {
			reason := in.fits(text, s, user)
			if reason == "" {
				of[i] = j
				by[j]++
				n++
			} else if len(all) == 1 {
				why = ": " + reason
			}
		}
		if n != 1 {
			found := "no sentence"
			if n > 1 {
				found = plural(n, "sentence")
			}
			verb := "states"
			if n > 1 {
				verb = "state"
			}
			return nil, fmt.Errorf("cannot align constraint %s: %s of the %s %s it alone%s", in.kind, found, where, verb, why)
		}
	}
	spans := make([]span, len(instructions))
	for i, j := range of {
		if by[j] != 1 {
			return nil, fmt.Errorf("cannot align constraint %s: sentence %d of the %s states another constraint as well", instructions[i].kind, j+1, where)
		}
		spans[i] = all[j]
	}
	for j, s := range all {
		if by[j] > 0 {
			continue
		}
		if sign := constraintSign(text[s.start:s.end]); sign != "" {
			return nil, fmt.Errorf("cannot align %s: sentence %d of the %s says %q and belongs to none of them",
				plural(len(instructions), "constraint"), j+1, where, sign)
		}
	}
	return spans, nil
}

// signs are the words that constraints are made of. A sentence without any is
// taken for a part of the task.
var signs = regexp.MustCompile(`(?i)\b(?:commas?|punctuations?|capital\w*|caps|upper ?case\w*|lower ?case\w*|sentences?|words?|paragraphs?|stanzas?|sections?|` +
	`bullets?|points?|lists?|highlight\w*|itali\w+|bold|markdown|json|brackets?|placeholders?|postscript|quot\w+|asterisks?|separat\w+|` +
	`divide\w*|repeat\w*|phrases?|keywords?|titles?|languages?|lines?|letters? [a-z]|format\w*|must|should|shall|not|don't|do not|make sure|ensure|` +
	`avoid\w*|refrain\w*|without|never|at least|at most|exactly|less than|fewer than|more than|your (?:entire |whole )?(?:response|answer|reply|output)|` +
	`response|reply|answer|include\w*|mention\w*|contain\w*|use|using|wrap\w*|start|end|finish|follow\w*|before|first|only|each|between|versions?|` +
	`two|different|highlighted|following|below|above|i\.e|such as|p\.s)\b|\*|<<|\[|P\.P\.S`)

func constraintSign(sentence string) string {
	s := straight.Replace(sentence)
	if m := signs.FindString(s); m != "" {
		return strings.ToLower(m)
	}
	for _, name := range languages {
		if wholeWordIn(s, name) {
			return name
		}
	}
	return ""
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
