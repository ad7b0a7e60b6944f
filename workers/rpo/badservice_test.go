//go:build endtoend

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// services turns off, or mistakes, one service after the other.
func (b *badStack) services(t *testing.T, webPages string) {
	defer b.unchanged(t)
	path := filepath.Join(b.dir, "profiles.jsonl")
	config := filepath.Join(b.dir, "worker.json")
	wrongKeys := func(id, key string) map[string]string {
		file := writeFile(t, t.TempDir(), "credentials", fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, key))
		return map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file}
	}
	data, err := os.ReadFile(b.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	known := ""
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "aws_access_key_id" {
			known = strings.TrimSpace(value)
		}
	}
	const wrong = "wrong-secret-wrong-secret-wrong-secret"
	for _, tt := range []struct {
		name string
		env  map[string]string
		says []string
	}{
		{"a bucket that does not exist", map[string]string{"RPO_BUCKET": "no-such-bucket"}, []string{"no-such-bucket", "does not exist", "RPO_BUCKET"}},
		{"an unknown access key", wrongKeys("AKIAUNKNOWNUNKNOWN", wrong), []string{"credentials", "AWS_ACCESS_KEY_ID"}},
		{"a wrong secret key", wrongKeys(known, wrong), []string{"credentials", "AWS_SECRET_ACCESS_KEY"}},
		{"no credentials", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(b.dir, "none")}, []string{"no credentials", "AWS_SHARED_CREDENTIALS_FILE"}},
		{"an S3 server that is down", map[string]string{"AWS_ENDPOINT_URL_S3": "http://" + closedPort(t)}, []string{"cannot be reached", "AWS_ENDPOINT_URL_S3"}},
		{"an S3 server that serves web pages", map[string]string{"AWS_ENDPOINT_URL_S3": webPages}, []string{"does not answer as an S3 server", "AWS_ENDPOINT_URL_S3"}},
		{"an S3 address that is none", map[string]string{"AWS_ENDPOINT_URL_S3": "localhost"}, []string{"not an http or https URL", "AWS_ENDPOINT_URL_S3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			for _, args := range [][]string{{"import", path}, {"worker", "--config", config}} {
				b.refused(t, 1, args, tt.says...)
				if _, errOut, _ := b.rpo(t, args...); strings.Contains(errOut, wrong) {
					t.Errorf("rpo %v prints the secret key", args)
				}
			}
		})
	}
	t.Run("Temporal is down", func(t *testing.T) {
		at := closedPort(t)
		t.Setenv("TEMPORAL_ADDRESS", at)
		input := writeFile(t, t.TempDir(), "input.json", fmt.Sprintf(`{"profiles": %q}`, b.manifest))
		for _, args := range [][]string{{"start", "RunPipeline", "--input", input}, {"status", "x"}, {"worker", "--config", config}} {
			b.refused(t, 1, args, "connect to Temporal at "+at, "TEMPORAL_ADDRESS")
		}
	})
	t.Run("a namespace that does not exist", func(t *testing.T) {
		t.Setenv("TEMPORAL_NAMESPACE", "no-such-namespace")
		b.refused(t, 1, []string{"worker", "--config", config}, "no-such-namespace")
	})
}

// portsInUse demands that a quickstart whose port is taken names port and flag
// and leaves nothing but logs.
func (b *badStack) portsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"--port", "--ui-port", "--s3-port"} {
		dir := filepath.Join(t.TempDir(), "state")
		args := []string{"quickstart", "--once", "--dir", dir, "--port", "0", "--ui-port", "0", "--s3-port", "0", flag, port}
		b.refused(t, 1, args, port, flag, "in use")
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) != ".log" {
				t.Errorf("%s %s in use: %s was written", flag, port, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

const keyVariable = "RPO_TEST_KEY"

// secretKey holds what has other forms in URLs and in JSON.
const secretKey = "sk-rpo/Zq7+tv9Xk2Lm4&nW8=="

// echoingServer refuses with the status that the model is called, and says the
// key in its refusal, as careless servers do. The model "400" answers some
// requests, and all answer probes; below /locked it refuses even to list models.
func echoingServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		body, _ := io.ReadAll(r.Body)
		var in struct {
			Model string `json:"model"`
		}
		json.Unmarshal(body, &in)
		locked := strings.HasPrefix(r.URL.Path, "/locked/")
		if r.Method == http.MethodGet && !locked {
			fmt.Fprint(w, `{"data": [{"id": "400"}, {"id": "403"}, {"id": "429"}]}`)
			return
		}
		probing := strings.Contains(r.UserAgent(), "(probe)") && !locked
		if probing || in.Model == "400" && !strings.Contains(string(body), "hill") {
			fmt.Fprint(w, `{"model": "any", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "River."}}]}`)
			return
		}
		status, err := strconv.Atoi(in.Model)
		if err != nil {
			status = http.StatusUnauthorized
		}
		w.Header().Set("Retry-After", "3000")
		w.WriteHeader(status)
		said, _ := json.Marshal(map[string]any{"error": map[string]any{
			"message": "refused: key " + key + " may not do this (Bearer " + key + ", " + key[:len(key)-6] + "...)",
			"headers": r.Header,
		}})
		w.Write(said)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// keys runs into refusals that quote the key and looks for it wherever the
// system writes.
func (b *badStack) keys(t *testing.T) {
	start := func(endpoint string) client.WorkflowRun {
		run, err := b.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.QueueWorkflows}, workflows.SampleResponsesName,
			map[string]any{"manifest": b.manifest, "endpoint": endpoint, "max_tokens": 8})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	var done schemas.StageResult
	if err := start("refusing").Get(t.Context(), &done); err != nil {
		t.Fatal(plainFailure(err))
	}
	if done.Books.Quarantined == 0 || done.Books.OK == 0 {
		t.Fatalf("books %+v, want some rows set aside", done.Books)
	}
	wantError(t, plainFailure(start("locked").Get(t.Context(), nil)), schemas.InvalidInput, []string{"401", "refuses the key", keyVariable, "[key]"})
	forbidding, limiting := start("forbidding"), start("limiting")
	await(t, "a parked stage", func() bool {
		var s schemas.StageStatus
		return query(t.Context(), b.client, forbidding.GetID(), &s) == nil && s.Status == schemas.StatusNeedsAttention &&
			strings.Contains(s.Failures[0].Message, "[key]")
	})
	await(t, "a refused attempt", func() bool {
		d, err := b.client.DescribeWorkflowExecution(t.Context(), limiting.GetID(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range d.GetPendingActivities() {
			if said := a.GetLastFailure().GetMessage(); said != "" {
				b.clean(t, "a pending activity", []byte(said))
				return strings.Contains(said, "429")
			}
		}
		return false
	})
	_, err := b.client.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: forbidding.GetID(),
		UpdateName: workflows.UpdateStop, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, plainFailure(forbidding.Get(t.Context(), nil)), schemas.InvalidInput, []string{"stopped", "403", "[key]"})
	if err := b.client.CancelWorkflow(t.Context(), limiting.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	limiting.Get(t.Context(), nil)

	b.cleanHistories(t)
	b.cleanObjects(t, done)
	err = filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file may vanish meanwhile
		}
		if data, err := os.ReadFile(path); err == nil {
			b.clean(t, path, data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clean demands that data holds neither the key nor a part that gives it away.
func (b *badStack) clean(t *testing.T, where string, data []byte) {
	t.Helper()
	for _, form := range []string{secretKey, secretKey[:12], secretKey[7:], strings.ReplaceAll(secretKey, "/", `\/`)[:12]} {
		if strings.Contains(string(data), form) {
			t.Errorf("%s holds the key", where)
			return
		}
	}
}

func (b *badStack) cleanHistories(t *testing.T) {
	t.Helper()
	list, err := b.client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for _, e := range list.Executions {
		id := e.GetExecution()
		for h := b.client.GetWorkflowHistory(context.WithoutCancel(t.Context()), id.GetWorkflowId(), id.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); {
			event, err := h.Next()
			if err != nil {
				t.Fatal(err)
			}
			data, err := proto.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			events++
			b.clean(t, "the history of "+id.GetWorkflowId(), data)
		}
	}
	if events < 100 {
		t.Errorf("only %d events were looked at", events)
	}
}

// cleanObjects looks into every object, and into the rows of the quarantine.
func (b *badStack) cleanObjects(t *testing.T, done schemas.StageResult) {
	t.Helper()
	keys, err := b.bucket.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		data, err := b.bucket.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		b.clean(t, "object "+key, data)
	}
	m, err := store.GetManifest(t.Context(), b.bucket, done.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, o := range m.Objects(schemas.TableQuarantine) {
		rows, err := store.GetRows[schemas.Quarantined](t.Context(), b.bucket, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if strings.Contains(r.Reason, "[key]") {
				found++
			}
			b.clean(t, "the quarantine", []byte(r.Reason+r.Request))
		}
	}
	if int64(found) != done.Books.Quarantined {
		t.Errorf("%d of %d quarantined rows quote the refusal without the key", found, done.Books.Quarantined)
	}
}
