package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// translated is an activity whose errors pass through ApplicationError, which is
// what the worker's interceptor does.
func translated(activity any) any {
	f := reflect.ValueOf(activity)
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		out := f.Call(args)
		last := len(out) - 1
		err, _ := out[last].Interface().(error)
		out[last] = reflect.Zero(out[last].Type())
		if err := ApplicationError(err); err != nil {
			out[last] = reflect.ValueOf(&err).Elem()
		}
		return out
	}).Interface()
}

// silent discards logs.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

var _ log.Logger = silent{}

// trial is one execution of a workflow against a world, with its continuations.
type trial struct {
	t    *testing.T
	runs int
	err  error
	seen observer
}

// nothing starts a workflow without any input.
type nothing struct{}

// try executes a workflow until it no longer continues as new. The functions of
// during are called with the environment of each run before it starts.
func try(t *testing.T, w *world, name string, input any, during ...func(*testsuite.TestWorkflowEnvironment)) *trial {
	t.Helper()
	tr := &trial{}
	tr.run(t, w, name, input, during...)
	return tr
}

func (tr *trial) run(t *testing.T, w *world, name string, input any, during ...func(*testsuite.TestWorkflowEnvironment)) {
	t.Helper()
	tr.t = t
	tr.seen.attributes = map[string]map[string]any{}
	for {
		var suite testsuite.WorkflowTestSuite
		suite.SetLogger(silent{})
		env := suite.NewTestWorkflowEnvironment()
		// The detector means real time, and a test machine may be slow.
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&tr.seen}, DeadlockDetectionTimeout: time.Minute})
		env.SetDataConverter(&weighing{DataConverter: converter.GetDefaultDataConverter(), seen: &tr.seen})
		env.SetTestTimeout(2 * time.Minute)
		Register(env)
		w.register(env)
		for _, f := range during {
			f(env)
		}
		tr.runs++
		if tr.runs > 200 {
			t.Fatalf("%s continues for ever", name)
		}
		if _, none := input.(nothing); none {
			env.ExecuteWorkflow(name)
		} else {
			env.ExecuteWorkflow(name, input)
		}
		if !env.IsWorkflowCompleted() {
			t.Fatalf("%s did not end", name)
		}
		tr.err = env.GetWorkflowError()
		again, ok := errors.AsType[*workflow.ContinueAsNewError](tr.err)
		if !ok {
			if tr.err == nil {
				var raw json.RawMessage
				if err := env.GetWorkflowResult(&raw); err != nil {
					t.Fatal(err)
				}
				tr.seen.result = raw
			}
			return
		}
		if again.WorkflowType.Name != name {
			t.Fatalf("%s continues as %s", name, again.WorkflowType.Name)
		}
		input = json.RawMessage(again.Input.GetPayloads()[0].GetData())
	}
}

// get decodes the result and fails the test if there is none.
func (tr *trial) get(into any) {
	tr.t.Helper()
	if tr.err != nil {
		tr.t.Fatal(tr.err)
	}
	if err := json.Unmarshal(tr.seen.result, into); err != nil {
		tr.t.Fatal(err)
	}
}

// failure is the innermost application error.
func (tr *trial) failure() *temporal.ApplicationError {
	tr.t.Helper()
	var inner *temporal.ApplicationError
	for e := tr.err; e != nil; e = errors.Unwrap(e) {
		if a, ok := e.(*temporal.ApplicationError); ok {
			inner = a
		}
	}
	if inner == nil {
		tr.t.Fatalf("got %v, want an application error", tr.err)
	}
	return inner
}

// activityCall is one activity as a workflow scheduled it.
type activityCall struct {
	workflow, name string
	options        workflow.ActivityOptions
	args           []any
}

// observer notes what workflows ask of Temporal.
type observer struct {
	interceptor.WorkerInterceptorBase

	mu         sync.Mutex
	activities []activityCall
	children   []workflow.ChildWorkflowOptions
	// attributes are the search attributes by workflow type and name, changes the
	// statuses in their order.
	attributes map[string]map[string]any
	statuses   []string
	// inFlight are the unfinished activities that work on shards, most their
	// greatest number.
	inFlight []workflow.Future
	most     int
	// heaviest is the largest payload.
	heaviest []byte
	payloads int
	result   json.RawMessage
}

func (o *observer) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &inboundObserver{seen: o}
	in.Next = next
	return in
}

type inboundObserver struct {
	interceptor.WorkflowInboundInterceptorBase
	seen *observer
}

func (in *inboundObserver) Init(out interceptor.WorkflowOutboundInterceptor) error {
	o := &outboundObserver{seen: in.seen}
	o.Next = out
	return in.Next.Init(o)
}

type outboundObserver struct {
	interceptor.WorkflowOutboundInterceptorBase
	seen *observer
}

var shardActivities = []string{generateShard, dialogueShard, sampleShard, judgeShard, reverseShard, pairShard, evaluateShard}

func (o *outboundObserver) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	f := o.Next.ExecuteActivity(ctx, name, args...)
	s := o.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	s.activities = append(s.activities, activityCall{workflow.GetInfo(ctx).WorkflowType.Name, name, workflow.GetActivityOptions(ctx), args})
	if slices.Contains(shardActivities, name) && !strings.HasPrefix(workflow.GetActivityOptions(ctx).Summary, "estimate ") {
		s.inFlight = append(slices.DeleteFunc(s.inFlight, workflow.Future.IsReady), f)
		s.most = max(s.most, len(s.inFlight))
	}
	return f
}

func (o *outboundObserver) ExecuteChildWorkflow(ctx workflow.Context, name string, args ...any) workflow.ChildWorkflowFuture {
	o.seen.mu.Lock()
	o.seen.children = append(o.seen.children, workflow.GetChildWorkflowOptions(ctx))
	o.seen.mu.Unlock()
	return o.Next.ExecuteChildWorkflow(ctx, name, args...)
}

func (o *outboundObserver) UpsertTypedSearchAttributes(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) error {
	s := o.seen
	s.mu.Lock()
	name := workflow.GetInfo(ctx).WorkflowType.Name
	if s.attributes[name] == nil {
		s.attributes[name] = map[string]any{}
	}
	set := temporal.NewSearchAttributes(updates...)
	for key, value := range set.GetUntypedValues() {
		s.attributes[name][key.GetName()] = value
	}
	if status, ok := set.GetKeyword(AttributeStatus); ok && (len(s.statuses) == 0 || s.statuses[len(s.statuses)-1] != name+" "+status) {
		s.statuses = append(s.statuses, name+" "+status)
	}
	s.mu.Unlock()
	return o.Next.UpsertTypedSearchAttributes(ctx, updates...)
}

// weighing is the default converter; it notes the largest payload.
type weighing struct {
	converter.DataConverter
	seen *observer
}

func (w *weighing) weigh(p *commonpb.Payload) {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	w.seen.payloads++
	if len(p.GetData()) > len(w.seen.heaviest) {
		w.seen.heaviest = slices.Clone(p.GetData())
	}
}

func (w *weighing) ToPayload(value any) (*commonpb.Payload, error) {
	p, err := w.DataConverter.ToPayload(value)
	w.weigh(p)
	return p, err
}

func (w *weighing) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	ps, err := w.DataConverter.ToPayloads(values...)
	for _, p := range ps.GetPayloads() {
		w.weigh(p)
	}
	return ps, err
}

// object is a workflow input as a person writes it.
func object(format string, args ...any) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(format, args...))
}

// decisions collects what became of updates.
type decisions struct {
	accepted, rejected []error
	results            []any
}

func (d *decisions) Accept() { d.accepted = append(d.accepted, nil) }
func (d *decisions) Reject(err error) {
	d.rejected = append(d.rejected, err)
}
func (d *decisions) Complete(result any, err error) { d.results = append(d.results, result) }
