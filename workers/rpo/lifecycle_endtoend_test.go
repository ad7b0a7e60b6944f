//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.temporal.io/sdk/client"

	"rpo/activities/changes"
	"rpo/activities/chat/scripted"
	"rpo/activities/forget"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

func TestAProfileIsForgottenOnARunningSystemAndTheRestNeedsNoCall(t *testing.T) {
	l := startLocal(t)
	var calls atomic.Int64
	var blocked atomic.Bool
	gate := make(chan struct{})
	endpoint := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		calls.Add(1)
		if blocked.Load() {
			<-gate
		}
		return scripted.PerChoice(answer)(p)
	})
	manifest := l.importProfiles(t, profiles(t, l.dir, 18), "--profiles-per-shard", "4")
	config := l.config(t, endpoint.URL)
	l.worker(t, config)
	c, s := l.client(t), l.store(t)
	text := fmt.Sprintf(`{"profiles": %q, "endpoint": "policy", "responses": 4, "max_tokens": 48, "dataset": "town"}`, manifest)
	input := writeFile(t, l.dir, "run.json", text)
	var in schemas.RunPipelineInput
	if err := schemas.DecodeInput([]byte(text), &in); err != nil {
		t.Fatal(err)
	}
	_, first := toPairs(t, c, in)

	out, errOut, status := l.rpo(t, "changes", "--dataset", "town", "--input", input, "--config", config)
	var report changes.Report
	if err := json.Unmarshal([]byte(out), &report); status != 0 || err != nil {
		t.Fatalf("changes ended with %d, %v: %s%s", status, err, out, errOut)
	}
	for _, step := range report.Steps {
		if step.Changed+step.Unknown > 0 || step.Step != "verdicts" && step.Step != "opposites" && step.Rows == 0 {
			t.Errorf("%+v", step)
		}
	}
	if len(report.Jobs) != 4 || !strings.Contains(errOut, "no generation need be raised") {
		t.Errorf("jobs %+v, %s", report.Jobs, errOut)
	}

	// While a run is open nothing is forgotten.
	blocked.Store(true)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.QueueWorkflows}, workflows.SampleResponsesName,
		schemas.SampleResponsesInput{StageInput: schemas.StageInput{Manifest: manifest, RunOptions: schemas.RunOptions{Generation: 9}}, SampleOptions: in.SampleOptions})
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.GetManifest(t.Context(), s, manifest)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := store.GetRows[schemas.Profile](t.Context(), s, m.Shards[0].Objects[schemas.TableProfile])
	if err != nil {
		t.Fatal(err)
	}
	gone := rows[0]
	await(t, "the open run to be seen", func() bool {
		_, errOut, status = l.rpo(t, "dataset", "forget", "town", "--profile", gone.ProfileID)
		return status == 1 && strings.Contains(errOut, "runs are open, such as "+run.GetID())
	})
	if out, errOut, status := l.rpo(t, "collect", "--runs", "24h"); status != 0 || !strings.Contains(out, `"open_runs":1`) {
		t.Errorf("collect ended with %d: %s%s", status, out, errOut)
	}
	blocked.Store(false)
	close(gate)
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(plainFailure(err))
	}

	out, errOut, status = l.rpo(t, "dataset", "forget", "town", "--user", "profiles:"+gone.SourceID)
	var proof forget.Proof
	if err := json.Unmarshal([]byte(out), &proof); status != 0 || err != nil {
		t.Fatalf("forget ended with %d, %v: %s", status, err, errOut)
	}
	if !proof.Complete() || len(proof.Versions) != 1 || proof.Versions[0].Number != 2 || proof.Rows[schemas.TableResponse] != 8 || proof.Untagged != 0 || len(proof.Cache) == 0 {
		t.Errorf("proof: %s", out)
	}
	t.Logf("%s", errOut)
	if _, errOut, status = l.rpo(t, "start", "SampleResponses", "--input", writeFile(t, l.dir, "old.json", fmt.Sprintf(`{"manifest": %q, "endpoint": "policy"}`, manifest)), "--wait"); status == 0 || !strings.Contains(errOut, "was replaced when rows were forgotten") {
		t.Errorf("the old import: %d, %s", status, errOut)
	}

	// The rest is as a run without the profile makes it, from cached replies alone.
	for _, change := range proof.Objects {
		if strings.HasPrefix(change.Key, "imports/") {
			in.Profiles = s.URI(change.After)
		}
	}
	in.Dataset = "again"
	before := calls.Load()
	_, again := toPairs(t, c, in)
	if made := calls.Load() - before; made != 0 {
		t.Errorf("the rest took %d calls", made)
	}
	if got, want := pairIDs(t, s, "town", 2), pairIDs(t, s, "again", again.Version); fmt.Sprint(got) != fmt.Sprint(want) || int64(len(got)) >= first.Pairs {
		t.Errorf("%d pairs are left of %d, a run without the profile makes %d", len(got), first.Pairs, len(want))
	}
	if out, errOut, status := l.rpo(t, "collect", "--delete"); status != 0 || strings.Contains(out, `"missing":1`) {
		t.Errorf("collect ended with %d: %s%s", status, out, errOut)
	}
}
