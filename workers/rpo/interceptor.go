package main

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"rpo/workflows"
)

// beatEvery is well under the shortest heartbeat timeout that inputs may ask for.
const beatEvery = 500 * time.Millisecond

// activityInterceptor gives every activity what all of them need: failures
// become Temporal's by one rule, a ticker heartbeats with the last details, so
// that a slow call or upload does not look like a dead worker, a stopping worker
// ends them as its role says, and they are counted.
type activityInterceptor struct {
	interceptor.WorkerInterceptorBase
	role    role
	metrics *metrics
}

func (a *activityInterceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &inbound{of: a}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	of  *activityInterceptor
	out *outbound
}

func (in *inbound) Init(out interceptor.ActivityOutboundInterceptor) error {
	in.out = &outbound{}
	in.out.Next = out
	return in.Next.Init(in.out)
}

func (in *inbound) ExecuteActivity(ctx context.Context, input *interceptor.ExecuteActivityInput) (any, error) {
	in.out.activity = ctx
	if activity.GetInfo(ctx).HeartbeatTimeout > 0 {
		stop := make(chan struct{})
		var ticking sync.WaitGroup
		ticking.Go(func() {
			tick := time.NewTicker(beatEvery)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					in.out.repeat()
				case <-stop:
					return
				}
			}
		})
		defer ticking.Wait()
		defer close(stop)
	}
	shifted, over := in.of.role.begin(ctx)
	defer over()
	out, err := in.Next.ExecuteActivity(shifted, input)
	err = stopped(shifted, err)
	info := activity.GetInfo(ctx)
	in.of.metrics.ended(shifted, info.ActivityType.Name, out, err)
	var most int32
	if info.RetryPolicy != nil {
		most = info.RetryPolicy.MaximumAttempts
	}
	return out, workflows.AttemptError(err, info.Attempt, most)
}

// outbound remembers the last heartbeat.
type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	// activity is the context of the whole activity. The SDK keeps the context that
	// a heartbeat came with and sends later ones with it: were it that of a part
	// that has ended, the send would fail and the SDK cancel the activity.
	activity context.Context
	mu       sync.Mutex
	details  []any
}

func (o *outbound) RecordHeartbeat(_ context.Context, details ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.details = details
	o.Next.RecordHeartbeat(o.activity, details...)
}

func (o *outbound) repeat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Next.RecordHeartbeat(o.activity, o.details...)
}
