//go:build endtoend

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// stageStatus asks a stage workflow for its status; while it cannot answer yet
// the status is empty.
func stageStatus(ctx context.Context, c client.Client, id string) (s schemas.StageStatus) {
	if v, err := c.QueryWorkflow(ctx, id, "", workflows.QueryStatus); err == nil {
		v.Get(&s)
	}
	return s
}

// responses are the objects of the response table that a stage made.
func responses(t *testing.T, s store.Store, uri string) (sums []string) {
	t.Helper()
	m, err := store.GetManifest(t.Context(), s, uri)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range m.Objects(schemas.TableResponse) {
		sums = append(sums, o.SHA256)
	}
	return sums
}

func TestCallsThatWerePaidAreNotPaidAgain(t *testing.T) {
	const delay, inFlight = 150 * time.Millisecond, 2 // of the configured endpoint
	l := startLocal(t)
	endpoint := scripted.New(t, slowly(delay, scripted.PerChoice(answer)))
	config := l.config(t, endpoint.URL)
	// One shard, so that nothing is committed before the kill.
	manifest := l.importProfiles(t, profiles(t, l.dir, 72), "--profiles-per-shard", "64")
	c, s := l.client(t), l.store(t)
	var in schemas.SampleResponsesInput
	in.Manifest, in.MaxTokens, in.HeartbeatTimeout = manifest, 48, schemas.Duration(5*time.Second)

	kill := l.worker(t, config)
	run := l.start(t, c, workflows.SampleResponsesName, in)
	await(t, "80 of 128 calls", func() bool { return endpoint.Stats().Answered >= 80 })
	kill()
	answered := endpoint.Stats().Answered
	kill = l.worker(t, config)
	var killed schemas.StageResult
	if err := run.Get(t.Context(), &killed); err != nil {
		t.Fatal(plainFailure(err))
	}
	// The calls of the last two seconds and those in flight, with as many again for
	// a machine that is slow to notice that two seconds are over.
	lost := 2*int(2*time.Second/delay)*inFlight + inFlight
	if again := endpoint.Stats().Repeated; again > lost || answered-again < 20 {
		t.Errorf("%d of %d answered calls were made again, want at most %d", again, answered, lost)
	}
	if killed.Cached == 0 || killed.Books.OK != 128 {
		t.Errorf("the stage ended with %+v", killed)
	}

	t.Run("by a stage that parked at its budget", func(t *testing.T) {
		in := in
		in.Generation, in.BudgetTokens = 1, killed.Tokens()/2
		before := endpoint.Stats().Repeated
		run := l.start(t, c, workflows.SampleResponsesName, in)
		await(t, "the stage to park", func() bool {
			s := stageStatus(t.Context(), c, run.GetID())
			if s.Status == schemas.StatusDone || s.Status == schemas.StatusFailed {
				t.Fatalf("the stage ended: %+v", s)
			}
			return s.Status == schemas.StatusNeedsAttention
		})
		parked := stageStatus(t.Context(), c, run.GetID())
		if spent := parked.Spent.Tokens(); spent > in.BudgetTokens || spent < in.BudgetTokens/4 || parked.Estimate == nil || parked.Estimate.Calls != 128 {
			t.Errorf("parked with %+v", parked)
		}
		if _, says, status := l.rpo(t, "update", run.GetID(), workflows.UpdateRaiseBudget, `{"budget_token": 100000000}`); status != 1 || !strings.Contains(says, `"budget_token"`) {
			t.Errorf("a misspelt cap: status %d, %s", status, says)
		}
		if out, says, status := l.rpo(t, "update", run.GetID(), workflows.UpdateRaiseBudget, `{"budget_tokens": 100000000}`); status != 0 || !strings.Contains(out, "100000000") {
			t.Fatalf("raising the cap: status %d, %s%s", status, out, says)
		}
		var raised schemas.StageResult
		if err := run.Get(t.Context(), &raised); err != nil {
			t.Fatal(plainFailure(err))
		}
		// Generation 1 asks for all that generation 0 asked for, once each.
		if again := endpoint.Stats().Repeated - before; again != 128 {
			t.Errorf("%d calls were made in the new generation, want 128", again)
		}
		if a, b := responses(t, s, killed.Manifest), responses(t, s, raised.Manifest); len(a) != 1 || a[0] != b[0] {
			t.Errorf("killed run %v, parked run %v", a, b)
		}
	})
	kill()
}
