package train

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"rpo/schemas"
)

// Tests shorten these.
var (
	// watchEvery is how often a running process is looked at. It bounds the delay
	// of heartbeats, which have a ticker of their own: a trainer that loads a
	// model or writes a checkpoint is silent but alive.
	watchEvery = time.Second
	// stopGrace is what a process that was asked to stop gets before it is killed:
	// torchrun itself kills its ranks after 30 seconds.
	stopGrace = 40 * time.Second
)

// logTail is how much of a failed process's log its error quotes.
const logTail = 500

// Process is one child process with its whole process group.
type Process struct {
	Command []string
	Env     []string // added to the worker's own
	Dir     string
	// Log receives standard output and standard error, appended.
	Log string
	// Progress is called every second. A change of its value is progress.
	Progress func() schemas.Heartbeat
	// Beat is called every second with Progress's value.
	Beat func(schemas.Heartbeat)
	// Stall ends a process that made no progress for so long.
	Stall time.Duration
	// Stop asks the process to end by itself; it is killed after stopGrace. Nil
	// for a process that has nothing to save: it is killed at once.
	Stop func()
	// Stopping, when closed, stops the process: the worker is shutting down.
	Stopping <-chan struct{}
}

// Run runs the process to its end. It returns nil if the process exited with 0,
// an Internal error that quotes the end of its log if not, Stalled if it made no
// progress, and the context's cause if that ended it. In every case no process of
// the group is left when it returns, and none survives a killed worker.
func (p Process) Run(ctx context.Context) error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "open log %s: %w", p.Log, err)
	}
	defer log.Close()
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	exited, err := Start(cmd)
	if err != nil {
		return err
	}
	// Kill what the leader may leave of its group. The ranks of torchrun lead
	// sessions of their own and have asked the kernel to die with it.
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return p.watch(ctx, cmd.Process.Pid, exited)
}

// Start starts a command in a process group of its own. It is killed when this
// process ends, however it ends. exited gets what Wait returned and is closed then.
func Start(cmd *exec.Cmd) (exited <-chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, so this
		// goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "start %s: %w: check the worker's configuration", cmd.Path, err)
	}
	return ended, nil
}

func (p Process) watch(ctx context.Context, pid int, exited <-chan error) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var (
		last     = p.Progress()
		changed  = time.Now()
		stopping = p.Stopping
		done     = ctx.Done()
		kill     <-chan time.Time
		reason   error
	)
	for {
		select {
		case err := <-exited:
			switch {
			case reason != nil:
				return reason
			case err != nil:
				return schemas.Errorf(schemas.Internal, "%s ended with %v; the end of %s: %s", p.Command[0], err, p.Log, tail(p.Log))
			}
			return nil
		case <-tick.C:
			now := p.Progress()
			p.Beat(now)
			if !sameProgress(now, last) {
				last, changed = now, time.Now()
			} else if reason == nil && time.Since(changed) > p.Stall {
				reason = schemas.Errorf(schemas.Stalled, "no progress for %s at step %d of %d; see %s", p.Stall, now.Done, now.Total, p.Log)
				syscall.Kill(-pid, syscall.SIGKILL)
			}
		case <-stopping:
			stopping = nil
			kill = p.stop()
		case <-done:
			done = nil
			reason = context.Cause(ctx)
			kill = p.stop()
		case <-kill:
			if reason == nil {
				reason = schemas.Errorf(schemas.Overloaded, "%s was killed: the worker is shutting down", p.Command[0])
			}
			syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// stop asks the process to end and returns when to kill it.
func (p Process) stop() <-chan time.Time {
	if p.Stop == nil {
		return time.After(0)
	}
	p.Stop()
	return time.After(stopGrace)
}

func sameProgress(a, b schemas.Heartbeat) bool {
	return a.Done == b.Done && a.Total == b.Total && a.Phase == b.Phase
}

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprint(err)
	}
	if len(data) > logTail {
		data = data[len(data)-logTail:]
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(data)), "?")
}
