package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// printSummary prints what a run found, for people.
func printSummary(w io.Writer, s schemas.Summary) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	line("dialogues", "%d", s.Dialogues)
	line("responses", "%d", s.Responses)
	line("verdicts", "%d", s.Verdicts)
	line("quarantined rows", "%d", s.Quarantined)
	line("pairs", "%d (%s)", s.Pairs, byG(s.PairsByG))
	line("training steps", "%d, loss %.4f -> %.4f", s.TrainSteps, s.LossFirst, s.LossLast)
	if s.RewardAccuracy != nil {
		line("reward accuracy", "%.3f on held-out pairs", *s.RewardAccuracy)
	}
	line("constraints followed", "base %.3f, trained %.3f (%d verdicts each on %d held-out profiles)",
		s.BaseSatisfaction, s.TrainedSatisfaction, s.EvalVerdicts, s.EvalProfiles)
	line("difference", "%+.3f, 95 %% interval [%+.3f, %+.3f]", s.Difference, s.DifferenceCI95[0], s.DifferenceCI95[1])
	line("data set", "%s version %d, hash %s", s.Dataset, s.DatasetVersion, s.DatasetHash)
	reused, shards := 0, 0
	for _, stage := range s.Stages {
		reused += stage.Reused
		shards += stage.Shards
	}
	if reused > 0 {
		line("reused", "%d of %d committed shards; raise generation in the input to make all anew", reused, shards)
	}
	line("report", "%s", s.Report)
}

func byG(counts map[string]int64) string {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("g=%s: %d", k, counts[k])
	}
	return strings.Join(parts, ", ")
}
