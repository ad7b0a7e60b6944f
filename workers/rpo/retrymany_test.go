//go:build endtoend

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	batchpb "go.temporal.io/api/batch/v1"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"rpo/schemas"
	"rpo/workflows"
)

// forbiddingServer refuses every call, though not probes, until it is mended.
func forbiddingServer(t *testing.T) (url string, mended *atomic.Bool) {
	mended = new(atomic.Bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"data": [{"id": "scripted"}]}`)
		case strings.Contains(r.UserAgent(), "(probe)") || mended.Load():
			fmt.Fprint(w, `{"model": "scripted", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "River."}}]}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error": {"message": "your subscription has ended"}}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", mended
}

// parkMany starts n stages that park, each a job of its own.
func (l *local) parkMany(t *testing.T, c client.Client, manifest string, first int64, n int) []client.WorkflowRun {
	t.Helper()
	runs := make([]client.WorkflowRun, n)
	for i := range runs {
		var err error
		runs[i], err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: fmt.Sprintf("parked-%03d", first+int64(i)), TaskQueue: workflows.QueueWorkflows},
			workflows.SampleResponsesName, map[string]any{"manifest": manifest, "endpoint": "policy", "responses": 1, "max_tokens": 8, "generation": first + int64(i)})
		if err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all to park and to be listed", func() bool { return l.count(t, c, parkedQuery) == int64(n) })
	return runs
}

func (l *local) count(t *testing.T, c client.Client, query string) int64 {
	t.Helper()
	found, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		t.Fatal(err)
	}
	return found.GetCount()
}

func reports(t *testing.T, stdout string) (out []retryReport) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(stdout)); lines.Scan(); {
		var r retryReport
		if err := schemas.DecodeStrict(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestManyParkedRunsAreToldByOneCommandOrByABatchOfSignals(t *testing.T) {
	const many = 30
	l := startLocal(t)
	url, mended := forbiddingServer(t)
	manifest := l.importProfiles(t, profiles(t, l.dir, 9), "--profiles-per-shard", "8")
	l.worker(t, l.config(t, url))
	c, s := l.client(t), l.store(t)
	runs := l.parkMany(t, c, manifest, 0, many)

	out, errOut, status := l.rpo(t, "retry", "--dry-run", "--rate", "1000")
	dry := reports(t, out)
	if status != 0 || len(dry) != many || !strings.Contains(errOut, "30 of 30 runs would be told") {
		t.Fatalf("the dry run ended with %d: %s%s", status, out, errOut)
	}
	for _, r := range dry {
		if !r.Accepted || r.FailedShards != 1 || r.Workflow != workflows.SampleResponsesName || !strings.Contains(r.Reason, "shards failed") {
			t.Errorf("dry run: %+v", r)
		}
	}
	if n := l.count(t, c, parkedQuery); n != many {
		t.Fatalf("%d runs are parked after the dry run", n)
	}

	// One has ended meanwhile: the others are told all the same.
	ended := runs[many/2]
	if _, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: ended.GetID(), UpdateName: workflows.UpdateStop,
		WaitForStage: client.WorkflowUpdateStageCompleted}); err != nil {
		t.Fatal(err)
	}
	ended.Get(t.Context(), nil)
	mended.Store(true)
	start := time.Now()
	out, errOut, status = l.rpo(t, "retry", "--query", `WorkflowType = "SampleResponses"`, "--rate", "20", "--error-type", "InvalidInput", "--error-type", "Overloaded")
	took := time.Since(start)
	told := reports(t, out)
	if status != 1 || len(told) != many || !strings.Contains(errOut, "29 of 30 runs work again; 29 of their shards") || !strings.Contains(errOut, "1 of 30 runs could not be told") {
		t.Fatalf("retry ended with %d: %s%s", status, out, errOut)
	}
	if least := (many - 1) * time.Second / 20; took < least {
		t.Errorf("it took %s, which is faster than 20 a second allow", took)
	}
	t.Logf("%d runs were told in %s", many, took)
	for _, r := range told {
		switch {
		case r.WorkflowID == ended.GetID():
			if r.Accepted || r.ErrorType != string(schemas.NotFound) || !strings.Contains(r.Reason, "has ended") {
				t.Errorf("the run that has ended: %+v", r)
			}
		case !r.Accepted || r.FailedShards != 1:
			t.Errorf("%+v", r)
		}
	}
	var sums []string
	for _, run := range runs {
		if run.GetID() == ended.GetID() {
			continue
		}
		var done schemas.StageResult
		if err := run.Get(t.Context(), &done); err != nil {
			t.Fatal(plainFailure(err))
		}
		if done.FailedShards != 0 || done.Shards != 1 || done.Books.In != done.Books.OK || done.Books.OK == 0 {
			t.Errorf("%s ended with %+v", run.GetID(), done)
		}
		got := responses(t, s, done.Manifest)
		if sums == nil {
			sums = got
		}
		if !slices.Equal(got, sums) {
			t.Errorf("%s made %v, another %v", run.GetID(), got, sums)
		}
	}
	await(t, "nothing parked to be listed", func() bool { return l.count(t, c, parkedQuery) == 0 })
	if out, errOut, status := l.rpo(t, "retry"); status != 0 || out != "" || !strings.Contains(errOut, "0 of 0 runs") {
		t.Errorf("retry without parked runs ended with %d: %s%s", status, out, errOut)
	}
	if _, errOut, status := l.rpo(t, "retry", "--query", "RpoStatus ="); status != 1 || !strings.Contains(errOut, "RpoStatus =") {
		t.Errorf("a malformed query ended with %d: %s", status, errOut)
	}

	t.Run("a batch of signals", func(t *testing.T) {
		mended.Store(false)
		runs := l.parkMany(t, c, manifest, 100, 10)
		mended.Store(true)
		input, err := json.Marshal(schemas.RetryFailed{ErrorTypes: []string{"InvalidInput"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.WorkflowService().StartBatchOperation(t.Context(), &workflowservice.StartBatchOperationRequest{
			Namespace: l.Namespace, JobId: "retry-all", Reason: "the endpoint is mended", VisibilityQuery: parkedQuery, MaxOperationsPerSecond: 20,
			Operation: &workflowservice.StartBatchOperationRequest_SignalOperation{SignalOperation: &batchpb.BatchOperationSignal{
				Signal: workflows.UpdateRetryFailed,
				Input:  &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: input}}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range runs {
			var done schemas.StageResult
			if err := run.Get(t.Context(), &done); err != nil || done.FailedShards != 0 {
				t.Errorf("%s ended with %+v, %v", run.GetID(), done, err)
			}
		}
	})
}
