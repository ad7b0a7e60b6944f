//go:build endtoend

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/chattest"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
	"rpo/workflows"
)

// testData returns the folder of published benchmark data, "" if it is absent.
func testData() string {
	dir, err := filepath.Abs(cmp.Or(os.Getenv("RPO_TEST_DATA"), "../../../shared/data"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// prose answers real prompts with text that follows some constraints and breaks
// others, as the seed says.
func prose(_ scripted.Parsed, seed int64) string {
	return []string{
		"A short answer, with a comma and one sentence.",
		"a lower case answer without the sign that some forbid",
		"<<A Title>>\n\n* First point\n* Second point\n* Third point\n\nP.S. That is all, *really all*.",
		"\"An answer in quotation marks with [name] and [address]\"",
		"First paragraph.\n\n***\n\nSecond paragraph, which is longer, and ends well. Is there anything else I can help with?",
	}[seed%5]
}

func TestSystemIFEvalRunsFromTheStartFormAndItsBooksClose(t *testing.T) {
	data := testData()
	if data == "" {
		t.Skip("benchmark data is absent: set RPO_TEST_DATA")
	}
	l := startLocal(t)
	endpoint := scripted.New(t, scripted.PerChoice(prose))
	manifest := l.importProfiles(t, filepath.Join(data, "system_ifeval/sys_ifeval.jsonl"))
	l.worker(t, l.config(t, endpoint.URL))
	// As the web UI's form sends it: one JSON payload of the user's own words.
	input := map[string]any{
		"profiles": manifest, "endpoint": "policy", "eval_endpoint": "local", "dataset": "system-ifeval",
		"max_steps": 2, "pairs_per_step": 4, "pairs_per_batch": 2, "max_length": 2048, "eval_responses": 1, "max_tokens": 32,
	}
	payload, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	run := l.start(t, l.client(t), workflows.RunPipelineName, json.RawMessage(payload))
	var s schemas.Summary
	if err := run.Get(t.Context(), &s); err != nil {
		t.Fatal(plainFailure(err))
	}
	for _, stage := range s.Stages {
		if !stage.Books.Closed() || len(stage.Failed) > 0 {
			t.Errorf("stage %s: %+v", stage.Stage, stage)
		}
	}
	if s.Dialogues+s.EvalProfiles+s.Quarantined != 541 {
		t.Errorf("%d dialogues, %d evaluation profiles and %d quarantined rows do not make 541", s.Dialogues, s.EvalProfiles, s.Quarantined)
	}
	checkPairs(t, l.store(t), s)
}

func TestTheClientMeetsItsContractOnLlamaCppsServer(t *testing.T) {
	root := repository(t)
	t.Setenv("RPO_BUCKET", "unused")
	c, err := loadConfig(filepath.Join(root, "examples/tiny/worker.json"))
	if err != nil {
		t.Fatal(err)
	}
	c.WorkDir = t.TempDir()
	c.Endpoints = map[string]endpoint{"served": {Timeout: schemas.Duration(time.Minute), Serve: &serve{Model: "base", Slots: 8, Context: 512, Threads: 1}}}
	m := newModels(c, nil, newMetrics())
	t.Cleanup(m.close)
	served, release, err := m.found(t.Context(), "served", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream %v", stream), func(t *testing.T) {
			served.Stream = stream
			client, err := chat.Open(served.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			if found, err := client.Capabilities(t.Context()); err != nil || found.N != "honoured" || found.Schema != "json_schema" || len(found.Refused) != 0 {
				t.Errorf("a probe finds %+v, %v", found, err)
			}
			chattest.Run(t, func(*testing.T) chat.Completer { return client }, chattest.Options{
				Model: served.Model, MaxTokens: 24, Reproducible: true, Batches: true, Schema: true, Context: 512})
		})
	}
}
