package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/server/common/log"
)

// asProgram makes the test binary behave as rpo-local, so that tests start,
// kill and restart real processes without linking the program a second time.
const asProgram = "RPO_LOCAL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is a running rpo-local.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	ready  readyLine
	ended  bool
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// start runs rpo-local on free ports and returns when it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(t, append([]string{"--port", "0", "--s3-port", "0"}, args...)...)}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.ended {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	p.stdout = bufio.NewReader(out)
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		_ = p.cmd.Wait()
		p.ended = true
		t.Fatalf("no ready line: %v\n%s", err, p.stderr.String())
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&p.ready); err != nil {
		t.Fatalf("ready line %q: %v", line, err)
	}
	return p
}

// kill ends the process as a power cut of its machine's scheduler would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait()
	p.ended = true
}

// stop asks the process to end and checks that it does so orderly, having
// printed nothing after its ready line.
func (p *process) stop(signal syscall.Signal) {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	rest, err := io.ReadAll(p.stdout)
	if err != nil {
		p.t.Fatal(err)
	}
	err = p.cmd.Wait()
	p.ended = true
	if err != nil {
		p.t.Errorf("after %v: %v\n%s", signal, err, p.stderr.String())
	}
	if len(rest) > 0 {
		p.t.Errorf("standard output after the ready line: %q", rest)
	}
	if took := time.Since(began); took > stopWithin {
		p.t.Errorf("the stop took %v", took)
	}
}

// refused runs rpo-local with a command line that must fail and returns what
// it said.
func refused(t *testing.T, wantStatus int, args ...string) string {
	t.Helper()
	cmd := command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != wantStatus {
		t.Errorf("exit status %d, want %d: %s", got, wantStatus, stderr.String())
	}
	if stdout.Len() > 0 {
		t.Errorf("standard output of a failed start: %q", stdout.String())
	}
	return strings.TrimSpace(stderr.String())
}

func (p *process) s3() *s3.Client {
	p.t.Helper()
	text, err := os.ReadFile(p.ready.CredentialsFile)
	if err != nil {
		p.t.Fatal(err)
	}
	return s3Client(p.ready.S3, parseCredentials(string(text)))
}

func s3Client(endpoint string, key credentials) *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(endpoint), UsePathStyle: true,
		Credentials: awscredentials.NewStaticCredentialsProvider(key.accessKey, key.secretKey, ""),
		// A server that was killed on purpose is not worth a retry.
		RetryMaxAttempts: 1,
	})
}

func (p *process) temporal(namespace string) client.Client {
	p.t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: p.ready.Temporal, Namespace: namespace,
		Logger: temporallog.NewSdkLogger(temporallog.NewNoopLogger()),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}
