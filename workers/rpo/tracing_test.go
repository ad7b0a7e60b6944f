package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
	"rpo/workflows"
)

// collector takes what an OTLP exporter sends.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	got  bytes.Buffer
	path string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.path = r.URL.Path
		io.Copy(&c.got, r.Body)
	}))
	t.Cleanup(c.Close)
	return c
}

// has reports whether a text was sent; names are sent as they are.
func (c *collector) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.got.Bytes(), []byte(text))
}

// noTraces clears what the environment says of traces.
func noTraces(t *testing.T) {
	t.Helper()
	for _, name := range []string{traceEndpointEnv, otlpEndpointEnv, traceProtocolEnv, otlpProtocolEnv} {
		t.Setenv(name, "")
	}
	t.Cleanup(flushTraces)
}

func TestAnActivityIsTracedUnderItsWorkflow(t *testing.T) {
	noTraces(t)
	c := newCollector(t)
	t.Setenv(otlpEndpointEnv, c.URL)
	t.Setenv("OTEL_SERVICE_NAME", "my-workers")
	traced, err := tracers(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil || len(traced) != 1 {
		t.Fatalf("%v, %v", traced, err)
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{
		traced[0].(interceptor.WorkerInterceptor), &activityInterceptor{metrics: newMetrics(), role: roles[workflows.QueueLLM]},
	}})
	env.RegisterActivityWithOptions(func(context.Context) error { return nil }, activity.RegisterOptions{Name: "JudgeShard"})
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: never})
		return workflow.ExecuteActivity(ctx, "JudgeShard").Get(ctx, nil)
	})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	flushTraces()
	for _, name := range []string{"RunActivity:JudgeShard", "StartActivity:JudgeShard", "RunWorkflow:", "my-workers", schemas.CodeVersion} {
		if !c.has(name) {
			t.Errorf("%q was not sent", name)
		}
	}
	if c.path != "/v1/traces" {
		t.Errorf("sent to %s", c.path)
	}
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	noTraces(t)
	if traced, err := tracers(t.Context(), nil); traced != nil || err != nil || tracing.provider != nil {
		t.Errorf("%v, %v", traced, err)
	}
	flushTraces() // nothing to do
}

func TestAProtocolThatIsNotSpokenIsRefused(t *testing.T) {
	noTraces(t)
	t.Setenv(otlpEndpointEnv, "http://127.0.0.1:4317")
	t.Setenv(otlpProtocolEnv, "grpc")
	if _, err := tracers(t.Context(), nil); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "4318") {
		t.Errorf("%v", err)
	}
}

func TestACollectorThatIsAwayIsOnlyLogged(t *testing.T) {
	noTraces(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refusing.Close()
	t.Setenv(traceEndpointEnv, refusing.URL+"/v1/traces")
	var log bytes.Buffer
	if _, err := tracers(t.Context(), slog.New(slog.NewJSONHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	_, span := tracing.provider.Tracer("test").Start(t.Context(), "span")
	span.End()
	flushTraces()
	var line struct{ Level, Msg, Error string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "WARN" || line.Error == "" {
		t.Errorf("the log says %q, %v", log.String(), err)
	}
}
