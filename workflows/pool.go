package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	nodepool "rpo/activities/pool"
	"rpo/schemas"
)

// poolSteps, if not 0, has a pool continue as new after so many steps. Tests set it.
var poolSteps = 0

// ManageNodePool hands out the nodes of one pool for as long as it lives. It ends
// when it is cancelled; nodes and gangs start it again.
func ManageNodePool(ctx workflow.Context, in schemas.ManageNodePoolInput) (schemas.PoolStatus, error) {
	r := &poolRun{in: in, wake: workflow.NewBufferedChannel(ctx, 1)}
	if in.State != nil {
		r.PoolState = *in.State
	}
	if err := r.handle(ctx); err != nil {
		return schemas.PoolStatus{}, err
	}
	err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet("pool"), AttributeStatus.ValueSet(schemas.StatusRunning))
	if err != nil {
		return schemas.PoolStatus{}, err
	}
	err = r.serve(ctx)
	if ctx.Err() != nil {
		free, _ := workflow.NewDisconnectedContext(ctx)
		err = cmp.Or(ctx.Err(), workflow.UpsertTypedSearchAttributes(free, AttributeStatus.ValueSet(schemas.StatusCanceled)))
	}
	return r.status(in.Pool, workflow.Now(ctx)), err
}

// poolRun is one run of the workflow.
type poolRun struct {
	pool
	in schemas.ManageNodePoolInput
	// wake gets a value when an update changed the state.
	wake workflow.Channel
	// signals are read in their order of arrival by name, and all of them before a
	// run ends.
	signals []poolSignal
	steps   int
	// underWay counts the answers that are being sent and the checks of holders.
	underWay int
	checking bool
	// tick is the running timer, nil if there is nothing to look after.
	tick workflow.Future
}

type poolSignal struct {
	from workflow.ReceiveChannel
	take func(workflow.Context, converter.RawValue)
}

func (r *poolRun) serve(ctx workflow.Context) error {
	for ctx.Err() == nil {
		r.drainSignals(ctx)
		for _, l := range r.grant(workflow.Now(ctx)) {
			r.answer(ctx, l)
		}
		workflow.SetCurrentDetails(ctx, poolDetails(r.status(r.in.Pool, workflow.Now(ctx))))
		if r.steps > 0 && (workflow.GetInfo(ctx).GetContinueAsNewSuggested() || poolSteps > 0 && r.steps >= poolSteps) {
			err := workflow.Await(ctx, func() bool { return r.underWay == 0 && workflow.AllHandlersFinished(ctx) })
			if err != nil {
				return err
			}
			// From here on nothing may yield: a signal that came later would be lost.
			r.drainSignals(ctx)
			r.in.State = &r.PoolState
			return workflow.NewContinueAsNewError(ctx, ManageNodePoolName, r.in)
		}
		r.wait(ctx)
	}
	return ctx.Err()
}

// drainSignals takes all signals that have arrived.
func (r *poolRun) drainSignals(ctx workflow.Context) {
	for _, s := range r.signals {
		var raw converter.RawValue
		for s.from.ReceiveAsync(&raw) {
			r.steps++
			s.take(ctx, raw)
			raw = converter.RawValue{}
		}
	}
}

// wait returns when there is something to do.
func (r *poolRun) wait(ctx workflow.Context) {
	if r.tick == nil && !r.empty() {
		r.tick = workflow.NewTimerWithOptions(ctx, time.Duration(r.in.CheckEvery), workflow.TimerOptions{Summary: "look at nodes and holders"})
	}
	s := workflow.NewSelector(ctx)
	s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	s.AddReceive(r.wake, func(c workflow.ReceiveChannel, _ bool) { c.ReceiveAsync(nil) })
	for _, signal := range r.signals {
		s.AddReceive(signal.from, func(c workflow.ReceiveChannel, _ bool) {
			var raw converter.RawValue
			if c.ReceiveAsync(&raw) {
				r.steps++
				signal.take(ctx, raw)
			}
		})
	}
	if r.tick != nil {
		s.AddFuture(r.tick, func(workflow.Future) {
			r.tick = nil
			r.steps++
			r.forget(workflow.Now(ctx))
			r.check(ctx)
		})
	}
	s.Select(ctx)
}

// changed wakes the loop.
func (r *poolRun) changed() {
	r.steps++
	r.wake.SendAsync(nil)
}

// answer tells a holder which nodes it has. One that is gone gives them back.
func (r *poolRun) answer(ctx workflow.Context, l schemas.PoolLease) {
	given := schemas.NodesLeased{Request: l.Request}
	for _, host := range l.Hosts {
		if n := r.node(host); n != nil {
			given.Nodes = append(given.Nodes, schemas.LeasedNode{Host: host, Address: n.Address})
		}
	}
	r.underWay++
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.SignalExternalWorkflow(ctx, l.Holder, "", SignalNodesLeased, given).Get(ctx, nil)
		r.underWay--
		if err != nil && ctx.Err() == nil {
			workflow.GetLogger(ctx).Info("holder is gone", "holder", l.Holder, "error", err)
			r.release(schemas.ReleaseNodes{Holder: l.Holder, Request: l.Request})
		}
		r.changed()
	})
}

// check takes back what holders have that ended without giving it back.
func (r *poolRun) check(ctx workflow.Context) {
	if r.checking || len(r.Leases)+len(r.Waiting) == 0 {
		return
	}
	var ask []schemas.ReleaseNodes
	for _, l := range append(append([]schemas.PoolLease{}, r.Leases...), r.Waiting...) {
		ask = append(ask, schemas.ReleaseNodes{Holder: l.Holder, Request: l.Request})
	}
	r.checking = true
	r.underWay++
	workflow.Go(ctx, func(ctx workflow.Context) {
		var gone []schemas.ReleaseNodes
		err := workflow.ExecuteActivity(withRecords(ctx, fmt.Sprintf("look at %d holders", len(ask))), findGoneHolders, nodepool.FindGoneInput{Holders: ask}).Get(ctx, &gone)
		r.checking = false
		r.underWay--
		if err != nil {
			workflow.GetLogger(ctx).Warn("look at holders", "error", err)
		}
		for _, g := range gone {
			r.release(g)
		}
		r.changed()
	})
}

// handle registers the query, the signals and the updates with their twins.
func (r *poolRun) handle(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus,
		func() (schemas.PoolStatus, error) { return r.status(r.in.Pool, workflow.Now(ctx)), nil },
		workflow.QueryHandlerOptions{Description: "Nodes of the pool, who has them and who waits, as JSON."})
	if err != nil {
		return err
	}
	listen(ctx, r, SignalRegisterNode, "A node is there; workers send this.", func(ctx workflow.Context, n schemas.RegisterNode) { r.register(n, workflow.Now(ctx)) })
	listen(ctx, r, SignalNodeLeaves, "A node shuts down; workers send this.", func(_ workflow.Context, n schemas.NodeName) { r.leave(n.Host) })
	listen(ctx, r, SignalReleaseNodes, "A gang gives its nodes back; gangs send this.", func(_ workflow.Context, l schemas.ReleaseNodes) { r.release(l) })
	listen(ctx, r, SignalLeaseNodes, "A gang asks for nodes; gangs send this.", func(ctx workflow.Context, l schemas.LeaseNodes) {
		if granted := r.request(l, workflow.Now(ctx)); granted != nil {
			r.answer(ctx, *granted) // it asks again: the answer may have been lost
		}
	})
	known := func(n schemas.NodeName) error {
		if r.node(n.Host) == nil {
			return fmt.Errorf("pool %s has no node %q", r.in.Pool, n.Host)
		}
		return nil
	}
	for _, err := range []error{
		operate(ctx, r, UpdateDrain, `Give out a node no more: {"host": "gpu-1"}. Who has it keeps it. Returns the status.`, known,
			func(n schemas.NodeName) { r.drain(n.Host, true) }),
		operate(ctx, r, UpdateUndrain, `Give out a drained node again: {"host": "gpu-1"}. Returns the status.`, known,
			func(n schemas.NodeName) { r.drain(n.Host, false) }),
		operate(ctx, r, UpdateEvict, `Forget a lost node, also if a gang has it: {"host": "gpu-1"}. Returns the status.`,
			func(n schemas.NodeName) error {
				if err := known(n); err != nil {
					return err
				}
				if !lost(*r.node(n.Host), workflow.Now(ctx)) {
					return fmt.Errorf("node %q is alive: drain it, or stop its worker", n.Host)
				}
				return nil
			},
			func(n schemas.NodeName) { r.evict(n.Host) }),
		operate(ctx, r, UpdateRelease, `Take back what a workflow has or waits for: {"holder": "run-1/train"}. Returns the status.`,
			func(l schemas.ReleaseNodes) error {
				if !r.has(l) {
					return fmt.Errorf("workflow %q has nothing of pool %s and waits for nothing", l.Holder, r.in.Pool)
				}
				return nil
			},
			func(l schemas.ReleaseNodes) { r.release(l) }),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// listen has a signal's argument taken. One that does not decode means nothing.
func listen[T any](ctx workflow.Context, r *poolRun, name, description string, take func(workflow.Context, T)) {
	signals := workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
	r.signals = append(r.signals, poolSignal{from: signals, take: func(ctx workflow.Context, raw converter.RawValue) {
		if to, err := argument[T](raw); err == nil {
			take(ctx, to)
		} else {
			workflow.GetLogger(ctx).Warn("signal refused", "signal", name, "error", err)
		}
	}})
}

// operate registers an update of the pool with its signal twin.
func operate[T any](ctx workflow.Context, r *poolRun, name, description string, may func(T) error, do func(T)) error {
	allowed := func(raw converter.RawValue) (T, error) {
		to, err := argument[T](raw)
		if err == nil {
			if refused := may(to); refused != nil {
				err = ApplicationError(schemas.Errorf(schemas.InvalidInput, "%s: %w", name, refused))
			}
		}
		return to, err
	}
	asSignal, _, _ := strings.Cut(description, " Returns ") // a signal has no answer
	listen(ctx, r, name, asSignal, func(_ workflow.Context, to T) {
		if may(to) == nil {
			do(to)
		}
	})
	return workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, raw converter.RawValue) (schemas.PoolStatus, error) {
			to, err := allowed(raw)
			if err == nil {
				do(to)
				r.changed()
			}
			return r.status(r.in.Pool, workflow.Now(ctx)), err
		},
		workflow.UpdateHandlerOptions{Description: description, Validator: func(_ workflow.Context, raw converter.RawValue) error {
			_, err := allowed(raw)
			return err
		}})
}

// poolDetails is the state as Markdown.
func poolDetails(s schemas.PoolStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**pool %s**: %d nodes, %d free, %d waiting\n", s.Pool, len(s.Nodes), s.Free, len(s.Waiting))
	if len(s.Nodes) > 0 {
		b.WriteString("\n| node | address | GPUs | state | leased to | since |\n| --- | --- | --- | --- | --- | --- |\n")
	}
	for _, n := range s.Nodes {
		since := ""
		if !n.LeasedSince.IsZero() {
			since = n.LeasedSince.Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s |\n", n.Host, n.Address, n.GPUs, n.State, n.Holder, since)
	}
	if len(s.Waiting) > 0 {
		b.WriteString("\n| waiting | nodes | priority | since | |\n| --- | --- | --- | --- | --- |\n")
	}
	for _, w := range s.Waiting {
		note := ""
		if !w.Possible {
			note = "the pool has too few nodes"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s |\n", w.Holder, w.Want, w.Priority, w.Since.Format(time.RFC3339), note)
	}
	if s.Refused > 0 {
		fmt.Fprintf(&b, "\n%d times a node or a request found the pool full: start another pool.\n", s.Refused)
	}
	return b.String()
}
