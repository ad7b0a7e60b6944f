package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"rpo/activities/train"
)

// startWithin bounds the start of a part. A port may be taken for a moment after
// its owner was killed.
const startWithin = 20 * time.Second

// part is one process that is killed and started again.
type part struct {
	name    string
	program string
	env     []string
	log     string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited <-chan error
}

// ready is what rpo-local prints.
type ready struct {
	Temporal        string `json:"temporal"`
	S3              string `json:"s3"`
	Bucket          string `json:"bucket"`
	CredentialsFile string `json:"credentials_file"`
}

// run starts the process once. If told, it waits for the line that says where it
// is.
func (p *part) run(args []string, lines chan<- []byte) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.program, args...)
	cmd.Env, cmd.Stderr = p.env, log
	if lines != nil {
		cmd.Stdout = &lineWriter{line: lines}
	}
	exited, err := train.Start(cmd)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.cmd, p.exited = cmd, exited
	p.mu.Unlock()
	return nil
}

// serve starts a server and waits until it is ready, trying again while its port
// is taken.
func (p *part) serve(args ...string) (ready, error) {
	for deadline := time.Now().Add(startWithin); ; {
		lines := make(chan []byte, 1)
		if err := p.run(args, lines); err != nil {
			return ready{}, err
		}
		select {
		case line := <-lines:
			var r ready
			err := json.Unmarshal(line, &r)
			return r, err
		case <-p.exited:
		case <-time.After(startWithin):
		}
		p.kill()
		if time.Now().After(deadline) {
			data, _ := os.ReadFile(p.log)
			return ready{}, fmt.Errorf("%s does not start: %s", p.name, tail(data, 300))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *part) kill() {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Kill()
	<-exited
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it started
}

// signal sends SIGSTOP or SIGCONT.
func (p *part) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	select {
	case <-p.exited: // its number may be another process's
	default:
		p.cmd.Process.Signal(s)
	}
}

// lineWriter passes on the first line.
type lineWriter struct {
	line chan<- []byte
	got  []byte
	sent bool
}

func (w *lineWriter) Write(data []byte) (int, error) {
	if w.sent {
		return len(data), nil
	}
	w.got = append(w.got, data...)
	if line, _, whole := bytes.Cut(w.got, []byte("\n")); whole {
		w.line <- line
		w.sent = true
	}
	return len(data), nil
}

func tail(data []byte, n int) string { return string(data[max(0, len(data)-n):]) }

// plainEnv is the environment without what could point a part elsewhere.
func plainEnv() (out []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "TEMPORAL_") && !strings.HasPrefix(name, "RPO_") && name != "TMPDIR" {
			out = append(out, entry)
		}
	}
	return append(out, "AWS_REGION=us-east-1", "AWS_CONFIG_FILE="+os.DevNull, "TEMPORAL_CONFIG_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
}

func writeJSON(dir, name string, v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, data, 0o644)
}
