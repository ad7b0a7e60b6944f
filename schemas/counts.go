package schemas

import (
	"cmp"
	"maps"
	"slices"
)

// FewCounts returns at most n of the counts, those of the shortest names: results
// travel as payloads, and manifests hold all counts.
func FewCounts(counts map[string]int64, n int) map[string]int64 {
	if len(counts) <= n {
		return counts
	}
	names := slices.Collect(maps.Keys(counts)) //workflowcheck:ignore
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	few := make(map[string]int64, n)
	for _, name := range names[:n] {
		few[name] = counts[name]
	}
	return few
}
