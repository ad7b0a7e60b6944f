//go:build endtoend

package main

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"rpo/activities/chat/scripted"
	"rpo/schemas"
	"rpo/workflows"
)

// decisionsOf are the events of a run at which a reset may begin: the ends of its
// workflow tasks.
func decisionsOf(t *testing.T, c client.Client, id, run string) (ids []int64) {
	t.Helper()
	events := c.GetWorkflowHistory(t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			ids = append(ids, e.EventId)
		}
	}
	return ids
}

func TestStartingAgainResettingAndRetryingEndInTheSameDataset(t *testing.T) {
	l := startLocal(t)
	var mended atomic.Bool
	reply := scripted.PerChoice(answer)
	endpoint := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		// Profiles 1 and 10 to 19: three of the eight shards.
		if !mended.Load() && strings.Contains(p.Last(), "town 1") {
			return scripted.Refuse(http.StatusForbidden, "the key is locked")
		}
		return reply(p)
	})
	l.worker(t, l.config(t, endpoint.URL))
	manifest := l.importProfiles(t, profiles(t, l.dir, 72), "--profiles-per-shard", "8")
	c, s := l.client(t), l.store(t)

	// One generation is one story: its jobs share no record with the others'.
	var generation int64
	sampling := func() schemas.SampleResponsesInput {
		var in schemas.SampleResponsesInput
		in.Manifest, in.MaxTokens, in.Generation = manifest, 48, generation
		return in
	}
	park := func(t *testing.T) client.WorkflowRun {
		mended.Store(false)
		run := l.start(t, c, workflows.SampleResponsesName, sampling())
		await(t, "the stage to park", func() bool { return stageStatus(t.Context(), c, run.GetID()).Status == schemas.StatusNeedsAttention })
		mended.Store(true)
		return run
	}
	update := func(t *testing.T, run client.WorkflowRun, name string) {
		h, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: name, WaitForStage: client.WorkflowUpdateStageCompleted})
		if err == nil {
			err = h.Get(t.Context(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reset := func(t *testing.T, run client.WorkflowRun, runID string, event int64) client.WorkflowRun {
		r, err := c.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{Namespace: l.Namespace, RequestId: uuid.NewString(),
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: runID}, Reason: "test", WorkflowTaskFinishEventId: event})
		if err != nil {
			t.Fatal(err)
		}
		return c.GetWorkflow(t.Context(), run.GetID(), r.GetRunId())
	}
	get := func(t *testing.T, run client.WorkflowRun, into any) {
		if err := run.Get(t.Context(), into); err != nil {
			t.Fatal(plainFailure(err))
		}
	}
	// hash is that of the data set that the rest of the method makes of it.
	hash := func(t *testing.T, sampled schemas.StageResult) string {
		if sampled.Shards != 8 || sampled.FailedShards != 0 || !sampled.Books.Closed() {
			t.Errorf("sampled %+v", sampled)
		}
		var judged, reversed schemas.StageResult
		var paired schemas.PairResult
		for _, stage := range []struct {
			workflow, manifest string
			into               any
		}{{workflows.JudgeResponsesName, "", &judged}, {workflows.ReverseConstraintsName, "", &reversed}, {workflows.BuildPairsName, "", &paired}} {
			from := map[string]string{workflows.JudgeResponsesName: sampled.Manifest, workflows.ReverseConstraintsName: judged.Manifest, workflows.BuildPairsName: reversed.Manifest}
			in := map[string]any{"manifest": from[stage.workflow], "generation": generation}
			get(t, l.start(t, c, stage.workflow, in), stage.into)
		}
		if paired.Pairs == 0 {
			t.Error("there are no pairs")
		}
		return paired.Hash
	}

	mended.Store(true)
	var calm schemas.StageResult
	get(t, l.start(t, c, workflows.SampleResponsesName, sampling()), &calm)
	want := hash(t, calm)

	for name, disturbed := range map[string]func(*testing.T) client.WorkflowRun{
		"started again with the same input": func(t *testing.T) client.WorkflowRun {
			run := park(t)
			update(t, run, workflows.UpdateStop)
			if err := run.Get(t.Context(), nil); err == nil {
				t.Error("a stopped stage did not fail")
			}
			return l.start(t, c, workflows.SampleResponsesName, sampling())
		},
		"told retry_failed": func(t *testing.T) client.WorkflowRun {
			run := park(t)
			update(t, run, workflows.UpdateRetryFailed)
			return run
		},
		"reset to its beginning": func(t *testing.T) client.WorkflowRun {
			run := park(t)
			return reset(t, run, run.GetRunID(), decisionsOf(t, c, run.GetID(), run.GetRunID())[0])
		},
		"reset to the middle": func(t *testing.T) client.WorkflowRun {
			run := park(t)
			decisions := decisionsOf(t, c, run.GetID(), run.GetRunID())
			again := reset(t, run, run.GetRunID(), decisions[len(decisions)/2])
			return l.settled(t, c, again)
		},
		"reset after its end": func(t *testing.T) client.WorkflowRun {
			run := park(t)
			update(t, run, workflows.UpdateRetryFailed)
			get(t, run, nil)
			decisions := decisionsOf(t, c, run.GetID(), run.GetRunID())
			return l.settled(t, c, reset(t, run, run.GetRunID(), decisions[len(decisions)/3]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			generation++
			run := disturbed(t)
			committed := map[string]string{}
			for key, sum := range snapshot(t, s, "runs/") {
				if strings.Contains(key, "/shard-") {
					committed[key] = sum
				}
			}
			var sampled schemas.StageResult
			get(t, run, &sampled)
			if sampled.Job == calm.Job {
				t.Error("it is the job of the calm run")
			}
			if got := hash(t, sampled); got != want {
				t.Errorf("hash %s, want %s", got, want)
			}
			after := snapshot(t, s, "runs/")
			maps.DeleteFunc(committed, func(key, sum string) bool { return after[key] == sum })
			if len(committed) > 0 {
				t.Errorf("written again after they were committed: %v", committed)
			}
		})
	}
}

// settled tells a stage to retry what fails again after a reset, if anything does:
// a reset run may find in its history that shards had failed.
func (l *local) settled(t *testing.T, c client.Client, run client.WorkflowRun) client.WorkflowRun {
	t.Helper()
	await(t, "the stage to end or to park again", func() bool {
		s := stageStatus(t.Context(), c, run.GetID())
		if s.Status == schemas.StatusNeedsAttention {
			c.SignalWorkflow(t.Context(), run.GetID(), run.GetRunID(), workflows.UpdateRetryFailed, nil)
		}
		return s.Status == schemas.StatusDone
	})
	return run
}
