package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	nodepool "rpo/activities/pool"
	"rpo/activities/train"
	"rpo/schemas"
)

const (
	// gangAttempts is how often a gang is tried without having got further.
	gangAttempts = 10
	// firstPause and longestPause are the delays between attempts.
	firstPause, longestPause = time.Second, time.Minute
	// firstAsk and longestAsk are how long a gang waits before it asks its pool
	// again, which may have been terminated with all that it knew.
	firstAsk, longestAsk = time.Minute, time.Hour
)

// placed is an activity's input that takes a place in a gang.
type placed interface {
	At(*train.Place) any
}

// together is a gang on several hosts: one supervisor a host, which start, fail
// and go on from a checkpoint as one. Temporal never retries one of them alone.
type together[Out any] struct {
	name, activity string
	job            string
	options        schemas.TrainOptions
	run            schemas.RunOptions
	input          placed
	desk           *desk
	// tell shows the state in the current details.
	tell func()
	// suspects are the hosts that did not answer in the last attempt.
	suspects []string
}

// do tries until the gang has ended, or often enough without getting further.
func (t *together[Out]) do(ctx workflow.Context) (out Out, err error) {
	defer t.giveBack(ctx)
	reached := ""
	for failures := 0; failures < gangAttempts; failures++ {
		if failures > 0 {
			pause := min(firstPause<<(failures-1), longestPause)
			if err := workflow.NewTimerWithOptions(ctx, pause, workflow.TimerOptions{Summary: "before attempt " + fmt.Sprint(t.desk.requests+1)}).Get(ctx, nil); err != nil {
				return out, err
			}
		}
		var place train.Place
		out, place, err = t.attempt(ctx)
		if err == nil || ctx.Err() != nil || !retried(err) {
			return out, err
		}
		workflow.GetLogger(ctx).Warn("gang failed", "stage", t.name, "attempt", place.Attempt, "error", err)
		if place.Checkpoint > reached { // names sort by step; an attempt that did not open has none
			reached, failures = place.Checkpoint, 0
		}
	}
	return out, err
}

// retried reports whether another attempt may succeed.
func retried(err error) bool {
	if e, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return !e.NonRetryable()
	}
	return true
}

// attempt leases all nodes, opens the attempt on the first and runs one
// supervisor on each.
func (t *together[Out]) attempt(ctx workflow.Context) (out Out, place train.Place, err error) {
	nodes, request, err := t.lease(ctx)
	if err != nil {
		return out, place, err
	}
	t.suspects = nil
	opened := workflow.ExecuteActivity(withNode(ctx, HostQueue(nodes[0].Host), "open an attempt of "+t.name+" on "+nodes[0].Host), openGang,
		train.OpenGangInput{Job: t.job, Request: request, Address: nodes[0].Address})
	if err := opened.Get(ctx, &place); err != nil {
		t.suspect(nodes[0].Host, err)
		return out, place, err
	}
	place.Nodes = len(nodes)
	all, cancelAll := workflow.WithCancel(ctx)
	defer cancelAll()
	failures := make([]error, len(nodes))
	ended := workflow.NewSelector(ctx)
	var first error
	won := false
	for i, n := range nodes {
		at := place
		at.Rank = i
		summary := fmt.Sprintf("%s on %s, host %d of %d, attempt %d", t.name, n.Host, i+1, len(nodes), place.Attempt)
		f := workflow.ExecuteActivity(withRank(all, HostQueue(n.Host), summary, t.run), t.activity, t.input.At(&at))
		ended.AddFuture(f, func(f workflow.Future) {
			var result Out
			failures[i] = f.Get(ctx, &result)
			switch {
			case failures[i] == nil && i == 0:
				out, won = result, true
				cancelAll() // it has committed: the others have nothing left to do
			case failures[i] != nil && !won:
				t.suspect(n.Host, failures[i])
				if first == nil && !temporal.IsCanceledError(failures[i]) {
					first = failures[i]
				}
				cancelAll()
			}
		})
	}
	for range nodes {
		ended.Select(ctx)
	}
	switch {
	case won:
		return out, place, nil
	case ctx.Err() != nil:
		return out, place, ctx.Err()
	}
	// A rank that fails has its peers fail with a broken connection, maybe before it
	// has said why.
	for _, err := range failures {
		if err != nil && !temporal.IsCanceledError(err) && !retried(err) {
			first = err
		}
	}
	return out, place, first
}

// suspect notes a host whose worker did not answer.
func (t *together[Out]) suspect(host string, err error) {
	if _, silent := errors.AsType[*temporal.TimeoutError](err); silent && !slices.Contains(t.suspects, host) {
		t.suspects = append(t.suspects, host)
	}
}

// lease waits for as many nodes as the gang wants. What it had of an earlier
// request it gives back with this one.
func (t *together[Out]) lease(ctx workflow.Context) (nodes []schemas.LeasedNode, request string, err error) {
	info := workflow.GetInfo(ctx)
	t.desk.requests++
	request = fmt.Sprintf("%s/%d", info.OriginalRunID, t.desk.requests)
	ask := nodepool.LeaseInput{Pool: t.options.Pool, LeaseNodes: schemas.LeaseNodes{
		Holder: info.WorkflowExecution.ID, Request: request, Want: t.options.Nodes, GPUs: t.options.Processes,
		Priority: precedence(ctx, withRun).PriorityKey, Suspects: t.suspects,
	}}
	what := fmt.Sprintf("%d nodes of pool %s", t.options.Nodes, t.options.Pool)
	t.desk.status.Reason = "waits for " + what
	t.tell()
	for patience := firstAsk; ; patience = min(2*patience, longestAsk) {
		if err := workflow.ExecuteActivity(withRecords(ctx, "ask for "+what), requestNodes, ask).Get(ctx, nil); err != nil {
			return nil, request, err
		}
		given, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: patience,
			TimerOptions: workflow.TimerOptions{Summary: "until " + what + " are asked for again"}},
			func() bool { return t.desk.leased.Request == request })
		if err != nil {
			return nil, request, err
		}
		if given && len(t.desk.leased.Nodes) == t.options.Nodes {
			break
		}
		t.desk.leased = schemas.NodesLeased{}
	}
	t.desk.status.Reason = ""
	t.tell()
	return t.desk.leased.Nodes, request, nil
}

// giveBack ends the lease, or the wait for one, however the gang ended. A pool
// takes back what it never hears of when it sees that the run has ended.
func (t *together[Out]) giveBack(ctx workflow.Context) {
	if t.desk.requests == 0 {
		return
	}
	t.desk.status.Reason = ""
	free, _ := workflow.NewDisconnectedContext(ctx)
	back := nodepool.ReleaseInput{Pool: t.options.Pool, ReleaseNodes: schemas.ReleaseNodes{Holder: workflow.GetInfo(ctx).WorkflowExecution.ID}}
	err := workflow.ExecuteActivity(withRecords(free, "give nodes back to pool "+t.options.Pool), returnNodes, back).Get(free, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("give nodes back", "pool", t.options.Pool, "error", err)
	}
}
