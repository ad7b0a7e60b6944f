package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"rpo/activities/store"
)

// stack is the local stack, its programs run as a user runs them.
type stack struct {
	Temporal        string `json:"temporal"`
	S3              string `json:"s3"`
	Bucket          string `json:"bucket"`
	CredentialsFile string `json:"credentials_file"`

	bin, dir string
	process  *exec.Cmd
}

// startStack starts Temporal and S3 on free ports and points this process and
// its children to them.
func startStack(bin, dir string) (*stack, error) {
	s := &stack{bin: bin, dir: dir}
	s.process = exec.Command(filepath.Join(bin, "rpo-local"), "--dir", filepath.Join(dir, "local"), "--port", "0", "--ui-port", "0", "--s3-port", "0")
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the local stack: %w: run make build", err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		return s, fmt.Errorf("the local stack said %q: %w", line, err)
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "TEMPORAL_") || strings.HasPrefix(name, "RPO_") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"TEMPORAL_ADDRESS": s.Temporal, "TEMPORAL_CONFIG_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull, "AWS_REGION": "us-east-1",
		"AWS_ENDPOINT_URL_S3": s.S3, "AWS_SHARED_CREDENTIALS_FILE": s.CredentialsFile, "RPO_BUCKET": s.Bucket,
	} {
		if err := os.Setenv(name, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stack) stop() {
	s.process.Process.Kill()
	s.process.Wait()
}

func (s *stack) store(ctx context.Context) (store.Store, error) {
	return store.NewS3(ctx, store.Config{Bucket: s.Bucket})
}

// importTurns imports so many profiles with one query each and returns the
// manifest's URI.
func (s *stack) importTurns(ctx context.Context, turns, perShard int) (string, error) {
	var b strings.Builder
	for i := range turns {
		fmt.Fprintf(&b, `{"id":"p%05d","split":"train","system":"You are guide %d of %d. %s Mention \"river\".",`+
			`"constraints":[{"text":"Mention \"river\"."}],"queries":["What about town %d?"]}`+"\n", i, i, turns, strings.Repeat("Be kind to all who ask. ", 40), i)
	}
	path := filepath.Join(s.dir, fmt.Sprintf("profiles-%d.jsonl", turns))
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return "", err
	}
	out, err := s.rpo(ctx, "import", "--profiles-per-shard", fmt.Sprint(perShard), path)
	return strings.TrimSpace(out), err
}

// rpo runs the program to its end and returns what it printed.
func (s *stack) rpo(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "rpo"), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("rpo %s: %w: %s", args[0], err, said.String())
	}
	return out.String(), nil
}

// sample runs the workflow on a manifest to its end. A worker that is silent for
// the heartbeat is given up.
func (s *stack) sample(ctx context.Context, manifest, model, heartbeat string) error {
	path := filepath.Join(s.dir, "input-"+model+".json")
	input, err := json.Marshal(map[string]any{"manifest": manifest, "model": model, "shards_in_flight": shardsInFlight, "heartbeat_timeout": heartbeat})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, input, 0o644); err != nil {
		return err
	}
	_, err = s.rpo(ctx, "start", "SampleResponses", "--input", path, "--wait")
	return err
}

// worker starts a worker whose endpoint "policy" has this address. kill ends it
// as a crash would.
func (s *stack) worker(url, queues string) (kill func(), err error) {
	path := filepath.Join(s.dir, "worker.json")
	config, err := json.Marshal(map[string]any{
		"work_dir":  filepath.Join(s.dir, "work"),
		"endpoints": map[string]any{"policy": map[string]any{"url": url, "model": "scripted"}},
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, config, 0o644); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(filepath.Join(s.bin, "rpo"), "worker", "--config", path, "--queues", queues)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { cmd.Process.Kill(); cmd.Wait() }, nil
}
