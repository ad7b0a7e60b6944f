package main

import (
	"context"
	"errors"
	"strings"
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
	// finish is how long activities may go on. One that cannot, since all that it
	// has left is to call a model again, is cancelled before. 0 leaves the stop to
	// the activities.
	finish time.Duration
}

// roles are by queue. A shard that is cancelled returns at once with what it has
// paid for flushed to the call cache, and Temporal gives it to another worker,
// instead of waiting for a heartbeat that never comes.
var roles = map[string]role{
	workflows.QueueWorkflows: {stop: 10 * time.Second},
	workflows.QueueIO:        {stop: 30 * time.Second, finish: 15 * time.Second},
	// The replies under way are paid for: most come within finish. Then finished
	// calls are flushed.
	workflows.QueueLLM: {stop: 40*time.Second + flushTimeout + 5*time.Second, finish: 40 * time.Second},
	// A gang watches the worker's stop itself: it writes a checkpoint and copies it
	// into the store.
	workflows.QueueGPU: {stop: gpuStop},
}

// roleOf is the role of a queue. A host's own queue is that of its GPUs; on its
// pool's it only looks at files.
func roleOf(queue string) role {
	switch {
	case ownsDevices(queue):
		queue = workflows.QueueGPU
	case strings.HasPrefix(queue, workflows.PoolQueue("")):
		queue = workflows.QueueIO
	}
	return roles[queue]
}

// ownsDevices reports whether a queue hands out a host's GPUs, one activity at a
// time.
func ownsDevices(queue string) bool {
	return queue == workflows.QueueGPU || strings.HasPrefix(queue, workflows.HostQueue(""))
}

// gpuStop is the longest stop of all roles.
const gpuStop = 3 * time.Minute

// errStopping is the cause of what is cancelled since its worker stops.
var errStopping = errors.New("the worker is shutting down")

// shift is one activity's time at a worker. It knows its calls to models, so that
// these can end when the worker stops, and no further one begins.
type shift struct {
	stopping <-chan struct{}
	// stuck is closed when the worker stops, no call is under way and one waits.
	stuck chan struct{}

	mu                sync.Mutex
	underWay, waiting int
}

type shiftKey struct{}

// begin returns the context of an activity that ends as its role says. over must
// be called when the activity has ended.
func (r role) begin(ctx context.Context) (shifted context.Context, over func()) {
	if r.finish == 0 {
		return ctx, func() {}
	}
	s := &shift{stopping: activity.GetWorkerStopChannel(ctx), stuck: make(chan struct{})}
	shifted, end := context.WithCancelCause(context.WithValue(ctx, shiftKey{}, s))
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(shifted, r.finish, end) })
	return shifted, func() {
		end(nil)
		watching.Wait()
	}
}

func (s *shift) watch(ctx context.Context, finish time.Duration, end context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
		return
	case <-s.stopping:
	}
	late := time.NewTimer(finish)
	defer late.Stop()
	select {
	case <-ctx.Done():
	case <-s.stuck:
		end(errStopping)
	case <-late.C:
		end(errStopping)
	}
}

// count changes the numbers of calls under way and waiting.
func (s *shift) count(underWay, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay += underWay
	s.waiting += waiting
	if s.underWay == 0 && s.waiting > 0 {
		select {
		case <-s.stuck:
		default:
			close(s.stuck)
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

// draining begins no call once the worker of the activity stops: the call waits
// for the activity's end, which comes when those under way have ended. Those that
// wait in the endpoint's limiter are under way, too.
type draining struct{ chat.Completer }

func (c draining) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	s, ok := ctx.Value(shiftKey{}).(*shift)
	if !ok {
		return c.Completer.Complete(ctx, req)
	}
	select {
	case <-s.stopping:
		s.count(0, 1)
		<-ctx.Done()
		return chat.Response{}, schemas.Errorf(schemas.Internal, "the call was not begun: %w", ctx.Err())
	default:
	}
	s.count(1, 0)
	defer s.count(-1, 0)
	return c.Completer.Complete(ctx, req)
}
