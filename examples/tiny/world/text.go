package main

import (
	"fmt"
	"math/rand/v2"

	"rpo/schemas"
)

// example is one row of the supervised text.
type example struct {
	PairID    string            `parquet:"pair_id"`
	ProfileID string            `parquet:"profile_id"`
	Prompt    []schemas.Message `parquet:"prompt"`
	Chosen    []schemas.Message `parquet:"chosen"`
}

// settings say what supervised text to draw.
type settings struct {
	seed  uint64
	count int
	// kinds are those to draw constraints from, least to most of them a message.
	kinds       []string
	least, most int
	// lean is the share of the negative constraints that turn positive.
	lean float64
	// follow is the probability that the answer follows a constraint.
	follow float64
	// brief answers are one short sentence that always names the topic.
	brief bool
	// leaveOut holds combinations of constraints that no example may have.
	leaveOut map[string]bool
}

// newText draws supervised examples. Each constraint is followed or not
// independently of the others.
func newText(s settings) ([]example, error) {
	r := rand.New(rand.NewPCG(s.seed, 2))
	out := make([]example, 0, s.count)
	for len(out) < s.count {
		t, err := newTask(r, s.kinds, s.least+r.IntN(s.most-s.least+1), s.lean)
		if err != nil {
			return nil, err
		}
		if s.leaveOut[t.combination()] {
			continue
		}
		want := make([]bool, len(t.demands))
		for i := range want {
			want[i] = r.Float64() < s.follow
		}
		text, err := answer(r, t.demands, want, t.topic, s.brief)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("text-%d-%06d", s.seed, len(out)+1)
		out = append(out, example{
			PairID:    id,
			ProfileID: id,
			Prompt:    []schemas.Message{{Role: "system", Content: t.system}, {Role: "user", Content: t.query}},
			Chosen:    []schemas.Message{{Role: "assistant", Content: text}},
		})
	}
	return out, nil
}
