package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rpo/schemas"
)

func init() { watchEvery, stopGrace = 10*time.Millisecond, 300*time.Millisecond }

// shell is a process that runs a script and makes no progress.
func shell(t *testing.T, script string) Process {
	dir := t.TempDir()
	return Process{
		Command: []string{"/bin/sh", "-c", script}, Dir: dir, Log: filepath.Join(dir, "log"), Env: []string{"WORD=from the environment"},
		Progress: func() schemas.Heartbeat { return schemas.Heartbeat{} }, Beat: func(schemas.Heartbeat) {}, Stall: time.Minute,
	}
}

// awaitFile polls for a file that another process writes whole.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	for range 1000 {
		if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
			return strings.TrimSpace(string(data))
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not appear", path)
	return ""
}

// awaitDead polls until a process has ended. Nobody may be there to reap it.
func awaitDead(t *testing.T, pid string) {
	t.Helper()
	for range 500 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %s is still there", pid)
}

func TestAProcessThatEndsWellLeavesItsOutputInTheLog(t *testing.T) {
	p := shell(t, `echo "$WORD"; echo warning >&2`)
	if err := os.WriteFile(p.Log, []byte("an earlier attempt\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(p.Log)
	if want := "an earlier attempt\nfrom the environment\nwarning\n"; err != nil || string(data) != want {
		t.Errorf("the log is %q, %v, want %q", data, err, want)
	}
}

func TestAFailedProcessIsReportedWithTheEndOfItsLog(t *testing.T) {
	p := shell(t, `yes noise | head -1000; echo "ValueError: the true reason" >&2; exit 3`)
	err := p.Run(t.Context())
	if schemas.TypeOf(err) != schemas.Internal || len(err.Error()) > 1024 {
		t.Fatalf("%v of type %s", err, schemas.TypeOf(err))
	}
	for _, part := range []string{"exit status 3", p.Log, "ValueError: the true reason"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestAProgramThatIsNotThereIsTheConfigurationsFault(t *testing.T) {
	p := shell(t, "")
	p.Command = []string{"/no/such/python", "-m", "rpo_trainer.train"}
	err := p.Run(t.Context())
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "/no/such/python") || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("%v of type %s", err, schemas.TypeOf(err))
	}
}

func TestAProcessWithoutProgressIsKilled(t *testing.T) {
	p := shell(t, `sleep 60`)
	p.Stall = 50 * time.Millisecond
	p.Progress = func() schemas.Heartbeat { return schemas.Heartbeat{Done: 7, Total: 9} }
	err := p.Run(t.Context())
	if schemas.TypeOf(err) != schemas.Stalled || !strings.Contains(err.Error(), "step 7 of 9") {
		t.Errorf("%v of type %s", err, schemas.TypeOf(err))
	}
}

func TestAProcessThatMakesProgressIsLeftAloneAndShown(t *testing.T) {
	p := shell(t, `sleep 0.5`)
	p.Stall = 200 * time.Millisecond
	done, beats := 0, 0
	p.Progress = func() schemas.Heartbeat { done++; return schemas.Heartbeat{Done: done} }
	p.Beat = func(b schemas.Heartbeat) {
		if beats++; b.Done != done {
			t.Errorf("beat of %d, progress is %d", b.Done, done)
		}
	}
	if err := p.Run(t.Context()); err != nil || beats == 0 {
		t.Errorf("%v after %d beats", err, beats)
	}
}

func TestACancelledProcessMaySaveItsWork(t *testing.T) {
	p := shell(t, `echo $$ > started; while [ ! -e STOP ]; do sleep 0.01; done; echo saved > checkpoint`)
	p.Stop = func() { os.WriteFile(filepath.Join(p.Dir, "STOP"), nil, 0o644) }
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the run was cancelled")
	go func() { awaitFile(t, filepath.Join(p.Dir, "started")); cancel(why) }()
	if err := p.Run(ctx); !errors.Is(err, why) {
		t.Errorf("error %v, want the cause of the cancel", err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "checkpoint")); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatDoesNotStopWhenAskedIsKilledWithItsChildren(t *testing.T) {
	p := shell(t, `trap "" TERM INT; sleep 60 & echo $! > child; while :; do sleep 0.05; done`)
	var asked atomic.Int32
	p.Stop = func() { asked.Add(1) }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { awaitFile(t, filepath.Join(p.Dir, "child")); cancel() }()
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times to stop", asked.Load())
	}
	awaitDead(t, awaitFile(t, filepath.Join(p.Dir, "child")))
}

func TestAProcessWithNothingToSaveIsKilledAtOnce(t *testing.T) {
	p := shell(t, `echo $$ > started; sleep 60`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { awaitFile(t, filepath.Join(p.Dir, "started")); cancel() }()
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAStoppingWorkerStopsItsProcess(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   schemas.ErrorType // "" for none
	}{
		{`while [ ! -e STOP ]; do sleep 0.01; done`, ""},
		{`sleep 60`, schemas.Overloaded},
	} {
		p := shell(t, tt.script)
		p.Stop = func() { os.WriteFile(filepath.Join(p.Dir, "STOP"), nil, 0o644) }
		stopping := make(chan struct{})
		close(stopping)
		p.Stopping = stopping
		err := p.Run(t.Context())
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || schemas.TypeOf(err) != tt.want) {
			t.Errorf("%s: %v, want type %q", tt.script, err, tt.want)
		}
	}
}

func TestWhatAProcessLeavesBehindIsKilled(t *testing.T) {
	p := shell(t, `sleep 60 & echo $! > child; exit 0`)
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitDead(t, awaitFile(t, filepath.Join(p.Dir, "child")))
}

// TestMain lets the test binary stand for a worker that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TRAIN_TEST_WORKER"); dir != "" {
		p := Process{
			Command: []string{"/bin/sh", "-c", "echo $$ > process; exec sleep 60"}, Dir: dir, Log: filepath.Join(dir, "log"),
			Progress: func() schemas.Heartbeat { return schemas.Heartbeat{} }, Beat: func(schemas.Heartbeat) {}, Stall: time.Minute,
		}
		fmt.Println(p.Run(context.Background()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestAProcessDoesNotOutliveAKilledWorker(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	worker := exec.Command(self)
	worker.Env = append(os.Environ(), "TRAIN_TEST_WORKER="+dir)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitFile(t, filepath.Join(dir, "process"))
	worker.Process.Kill()
	worker.Wait()
	awaitDead(t, pid)
}
