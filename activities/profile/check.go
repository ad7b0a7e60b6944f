package profile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rpo/schemas"
)

// finding is what the checking model says of one constraint.
type finding struct {
	definite, checkable, singleTurn bool
	reason                          string
}

// fault says what is wrong, "" if nothing is.
func (f finding) fault() string {
	var out []string
	if !f.definite {
		out = append(out, "is not definite")
	}
	if !f.checkable {
		out = append(out, "is not checkable")
	}
	if !f.singleTurn {
		out = append(out, "is not about a single turn")
	}
	if out == nil {
		return ""
	}
	return strings.Join(out, ", ") + ": " + clipped(oneLine(f.reason))
}

// contradiction names two constraints by their places, first < second.
type contradiction struct{ first, second int }

// checked asks the second model about all the constraints at once.
func (k *maker) checkAll(ctx context.Context, texts []string, language string) (findings []finding, pairs []contradiction, err error) {
	var list strings.Builder
	ids := make([]string, len(texts))
	for i, text := range texts {
		ids[i] = constraintID(i)
		fmt.Fprintf(&list, "%s: %s\n", ids[i], oneLine(text))
	}
	err = k.checksWith(ctx, question{
		prompt: "check_profile", language: language,
		material:    []part{{text: strings.TrimSuffix(list.String(), "\n")}},
		temperature: 0, maxTokens: checkTokens(len(texts)),
		schema: checkSchema(ids),
	}, func(reply string) (err error) {
		findings, pairs, err = parseCheck(reply, len(texts))
		return err
	})
	return findings, pairs, err
}

func checkTokens(constraints int) int { return 400 + 120*constraints }

// constraintID is the id a prompt uses: short, so that a model copies it right.
func constraintID(i int) string { return fmt.Sprintf("c%d", i+1) }

func checkSchema(ids []string) map[string]any {
	yesNo := map[string]any{"type": "boolean"}
	return objectSchema(map[string]any{
		"constraints": listSchema(objectSchema(map[string]any{
			"id": oneOfSchema(ids), "reason": textSchema(), "definite": yesNo, "checkable": yesNo, "single_turn": yesNo,
		}, "id", "reason", "definite", "checkable", "single_turn"), len(ids), len(ids)),
		"contradictions": listSchema(objectSchema(map[string]any{
			"reason": textSchema(), "first": oneOfSchema(ids), "second": oneOfSchema(ids),
		}, "reason", "first", "second"), 0, 2*len(ids)),
	}, "constraints", "contradictions")
}

// parseCheck demands exactly one finding per id, with all its answers, and pairs
// of different known ids.
func parseCheck(reply string, n int) ([]finding, []contradiction, error) {
	var r struct {
		Constraints []struct {
			ID         string `json:"id"`
			Reason     string `json:"reason"`
			Definite   *bool  `json:"definite"`
			Checkable  *bool  `json:"checkable"`
			SingleTurn *bool  `json:"single_turn"`
		} `json:"constraints"`
		Contradictions *[]struct {
			Reason string `json:"reason"`
			First  string `json:"first"`
			Second string `json:"second"`
		} `json:"contradictions"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &r); err != nil {
		return nil, nil, err
	}
	place := map[string]int{}
	for i := range n {
		place[constraintID(i)] = i
	}
	findings, found := make([]finding, n), make([]bool, n)
	for _, c := range r.Constraints {
		i, known := place[c.ID]
		switch {
		case !known:
			return nil, nil, fmt.Errorf("unknown constraint id %q", clipped(c.ID))
		case found[i]:
			return nil, nil, fmt.Errorf("constraint id %q is checked twice", c.ID)
		case c.Definite == nil || c.Checkable == nil || c.SingleTurn == nil:
			return nil, nil, fmt.Errorf("constraint id %q lacks one of definite, checkable, single_turn", c.ID)
		}
		found[i] = true
		findings[i] = finding{*c.Definite, *c.Checkable, *c.SingleTurn, c.Reason}
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, nil, fmt.Errorf("constraint id %q is not checked", constraintID(i))
	}
	if r.Contradictions == nil {
		return nil, nil, fmt.Errorf("the list of contradictions is missing")
	}
	var pairs []contradiction
	for _, c := range *r.Contradictions {
		a, knownA := place[c.First]
		b, knownB := place[c.Second]
		if !knownA || !knownB || a == b {
			return nil, nil, fmt.Errorf("constraint ids %q and %q are no pair", clipped(c.First), clipped(c.Second))
		}
		pairs = append(pairs, contradiction{min(a, b), max(a, b)})
	}
	// In the order of the later one, so that what is dropped does not depend on
	// the order in the reply.
	slices.SortFunc(pairs, func(a, b contradiction) int {
		if a.second != b.second {
			return a.second - b.second
		}
		return a.first - b.first
	})
	return findings, slices.Compact(pairs), nil
}

// passed drops the constraints that the second model found fault with, and of a
// pair that contradicts itself the later one. Where rules know better, they
// decide: a demand with a rule is definite and checkable, and two rules that are
// compatible do not contradict each other.
func passed(constraints []written, findings []finding, pairs []contradiction) (kept []written, problems []string) {
	dropped := make([]bool, len(constraints))
	for i, c := range constraints {
		if why := findings[i].fault(); why != "" && c.standing().IsZero() {
			dropped[i] = true
			problems = append(problems, problem(c.text, why))
		}
	}
	for _, p := range pairs {
		a, b := constraints[p.first], constraints[p.second]
		if dropped[p.first] || dropped[p.second] || relate(a.rule, b.rule) == compatible {
			continue
		}
		dropped[p.second] = true
		problems = append(problems, problem(b.text, fmt.Sprintf("contradicts %q", clipped(a.text))))
	}
	for i, c := range constraints {
		if !dropped[i] {
			kept = append(kept, c)
		}
	}
	return kept, problems
}
