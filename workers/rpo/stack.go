package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rpo/activities/train"
	"rpo/schemas"
)

// stopWithin is how long a child has to stop by itself: a worker that trains
// copies its checkpoint first.
const stopWithin = gpuStop + flushTimeout + 30*time.Second

// stack is the local stack of the quickstart: Temporal, its UI and S3 in one
// process, and a worker in another.
type stack struct {
	Temporal        string `json:"temporal"`
	Namespace       string `json:"namespace"`
	UI              string `json:"ui"`
	S3              string `json:"s3"`
	Bucket          string `json:"bucket"`
	CredentialsFile string `json:"credentials_file"`

	dir      string
	children []*child
}

// child is one process of the stack.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited <-chan error
}

// ports of the local stack.
type ports struct{ temporal, ui, s3 int }

// startStack starts the servers and points this process's environment to them,
// and to nothing else that the user's environment may name.
func startStack(ctx context.Context, dir string, p ports) (*stack, error) {
	s := &stack{dir: dir}
	self, err := os.Executable()
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "find this program: %w", err)
	}
	ready := make(chan []byte, 1)
	cmd := exec.Command(filepath.Join(filepath.Dir(self), "rpo-local"), "--dir", filepath.Join(dir, "local"),
		"--port", strconv.Itoa(p.temporal), "--ui-port", strconv.Itoa(p.ui), "--s3-port", strconv.Itoa(p.s3))
	cmd.Stdout = &firstLine{line: ready}
	c, err := s.start("rpo-local", cmd)
	if err != nil {
		return nil, err
	}
	select {
	case line := <-ready:
		if err := json.Unmarshal(line, s); err != nil {
			return s, schemas.Errorf(schemas.Internal, "rpo-local said %.200q instead of its addresses", line)
		}
	case <-c.exited:
		return s, schemas.Errorf(schemas.InvalidInput, "the local stack did not start: %s", lastLine(c.log))
	case <-time.After(time.Minute):
		return s, schemas.Errorf(schemas.Stalled, "the local stack did not start within a minute: see %s", c.log)
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
	return s, s.setenv()
}

func (s *stack) setenv() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "TEMPORAL_") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"TEMPORAL_ADDRESS": s.Temporal, "TEMPORAL_NAMESPACE": s.Namespace,
		// The user's own profile files must not speak either.
		"TEMPORAL_CONFIG_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull, configEnv: "",
		"AWS_ENDPOINT_URL_S3": s.S3, "AWS_SHARED_CREDENTIALS_FILE": s.CredentialsFile, "AWS_REGION": "us-east-1", "RPO_BUCKET": s.Bucket,
	} {
		if err := os.Setenv(name, value); err != nil {
			return schemas.Errorf(schemas.Internal, "set %s: %w", name, err)
		}
	}
	return nil
}

// exports are the shell commands that point rpo to the stack.
func (s *stack) exports() string {
	return fmt.Sprintf("  export TEMPORAL_ADDRESS=%s AWS_ENDPOINT_URL_S3=%s AWS_REGION=us-east-1 AWS_SHARED_CREDENTIALS_FILE=%s\n",
		s.Temporal, s.S3, s.CredentialsFile)
}

// startWorker starts a worker of all queues.
func (s *stack) startWorker(config string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "find this program: %w", err)
	}
	return s.start("worker", exec.Command(self, "worker", "--config", config, "--work-dir", filepath.Join(s.dir, "work"), "--ui", s.UI))
}

func (s *stack) start(name string, cmd *exec.Cmd) (*child, error) {
	c := &child{name: name, cmd: cmd, log: filepath.Join(s.dir, name+".log")}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "open log: %w", err)
	}
	defer log.Close() // the child has its own copy
	cmd.Stderr = log
	if c.exited, err = train.Start(cmd); err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "start %s: %w: run make build", name, err)
	}
	s.children = append(s.children, c)
	return c, nil
}

// stop stops the children, the last started first, and waits for each.
func (s *stack) stop() {
	for i := len(s.children) - 1; i >= 0; i-- {
		c := s.children[i]
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.exited:
		case <-time.After(stopWithin):
		}
		// What the child may have left of its group goes with it.
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
	s.children = nil
}

func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}
