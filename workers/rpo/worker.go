package main

import (
	"cmp"
	"context"
	"flag"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"rpo/activities/chat"
	"rpo/activities/dialogue"
	"rpo/activities/evaluate"
	"rpo/activities/experiment"
	"rpo/activities/judge"
	"rpo/activities/pair"
	"rpo/activities/pool"
	"rpo/activities/profile"
	"rpo/activities/promote"
	"rpo/activities/reference"
	"rpo/activities/refresh"
	"rpo/activities/report"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

var allQueues = []string{workflows.QueueWorkflows, workflows.QueueIO, workflows.QueueLLM, workflows.QueueGPU}

// metricsEnv is the default of --metrics-address.
const metricsEnv = "RPO_METRICS_ADDRESS"

func workerCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	queues := flags.String("queues", strings.Join(allQueues, ","), "task queues to serve, comma-separated")
	file := flags.String("config", "", "worker configuration (default $"+configEnv+")")
	workDir := flags.String("work-dir", "", "folder for local data, over the configuration's work_dir")
	ui := flags.String("ui", "", "address of the web UI for links, over the configuration's ui")
	address := flags.String("metrics-address", os.Getenv(metricsEnv), "address of /healthz, /readyz and /metrics, such as 127.0.0.1:9464; without a host, loopback (default $"+metricsEnv+", none)")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	names, err := parseQueues(*queues)
	if err != nil {
		return err
	}
	c, err := loadConfig(*file)
	if err != nil {
		return err
	}
	c.WorkDir, c.UI = cmp.Or(*workDir, c.WorkDir), cmp.Or(*ui, c.UI)
	if err := os.MkdirAll(c.WorkDir, 0o755); err != nil {
		return schemas.Errorf(schemas.InvalidInput, "make work_dir: %w", err)
	}
	version, err := deployment()
	if err != nil {
		return err
	}
	secret, err := c.codec()
	if err != nil {
		return err
	}
	if secret != nil {
		secret.patient = true
	}
	logger := newLogger(slog.LevelInfo)
	s, err := openStore(ctx, c.Bucket)
	if err != nil {
		return err
	}
	counts := newMetrics()
	temporal, err := dialWith(ctx, logger, secret, counts.sdk.handler())
	if err != nil {
		return err
	}
	defer temporal.Close()
	at, err := connection()
	if err != nil {
		return err
	}
	m := newModels(c, s, counts)
	defer m.close()
	counts.registry.MustRegister(m)
	state := &health{checks: []check{
		{"Temporal", func(ctx context.Context) error {
			_, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
		{"bucket", s.Check},
	}}
	if *address != "" && slices.Contains(names, workflows.QueueWorkflows) {
		watched, err := watchSchedules(ctx, c, logger)
		if err != nil {
			return err
		}
		defer watched.of.client.Close()
		counts.registry.MustRegister(watched)
	}
	if *address != "" {
		l, err := listen(*address)
		if err != nil {
			return err
		}
		defer serveHTTP(l, state.handler(counts.handler()))()
		logger.Info("serving health and metrics", "address", "http://"+l.Addr().String())
	}
	names = c.Pool.queues(names)
	workflows.LinkObjects(c.Objects)
	all := fleet{activities: activities(c, s, m, at.Namespace), version: version, metrics: counts, fatal: make(chan error, len(names))}
	var running []worker.Worker
	defer func() {
		state.draining()
		stopAll(running)
	}()
	for _, queue := range names {
		w := all.worker(temporal, queue)
		if err := w.Start(); err != nil {
			return schemas.Errorf(schemas.Overloaded, "start worker of queue %s: %w", queue, err)
		}
		running = append(running, w)
	}
	if c.Pool != nil && slices.Contains(names, workflows.HostQueue(c.Pool.Host)) {
		// No gang gets a host that is about to stop.
		in, out := context.WithCancel(ctx)
		var staying sync.WaitGroup
		staying.Go(func() { c.Pool.stay(in, temporal, logger) })
		defer func() { out(); staying.Wait() }()
	}
	state.started()
	logger.Info("worker started", "queues", names, "bucket", c.Bucket, "encrypted", secret != nil, "version", version.Version.BuildID)
	select {
	case <-ctx.Done():
		logger.Info("worker stopping", "at_most", longestStop(names).String())
		return nil
	case err := <-all.fatal:
		return schemas.Errorf(schemas.Internal, "worker: %w", err)
	}
}

// parseQueues reads a comma-separated list of task queues.
func parseQueues(list string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(allQueues, name) {
			return nil, schemas.Errorf(usageError, "flag --queues: unknown queue %q, known are %s", name, strings.Join(allQueues, ", "))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// longestStop is how long the workers of these queues may take to stop, and what
// they have paid for to be flushed.
func longestStop(queues []string) (longest time.Duration) {
	for _, queue := range queues {
		longest = max(longest, roleOf(queue).stop)
	}
	return longest + flushTimeout
}

// stopAll stops workers at the same time: each may need the whole stop of its
// role, and who stops a process waits little longer than that before it kills it.
func stopAll(running []worker.Worker) {
	var stopping sync.WaitGroup
	for _, w := range running {
		stopping.Go(w.Stop)
	}
	stopping.Wait()
}

// fleet is what the workers of all queues share.
type fleet struct {
	activities []any
	version    worker.DeploymentOptions
	metrics    *metrics
	fatal      chan error
}

// worker makes the worker of one queue. Which activities run where is the matter
// of workflows; every activity worker knows all of them.
func (f fleet) worker(temporal client.Client, queue string) worker.Worker {
	o := worker.Options{
		WorkerStopTimeout: roleOf(queue).stop,
		DeploymentOptions: f.version,
		Interceptors:      []interceptor.WorkerInterceptor{&activityInterceptor{role: roleOf(queue), metrics: f.metrics}},
		OnFatalError:      func(err error) { f.fatal <- err },
		// What a killed worker had spent is known to its last heartbeat.
		MaxHeartbeatThrottleInterval:     2 * time.Second,
		DefaultHeartbeatThrottleInterval: 2 * time.Second,
	}
	switch {
	case queue == workflows.QueueWorkflows:
		o.LocalActivityWorkerOnly = true
	case ownsDevices(queue):
		// One gang at a time owns the node's devices.
		o.MaxConcurrentActivityExecutionSize, o.DisableWorkflowWorker = 1, true
	default:
		o.DisableWorkflowWorker = true
	}
	w := worker.New(temporal, queue, o)
	if queue == workflows.QueueWorkflows {
		workflows.Register(w)
		return w
	}
	for _, a := range f.activities {
		w.RegisterActivityWithOptions(a, activity.RegisterOptions{})
	}
	return w
}

func activities(c config, s store.Store, m *models, namespace string) []any {
	node := c.node()
	return []any{
		&store.Activities{Store: s},
		&pool.Activities{Workflow: workflows.ManageNodePoolName, Queue: workflows.QueueWorkflows,
			Lease: workflows.SignalLeaseNodes, Release: workflows.SignalReleaseNodes},
		&chat.Activities{Models: m},
		&sample.Activities{Store: s, Models: m},
		&judge.Activities{Store: s, Models: m},
		&profile.Activities{Store: s, Models: m},
		&dialogue.Activities{Store: s, Models: m},
		&reverse.Activities{Store: s, Models: m},
		&pair.Activities{Store: s, Models: m},
		&reference.Activities{Store: s, Node: node},
		&train.Activities{Store: s, Node: node, Endpoints: m},
		&evaluate.Activities{Store: s, Models: m},
		&refresh.Activities{Store: s},
		&promote.Activities{Store: s},
		&experiment.Activities{Store: s},
		&report.Activities{Store: s, UI: c.UI, Namespace: namespace},
	}
}
