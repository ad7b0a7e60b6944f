package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"rpo/activities/chat"
	"rpo/schemas"
	"rpo/workflows"
)

// never is longer than any test.
const never = time.Hour

// onDuty runs an activity in a worker of a role; stop stops the worker.
func onDuty(t *testing.T, r role, stop chan struct{}, do func(context.Context) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&activityInterceptor{role: r, metrics: newMetrics()}}})
	env.SetWorkerStopChannel(stop)
	env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: "Work"})
	_, err := env.ExecuteActivity("Work")
	return err
}

// slow is a model that answers when it is told to.
type slow struct{ begun, answer chan struct{} }

func (s slow) Complete(ctx context.Context, _ chat.Request) (chat.Response, error) {
	s.begun <- struct{}{}
	select {
	case <-s.answer:
		return chat.Response{Calls: 1}, nil
	case <-ctx.Done():
		return chat.Response{}, ctx.Err()
	}
}

func TestAStoppingWorkerLetsCallsUnderWayEndAndBeginsNone(t *testing.T) {
	stop, model := make(chan struct{}), slow{make(chan struct{}), make(chan struct{})}
	var paid chat.Response
	err := onDuty(t, role{finish: never}, stop, func(ctx context.Context) error {
		m, first := draining{model}, make(chan error)
		go func() {
			var err error
			paid, err = m.Complete(ctx, chat.Request{})
			first <- err
		}()
		<-model.begun
		close(stop)
		second := make(chan error)
		go func() {
			_, err := m.Complete(ctx, chat.Request{})
			second <- err
		}()
		close(model.answer)
		if err := <-first; err != nil {
			t.Errorf("the call under way failed: %v", err)
		}
		err := <-second // only once nothing is under way
		if !errors.Is(err, context.Canceled) || context.Cause(ctx) != errStopping {
			t.Errorf("the call after it: %v", err)
		}
		return &schemas.Error{Type: schemas.Internal, Message: "given up", Cause: err, Spent: schemas.Spending{Calls: 1}}
	})
	if paid.Calls != 1 {
		t.Errorf("got %+v", paid)
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || failure.Type() != string(schemas.Overloaded) || failure.NonRetryable() || errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		t.Fatalf("%v: it must be tried again, and not look cancelled", err)
	}
	var spent schemas.Spending
	if failure.Details(&spent) != nil || spent.Calls != 1 {
		t.Errorf("it spent %+v", spent)
	}
}

func TestACallThatTakesTooLongIsCutWhenTheWorkerStops(t *testing.T) {
	stop, model := make(chan struct{}), slow{make(chan struct{}, 1), make(chan struct{})}
	close(stop)
	err := onDuty(t, role{finish: time.Millisecond}, stop, func(ctx context.Context) error {
		s := ctx.Value(shiftKey{}).(*shift)
		s.count(1, 0) // begun before the stop
		defer s.count(-1, 0)
		_, err := model.Complete(ctx, chat.Request{})
		return err
	})
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); !ok || failure.Type() != string(schemas.Overloaded) {
		t.Errorf("%v", err)
	}
}

func TestWorkThatEndsWhileTheWorkerStopsCounts(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	if err := onDuty(t, role{finish: never}, stop, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := onDuty(t, role{finish: time.Millisecond}, stop, func(ctx context.Context) error { <-ctx.Done(); return nil }); err != nil {
		t.Errorf("it ended well after the cancel: %v", err)
	}
}

func TestAGangWatchesTheStopItself(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	err := onDuty(t, roles[workflows.QueueGPU], stop, func(ctx context.Context) error {
		<-activity.GetWorkerStopChannel(ctx)
		if ctx.Value(shiftKey{}) != nil {
			t.Error("it would be cancelled before its checkpoint is written")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEveryQueueHasARoleThatLeavesTimeForWhatItStops(t *testing.T) {
	if len(roles) != len(allQueues) {
		t.Errorf("%d roles of %d queues", len(roles), len(allQueues))
	}
	for _, queue := range allQueues {
		r, ok := roles[queue]
		if !ok || r.stop < 10*time.Second {
			t.Errorf("%s: %+v: a stop of 0 cancels everything at once", queue, r)
		}
		if r.finish > 0 && r.stop < r.finish+5*time.Second {
			t.Errorf("%s: %+v: nothing is left to return in", queue, r)
		}
	}
	if llm := roles[workflows.QueueLLM]; llm.stop < llm.finish+flushTimeout {
		t.Errorf("%+v: the last calls cannot be flushed", llm)
	}
	if got := longestStop([]string{workflows.QueueWorkflows, workflows.QueueIO}); got != roles[workflows.QueueIO].stop+flushTimeout {
		t.Errorf("the longest stop is %s", got)
	}
}
