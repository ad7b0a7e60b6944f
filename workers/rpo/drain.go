package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"rpo/activities/chat"
	"rpo/schemas"
	"rpo/workflows"
)

// role is how the worker of one queue stops. Whoever stops the process must wait
// longer than its longest stop and flushTimeout before killing it.
type role struct {
	// stop bounds everything: when it is over, contexts are cancelled and the
	// process ends, whatever is unfinished.
	stop time.Duration
	// settle is how long all activities go on as if nothing were; after it, those
	// are cancelled that have no call to a model under way, and after finish all.
	// 0 leaves it to the activities.
	settle, finish time.Duration
}

// roles are by queue. A shard that is cancelled returns at once with what it has
// paid for flushed to the call cache, and Temporal gives it to another worker,
// instead of waiting for a heartbeat that never comes.
var roles = map[string]role{
	workflows.QueueWorkflows: {stop: 10 * time.Second},
	workflows.QueueIO:        {stop: 30 * time.Second, settle: 10 * time.Second, finish: 10 * time.Second},
	// The replies under way are paid for: most come within finish. Then finished
	// calls are flushed.
	workflows.QueueLLM: {stop: 40*time.Second + flushTimeout + 5*time.Second, settle: 3 * time.Second, finish: 40 * time.Second},
	// A gang watches the worker's stop itself: it writes a checkpoint and copies it
	// into the store.
	workflows.QueueGPU: {stop: 3 * time.Minute},
}

// errStopping is the cause of what is cancelled since its worker stops.
var errStopping = errors.New("the worker is shutting down")

// shift is one activity's time at a worker. It knows which calls to models are
// under way, so that these can end when the worker stops, and no new one begins.
type shift struct {
	role     role
	stopping <-chan struct{}
	end      context.CancelCauseFunc

	mu       sync.Mutex
	underWay int
	// idle is closed and replaced whenever the last call under way ends.
	idle chan struct{}
}

type shiftKey struct{}

// begin returns the context of an activity that ends as its role says. over must
// be called when the activity has ended.
func (r role) begin(ctx context.Context) (shifted context.Context, over func()) {
	if r.finish == 0 {
		return ctx, func() {}
	}
	s := &shift{role: r, stopping: activity.GetWorkerStopChannel(ctx), idle: make(chan struct{})}
	ctx, s.end = context.WithCancelCause(context.WithValue(ctx, shiftKey{}, s))
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	return ctx, func() {
		s.end(nil)
		watching.Wait()
	}
}

func (s *shift) watch(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-s.stopping:
	}
	settled, finished := time.NewTimer(s.role.settle), time.NewTimer(s.role.finish)
	defer settled.Stop()
	defer finished.Stop()
	select {
	case <-ctx.Done():
		return
	case <-settled.C:
	}
	for {
		s.mu.Lock()
		none, idle := s.underWay == 0, s.idle
		s.mu.Unlock()
		if none {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-idle:
			continue
		case <-finished.C:
		}
		break
	}
	s.end(errStopping)
}

// call counts a call under way; done must be called when it ends.
func (s *shift) call() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.underWay--; s.underWay == 0 {
			close(s.idle)
			s.idle = make(chan struct{})
		}
	}
}

// stopped makes the failure of an activity that its worker's stop ended: another
// worker tries again at once. What it spent stays counted. Any other outcome
// passes unchanged.
func stopped(ctx context.Context, err error) error {
	if err == nil || context.Cause(ctx) != errStopping {
		return err
	}
	out := schemas.Errorf(schemas.Overloaded, "%v: another worker goes on from here", errStopping)
	if e, ok := errors.AsType[*schemas.Error](err); ok {
		out.Spent = e.Spent
	}
	return out
}

// draining begins no call once the worker of the activity stops: it waits for
// the activity's end, which lets the calls under way end.
type draining struct{ chat.Completer }

func (c draining) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	s, ok := ctx.Value(shiftKey{}).(*shift)
	if !ok {
		return c.Completer.Complete(ctx, req)
	}
	select {
	case <-s.stopping:
		<-ctx.Done()
		return chat.Response{}, schemas.Errorf(schemas.Internal, "the call was not begun: %w", ctx.Err())
	default:
	}
	defer s.call()()
	return c.Completer.Complete(ctx, req)
}
