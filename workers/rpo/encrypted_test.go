//go:build endtoend

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"rpo/activities/chat/scripted"
	"rpo/schemas"
	"rpo/workflows"
)

// keyed copies a worker configuration and gives it payload keys, made if they are
// not there.
func (l *local) keyed(t *testing.T, config, name string, ids ...string) string {
	t.Helper()
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	var keys []payloadKey
	for _, id := range ids {
		file := l.dir + "/key-" + id
		if _, err := os.Stat(file); err != nil {
			key := make([]byte, 32)
			rand.Read(key)
			writeFile(t, l.dir, "key-"+id, base64.StdEncoding.EncodeToString(key)+"\n")
		}
		keys = append(keys, payloadKey{ID: id, File: "key-" + id})
	}
	c["payload_keys"] = keys
	return writeJSON(t, l.dir, name, c)
}

// with connects with the payload keys of a configuration; "" means none.
func (l *local) with(t *testing.T, config string) client.Client {
	t.Helper()
	t.Setenv(configEnv, config)
	return l.client(t)
}

func TestTheServerSeesNoPlaintextOfAnEncryptedRun(t *testing.T) {
	l := startLocal(t)
	endpoint := scripted.New(t, scripted.PerChoice(answer))
	plain := l.config(t, endpoint.URL)
	config := l.keyed(t, plain, "old.json", "old")
	manifest := l.importProfiles(t, profiles(t, l.dir, 18), "--profiles-per-shard", "8")
	c := l.with(t, config)
	var in schemas.SampleResponsesInput
	in.Manifest, in.MaxTokens = manifest, 48

	// A worker with another key must leave the run alone.
	stranger := l.worker(t, l.keyed(t, plain, "other.json", "other"))
	run := l.start(t, c, workflows.SampleResponsesName, in)
	await(t, "a failed workflow task", func() bool {
		for _, e := range history(t, c, run.GetID()) {
			if e.GetWorkflowTaskFailedEventAttributes() != nil {
				return true
			}
		}
		return false
	})
	stranger()
	kill := l.worker(t, config)
	var done schemas.StageResult
	if err := run.Get(t.Context(), &done); err != nil || done.Books.OK != 32 {
		t.Fatalf("%+v, %v", done, plainFailure(err))
	}
	if status := stageStatus(t.Context(), c, run.GetID()); status.Status != schemas.StatusDone || status.Done != 2 {
		t.Errorf("status %+v", status)
	}
	if out, errOut, code := l.rpo(t, "status", run.GetID()); code != 0 || !strings.Contains(out, `"status": "Done"`) {
		t.Errorf("rpo status: %d %s %s", code, out, errOut)
	}
	in.Endpoint = "confidential-endpoint"
	failing, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "failing", TaskQueue: workflows.QueueWorkflows}, workflows.SampleResponsesName, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := failing.Get(t.Context(), nil); err == nil || !strings.Contains(plainFailure(err).Error(), "confidential-endpoint") {
		t.Errorf("it failed with %v", err)
	}
	var input *commonpb.Payload
	for _, id := range []string{run.GetID(), failing.GetID()} {
		for _, e := range history(t, c, id) {
			raw, err := proto.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{manifest, "imports/", "confidential-endpoint", "open stage", "shard 0", "books", "max_tokens", "goroutine "} {
				if bytes.Contains(raw, []byte(word)) {
					t.Errorf("event %d of %s, %s, shows %q", e.EventId, id, e.EventType, word)
				}
			}
			if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil {
				input = a.Input.Payloads[0]
			}
		}
	}

	t.Run("and the web UI sees it through the codec server", func(t *testing.T) {
		p := l.program(t, "codec", "--listen", "127.0.0.1:0", "--ui", l.UI+"/namespaces", "--config", config)
		body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{input}})
		if err != nil {
			t.Fatal(err)
		}
		resp, got := ask(t, http.MethodPost, p.address(t)+"/decode", l.UI, string(body))
		var out commonpb.Payloads
		if err := protojson.Unmarshal([]byte(got), &out); err != nil || !strings.Contains(string(out.Payloads[0].Data), manifest) {
			t.Errorf("%s: %s, %v", resp.Status, got, err)
		}
		if resp, _ := ask(t, http.MethodPost, p.address(t)+"/decode", "http://evil.example", string(body)); resp.StatusCode != http.StatusForbidden {
			t.Errorf("another page gets %s", resp.Status)
		}
	})
	t.Run("nor does a client without the key", func(t *testing.T) {
		bare, err := dialWith(t.Context(), newLogger(slog.LevelError), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer bare.Close()
		var got schemas.StageResult
		if err := bare.GetWorkflow(t.Context(), run.GetID(), "").Get(t.Context(), &got); err == nil {
			t.Errorf("it read %+v", got)
		}
	})
	t.Run("and a key is rotated while runs of the old one stay readable", func(t *testing.T) {
		kill()
		rotated := l.keyed(t, plain, "rotated.json", "new", "old")
		l.worker(t, rotated)
		in.Endpoint = "policy"
		// Started by somebody who has not heard of the new key yet.
		second, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "second", TaskQueue: workflows.QueueWorkflows}, workflows.SampleResponsesName, in)
		if err != nil {
			t.Fatal(err)
		}
		now := l.with(t, rotated)
		for _, id := range []string{run.GetID(), second.GetID()} {
			var got schemas.StageResult
			if err := now.GetWorkflow(t.Context(), id, "").Get(t.Context(), &got); err != nil || got.Manifest != done.Manifest {
				t.Errorf("%s: %+v, %v", id, got, err)
			}
		}
		if err := second.Get(t.Context(), nil); err != nil {
			t.Errorf("the old client cannot even wait: %v", err)
		}
		if err := second.Get(t.Context(), &schemas.StageResult{}); err == nil || !strings.Contains(err.Error(), `key "new"`) {
			t.Errorf("the old client is told %v", err)
		}
	})
}
