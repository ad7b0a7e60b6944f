//go:build endtoend

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// trainers returns the commands of the trainer's processes whose files lie below
// a folder, by process id.
func trainers(t *testing.T, dir string) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that has ended meanwhile has no command.
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if line := strings.ReplaceAll(string(command), "\x00", " "); strings.Contains(line, "rpo_trainer") && strings.Contains(line, dir) {
			found[pid] = line
		}
	}
	return found
}

// stepsOf counts the steps in the event files below a work folder.
func stepsOf(work string) (n int) {
	files, _ := filepath.Glob(filepath.Join(work, "train", "*", "out", "events.jsonl"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		n += strings.Count(string(data), `"event": "step"`)
	}
	return n
}

// checkpoints returns the names of the checkpoints in the store, oldest first.
func checkpoints(t *testing.T, s store.Store) (names []string) {
	t.Helper()
	keys, err := s.List(t.Context(), "checkpoints/", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if name := filepath.Base(key); strings.HasPrefix(name, "step-") {
			names = append(names, name)
		}
	}
	return names
}

// last returns the last name, "" for none.
func last(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

func TestATrainingThatIsCancelledOrWhoseWorkerStopsGoesOnFromACheckpoint(t *testing.T) {
	l := startLocal(t)
	endpoint := scripted.New(t, scripted.PerChoice(answer))
	config := l.config(t, endpoint.URL)
	manifest := l.importProfiles(t, profiles(t, l.dir, 36), "--profiles-per-shard", "16")
	c, s := l.client(t), l.store(t)
	input := pipelineInput(manifest, 0)
	const steps = 40
	input.MaxSteps, input.CheckpointEvery, input.Processes, input.Epochs = steps, 1000, 2, 100
	work := filepath.Join(l.dir, "work")
	start := func() client.WorkflowRun {
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "cancelled", TaskQueue: workflows.QueueWorkflows}, workflows.RunPipelineName, input)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}

	_, kill := l.stoppable(t, config)
	defer kill()
	run := start()
	await(t, "two steps", func() bool { return stepsOf(work) >= 2 })
	if n := len(trainers(t, l.dir)); n < 3 {
		t.Fatalf("%d trainer processes, want torchrun and two ranks", n)
	}
	if err := c.CancelWorkflow(t.Context(), run.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); !temporal.IsCanceledError(err) {
		t.Fatalf("the cancelled run ended with %v", err)
	}
	await(t, "the end of all trainers", func() bool { return len(trainers(t, l.dir)) == 0 })
	await(t, "a copy of the checkpoint that the cancel made", func() bool { return len(checkpoints(t, s)) == 1 })
	cancelled := stepsOf(work)
	if cancelled >= steps {
		t.Fatal("training had ended before the cancel: give it more steps")
	}

	// The second run goes on in the same worker, which is then told to stop.
	kill()
	stop, kill := l.stoppable(t, config)
	defer kill()
	run = start()
	await(t, "two more steps", func() bool { return stepsOf(work) >= cancelled+2 })
	began := time.Now()
	stop()
	if took := time.Since(began); took > longestStop(allQueues) {
		t.Errorf("the worker took %s to stop, at most %s were announced", took, longestStop(allQueues))
	}
	if left := trainers(t, l.dir); len(left) > 0 {
		t.Errorf("the stopped worker left %v", left)
	}
	stopped := stepsOf(work)
	if stopped >= steps {
		t.Fatal("training had ended before the stop: give it more steps")
	}
	names := checkpoints(t, s)
	if len(names) != 2 || !strings.Contains(last(names), strconv.Itoa(stopped)) {
		t.Errorf("the store has the checkpoints %v, want a second one of step %d", names, stopped)
	}

	// A third worker without the local folder goes on from the store's checkpoint.
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
	l.worker(t, config)
	var summary schemas.Summary
	if err := run.Get(t.Context(), &summary); err != nil {
		t.Fatal(plainFailure(err))
	}
	if summary.TrainSteps != steps {
		t.Errorf("%d steps, want %d", summary.TrainSteps, steps)
	}
	for _, stage := range summary.Stages[:5] {
		if stage.Reused != stage.Shards {
			t.Errorf("stage %s made %d of %d shards again", stage.Stage, stage.Shards-stage.Reused, stage.Shards)
		}
	}
	checkSteps(t, s, summary, steps)
}

// stoppable starts a worker; stop ends it as an operator would and waits, kill
// as a crash would.
func (l *local) stoppable(t *testing.T, config string) (stop, kill func()) {
	t.Helper()
	log, err := os.CreateTemp(l.dir, "worker-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(l.root, "bin/rpo"), "worker", "--config", config)
	cmd.Stderr = log
	exited, err := train.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	end := func(signal os.Signal) {
		cmd.Process.Signal(signal)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		select {
		case <-exited:
		case <-ctx.Done():
			t.Error("the worker did not end")
		}
	}
	return func() { end(syscall.SIGTERM) }, func() { end(syscall.SIGKILL) }
}
