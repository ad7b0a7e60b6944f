package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

const (
	// mostExtracted bounds the constraints of one system prompt.
	mostExtracted  = 64
	longestTrigger = 300 // characters
)

// extract finds the constraints of a system prompt as spans and has them checked.
// Those that are not definite, checkable and of a single turn stay in the text but
// are no constraints. Repetitions and contradictions stay: a demand that the
// prompt makes twice is followed and reversed twice, and of two that exclude each
// other every response breaks one, which is then reversed.
func (k *maker) extract(ctx context.Context, seed schemas.Seed) ([]demand, error) {
	all := units(seed.Text)
	if len(all) == 0 {
		return nil, schemas.Errorf(schemas.InvalidInput, "the system prompt has no sentence")
	}
	var lines []string
	for i, u := range all {
		lines = append(lines, fmt.Sprintf("s%d: %s", i+1, seed.Text[u.start:u.end]))
	}
	var found []demand
	err := k.writes(ctx, question{
		prompt: "extract", language: seed.Language,
		material:    []part{{text: strings.Join(lines, "\n")}},
		temperature: 0, seed: k.seedOf(seed, 0), maxTokens: extractTokens(seed.Text),
		schema: objectSchema(map[string]any{"constraints": listSchema(objectSchema(map[string]any{
			"sentence": map[string]any{"type": "integer", "minimum": 1, "maximum": len(all)},
			"quote":    textSchema(), "family": oneOfSchema(families), "trigger": textSchema(),
		}, "sentence", "quote", "family", "trigger"), 1, mostExtracted)}, "constraints"),
	}, func(reply string) (err error) {
		found, err = parseExtract(reply, seed.Text, all)
		return err
	})
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(found))
	for i, d := range found {
		texts[i] = seed.Text[d.start:d.end]
	}
	findings, _, err := k.checkAll(ctx, texts, seed.Language)
	if err != nil {
		return nil, err
	}
	var kept []demand
	var problems []string
	for i, d := range found {
		why := findings[i].fault()
		if why == "" {
			why = flawed(texts[i], seed.Language)
		}
		if why == "" || !d.rule.IsZero() {
			kept = append(kept, d)
			continue
		}
		problems = append(problems, problem(texts[i], why))
	}
	// What was left out may hold a copy of what was kept.
	if kept = withoutCopies(kept, seed.Text); len(kept) == 0 {
		return nil, schemas.Errorf(schemas.CorruptData, "of %d constraints that were found none is of use: %s", len(found), strings.Join(problems, "; "))
	}
	return kept, nil
}

// extractTokens bounds the reply: at worst it quotes the whole prompt.
func extractTokens(system string) int { return min(1024+len(system)/2, 8192) }

// parseExtract finds every constraint of a reply in the system prompt, byte for
// byte, and refuses the reply if one is not there, is there more than once in its
// sentence, or shares text with another. A constraint whose text stands once more
// where the reply does not name it is left out: reversing it would leave a copy
// that demands the contrary.
func parseExtract(reply, system string, all []span) ([]demand, error) {
	var r struct {
		Constraints []struct {
			Sentence int    `json:"sentence"`
			Quote    string `json:"quote"`
			Family   string `json:"family"`
			Trigger  string `json:"trigger"`
		} `json:"constraints"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &r); err != nil {
		return nil, err
	}
	if len(r.Constraints) == 0 || len(r.Constraints) > mostExtracted {
		return nil, fmt.Errorf("%d constraints, must be 1 to %d", len(r.Constraints), mostExtracted)
	}
	var out []demand
	for i, c := range r.Constraints {
		if c.Sentence < 1 || c.Sentence > len(all) {
			return nil, fmt.Errorf("constraint %d is of sentence %d, the prompt has %d", i+1, c.Sentence, len(all))
		}
		if !slices.Contains(families, c.Family) {
			return nil, fmt.Errorf("constraint %d has family %q, which is not one of %s", i+1, clipped(c.Family), strings.Join(families, ", "))
		}
		d := demand{span: all[c.Sentence-1], family: c.Family}
		sentence := system[d.start:d.end]
		if quote := strings.TrimSpace(c.Quote); quote != "" {
			at := strings.Index(sentence, quote)
			switch {
			case at < 0:
				return nil, fmt.Errorf("constraint %d: %q does not stand in sentence %d", i+1, clipped(quote), c.Sentence)
			case strings.Contains(sentence[at+1:], quote):
				return nil, fmt.Errorf("constraint %d: %q stands in sentence %d more than once", i+1, clipped(quote), c.Sentence)
			case !strings.ContainsFunc(quote, unicode.IsLetter):
				return nil, fmt.Errorf("constraint %d: %q has no words", i+1, clipped(quote))
			}
			d.span = span{d.start + at, d.start + at + len(quote)}
		}
		d.trigger = oneLine(c.Trigger)
		if slices.Contains(unconditional, strings.ToLower(strings.Trim(d.trigger, ".。"))) {
			d.trigger = ""
		}
		if utf8.RuneCountInString(d.trigger) > longestTrigger || strings.ContainsFunc(d.trigger, unicode.IsControl) {
			return nil, fmt.Errorf("constraint %d: the trigger is longer than %d characters or holds a control character", i+1, longestTrigger)
		}
		// A part of a sentence may have left its condition behind: no rule.
		if d.trigger == "" && d.span == all[c.Sentence-1] {
			if rule, ok := rules.Recognise(system[d.start:d.end]); ok {
				d.rule, d.family = rule, rules.Family(rule)
			}
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b demand) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(out); i++ {
		if out[i].start < out[i-1].end {
			return nil, fmt.Errorf("the constraints %q and %q share text", clipped(system[out[i-1].start:out[i-1].end]), clipped(system[out[i].start:out[i].end]))
		}
	}
	if out = withoutCopies(out, system); len(out) == 0 {
		return nil, errors.New("every constraint stands in the prompt more than once: quote more of the sentences")
	}
	return out, nil
}

// withoutCopies leaves out the demands whose text also stands outside of all
// demands.
func withoutCopies(demands []demand, system string) []demand {
	for {
		kept := slices.DeleteFunc(slices.Clone(demands), func(d demand) bool {
			return slices.ContainsFunc(occurrences(system, system[d.start:d.end]), func(place span) bool {
				return !slices.ContainsFunc(demands, func(o demand) bool { return o.start <= place.start && place.end <= o.end })
			})
		})
		if len(kept) == len(demands) {
			return kept
		}
		demands = kept
	}
}
