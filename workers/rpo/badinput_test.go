//go:build endtoend

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// atOnce is how soon bad input must be refused, on a busy machine: a few tries of
// what may be down only for a moment are in it.
const atOnce = 30 * time.Second

// badStack is a stack whose worker knows endpoints of every kind.
type badStack struct {
	*local
	client   client.Client
	bucket   *store.S3
	config   map[string]any
	manifest string
	// trainOnly has no evaluation profiles.
	trainOnly string
	before    map[string]string
}

func TestBadInputIsRefusedAtOnceAndNothingIsWritten(t *testing.T) {
	l := startLocal(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // there is no such service to wait for
	b := &badStack{local: l, client: l.client(t), bucket: l.store(t)}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>It works!</html>") }))
	t.Cleanup(html.Close)
	echo := echoingServer(t)
	remote := func(url, model string) map[string]any {
		return map[string]any{"url": url, "model": model, "timeout": "5s"}
	}
	withKey := func(path, model string) map[string]any {
		return map[string]any{"url": echo + path, "model": model, "timeout": "5s", "key_env": keyVariable}
	}
	b.config = map[string]any{
		"python": filepath.Join(l.root, ".venv/bin/python"), "trainer": filepath.Join(l.root, "workers/trainer"),
		"work_dir": filepath.Join(l.dir, "work"), "models": map[string]string{"base": filepath.Join(l.root, "examples/tiny/model")},
		"endpoints": map[string]any{
			"policy": remote(scripted.New(t, scripted.PerChoice(answer)).URL, "scripted"),
			"local":  map[string]any{"serve": map[string]any{"model": "base", "context": 512, "threads": 1}},
			"down":   remote("http://"+closedPort(t)+"/v1", "scripted"), "html": remote(html.URL, "scripted"), "banner": remote(bannerServer(t), "scripted"),
			"refusing": withKey("/v1", "400"), "forbidding": withKey("/v1", "403"), "limiting": withKey("/v1", "429"), "locked": withKey("/locked/v1", "any"),
		},
	}
	b.manifest = l.importProfiles(t, profiles(t, l.dir, 9), "--profiles-per-shard", "9")
	b.trainOnly = l.importProfiles(t, profiles(t, t.TempDir(), 8))
	t.Setenv(keyVariable, secretKey)
	l.worker(t, writeJSON(t, l.dir, "worker.json", b.config))
	b.before = snapshot(t, b.bucket, "")

	t.Run("start form", b.startForm)
	t.Run("command line", b.commandLine)
	t.Run("files to import", b.imports)
	t.Run("worker configuration", b.configurations)
	t.Run("services", func(t *testing.T) { b.services(t, html.URL) })
	t.Run("ports in use", b.portsInUse)
	t.Run("keys", b.keys) // writes
}

// unchanged demands that nothing was written to the bucket.
func (b *badStack) unchanged(t *testing.T) {
	t.Helper()
	if after := snapshot(t, b.bucket, ""); !maps.Equal(after, b.before) {
		t.Errorf("the bucket holds %d objects, before %d, or one has changed", len(after), len(b.before))
	}
}

// startForm sends what people type into the web UI's start form.
func (b *badStack) startForm(t *testing.T) {
	defer b.unchanged(t)
	pipeline := func(more string) string {
		return fmt.Sprintf(`{"profiles": %q, "eval_endpoint": "local"%s}`, b.manifest, more)
	}
	object := func(key string) string { return fmt.Sprintf("s3://%s/%s", b.Bucket, key) }
	var anObject string
	for key := range b.before {
		if strings.HasSuffix(key, ".parquet") {
			anObject = key
		}
	}
	for _, tt := range []struct {
		name, workflow, payload string
		want                    schemas.ErrorType
		says                    []string
	}{
		{"an unknown field", "", `{"profiels": "x"}`, schemas.InvalidInput, []string{`unknown field "profiels"`, "known fields are", "profiles"}},
		{"a value of the wrong type", "", pipeline(`, "responses": "five"`), schemas.InvalidInput, []string{`field "responses"`, "want a whole number"}},
		{"a duration without its unit", "", pipeline(`, "stall_timeout": 5`), schemas.InvalidInput, []string{`field "stall_timeout"`, "30m"}},
		{"a value out of its range", "", pipeline(`, "shards_in_flight": -1`), schemas.InvalidInput, []string{`field "shards_in_flight"`, "between 1 and 500"}},
		{"a list", "", `[]`, schemas.InvalidInput, []string{"JSON array", "want one object"}},
		{"a text", "", `"profiles"`, schemas.InvalidInput, []string{"JSON string", "want one object"}},
		{"malformed JSON", "", `{"profiles": `, schemas.InvalidInput, []string{"unexpected EOF"}},
		{"nothing", "", "", schemas.InvalidInput, []string{`field "profiles"`, "is required", "rpo import"}},
		{"a stage without its manifest", workflows.JudgeResponsesName, `{}`, schemas.InvalidInput, []string{`field "manifest"`, "is required"}},
		{"an endpoint that is down", "", pipeline(`, "endpoint": "down"`), schemas.Overloaded, []string{`endpoint "down"`, "is down", "start the server or mend its url"}},
		{"an endpoint that serves web pages", "", pipeline(`, "endpoint": "html"`), schemas.CorruptData, []string{`endpoint "html"`, "does not speak the OpenAI protocol"}},
		{"an endpoint that is no web server", "", pipeline(`, "endpoint": "banner"`), schemas.CorruptData, []string{`endpoint "banner"`, "does not speak HTTP"}},
		{"a judge that is down", "", pipeline(`, "judge_endpoint": "down"`), schemas.Overloaded, []string{`endpoint "down"`, "is down"}},
		{"a model that is not served", "", pipeline(`, "model": "gpt-9"`), schemas.NotFound, []string{`endpoint "policy"`, `does not serve model "gpt-9"`, "it serves: scripted"}},
		{"an unknown endpoint", "", pipeline(`, "reverse_endpoint": "plicy"`), schemas.InvalidInput, []string{`no endpoint "plicy"`, "banner, down,", "policy"}},
		{"an endpoint that cannot load what was trained", "", fmt.Sprintf(`{"profiles": %q}`, b.manifest), schemas.InvalidInput, []string{`field "eval_endpoint"`, `endpoint "policy" cannot load a trained model`, "serve"}},
		{"a manifest of another bucket", "", `{"profiles": "s3://other/imports/x.json", "eval_endpoint": "local"}`, schemas.InvalidInput, []string{"s3://other/imports/x.json", "s3://" + b.Bucket + "/"}},
		{"a manifest that is no URI", "", `{"profiles": "profiles.jsonl", "eval_endpoint": "local"}`, schemas.InvalidInput, []string{`"profiles.jsonl"`, "s3://" + b.Bucket + "/"}},
		{"a manifest that does not exist", "", fmt.Sprintf(`{"profiles": %q, "eval_endpoint": "local"}`, object("imports/gone.json")), schemas.NotFound, []string{object("imports/gone.json"), "does not exist"}},
		{"a manifest that is none", workflows.SampleResponsesName, fmt.Sprintf(`{"manifest": %q}`, object(anObject)), schemas.CorruptData, []string{object(anObject)}},
		{"an unknown base model", workflows.ComputeReferenceName, fmt.Sprintf(`{"manifest": %q, "base_model": "lama"}`, b.manifest), schemas.InvalidInput, []string{`field "base_model"`, `no model "lama"`, "base"}},
		{"an unknown base model of a pipeline", "", fmt.Sprintf(`{"profiles": %q, "endpoint": "local", "base_model": "lama"}`, b.manifest), schemas.InvalidInput, []string{`field "base_model"`, `no model "lama"`}},
		{"a pipeline without evaluation profiles", "", fmt.Sprintf(`{"profiles": %q, "endpoint": "local"}`, b.trainOnly), schemas.InvalidInput, []string{b.trainOnly, `no profiles of split "eval"`, "--eval-fraction"}},
		{"judging without responses", workflows.JudgeResponsesName, fmt.Sprintf(`{"manifest": %q}`, b.manifest), schemas.InvalidInput, []string{b.manifest, `lacks table "response"`}},
		{"pairing without verdicts", workflows.BuildPairsName, fmt.Sprintf(`{"manifest": %q}`, b.manifest), schemas.InvalidInput, []string{b.manifest, `lacks table "response"`}},
		{"a reference of no pairs", workflows.ComputeReferenceName, fmt.Sprintf(`{"manifest": %q}`, b.manifest), schemas.InvalidInput, []string{b.manifest, `lacks table "pair"`}},
		{"training without pairs", workflows.TrainModelName, fmt.Sprintf(`{"manifest": %q}`, b.manifest), schemas.InvalidInput, []string{b.manifest, `lacks table "pair"`}},
		{"a trained model that is none", workflows.EvaluateModelName, fmt.Sprintf(`{"manifest": %q, "endpoint": "local", "trained_model": %q}`, b.manifest, b.manifest), schemas.InvalidInput, []string{b.manifest, "is not the record of a trained model"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := b.fails(t, cmp.Or(tt.workflow, workflows.RunPipelineName), tt.payload)
			wantError(t, err, tt.want, tt.says)
		})
	}
}

// fails starts a workflow with the bytes as they stand and returns why it failed.
func (b *badStack) fails(t *testing.T, workflow, payload string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atOnce)
	defer cancel()
	var args []any
	if payload != "" {
		args = []any{converter.NewRawValue(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(payload)})}
	}
	run, err := b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: workflows.QueueWorkflows}, workflow, args...)
	if err != nil {
		t.Fatal(err)
	}
	err = run.Get(ctx, nil)
	if err == nil {
		t.Fatalf("%s succeeded with %s", workflow, payload)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s was still running after %s", workflow, atOnce)
	}
	return plainFailure(err)
}

func wantError(t *testing.T, err error, want schemas.ErrorType, says []string) {
	t.Helper()
	if got := schemas.TypeOf(err); got != want {
		t.Errorf("type %s, want %s", got, want)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if len(err.Error()) > 1024 {
		t.Errorf("the error has %d bytes: %s", len(err.Error()), err)
	}
}

// refused runs the program, which must end with this status and say this.
func (b *badStack) refused(t *testing.T, status int, args []string, says ...string) {
	t.Helper()
	began := time.Now()
	out, errOut, got := b.rpo(t, args...)
	if got != status {
		t.Errorf("rpo %v ends with %d, want %d: %s", args, got, status, errOut)
	}
	for _, part := range says {
		if !strings.Contains(errOut, part) {
			t.Errorf("rpo %v says %q, not %q", args, errOut, part)
		}
	}
	if took := time.Since(began); took > atOnce {
		t.Errorf("rpo %v took %s", args, took)
	}
	if out != "" && args[0] != "quickstart" {
		t.Errorf("rpo %v prints %q on standard output", args, out)
	}
}

func (b *badStack) commandLine(t *testing.T) {
	defer b.unchanged(t)
	file := func(text string) string { return writeFile(t, t.TempDir(), "input.json", text) }
	typo, malformed := file(`{"profiels": "x"}`), file(`{"profiles": x}`)
	b.refused(t, 2, []string{"satrt"}, `unknown command "satrt"`, "rpo start")
	b.refused(t, 2, []string{"start"}, "WORKFLOW")
	b.refused(t, 2, []string{"start", "RunPipelin"}, `unknown workflow "RunPipelin"`, "RunPipeline")
	b.refused(t, 2, []string{"start", "RunPipeline", "--inptu", "x"}, "-inptu", "-input")
	b.refused(t, 1, []string{"start", "RunPipeline", "--input", "no-such.json"}, "no-such.json", "no such file")
	b.refused(t, 1, []string{"start", "RunPipeline", "--input", typo}, "RunPipeline", `unknown field "profiels"`, "known fields are")
	b.refused(t, 1, []string{"start", "RunPipeline", "--input", malformed}, "malformed JSON at byte 14")
	b.refused(t, 1, []string{"start", "RunPipeline"}, `field "profiles"`, "is required")
	b.refused(t, 2, []string{"status"}, "WORKFLOW_ID")
	b.refused(t, 1, []string{"status", "no-such-workflow"}, `no workflow "no-such-workflow"`)
	b.refused(t, 2, []string{"worker", "--queues", "rpo,rpo-gpus"}, "--queues", `"rpo-gpus"`, "rpo-gpu")
	b.refused(t, 2, []string{"import"}, "FILE")
	b.refused(t, 1, []string{"quickstart", "--input", typo, "--dir", filepath.Join(b.dir, "untouched")}, "--input", typo, `"profiels"`)
	b.refused(t, 1, []string{"quickstart", "--profiles", "no-such.jsonl", "--dir", filepath.Join(b.dir, "untouched")}, "no-such.jsonl")
	b.refused(t, 1, []string{"quickstart", "--worker", "no-such.json", "--dir", filepath.Join(b.dir, "untouched")}, "no-such.json")
	if _, err := os.Stat(filepath.Join(b.dir, "untouched")); !os.IsNotExist(err) {
		t.Errorf("quickstart made its folder before it had read its input: %v", err)
	}
}

func (b *badStack) imports(t *testing.T) {
	defer b.unchanged(t)
	data, err := os.ReadFile(filepath.Join(b.dir, "profiles.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	first, second := lines[0], lines[1]
	for _, tt := range []struct {
		name, text string
		says       []string
	}{
		{"empty", "", []string{"the file is empty"}},
		{"blank", "\n\n", []string{"the file is empty"}},
		{"malformed line", first + second + `{"id": "x", "system": oops}` + "\n", []string{"line 3", "malformed JSON at byte"}},
		{"malformed first line", `{"id": oops` + "\n" + first, []string{"line 1", "malformed JSON at byte"}},
		{"cut last line", first + second[:len(second)/2], []string{"line 2", "malformed JSON"}},
		{"no constraint", first + `{"id": "x", "system": "Be brief.", "constraints": [], "queries": ["?"]}`, []string{"line 2", `id "x"`, "constraints", "is empty"}},
		{"the same id twice", first + second + first, []string{"line 3", `id "p000"`, "line 1", "unique"}},
		{"an unknown field", first + strings.Replace(second, `"rule"`, `"ruel"`, 1), []string{"line 2", "constraints[0].ruel", "known fields are"}},
		{"a constraint that is not in the system message", strings.Replace(first, `{"text":"Do not use commas."`, `{"text":"Use no commas."`, 1), []string{"line 1", "constraints[1]"}},
		{"not UTF-8", first + "\xff\xfe\n", []string{"line 2", "not UTF-8"}},
		{"a web page", "<!doctype html>\n<p>login</p>\n", []string{"line 1", "malformed JSON"}},
		{"another table", `{"question": "?", "answer": "!"}`, []string{"cannot tell the format"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := writeFile(t, t.TempDir(), "bad.jsonl", tt.text)
			b.refused(t, 1, []string{"import", path}, append(tt.says, path)...)
		})
	}
	b.refused(t, 1, []string{"import", "no-such.jsonl"}, "no-such.jsonl", "no such file")
	b.refused(t, 1, []string{"import", b.dir}, "is a directory")
	b.refused(t, 2, []string{"import", "--format", "csv", filepath.Join(b.dir, "profiles.jsonl")}, "--format", `"csv"`, "system_ifeval")
	b.refused(t, 1, []string{"import", "--eval-fraction", "7", filepath.Join(b.dir, "profiles.jsonl")}, "7")
}

func (b *badStack) configurations(t *testing.T) {
	defer b.unchanged(t)
	serve := map[string]any{"model": "base"}
	for _, tt := range []struct {
		name      string
		key       string
		value     any
		endpoints map[string]any
		says      []string
	}{
		{"an unknown key", "treads", 2, nil, []string{`unknown field "treads"`, "threads"}},
		{"a value of the wrong type", "threads", "two", nil, []string{`field "threads"`, "a whole number"}},
		{"an unknown device", "device", "tpu", nil, []string{`device "tpu"`, "cpu or cuda"}},
		{"both url and serve", "", nil, map[string]any{"both": map[string]any{"url": "http://127.0.0.1:1/v1", "serve": serve}}, []string{`endpoint "both"`, "either url or serve"}},
		{"neither url nor serve", "", nil, map[string]any{"none": map[string]any{}}, []string{`endpoint "none"`, "either url or serve"}},
		{"a served model without a folder", "", nil, map[string]any{"mine": map[string]any{"serve": map[string]any{"model": "big"}}}, []string{`endpoint "mine"`, `model "big"`, "under models"}},
		{"an address that is none", "", nil, map[string]any{"odd": map[string]any{"url": "localhost:8000"}}, []string{`endpoint "odd"`, "http"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := maps.Clone(b.config)
			if tt.key != "" {
				c[tt.key] = tt.value
			}
			if tt.endpoints != nil {
				c["endpoints"] = tt.endpoints
			}
			path := writeJSON(t, t.TempDir(), "worker.json", c)
			b.refused(t, 1, []string{"worker", "--config", path}, append(tt.says, path)...)
		})
	}
	b.refused(t, 1, []string{"worker", "--config", "no-such.json"}, "no-such.json", "no such file")
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// bannerServer speaks first, as SSH and mail servers do.
func bannerServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n")
			c.Close()
		}
	}()
	return "http://" + l.Addr().String() + "/v1"
}
