package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
)

func put(t *testing.T, c *s3.Client, key, body string) {
	t.Helper()
	bucket := "rpo"
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *s3.Client, key string) string {
	t.Helper()
	bucket := "rpo"
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestEverythingServesAndSurvivesAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	p := start(t, "--dir", dir)
	if p.ready.Namespace != "default" || p.ready.Bucket != "rpo" || p.ready.CredentialsFile != filepath.Join(dir, "credentials") {
		t.Errorf("ready line %+v", p.ready)
	}
	wantMode(t, dir, 0o700)
	wantMode(t, p.ready.CredentialsFile, 0o600)

	page, err := http.Get(p.ready.UI + "/namespaces/default/workflows")
	if err != nil {
		t.Fatal(err)
	}
	html, _ := io.ReadAll(page.Body)
	page.Body.Close()
	if page.StatusCode != http.StatusOK || !bytes.Contains(html, []byte("<html")) {
		t.Errorf("the UI answers %s with %d bytes", page.Status, len(html))
	}

	put(t, p.s3(), "a/b", "kept")
	stage := temporal.NewSearchAttributeKeyKeyword("RpoStage").ValueSet("sample")
	failed := temporal.NewSearchAttributeKeyInt64("RpoShardsFailed").ValueSet(2)
	score := temporal.NewSearchAttributeKeyFloat64("RpoScore").ValueSet(0.5)
	c := p.temporal("default")
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "kept", TaskQueue: "nobody", TypedSearchAttributes: temporal.NewSearchAttributes(stage, failed, score),
	}, "RunPipeline")
	if err != nil {
		t.Fatal(err)
	}
	described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if got := described.Config.WorkflowExecutionRetentionTtl.AsDuration(); got != 30*24*time.Hour {
		t.Errorf("retention %v, want 30 days", got)
	}
	if !described.NamespaceInfo.Capabilities.GetWorkflowPause() {
		t.Error("workflows cannot be paused")
	}

	if said := refused(t, 1, "--dir", dir, "--port", "0", "--s3-port", "0"); !strings.Contains(said, "another rpo-local runs on this folder") {
		t.Errorf("a second start on the folder said %q", said)
	}
	p.kill()

	p = start(t, "--dir", dir)
	if got := get(t, p.s3(), "a/b"); got != "kept" {
		t.Errorf("object after the kill: %q", got)
	}
	c = p.temporal("default")
	again, err := c.DescribeWorkflowExecution(t.Context(), "kept", run.GetRunID())
	if err != nil {
		t.Fatal(err)
	}
	if got := again.WorkflowExecutionInfo.Status; got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("the run is %v after the kill", got)
	}
	found, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: "default", Query: `RpoStage = 'sample' AND RpoShardsFailed = 2 AND RpoScore < 0.6`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.Count != 1 {
		t.Errorf("%d runs found by their search attributes, want 1", found.Count)
	}
	p.stop(syscall.SIGTERM)
	wantNoSecrets(t, p)
}

// wantNoSecrets looks for the secret key in everything the process wrote
// outside the credentials file.
func wantNoSecrets(t *testing.T, p *process) {
	t.Helper()
	text, err := os.ReadFile(p.ready.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	secret := parseCredentials(string(text)).secretKey
	logged, err := os.ReadFile(filepath.Join(filepath.Dir(p.ready.CredentialsFile), "rpo-local.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(logged, []byte(secret)) || strings.Contains(p.stderr.String(), secret) {
		t.Error("the secret key was logged")
	}
}

func TestWrongS3CredentialsAreRefused(t *testing.T) {
	p := start(t, "--dir", t.TempDir(), "--only", "s3")
	text, err := os.ReadFile(p.ready.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	right := parseCredentials(string(text))
	for name, key := range map[string]credentials{
		"wrong secret":   {right.accessKey, "not" + right.secretKey},
		"unknown access": {"RPOUNKNOWN", right.secretKey},
	} {
		bucket := "rpo"
		_, err := s3Client(p.ready.S3, key).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
		refusal, ok := errors.AsType[smithy.APIError](err)
		if !ok || (refusal.ErrorCode() != "SignatureDoesNotMatch" && refusal.ErrorCode() != "InvalidAccessKeyId") {
			t.Errorf("%s: %v", name, err)
		}
	}
	unsigned, err := http.Get(p.ready.S3 + "/rpo")
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Body.Close()
	if unsigned.StatusCode != http.StatusForbidden {
		t.Errorf("a request without a signature: %s", unsigned.Status)
	}
	p.stop(syscall.SIGINT)
}

func TestEachPartDiesAlone(t *testing.T) {
	dir := t.TempDir()
	objects := start(t, "--dir", dir, "--only", "s3", "--bucket", "other-bucket", "--log-level", "info")
	if objects.ready.Temporal != "" || objects.ready.UI != "" || objects.ready.Bucket != "other-bucket" {
		t.Errorf("ready line of the S3 server alone: %+v", objects.ready)
	}
	server := start(t, "--dir", dir, "--only", "temporal", "--headless")
	if server.ready.S3 != "" || server.ready.UI != "" || server.ready.CredentialsFile != "" {
		t.Errorf("ready line of Temporal alone: %+v", server.ready)
	}
	objects.kill()
	c := server.temporal("default")
	if _, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "nobody"}, "RunPipeline"); err != nil {
		t.Errorf("Temporal after the S3 server's death: %v", err)
	}
	objects = start(t, "--dir", dir, "--only", "s3")
	server.kill()
	put(t, objects.s3(), "k", "v")
}

func TestANamespaceFromEarlierGetsRetentionAndSearchAttributes(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "--dir", dir, "--only", "temporal", "--headless", "--namespace", "team")
	if p.ready.Namespace != "team" {
		t.Errorf("namespace %q reported, want team", p.ready.Namespace)
	}
	c := p.temporal("team")
	_, err := c.WorkflowService().UpdateNamespace(t.Context(), &workflowservice.UpdateNamespaceRequest{
		Namespace: "team",
		Config:    &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(24 * time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.kill()

	p = start(t, "--dir", dir, "--only", "temporal", "--headless", "--namespace", "team", "--search-attribute", "Extra=Bool")
	c = p.temporal("team")
	described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "team"})
	if err != nil {
		t.Fatal(err)
	}
	if got := described.Config.WorkflowExecutionRetentionTtl.AsDuration(); got != retention {
		t.Errorf("retention %v, want %v", got, retention)
	}
	listed, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "team"})
	if err != nil {
		t.Fatal(err)
	}
	want := projectSearchAttributes()
	want["Extra"] = enumspb.INDEXED_VALUE_TYPE_BOOL
	for name, kind := range want {
		if listed.CustomAttributes[name] != kind {
			t.Errorf("search attribute %s is %v, want %v", name, listed.CustomAttributes[name], kind)
		}
	}
	p.kill()
	said := refused(t, 1, "--dir", dir, "--only", "temporal", "--headless", "--port", "0", "--namespace", "team", "--search-attribute", "Extra=Int")
	if !strings.Contains(said, "register search attribute Extra as Int in namespace team: it exists as Bool") {
		t.Errorf("another type for an attribute: %q", said)
	}
}

func TestABusyPortStopsTheStartBeforeAnythingIsWritten(t *testing.T) {
	busy, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	dir := filepath.Join(t.TempDir(), "state")
	said := refused(t, 1, "--dir", dir, "--port", "0", "--ui-port", port, "--s3-port", "0")
	if want := "listen on 127.0.0.1:" + port + " for --ui-port: the port is in use"; !strings.Contains(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder after a refused start: %v", err)
	}
}

func TestTheSDKsDevServerStartsThisProgram(t *testing.T) {
	t.Setenv(asProgram, "1")
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dev, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{
		ExistingPath:  executable,
		ClientOptions: &client.Options{Namespace: "of-the-test"},
		Stdout:        io.Discard, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(dev.Client(), "rpo", worker.Options{})
	w.RegisterWorkflowWithOptions(func(_ workflow.Context, in string) (string, error) { return in + "!", nil }, workflow.RegisterOptions{Name: "Echo"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	run, err := dev.Client().ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "rpo"}, "Echo", "done")
	if err != nil {
		t.Fatal(err)
	}
	var result string
	if err := run.Get(ctx, &result); err != nil || result != "done!" {
		t.Errorf("the workflow returned %q, %v", result, err)
	}
	w.Stop()
	if err := dev.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
