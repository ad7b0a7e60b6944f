package schemas

import (
	"fmt"
	"maps"
	"testing"
)

func TestFewCountsKeepsTheShortestNames(t *testing.T) {
	counts := map[string]int64{"pairs": 7, "responses": 5, "dropped_small_margin": 3, "sft": 0}
	for n, want := range map[int]map[string]int64{
		0: {}, 1: {"sft": 0}, 3: {"sft": 0, "pairs": 7, "responses": 5}, 4: counts, 9: counts,
	} {
		if got := FewCounts(counts, n); !maps.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	for i := range 50 { // whatever the order of a map
		counts[fmt.Sprintf("kind-%02d", i)] = 1
	}
	for range 20 {
		if got := FewCounts(counts, 12); len(got) != 12 || got["kind-09"] != 1 || got["kind-10"] != 0 {
			t.Fatalf("%v", got)
		}
	}
	if FewCounts(nil, 3) != nil {
		t.Error("none became some")
	}
}
