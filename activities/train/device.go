package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"rpo/schemas"
)

// device is what one process computes on.
type device struct {
	// name is the GPU's, or "CPU".
	name string
	// memory in bytes and peak in operations a second, of one process.
	memory, peak float64
	// efficiency is the share of peak to assume, 0 for the planner's own.
	efficiency float64
	// timed says that peak means something.
	timed bool
}

// device looks at what each of so many processes would have. The processes on a
// CPU share the machine's memory, or the limit of the worker's control group.
func (n Node) device(ctx context.Context, processes int) (device, error) {
	if n.Device != "cuda" {
		memory, err := hostMemory(os.ReadFile)
		if err != nil {
			return device{}, err
		}
		cores := float64(runtime.NumCPU())
		if n.Threads > 0 {
			cores = math.Min(cores, float64(n.Threads*processes))
		}
		return device{name: "CPU", memory: memory / float64(processes), peak: coreFlops * cores / float64(processes), efficiency: 1, timed: true}, nil
	}
	said, err := run(ctx, exec.Command("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"))
	if err != nil {
		return device{}, schemas.Errorf(schemas.Internal, "look for the node's GPUs: %w: the worker's configuration says device cuda", err)
	}
	return gpu(string(said), processes)
}

// gpu reads nvidia-smi's list, a line each of name and MiB, and takes the smallest.
func gpu(list string, processes int) (d device, err error) {
	lines := strings.Split(strings.TrimSpace(list), "\n")
	for i, line := range lines {
		at := strings.LastIndex(line, ",")
		mib, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if at < 0 || err != nil || mib <= 0 {
			return d, schemas.Errorf(schemas.Internal, "look for the node's GPUs: nvidia-smi said %.100q", line)
		}
		if memory := mib * (1 << 20); i == 0 || memory < d.memory {
			d = device{name: strings.TrimSpace(line[:at]), memory: memory, peak: 1e12}
		}
	}
	if len(lines) < processes {
		return d, schemas.Errorf(schemas.InvalidInput, "field \"processes\": %d, but the node has %d GPUs", processes, len(lines))
	}
	for _, known := range knownGPUs {
		if strings.Contains(d.name, known) {
			d.peak, d.timed = 0, true // the planner's
		}
	}
	return d, nil
}

// hostMemory is the machine's memory in bytes, or less if the control group that
// the worker runs in has a limit.
func hostMemory(read func(string) ([]byte, error)) (float64, error) {
	data, err := read("/proc/meminfo")
	if err != nil {
		return 0, schemas.Errorf(schemas.Internal, "look for the machine's memory: %w", err)
	}
	var kib float64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %f kB", &kib); err != nil || kib <= 0 {
		return 0, schemas.Errorf(schemas.Internal, "look for the machine's memory: /proc/meminfo begins with %.60q", data)
	}
	memory := kib * 1024
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if data, err := read(path); err == nil {
			if limit, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64); err == nil && limit > 0 {
				memory = math.Min(memory, limit)
			}
		}
	}
	return memory, nil
}

// Ask runs a Python module that answers within minutes and returns what it
// printed. Its exit status, as the trainer's README lists them, becomes the type
// of the error, its last words the message; what it printed is returned with it.
func (n Node) Ask(ctx context.Context, module string, args ...string) ([]byte, error) {
	cmd := exec.Command(n.Python, append([]string{"-m", module}, args...)...)
	cmd.Env = append(os.Environ(), n.Env()...)
	return run(ctx, cmd)
}

// run runs a command that leaves nothing behind and returns its output.
func run(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	exited, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-exited:
	case <-ctx.Done():
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		return nil, context.Cause(ctx)
	}
	if err == nil {
		return out.Bytes(), nil
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	last := strings.ToValidUTF8(lines[len(lines)-1], "?")
	return out.Bytes(), schemas.Errorf(exitType(cmd.ProcessState.ExitCode()), "%s ended with %v: %s", strings.Join(cmd.Args[1:min(3, len(cmd.Args))], " "), err, last)
}

// exitType is the trainer's exit status as the type of a failure.
func exitType(code int) schemas.ErrorType {
	switch code {
	case 78:
		return schemas.InvalidInput
	case 77:
		return schemas.OutOfMemory
	default:
		return schemas.Internal
	}
}
