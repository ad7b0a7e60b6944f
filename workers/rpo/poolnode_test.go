package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"rpo/activities/pool"
	"rpo/schemas"
	"rpo/workflows"
)

func configOf(t *testing.T, text string) (config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(path)
}

func TestAWorkerJoinsAPoolByItsConfiguration(t *testing.T) {
	c, err := configOf(t, `{"pool": {"host": "gpu-1"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := (poolNode{Name: "default", Host: "gpu-1", Address: "127.0.0.1", RegisterEvery: schemas.Duration(time.Minute)}); *c.Pool != want {
		t.Errorf("got %+v, want %+v", *c.Pool, want)
	}
	if got := c.Pool.queues([]string{workflows.QueueIO, workflows.QueueGPU}); !slices.Equal(got, []string{"rpo-io", "rpo-gpu-gpu-1", "rpo-pool-default"}) {
		t.Errorf("it serves %v", got)
	}
	if got := c.node().Address; got != "127.0.0.1" {
		t.Errorf("the trainer's address is %q", got)
	}
	alone, err := configOf(t, `{}`)
	if err != nil || alone.Pool != nil || !slices.Equal(alone.Pool.queues(allQueues), allQueues) {
		t.Errorf("without a pool it serves %v, %v", alone.Pool.queues(allQueues), err)
	}
	if roleOf("rpo-gpu-gpu-1") != roles[workflows.QueueGPU] || roleOf("rpo-pool-default").stop == 0 {
		t.Error("the queues of a pool have no role")
	}
	for input, says := range map[string]string{
		`{"pool": {"name": "a/b"}}`:          "pool: name",
		`{"pool": {"host": "a b"}}`:          "pool: host",
		`{"pool": {"gpus": -1}}`:             "pool: gpus",
		`{"pool": {"register_every":"1ms"}}`: "pool: register_every",
		`{"pool": {"addres": "10.0.0.1"}}`:   "pool.addres",
	} {
		if _, err := configOf(t, input); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to name %s", input, err, says)
		}
	}
}

// listener notes what a pool is told.
type listener struct {
	pool.Temporal
	mu   sync.Mutex
	told []string
	both chan struct{}
}

func (l *listener) SignalWithStartWorkflow(_ context.Context, id, signal string, arg any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprintf("%s %s %+v", id, signal, arg))
	if len(l.told) == 2 {
		close(l.both)
	}
	return nil, errors.New("try again") // it goes on telling
}

func (l *listener) SignalWorkflow(_ context.Context, id, _, signal string, arg any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprintf("%s %s %+v", id, signal, arg))
	return nil
}

func TestANodeStaysRegisteredUntilItsWorkerStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	l := &listener{both: make(chan struct{})}
	n := poolNode{Name: "h100", Host: "gpu-1", Address: "10.0.0.1", GPUs: 8, RegisterEvery: schemas.Duration(5 * time.Millisecond)}
	var staying sync.WaitGroup
	staying.Go(func() { n.stay(ctx, l, slog.New(slog.DiscardHandler)) })
	<-l.both
	stop()
	staying.Wait()
	for _, told := range l.told[:2] {
		if want := "pool-h100 register_node {Host:gpu-1 Address:10.0.0.1 GPUs:8 ValidFor:"; !strings.HasPrefix(told, want) {
			t.Errorf("the pool is told %s", told)
		}
	}
	if last := l.told[len(l.told)-1]; last != "pool-h100 node_leaves {Host:gpu-1}" {
		t.Errorf("the last is %s", last)
	}
}
