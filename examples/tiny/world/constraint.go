package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// demand is one constraint of the world: a rule of the rules package, its text,
// and how to make an answer follow or fail it.
type demand struct {
	rule  schemas.Rule
	text  string
	check rules.Check
	// kind, word and n say again what the rule's arguments say.
	kind string
	word string
	n    int
	// positive is the polarity: "at least", "mention", "start with".
	positive bool
}

// key names kind, arguments and polarity; profiles with equal key sets have the
// same combination of constraints.
func (d demand) key() string {
	return fmt.Sprintf("%s %s %v", d.rule.Kind, d.rule.Args, d.rule.Negated)
}

// The kinds of the world, by the names of the rules package. A kind that stands
// more often is drawn more often; a system message has at most two "contains",
// with different words, and one of every other kind.
const allKinds = "words,contains,contains,starts_with,commas,digits,sentences"

var marks = []string{".", "!", "?"}

// newDemand makes a constraint with a random phrasing. Lean is the share of the
// negative constraints that turn positive.
func newDemand(r *rand.Rand, kind, word string, n int, lean float64) (demand, error) {
	d := demand{kind: kind, word: word, n: n, positive: r.IntN(2) == 0}
	if !d.positive && lean > 0 {
		d.positive = r.Float64() < lean
	}
	var args map[string]any
	switch kind {
	case "contains", "starts_with", "ends_with":
		args = map[string]any{"text": word}
	default:
		relation := "at least"
		if !d.positive {
			relation = "fewer than"
		}
		args = map[string]any{"n": n, "relation": relation}
	}
	canonical, err := rules.CanonicalArgs(args)
	if err != nil {
		return d, err
	}
	// A count has its complement among the relations, a text only in negation.
	d.rule = schemas.Rule{Profile: "rpo", Kind: kind, Args: canonical, Negated: word != "" && !d.positive}
	if d.check, err = rules.Parse(d.rule); err != nil {
		return d, err
	}
	d.text, err = rules.Describe(d.rule, r.IntN(rules.Phrasings(d.rule)))
	return d, err
}

// drawDemands draws count constraints that every answer can follow or fail in
// any combination, in random order.
func drawDemands(r *rand.Rand, kinds []string, count int, lean float64) ([]demand, error) {
	deck := slices.Clone(kinds)
	r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	var chosen []string
	drawn := map[string]int{}
	for _, kind := range deck {
		if most := map[string]int{"contains": 2}[kind]; drawn[kind] < max(1, most) && len(chosen) < count {
			drawn[kind]++
			chosen = append(chosen, kind)
		}
	}
	// The longest minimal answer under any combination decides how tight the
	// number of words may be.
	longest := plan{sentences: 1, avoid: map[string]bool{}}
	var words []string
	for _, kind := range chosen {
		word := ""
		switch kind {
		case "contains":
			list := targetNouns
			if r.IntN(3) == 0 {
				list = targetAdjectives
			}
			for word == "" || slices.Contains(longest.mention, word) {
				word = list[r.IntN(len(list))]
			}
			longest.mention = append(longest.mention, word)
		case "starts_with":
			word = openers[r.IntN(len(openers))]
			longest.opener = word
		case "ends_with":
			word = marks[r.IntN(len(marks))]
		case "commas":
			longest.comma = true
		case "digits":
			longest.digit = true
		case "sentences":
			longest.sentences = 2
		}
		words = append(words, word)
	}
	var out []demand
	for i, kind := range chosen {
		n := 1
		switch {
		case kind == "words":
			n = max(7, longest.need()+1) + r.IntN(4)
		case kind == "sentences":
			n = 2
		case words[i] != "":
			n = 0
		}
		d, err := newDemand(r, kind, words[i], n, lean)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// answer writes an answer about the topic whose verdicts are exactly want[i]
// for demands[i]. Brief answers have few words more than they need.
func answer(r *rand.Rand, demands []demand, want []bool, topic string, brief bool) (string, error) {
	const tries = 500
	for range tries {
		text, err := steer(r, demands, want, topic, brief).write(r)
		if err != nil {
			continue
		}
		if verdictsAre(demands, want, text) {
			return text, nil
		}
	}
	var texts []string
	for i, d := range demands {
		texts = append(texts, fmt.Sprintf("%v: %s", want[i], d.text))
	}
	return "", fmt.Errorf("write an answer: none of %d tries fits %s", tries, strings.Join(texts, " | "))
}

func verdictsAre(demands []demand, want []bool, text string) bool {
	for i, d := range demands {
		if d.check.Strict(text) != want[i] {
			return false
		}
	}
	return true
}

// steer draws a plan and bends it to the wanted verdicts.
func steer(r *rand.Rand, demands []demand, want []bool, topic string, brief bool) plan {
	p := plan{
		sentences: 1 + r.IntN(2),
		end:       marks[r.IntN(len(marks))],
		comma:     r.IntN(2) == 0,
		digit:     r.IntN(2) == 0,
		avoid:     map[string]bool{},
	}
	if r.IntN(3) == 0 {
		p.opener = openers[r.IntN(len(openers))]
	}
	if brief {
		p.sentences, p.digit, p.comma, p.opener = 1, false, false, ""
	}
	low, high := 0, 100
	for i, d := range demands {
		yes := d.positive == want[i]
		switch d.kind {
		case "contains":
			if yes {
				p.mention = append(p.mention, d.word)
			}
			// Also where it must occur: fill then uses it once.
			p.avoid[d.word] = true
		case "starts_with":
			if yes {
				p.opener = d.word
			}
			for !yes && p.opener == d.word {
				p.opener = openers[r.IntN(len(openers))]
			}
		case "ends_with":
			if yes {
				p.end = d.word
			}
			for !yes && p.end == d.word {
				p.end = marks[r.IntN(len(marks))]
			}
		case "commas":
			p.comma = yes
		case "digits":
			p.digit = yes
		case "sentences":
			p.sentences = 1
			if yes {
				p.sentences = 2
			}
		case "words":
			if yes {
				low = d.n
			} else {
				high = d.n - 1
			}
		}
	}
	if !p.avoid[topic] && (brief || r.IntN(4) > 0) {
		p.mention = append(p.mention, topic)
		if p.need() > high {
			p.mention = p.mention[:len(p.mention)-1]
		}
	}
	low = max(low, p.need())
	spare := 4
	if brief {
		spare = 1
	}
	high = min(high, low+spare)
	p.words = low + r.IntN(max(1, high-low+1))
	return p
}
