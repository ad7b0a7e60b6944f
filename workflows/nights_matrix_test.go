package workflows

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"rpo/schemas"
)

// Two nights by the real activities: the first sets rows aside, has a shard that
// cannot be judged and gives way; the second makes the version.
func TestNightsThatParkAndSetRowsAsideEndTheSameHoweverOftenTheirStagesContinue(t *testing.T) {
	type night struct {
		Reason     string
		Took       time.Duration
		Left, Made string
		Pairs      int
		Hash       string
		Calls      int
	}
	play := func(t *testing.T) (out night) {
		n := newNights(t)
		n.arrive("1.jsonl", "Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus")
		n.refused, n.broken = "Cid", 1
		tr, took := n.night(0)
		cancelled, ok := errors.AsType[*temporal.CanceledError](tr.err)
		if !ok {
			t.Fatalf("the first night ended with %v", tr.err)
		}
		var left schemas.RefreshResult
		if err := cancelled.Details(&out.Reason, &left); err != nil {
			t.Fatal(err)
		}
		n.broken = -1
		second := n.refreshed(1)
		_, out.Reason, _ = strings.Cut(out.Reason, "): ") // without the run's id
		out.Took, out.Left = took.Round(time.Minute), fmt.Sprintf("%+v", left.Stages)
		for _, s := range second.Stages {
			out.Made += fmt.Sprintf("%+v\n", s)
		}
		if q := second.Stages[0].Books.Quarantined; q != 1 {
			t.Errorf("%d turns were set aside, want Cid's: %+v", q, second.Stages[0])
		}
		out.Hash, out.Pairs, out.Calls = second.Hash, len(n.pairs("nightly", 1)), int(n.policy.Stats().Answered)
		return out
	}
	var want night
	for i, size := range steps {
		inPages(t, size)
		got := play(t)
		if i == 0 {
			if want = got; want.Hash == "" || want.Pairs == 0 || want.Took < 20*time.Hour || want.Calls != 6 {
				t.Fatalf("the nights gave %+v", want)
			}
		}
		if got != want {
			t.Errorf("after %d shards: got %+v, want %+v", size, got, want)
		}
	}
}
