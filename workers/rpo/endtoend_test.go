//go:build endtoend

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// patience bounds every wait of these tests: it is reached by failures only.
const patience = 8 * time.Minute

// local is a running local stack: Temporal and S3 in one process.
type local struct {
	stack
	root, dir string
	process   *exec.Cmd
	exited    <-chan error
}

// repository returns the checkout's root.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"bin/rpo", "bin/rpo-local", ".venv/bin/python"} {
		if _, err := os.Stat(filepath.Join(root, program)); err != nil {
			t.Fatalf("%v: run make build", err)
		}
	}
	return root
}

// startLocal starts a stack on free ports and points the environment to it.
func startLocal(t *testing.T) *local {
	t.Helper()
	l := &local{root: repository(t), dir: t.TempDir()}
	ready := make(chan []byte, 1)
	l.process = exec.Command(filepath.Join(l.root, "bin/rpo-local"), "--dir", filepath.Join(l.dir, "local"), "--port", "0", "--ui-port", "0", "--s3-port", "0")
	l.process.Stdout = &firstLine{line: ready}
	l.process.Stderr = os.Stderr
	exited, err := train.Start(l.process)
	if err != nil {
		t.Fatal(err)
	}
	l.exited = exited
	t.Cleanup(func() { l.process.Process.Kill(); <-l.exited })
	select {
	case line := <-ready:
		if err := json.Unmarshal(line, &l.stack); err != nil {
			t.Fatal(err)
		}
	case err := <-exited:
		l.exited = closed
		t.Fatalf("rpo-local ended: %v", err)
	case <-time.After(patience):
		t.Fatal("rpo-local did not start")
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "TEMPORAL_") {
			t.Setenv(name, "") // restored after the test
			os.Unsetenv(name)
		}
	}
	t.Setenv("TEMPORAL_ADDRESS", l.Temporal)
	t.Setenv("AWS_ENDPOINT_URL_S3", l.S3)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", l.CredentialsFile)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("RPO_BUCKET", l.Bucket)
	return l
}

var closed = func() <-chan error { c := make(chan error); close(c); return c }()

func (l *local) client(t *testing.T) client.Client {
	t.Helper()
	c, err := dial(t.Context(), newLogger(100))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (l *local) store(t *testing.T) *store.S3 {
	t.Helper()
	s, err := openStore(t.Context(), l.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// config writes a worker configuration whose endpoint "policy" has this address
// and whose endpoint "local" serves the tiny model.
func (l *local) config(t *testing.T, policy string) string {
	t.Helper()
	c := map[string]any{
		"python": filepath.Join(l.root, ".venv/bin/python"), "trainer": filepath.Join(l.root, "workers/trainer"),
		"work_dir": filepath.Join(l.dir, "work"), "threads": 2,
		"models": map[string]string{"base": filepath.Join(l.root, "examples/tiny/model")},
		"endpoints": map[string]any{
			"policy": map[string]any{"url": policy, "model": "scripted", "concurrency": 2, "timeout": "20s"},
			"local":  map[string]any{"serve": map[string]any{"model": "base", "context": 512, "threads": 1}},
		},
	}
	return writeJSON(t, l.dir, "worker.json", c)
}

// worker starts a worker; kill ends it as a crash would.
func (l *local) worker(t *testing.T, config string, flags ...string) (kill func()) {
	t.Helper()
	log, err := os.CreateTemp(l.dir, "worker-*.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(l.root, "bin/rpo"), append([]string{"worker", "--config", config}, flags...)...)
	cmd.Stderr = log
	exited, err := train.Start(cmd)
	log.Close()
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			<-exited
		}
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("worker log: %s", tail(data, 4000))
		}
	})
	return kill
}

// rpo runs the program and returns what it printed.
func (l *local) rpo(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(l.root, "bin/rpo"), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Dir = l.root
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// importProfiles imports a file and returns its manifest.
func (l *local) importProfiles(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, errOut, status := l.rpo(t, append([]string{"import", path}, args...)...)
	if status != 0 {
		t.Fatalf("import ended with %d: %s", status, errOut)
	}
	return strings.TrimSpace(out)
}

// start starts a workflow.
func (l *local) start(t *testing.T, c client.Client, name string, input any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: name + "-" + t.Name(), TaskQueue: workflows.QueueWorkflows}, name, input)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// await polls a condition of the outside world, whose changes send no event.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// snapshot returns the hash of every object below a prefix.
func snapshot(t *testing.T, s store.Store, prefix string) map[string]string {
	t.Helper()
	keys, err := s.List(t.Context(), prefix, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, key := range keys {
		data, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return out
}

func writeJSON(t *testing.T, dir, name string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, dir, name, string(data))
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// profiles writes n plain profiles of the tiny world's kinds, one in nine of
// them for evaluation.
func profiles(t *testing.T, dir string, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		split := schemas.SplitTrain
		if i%9 == 8 {
			split = schemas.SplitEval
		}
		fmt.Fprintf(&b, `{"id":"p%03d","split":"%s","system":"You are guide %d. Mention \"river\". Do not use commas. Write at least %d words.",`+
			`"constraints":[{"text":"Mention \"river\".","rule":{"profile":"rpo","kind":"contains","args":{"text":"river"}}},`+
			`{"text":"Do not use commas.","rule":{"profile":"rpo","kind":"commas","args":{"relation":"fewer than","n":1}}},`+
			`{"text":"Write at least %d words.","rule":{"profile":"rpo","kind":"words","args":{"relation":"at least","n":%d}}}],`+
			`"queries":["What about town %d?","And what about hill %d?"]}`+"\n", i, split, i, 3+i%6, 3+i%6, 3+i%6, i, i)
	}
	return writeFile(t, dir, "profiles.jsonl", b.String())
}

func tail(data []byte, n int) string { return string(data[max(0, len(data)-n):]) }
