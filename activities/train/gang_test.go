package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/store"
	"rpo/schemas"
)

func open(t *testing.T, s store.Store, request string) Place {
	t.Helper()
	p, err := (&Activities{Store: s}).OpenGang(t.Context(), OpenGangInput{Job: "j", Request: request, Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnAttemptIsOpenedOnceAndReplacesThoseBefore(t *testing.T) {
	s := store.NewMemory("b")
	first := open(t, s, "run/1")
	if again := open(t, s, "run/1"); again.Attempt != 1 || first.Attempt != 1 || again.Port == 0 || again.Master != "127.0.0.1" {
		t.Errorf("opened %+v, then %+v", first, again)
	}
	if err := first.Fence(t.Context(), s, "j"); err != nil {
		t.Errorf("the newest attempt: %v", err)
	}
	second := open(t, s, "run/2")
	if second.Attempt != 2 {
		t.Errorf("the second attempt is %+v", second)
	}
	if err := first.Fence(t.Context(), s, "j"); schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "attempt 2 has replaced it") {
		t.Errorf("the first attempt may go on: %v", err)
	}
	if err := (*Place)(nil).Fence(t.Context(), s, "j"); err != nil {
		t.Errorf("a host alone: %v", err)
	}
}

func TestAttemptsThatOpenAtTheSameTimeGetDifferentNumbers(t *testing.T) {
	s := store.NewMemory("b")
	numbers := make([]int, 8)
	var opening sync.WaitGroup
	for i := range numbers {
		opening.Go(func() { numbers[i] = open(t, s, fmt.Sprint("run/", i)).Attempt })
	}
	opening.Wait()
	slices.Sort(numbers)
	if !slices.Equal(numbers, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("numbers %v", numbers)
	}
}

// host is one host of a gang of two, with a folder of its own.
func host(t *testing.T, s store.Store, p Place, rank int) parts {
	t.Helper()
	p.Rank, p.Nodes = rank, 2
	out := t.TempDir()
	if err := os.MkdirAll(filepath.Join(out, "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	return parts{store: s, job: "j", place: p, run: "run", out: out}
}

// write makes what the trainer leaves of a checkpoint on a host.
func (p parts) write(t *testing.T, step string, files ...string) string {
	t.Helper()
	dir := filepath.Join(p.out, "checkpoints", step)
	if p.place.Rank > 0 {
		dir += ".tmp"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(step+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The trainer was faster than the store.
	events := "{\"event\":\"checkpoint\",\"path\":\"elsewhere/" + step + "\"}\n{\"event\":\"checkpoint\",\"path\":\"elsewhere/step-999999\"}\n"
	if err := os.WriteFile(filepath.Join(p.out, eventsFile), []byte(events), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hurry(t *testing.T) {
	every, grace := watchEvery, partGrace
	watchEvery, partGrace = 4*time.Millisecond, time.Second
	t.Cleanup(func() { watchEvery, partGrace = every, grace })
}

func TestACheckpointIsStoredWhenTheFilesOfAllHostsAre(t *testing.T) {
	hurry(t)
	s := store.NewMemory("b")
	place := open(t, s, "run/1")
	one, two := host(t, s, place, 0), host(t, s, place, 1)
	dir := one.write(t, "step-000004", "__0_0.distcp", ".metadata", "COMMITTED")
	ended := make(chan struct{})
	following := make(chan error, 1)
	go func() { following <- two.follow(t.Context(), ended, nil) }()
	left := two.write(t, "step-000004", "__1_0.distcp")
	if err := one.save(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	close(ended)
	if err := <-following; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("host 1 keeps what it has stored")
	}

	// Both go on from the same, whatever they have.
	next := open(t, s, "run/2")
	if next.Checkpoint != "checkpoints/j/step-000004.json" {
		t.Fatalf("the next attempt goes on from %q", next.Checkpoint)
	}
	one.write(t, "step-000008", "__0_0.distcp")
	for _, h := range []parts{one, host(t, s, next, 1)} {
		h.place.Checkpoint = next.Checkpoint
		if err := h.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Join(h.out, "checkpoints"))
		if err != nil || len(entries) != 1 || entries[0].Name() != "step-000004" {
			t.Errorf("host %d has %v, %v", h.place.Rank, entries, err)
		}
		files, err := os.ReadDir(filepath.Join(h.out, "checkpoints", "step-000004"))
		if err != nil || len(files) != 4 {
			t.Errorf("host %d has %v of the checkpoint, %v", h.place.Rank, files, err)
		}
		f := follower{path: filepath.Join(h.out, eventsFile)}
		if f.Progress(); fmt.Sprint(f.checkpoints) != "[elsewhere/step-000004]" {
			t.Errorf("host %d is told of %v", h.place.Rank, f.checkpoints)
		}
		// Its event line is there again, but not the checkpoint to be stored.
		if err := h.save(t.Context(), filepath.Join(h.out, "checkpoints", "step-000004"), nil); err != nil {
			t.Error(err)
		}
	}
	if keys, err := s.List(t.Context(), "checkpoints/j/parts/000002", "", 0); err != nil || len(keys) != 0 {
		t.Errorf("the second attempt stored %v, %v", keys, err)
	}
}

func TestACheckpointWithoutAllPartsIsNoCheckpoint(t *testing.T) {
	hurry(t)
	s := store.NewMemory("b")
	one := host(t, s, open(t, s, "run/1"), 0)
	dir := one.write(t, "step-000004", "__0_0.distcp")
	over := make(chan struct{})
	close(over)
	began := time.Now()
	if err := one.save(t.Context(), dir, over); schemas.TypeOf(err) != schemas.Overloaded {
		t.Errorf("saved without the other host: %v", err)
	}
	if took := time.Since(began); took > partGrace/2 {
		t.Errorf("it waited %s for a host that is gone", took)
	}
	if next := open(t, s, "run/2"); next.Checkpoint != "" {
		t.Errorf("the next attempt goes on from %s", next.Checkpoint)
	}
}

func TestAZombieOfAnOldAttemptCommitsNoCheckpoint(t *testing.T) {
	hurry(t)
	s := store.NewMemory("b")
	place := open(t, s, "run/1")
	one, two := host(t, s, place, 0), host(t, s, place, 1)
	dir := one.write(t, "step-000004", "__0_0.distcp")
	two.write(t, "step-000004", "__1_0.distcp")
	open(t, s, "run/2")
	following, stop := context.WithCancel(t.Context())
	var stored sync.WaitGroup
	stored.Go(func() { two.follow(following, nil, nil) })
	err := one.save(t.Context(), dir, nil)
	stop()
	stored.Wait()
	if err == nil || !strings.Contains(err.Error(), "may not commit") {
		t.Errorf("the zombie's checkpoint: %v", err)
	}
	if keys, err := s.List(t.Context(), "checkpoints/j/step-", "", 0); err != nil || len(keys) != 0 {
		t.Errorf("committed %v, %v", keys, err)
	}
}

func TestAZombieOfAnOldAttemptCommitsNoModel(t *testing.T) {
	j := newJob(t, finish)
	open := func(request string) Place {
		p, err := (&Activities{Store: j.store}).OpenGang(t.Context(), OpenGangInput{Job: j.in.Job, Request: request, Address: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		p.Nodes = 2
		return p
	}
	old, current := open("run/1"), open("run/2")
	j.in.Gang = &old
	if _, err := j.train(t); err == nil || !strings.Contains(err.Error(), "attempt 2 has replaced it") {
		t.Errorf("the old attempt ended with %v", err)
	}
	follower := current
	follower.Rank = 1
	j.in.Gang = &follower
	if out, err := j.train(t); err != nil || out.Model != "" {
		t.Errorf("host 1 returns %+v, %v", out, err)
	}
	j.in.Gang = &current
	if out, err := j.train(t); err != nil || out.TrainSteps != 2 || j.ran() != 3 {
		t.Errorf("host 0 returns %+v, %v after %d runs", out, err, j.ran())
	}
}

func TestTheHostsOfAGangStartOneTorchrunTogether(t *testing.T) {
	n := Node{Python: "python", PackageDir: "trainer", Address: "127.0.0.1"}
	p := &Place{Attempt: 3, Rank: 1, Nodes: 2, Master: "10.0.0.1", Port: 4711}
	command := strings.Join(n.command(Input{TrainOptions: schemas.TrainOptions{Processes: 8}, Gang: p}, "train.json"), " ")
	for _, flag := range []string{"--nnodes 2", "--node-rank 1", "--nproc-per-node 8", "--master-addr 10.0.0.1", "--master-port 4711", "--rdzv-id attempt-3", "--max-restarts=0"} {
		if !strings.Contains(command, flag) {
			t.Errorf("%q lacks %s", command, flag)
		}
	}
	if env := n.GangEnv(p); !slices.Contains(env, "GLOO_SOCKET_IFNAME=lo") || !slices.Contains(env, "NCCL_SOCKET_IFNAME=lo") {
		t.Errorf("environment %v", env)
	}
	if env := n.GangEnv(nil); len(env) != 2 {
		t.Errorf("a host alone gets %v", env)
	}
	if alone := n.command(Input{TrainOptions: schemas.TrainOptions{Processes: 1}}, "train.json"); !slices.Contains(alone, "--standalone") {
		t.Errorf("a host alone runs %v", alone)
	}
}
