package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rpo/activities/store"
)

// Server is a running S3 server with one bucket.
type Server struct {
	Endpoint        string `json:"s3"`
	Bucket          string `json:"bucket"`
	CredentialsFile string `json:"credentials_file"`
}

// StartServer runs the project's own S3 server, bin/rpo-local or the program
// that RPO_LOCAL names, until the test ends.
func StartServer(t *testing.T) Server {
	t.Helper()
	binary := os.Getenv("RPO_LOCAL")
	if binary == "" {
		binary = filepath.Join(repository(t), "bin", "rpo-local")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("the S3 server %s is not there: run `make build` first, or set RPO_LOCAL to its path", binary)
	}
	command := exec.Command(binary, "--only", "s3", "--dir", t.TempDir(), "--s3-port", "0")
	command.Stderr = os.Stderr
	// A test that is killed runs no cleanup.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	t.Cleanup(func() {
		// Its folder goes with it, so nothing is lost by not waiting for clients.
		command.Process.Kill()
		command.Wait()
	})
	var server Server
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &server)
	}
	if err != nil || server.Endpoint == "" {
		t.Fatalf("start %s: no ready line, got %q: %v", binary, line, err)
	}
	return server
}

// Setenv points the AWS SDK at the server, and away from whatever this
// machine's user has configured.
func (s Server) Setenv(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3":         s.Endpoint,
		"AWS_ENDPOINT_URL":            "",
		"AWS_SHARED_CREDENTIALS_FILE": s.CredentialsFile,
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "none"),
		"AWS_REGION":                  "",
		"AWS_DEFAULT_REGION":          "",
		"AWS_PROFILE":                 "",
		"AWS_ACCESS_KEY_ID":           "",
		"AWS_SECRET_ACCESS_KEY":       "",
		"AWS_SESSION_TOKEN":           "",
		"AWS_EC2_METADATA_DISABLED":   "true",
	} {
		t.Setenv(name, value)
	}
}

// Open returns a store in the server's bucket under prefix.
func (s Server) Open(t *testing.T, prefix string) *store.S3 {
	t.Helper()
	s.Setenv(t)
	opened, err := store.NewS3(context.Background(), store.Config{Bucket: s.Bucket, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// repository returns the folder of go.mod above the test.
func repository(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if filepath.Dir(folder) == folder {
			t.Fatal("the test does not run inside the repository: no go.mod above it")
		}
		folder = filepath.Dir(folder)
	}
}

// AccessKey reads the id of the server's access key, for tests that pair it
// with a wrong secret.
func (s Server) AccessKey(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(s.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "aws_access_key_id" {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s holds no aws_access_key_id", s.CredentialsFile)
	return ""
}
