//go:build endtoend && vllm

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/chattest"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// vllmContext is the context of the random model, in tokens.
const vllmContext = 4096

// vllm is a running vLLM that serves a random model under the name "random".
type vllm struct {
	url, adapter string
}

// startVLLM makes the model and serves it on a free port.
func startVLLM(t *testing.T) vllm {
	t.Helper()
	root := repository(t)
	python := filepath.Join(root, ".venv-vllm/bin/python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("%v: run make test-vllm", err)
	}
	dir := t.TempDir()
	model, adapter := filepath.Join(dir, "model"), filepath.Join(dir, "adapter")
	made := exec.CommandContext(t.Context(), python, "testdata/vllm/model.py", filepath.Join(root, "examples/tiny/model"), model, adapter)
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("make the model: %v: %s", err, tail(out, 2000))
	}
	log, err := os.Create(filepath.Join(dir, "vllm.log"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	// Without chunked prefill: on a CPU this version dies of a seeded request whose
	// prompt is read in two chunks.
	serve := exec.Command(filepath.Join(root, ".venv-vllm/bin/vllm"), "serve", model, "--served-model-name", "random",
		"--host", "127.0.0.1", "--port", fmt.Sprint(port), "--dtype", "float32", "--max-model-len", fmt.Sprint(vllmContext),
		"--max-num-seqs", "16", "--enforce-eager", "--no-enable-chunked-prefill", "--enable-lora", "--max-lora-rank", "8")
	serve.Env = append(os.Environ(), "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "VLLM_CPU_KVCACHE_SPACE=1", "VLLM_NO_USAGE_STATS=1", "HF_HUB_OFFLINE=1")
	serve.Stdout, serve.Stderr = log, log
	exited, err := train.Start(serve)
	log.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-serve.Process.Pid, syscall.SIGKILL)
		<-exited
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("vLLM's log: %s", tail(data, 8000))
		}
	})
	v := vllm{url: fmt.Sprintf("http://127.0.0.1:%d", port), adapter: adapter}
	await(t, "vLLM to answer", func() bool {
		select {
		case err := <-exited:
			t.Fatalf("vLLM ended: %v", err)
		default:
		}
		reply, err := http.Get(v.url + "/health")
		if err != nil {
			return false
		}
		reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	})
	return v
}

// freePort returns a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// open connects to the server's model, or to an adapter by its name.
func (v vllm) open(t *testing.T, change func(*chat.Endpoint)) chat.Connection {
	t.Helper()
	e := chat.Endpoint{Name: "vllm", URL: v.url + "/v1", Model: "random", Timeout: time.Minute}
	if change != nil {
		change(&e)
	}
	c, err := chat.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestVLLM runs everything on one server, which takes long to start.
func TestVLLM(t *testing.T) {
	v := startVLLM(t)
	t.Run("a probe finds the whole protocol", func(t *testing.T) {
		c := v.open(t, nil)
		if err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := c.Capabilities(t.Context())
		if err != nil || got.N != "honoured" || got.Schema != "json_schema" || got.TokenLimit != "max_tokens" || len(got.Refused) != 0 {
			t.Errorf("found %+v, %v", got, err)
		}
	})
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("the client meets its contract, stream %v", stream), func(t *testing.T) {
			c := v.open(t, func(e *chat.Endpoint) { e.Stream = stream })
			chattest.Run(t, func(*testing.T) chat.Completer { return c },
				chattest.Options{MaxTokens: 24, Reproducible: true, Batches: true, Schema: true, Context: vllmContext})
		})
	}
	t.Run("usage counts every choice", v.usage)
	t.Run("a cancelled request is dropped by the server", v.cancelled)
	t.Run("an adapter that is loaded while the server runs answers by its name", v.loadsAdapter)
	t.Run("the stages run from end to end and their books close", v.stages)
}

func prompt(n, maxTokens int) chat.Request {
	return chat.Request{N: n, Temperature: 1, MaxTokens: maxTokens, Seed: 5, Messages: []schemas.Message{{Role: "user", Content: "Tell a long story."}}}
}

func (v vllm) usage(t *testing.T) {
	got, err := v.open(t, nil).Complete(t.Context(), prompt(3, 40))
	if err != nil || !got.Usage.Known || got.Calls != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	var least int64
	for _, c := range got.Choices {
		if c.FinishReason == "length" {
			least += 40
		}
	}
	if got.Usage.CompletionTokens < least || got.Usage.CompletionTokens > 120 {
		t.Errorf("usage is %+v for %d tokens at least", got.Usage, least)
	}
}

// running reads the server's own count of requests under way.
func (v vllm) running(t *testing.T) string {
	t.Helper()
	reply, err := http.Get(v.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "vllm:num_requests_running") {
			return line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1 : len(line)-1]
		}
	}
	t.Fatal("no count of running requests among the metrics")
	return ""
}

func (v vllm) cancelled(t *testing.T) {
	for _, stream := range []bool{false, true} {
		c := v.open(t, func(e *chat.Endpoint) { e.Stream = stream })
		if _, err := c.Capabilities(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.Complete(ctx, prompt(8, 3900)) // far more than it can answer in time
			ended <- err
		}()
		await(t, "the request to run", func() bool { return v.running(t) != "0.0" })
		cancel()
		if err := <-ended; err == nil {
			t.Error("the request was answered before it could be cancelled")
		}
		began := time.Now()
		await(t, "the server to drop the request", func() bool { return v.running(t) == "0.0" })
		t.Logf("stream %v: dropped after %s", stream, time.Since(began).Round(time.Millisecond))
	}
}

func (v vllm) loadsAdapter(t *testing.T) {
	greedy := prompt(1, 24)
	greedy.Temperature = 0
	base, err := v.open(t, nil).Complete(t.Context(), greedy)
	if err != nil {
		t.Fatal(err)
	}
	adapter := v.open(t, func(e *chat.Endpoint) { e.Model = "adapted" })
	if err := adapter.Check(t.Context()); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("before it is loaded: %v", err)
	}
	order, err := json.Marshal(map[string]string{"lora_name": "adapted", "lora_path": v.adapter})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.Post(v.url+"/v1/load_lora_adapter", "application/json", bytes.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(reply.Body)
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("the adapter is not loaded: %d %s", reply.StatusCode, said)
	}
	if err := adapter.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	adapted, err := adapter.Complete(t.Context(), greedy)
	if err != nil {
		t.Fatal(err)
	}
	if adapted.Choices[0].Text == base.Choices[0].Text || adapted.Model != "adapted" {
		t.Errorf("model %q answers as its base does: %q", adapted.Model, base.Choices[0].Text)
	}
	again, err := v.open(t, nil).Complete(t.Context(), greedy)
	if err != nil || again.Choices[0] != base.Choices[0] {
		t.Errorf("the base answers %+v and, beside an adapter, %+v, %v", base.Choices, again.Choices, err)
	}
	greedy.Model = "adapted"
	if named, err := v.open(t, nil).Complete(t.Context(), greedy); err != nil || named.Choices[0] != adapted.Choices[0] {
		t.Errorf("named by the request, the adapter answers %+v, not %+v, %v", named.Choices, adapted.Choices, err)
	}
}

func (v vllm) stages(t *testing.T) {
	l := startLocal(t)
	endpoint := func(stream bool) map[string]any {
		return map[string]any{"url": v.url + "/v1", "model": "random", "revision": "1", "timeout": "2m", "stream": stream,
			"price": map[string]float64{"prompt": 1, "completion": 2}}
	}
	l.worker(t, writeJSON(t, l.dir, "worker.json", map[string]any{
		"python": filepath.Join(l.root, ".venv/bin/python"), "trainer": filepath.Join(l.root, "workers/trainer"), "work_dir": filepath.Join(l.dir, "work"),
		"models": map[string]string{}, "endpoints": map[string]any{"policy": endpoint(false), "judge": endpoint(true)},
	}))
	var lines strings.Builder
	for i := range 9 {
		fmt.Fprintf(&lines, `{"id":"v%d","split":"train","system":"You are guide %d. Mention \"e\". Do not use commas. Speak in a friendly tone.",`+
			`"constraints":[{"text":"Mention \"e\".","rule":{"profile":"rpo","kind":"contains","args":{"text":"e"}}},`+
			`{"text":"Do not use commas.","rule":{"profile":"rpo","kind":"commas","args":{"relation":"fewer than","n":1}}},`+
			`{"text":"Speak in a friendly tone."}],"queries":["What about town %d?","And what about hill %d?"]}`+"\n", i, i, i, i)
	}
	profiles := l.importProfiles(t, writeFile(t, l.dir, "profiles.jsonl", lines.String()))
	c := l.client(t)
	run := func(name string, input map[string]any) (out schemas.StageResult) {
		t.Helper()
		// A failed shard is reported below, so none parks the stage.
		input["max_failed_fraction"] = 1
		if err := l.start(t, c, name, input).Get(t.Context(), &out); err != nil {
			t.Fatal(plainFailure(err))
		}
		if !out.Books.Closed() || out.Books.In == 0 || out.FailedShards > 0 {
			t.Errorf("%s: books %+v, failed %+v", name, out.Books, out.Failed)
		}
		t.Logf("%s: books %+v, counts %v, spent %+v", name, out.Books, out.Counts, out.Spending)
		return out
	}
	dialogues := run(workflows.BuildDialoguesName, map[string]any{
		"manifest": profiles, "personas": personas(t, l.store(t)), "user_endpoint": "policy", "responder_endpoint": "policy", "judge_endpoint": "judge",
		"max_turns": 2, "candidates": 2, "threshold": 0.01, "dialogue_max_tokens": 48,
	})
	sampled := run(workflows.SampleResponsesName, map[string]any{"manifest": profiles, "responses": 4, "max_tokens": 48})
	judged := run(workflows.JudgeResponsesName, map[string]any{"manifest": sampled.Manifest, "judge_endpoint": "judge", "keep_truncated": true})
	reversed := run(workflows.ReverseConstraintsName, map[string]any{"manifest": judged.Manifest, "reverse_endpoint": "judge"})
	paired := run(workflows.BuildPairsName, map[string]any{"manifest": reversed.Manifest, "dataset": "random", "min_margin": 1})
	if sampled.Books.OK != 18 || judged.Books.In < 72 || paired.Books.OK == 0 {
		t.Errorf("of 18 turns with 4 responses each: sampled %+v, judged %+v, paired %+v", sampled.Books, judged.Books, paired.Books)
	}
	for _, stage := range []schemas.StageResult{dialogues, sampled, judged, reversed} {
		if s := stage.Spending; s.Calls == 0 || s.Tokens() == 0 || s.Cost == 0 {
			t.Errorf("%s: spent %+v", stage.Stage, s)
		}
	}
}

// personas writes two simulated users and returns their manifest.
func personas(t *testing.T, s store.Store) string {
	t.Helper()
	var rows []schemas.Persona
	for _, name := range []string{"Ada", "Ben"} {
		var traits []string
		for i := range 10 {
			traits = append(traits, fmt.Sprintf("trait %d of %s", i, name))
		}
		rows = append(rows, schemas.Persona{PersonaID: schemas.ID("persona", name), Source: "test", SourceID: name, Name: name,
			Description: name + " plans a journey and asks for advice.", Traits: traits, Language: schemas.English, Split: schemas.SplitTrain})
	}
	o, err := store.PutRows(t.Context(), s, schemas.TablePersona, rows)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: schemas.ID("import", "personas"), Stage: "import",
		Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePersona: o}}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}
