package workflows

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	nodepool "rpo/activities/pool"
	"rpo/activities/train"
	"rpo/schemas"
)

// gangWorld is a world with a pool that has enough hosts, and supervisors that do
// as the test says.
type gangWorld struct {
	*world
	env *testsuite.TestWorkflowEnvironment

	mu       sync.Mutex
	asked    []nodepool.LeaseInput
	returned []nodepool.ReleaseInput
	places   []train.Place
	// supervise is what the supervisor of a rank does in an attempt.
	supervise func(ctx context.Context, p train.Place) error
	// checkpoint is what an attempt goes on from.
	checkpoint func(attempt int) string
	// withhold has the pool not answer.
	withhold bool
	attempts int
}

func newGang(supervise func(context.Context, train.Place) error) *gangWorld {
	g := &gangWorld{world: newWorld(1, nil), supervise: supervise, checkpoint: func(int) string { return "" }}
	g.real = map[string]any{
		requestNodes: func(_ context.Context, in nodepool.LeaseInput) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.asked = append(g.asked, in)
			if g.withhold {
				return nil
			}
			given := schemas.NodesLeased{Request: in.Request}
			for i := range in.Want {
				given.Nodes = append(given.Nodes, schemas.LeasedNode{Host: fmt.Sprint("gpu-", i), Address: fmt.Sprint("10.0.0.", i)})
			}
			g.env.SignalWorkflow(SignalNodesLeased, given)
			return nil
		},
		returnNodes: func(_ context.Context, in nodepool.ReleaseInput) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.returned = append(g.returned, in)
			return nil
		},
		openGang: func(_ context.Context, in train.OpenGangInput) (train.Place, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.attempts++
			return train.Place{Attempt: g.attempts, Master: in.Address, Port: 4711, Checkpoint: g.checkpoint(g.attempts)}, nil
		},
		trainPolicy: func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
			g.mu.Lock()
			g.places = append(g.places, *in.Gang)
			g.mu.Unlock()
			if err := g.supervise(ctx, *in.Gang); err != nil {
				return schemas.TrainResult{}, err
			}
			if in.Gang.Rank > 0 {
				return schemas.TrainResult{}, nil
			}
			return schemas.TrainResult{StageResult: g.process("train", in.Job), Model: "s3://rpo/models/1", TrainSteps: 12}, nil
		},
	}
	return g
}

func (g *gangWorld) try(t *testing.T, input string, during ...func(*testsuite.TestWorkflowEnvironment)) *trial {
	t.Helper()
	tr := try(t, g.world, TrainModelName, object("%s", input), append(during, func(env *testsuite.TestWorkflowEnvironment) { g.env = env })...)
	for _, c := range tr.seen.activities {
		checkOptions(t, c.name, c.options)
	}
	return tr
}

// cancelled waits until a supervisor is cancelled.
func cancelled(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
			activity.RecordHeartbeat(ctx, nil)
		}
	}
}

const twoNodes = `{"manifest":"m","nodes":2,"processes":4}`

func TestAGangRunsOneSupervisorOnEachOfItsNodes(t *testing.T) {
	g := newGang(func(context.Context, train.Place) error { return nil })
	var out schemas.TrainResult
	tr := g.try(t, twoNodes)
	tr.get(&out)
	if out.Model == "" || out.TrainSteps != 12 {
		t.Errorf("result %+v is not that of host 0", out)
	}
	slices.SortFunc(g.places, func(a, b train.Place) int { return a.Rank - b.Rank })
	for i, p := range g.places {
		if want := (train.Place{Attempt: 1, Rank: i, Nodes: 2, Master: "10.0.0.0", Port: 4711}); p != want {
			t.Errorf("place %+v, want %+v", p, want)
		}
	}
	queues := map[string]int{}
	for _, c := range tr.seen.activities {
		queues[c.name+" "+c.options.TaskQueue]++
	}
	for _, want := range []string{openGang + " rpo-gpu-gpu-0", trainPolicy + " rpo-gpu-gpu-0", trainPolicy + " rpo-gpu-gpu-1", describeBase + " rpo-pool-default"} {
		if queues[want] != 1 {
			t.Errorf("no %s among %v", want, queues)
		}
	}
	if a := g.asked[0]; len(g.asked) != 1 || a.Pool != "default" || a.Want != 2 || a.GPUs != 4 || a.Priority != 3 || a.Holder != "default-test-workflow-id" {
		t.Errorf("asked for %+v", g.asked)
	}
	if len(g.returned) != 1 || g.returned[0].Holder != "default-test-workflow-id" {
		t.Errorf("gave back %+v", g.returned)
	}
}

func TestWhenOneHostFailsAllGoOnFromTheCheckpointTogether(t *testing.T) {
	var stopped []train.Place
	var mu sync.Mutex
	g := newGang(func(ctx context.Context, p train.Place) error {
		switch {
		case p.Attempt == 1 && p.Rank == 1:
			return schemas.Errorf(schemas.Internal, "a rank died")
		case p.Attempt == 1:
			err := cancelled(ctx)
			mu.Lock()
			stopped = append(stopped, p)
			mu.Unlock()
			return err
		}
		return nil
	})
	g.checkpoint = func(attempt int) string {
		if attempt == 2 {
			return "checkpoints/job/step-000004.json"
		}
		return ""
	}
	tr := g.try(t, twoNodes)
	tr.get(&schemas.TrainResult{})
	if len(stopped) != 1 || stopped[0].Rank != 0 {
		t.Errorf("stopped %+v, want host 0 of the first attempt", stopped)
	}
	if len(g.places) < 3 { // host 0 may have ended before host 1 began
		t.Fatalf("supervisors ran at %+v", g.places)
	}
	for _, p := range g.places[2:] {
		if p.Attempt != 2 || p.Checkpoint != "checkpoints/job/step-000004.json" {
			t.Errorf("place %+v of the second attempt", p)
		}
	}
	if len(g.asked) != 2 || g.asked[0].Request == g.asked[1].Request || len(g.asked[1].Suspects) != 0 || len(g.returned) != 1 {
		t.Errorf("asked %+v, gave back %+v", g.asked, g.returned)
	}
}

func TestAHostThatFallsSilentIsSuspected(t *testing.T) {
	g := newGang(nil)
	tr := g.try(t, twoNodes, func(env *testsuite.TestWorkflowEnvironment) {
		env.OnActivity(trainPolicy, mock.Anything, mock.Anything).Return(func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
			switch {
			case in.Gang.Attempt > 1:
				return schemas.TrainResult{}, nil
			case in.Gang.Rank == 1:
				return schemas.TrainResult{}, temporal.NewHeartbeatTimeoutError()
			}
			return schemas.TrainResult{}, cancelled(ctx)
		})
	})
	tr.get(&schemas.TrainResult{})
	if len(g.asked) != 2 || fmt.Sprint(g.asked[1].Suspects) != "[gpu-1]" {
		t.Errorf("asked %+v, want gpu-1 suspected", g.asked)
	}
}

func TestAGangThatGetsNoFurtherParksAndGoesOnWhenTold(t *testing.T) {
	for name, input := range map[string]string{"on one host": `{"manifest":"m"}`, "on two": twoNodes} {
		for _, decision := range []string{UpdateRetryFailed, UpdateStop} {
			t.Run(name+" "+decision, func(t *testing.T) {
				mended := false
				g := newGang(func(_ context.Context, p train.Place) error {
					if !mended {
						return schemas.Errorf(schemas.NotFound, "no folder")
					}
					return nil
				})
				gang := g.real[trainPolicy].(func(context.Context, train.Input) (schemas.TrainResult, error))
				g.real[trainPolicy] = func(ctx context.Context, in train.Input) (schemas.TrainResult, error) {
					if in.Gang == nil {
						in.Gang = &train.Place{}
					}
					return gang(ctx, in)
				}
				var did decisions
				var parked schemas.StageStatus
				free := 0
				tr := g.try(t, input, func(env *testsuite.TestWorkflowEnvironment) {
					later(env, 1, func() {
						parked = statusOf(t, env)
						free = len(g.returned)
						mended = true
						env.UpdateWorkflow(decision, "", &did, schemas.RetryFailed{Endpoint: "other"})
						env.UpdateWorkflow(decision, "", &did, schemas.RetryFailed{HeartbeatTimeout: schemas.Duration(90 * time.Second)})
						env.UpdateWorkflow(decision, "", &did)
					})
				})
				if parked.Status != schemas.StatusNeedsAttention || parked.Failed != 1 || len(parked.Updates) != 2 || parked.Failures[0].ErrorType != "NotFound" {
					t.Errorf("parked with %+v", parked)
				}
				if name == "on two" && free != 1 {
					t.Error("a parked gang keeps its nodes")
				}
				if len(did.accepted) != 1 || len(did.rejected) < 1 {
					t.Errorf("accepted %v, refused %v", did.accepted, did.rejected)
				}
				if decision == UpdateStop {
					if e := tr.failure(); e.Type() != "NotFound" || e.Message() != "no folder" {
						t.Errorf("ended with %v", tr.err)
					}
					return
				}
				tr.get(&schemas.TrainResult{})
				last := tr.seen.activities[len(tr.seen.activities)-1]
				for _, c := range tr.seen.activities {
					if c.name == trainPolicy {
						last = c
					}
				}
				if last.options.HeartbeatTimeout != 90*time.Second {
					t.Errorf("heartbeat timeout %s", last.options.HeartbeatTimeout)
				}
			})
		}
	}
}

func TestAGangParksAfterTenAttemptsWithoutProgress(t *testing.T) {
	for name, furtherUntil := range map[string]int{"none": 0, "five checkpoints": 5} {
		g := newGang(func(_ context.Context, p train.Place) error {
			return schemas.Errorf(schemas.Internal, "a rank died")
		})
		g.checkpoint = func(attempt int) string {
			return fmt.Sprintf("checkpoints/job/step-%06d.json", min(attempt, furtherUntil))
		}
		if furtherUntil == 0 {
			g.checkpoint = func(int) string { return "" }
		}
		tr := g.try(t, `{"manifest":"m","nodes":1}`, func(env *testsuite.TestWorkflowEnvironment) {
			later(env, 20, func() { env.SignalWorkflow(UpdateStop, nil) })
		})
		if e := tr.failure(); e.Type() != "Internal" {
			t.Errorf("%s: ended with %v", name, tr.err)
		}
		// The first attempt at each new checkpoint starts the count again.
		if want := gangAttempts + max(0, furtherUntil-1); g.attempts != want {
			t.Errorf("%s: %d attempts, want %d", name, g.attempts, want)
		}
	}
}

func TestWhatAnotherInputWouldMendFailsAtOnce(t *testing.T) {
	said := make(chan struct{})
	g := newGang(func(ctx context.Context, p train.Place) error {
		if p.Rank == 1 {
			defer close(said)
			return schemas.Errorf(schemas.InvalidInput, "loss is not finite")
		}
		<-said
		return schemas.Errorf(schemas.Internal, "connection reset by peer")
	})
	tr := g.try(t, twoNodes)
	if e := tr.failure(); e.Type() != "InvalidInput" || g.attempts != 1 || len(g.returned) != 1 {
		t.Errorf("ended with %v after %d attempts", tr.err, g.attempts)
	}
}

func TestACancelledGangStopsItsSupervisorsAndGivesItsNodesBack(t *testing.T) {
	for _, waiting := range []bool{true, false} {
		var stopped sync.WaitGroup
		if !waiting {
			stopped.Add(2)
		}
		begun := make(chan struct{}, 2)
		g := newGang(func(ctx context.Context, p train.Place) error {
			defer stopped.Done()
			begun <- struct{}{}
			return cancelled(ctx)
		})
		g.withhold = waiting
		tr := g.try(t, twoNodes, func(env *testsuite.TestWorkflowEnvironment) {
			if waiting {
				later(env, 5, env.CancelWorkflow)
				return
			}
			go func() {
				<-begun
				<-begun
				env.CancelWorkflow()
			}()
		})
		stopped.Wait()
		if !temporal.IsCanceledError(tr.err) || len(g.returned) != 1 {
			t.Errorf("waiting %v: ended with %v, gave back %+v", waiting, tr.err, g.returned)
		}
		if waiting && (len(g.asked) < 4 || len(g.asked) > 10 || g.asked[0].Request != g.asked[3].Request) {
			t.Errorf("in five hours it asked %d times", len(g.asked))
		}
		if got := tr.seen.attributes[TrainModelName]["RpoStatus"]; got != schemas.StatusCanceled {
			t.Errorf("status %v", got)
		}
	}
}

func TestAWaitingGangSaysWhatItWaitsFor(t *testing.T) {
	g := newGang(nil)
	g.withhold = true
	var s schemas.StageStatus
	g.try(t, `{"manifest":"m","nodes":3,"pool":"h100"}`, func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() { s = statusOf(t, env); env.CancelWorkflow() })
	})
	if s.Status != schemas.StatusRunning || !strings.Contains(s.Reason, "3 nodes of pool h100") {
		t.Errorf("status %+v", s)
	}
}
