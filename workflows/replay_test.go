package workflows

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// recorded are the histories of all releases, made by running this package's
// tests with -record at the release. A history of a release is never made anew:
// workflows that it began may still be running.
func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/replay/*/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readHistory(t *testing.T, path string) *historypb.History {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	h, err := client.HistoryFromJSON(zipped, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func replay(t *testing.T, h *historypb.History) error {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	Register(replayer)
	// Names of children derive from the workflow's own.
	id := h.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowId
	return replayer.ReplayWorkflowHistoryWithOptions(silent{}, h, worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id}})
}

func TestReplayOfEveryRecordedHistory(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range recorded(t) {
		t.Run(strings.TrimPrefix(path, "testdata/replay/"), func(t *testing.T) {
			h := readHistory(t, path)
			seen[h.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name] = true
			if err := replay(t, h); err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range names() {
		if !seen[name] {
			t.Errorf("no history of %s is recorded", name)
		}
	}
}

func TestReplayNoticesAChangedWorkflow(t *testing.T) {
	for _, path := range recorded(t) {
		changes := map[string]func(*historypb.HistoryEvent) bool{
			"another activity": func(e *historypb.HistoryEvent) bool {
				a := e.GetActivityTaskScheduledEventAttributes()
				if a != nil {
					a.ActivityType.Name += "2"
				}
				return a != nil
			},
			"another child": func(e *historypb.HistoryEvent) bool {
				a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
				if a != nil {
					a.WorkflowType.Name += "2"
				}
				return a != nil
			},
			"no search attributes": func(e *historypb.HistoryEvent) bool {
				if e.EventType != enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES {
					return false
				}
				e.EventType = enumspb.EVENT_TYPE_MARKER_RECORDED
				e.Attributes = &historypb.HistoryEvent_MarkerRecordedEventAttributes{
					MarkerRecordedEventAttributes: &historypb.MarkerRecordedEventAttributes{MarkerName: "Version"}}
				return true
			},
		}
		for what, change := range changes {
			h := readHistory(t, path)
			if slices.ContainsFunc(h.Events, change) && replay(t, h) == nil {
				t.Errorf("%s: %s went unnoticed", path, what)
			}
		}
	}
}

func TestRecordedHistoriesNameNoMachine(t *testing.T) {
	for _, path := range recorded(t) {
		for _, e := range readHistory(t, path).Events {
			if q := e.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue().GetName(); q != "" && q != "sticky" && q != QueueWorkflows {
				t.Errorf("%s: event %d names queue %s", path, e.EventId, q)
			}
			if strings.Contains(e.String(), "@") || strings.Contains(e.String(), ".go:") {
				t.Errorf("%s: event %d names a host or a file: %s", path, e.EventId, e)
			}
		}
	}
}
