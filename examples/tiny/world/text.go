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

// newText draws supervised examples with two to seven constraints, each of
// which the answer follows with probability follow, independent of the others.
// Combinations of the bundled profiles are left out.
func newText(seed uint64, count int, follow float64, kinds []string, leaveOut map[string]bool) ([]example, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([]example, 0, count)
	for len(out) < count {
		t, err := newTask(r, kinds, 2+r.IntN(6))
		if err != nil {
			return nil, err
		}
		if leaveOut[t.combination()] {
			continue
		}
		want := make([]bool, len(t.demands))
		for i := range want {
			want[i] = r.Float64() < follow
		}
		text, err := answer(r, t.demands, want, t.topic)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("text-%d-%06d", seed, len(out)+1)
		out = append(out, example{
			PairID:    id,
			ProfileID: id,
			Prompt:    []schemas.Message{{Role: "system", Content: t.system}, {Role: "user", Content: t.query}},
			Chosen:    []schemas.Message{{Role: "assistant", Content: text}},
		})
	}
	return out, nil
}
