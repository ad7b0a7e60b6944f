package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// task is a system message with its constraints, and a question.
type task struct {
	system  string
	demands []demand
	topic   string
	query   string
}

func newTask(r *rand.Rand, kinds []string, count int, lean float64) (task, error) {
	demands, err := drawDemands(r, kinds, count, lean)
	if err != nil {
		return task{}, err
	}
	texts := []string{personas[r.IntN(len(personas))]}
	taken := map[string]bool{}
	for _, d := range demands {
		texts = append(texts, d.text)
		taken[d.word] = true
	}
	t := task{system: strings.Join(texts, " "), demands: demands}
	// A question about a constraint's word would suggest to mention it.
	for t.topic == "" || taken[t.topic] {
		t.topic = nouns[r.IntN(len(nouns))]
	}
	t.query = fmt.Sprintf(questions[r.IntN(len(questions))], t.topic)
	return t, nil
}

// combination names the set of constraints, whatever their order and phrasing.
func (t task) combination() string {
	var keys []string
	for _, d := range t.demands {
		keys = append(keys, d.key())
	}
	slices.Sort(keys)
	return strings.Join(keys, "\n")
}

// bundled is one line of profiles.jsonl, a plain profile.
type bundled struct {
	ID          string              `json:"id"`
	Split       string              `json:"split"`
	System      string              `json:"system"`
	Constraints []bundledConstraint `json:"constraints"`
	Queries     []string            `json:"queries"`
}

type bundledConstraint struct {
	Text   string      `json:"text"`
	Family string      `json:"family"`
	Rule   bundledRule `json:"rule"`
}

type bundledRule struct {
	Profile string          `json:"profile"`
	Kind    string          `json:"kind"`
	Args    json.RawMessage `json:"args"`
	Negated bool            `json:"negated"`
}

// newBundle draws the bundled profiles. No two of them have the same
// combination of constraints, so none of evaluation occurs in training.
func newBundle(seed uint64, train, eval int) ([]bundled, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[string]bool{}
	var out []bundled
	for len(out) < train+eval {
		t, err := newTask(r, strings.Split(allKinds, ","), 4+r.IntN(3), 0)
		if err != nil {
			return nil, err
		}
		if seen[t.combination()] {
			continue
		}
		seen[t.combination()] = true
		b := bundled{
			ID:      fmt.Sprintf("tiny-%04d", len(out)+1),
			Split:   schemas.SplitTrain,
			System:  t.system,
			Queries: []string{t.query},
		}
		if len(out) >= train {
			b.Split = schemas.SplitEval
		}
		for _, d := range t.demands {
			b.Constraints = append(b.Constraints, bundledConstraint{
				Text:   d.text,
				Family: rules.Family(d.rule),
				Rule: bundledRule{
					Profile: d.rule.Profile, Kind: d.rule.Kind, Args: json.RawMessage(d.rule.Args), Negated: d.rule.Negated,
				},
			})
		}
		out = append(out, b)
	}
	return out, nil
}

// combination is the bundled profile's set of constraints, as task's.
func (b bundled) combination() string {
	var keys []string
	for _, c := range b.Constraints {
		keys = append(keys, demand{rule: c.rule()}.key())
	}
	slices.Sort(keys)
	return strings.Join(keys, "\n")
}

func (c bundledConstraint) rule() schemas.Rule {
	return schemas.Rule{Profile: c.Rule.Profile, Kind: c.Rule.Kind, Args: string(c.Rule.Args), Negated: c.Rule.Negated}
}
