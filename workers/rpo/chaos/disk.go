package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// diskBytes is the size of a run's disk: several times what a run writes.
const diskBytes = "size=48m"

// namespaceEnv marks the process that may mount.
const namespaceEnv = "CHAOS_NAMESPACE"

// inNamespace runs this program again in a mount namespace of its own, so that a
// run's disk is a small tmpfs that can really be full, and is gone with the
// program however that ends. Without root it takes a user namespace, too. done is
// false where the system allows neither: then the proxy plays the full disk.
func inNamespace() (status int, done bool) {
	if os.Getenv(namespaceEnv) != "" {
		return 0, false
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false
	}
	probe := namespaced(exec.Command(self))
	probe.Env = append(os.Environ(), namespaceEnv+"=probe")
	if probe.Run() != nil {
		return 0, false
	}
	cmd := namespaced(exec.Command(self, os.Args[1:]...))
	cmd.Env = append(os.Environ(), namespaceEnv+"=run")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// It ends as this process does: told to by whoever tells this one, and killed
	// with it, for which the thread that starts it must stay.
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	if err = cmd.Start(); err != nil {
		return 1, true
	}
	go func() {
		for s := range told {
			cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), true
	}
	if err != nil {
		return 1, true
	}
	return 0, true
}

// namespaced has cmd run where it may mount without anybody else seeing it.
func namespaced(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	return cmd
}

// probeMount is what the probe does: 0 if a disk can be mounted.
func probeMount() int {
	dir, err := os.MkdirTemp("", "chaos-probe-")
	if err != nil {
		return 1
	}
	defer os.Remove(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskBytes); err != nil {
		return 1
	}
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		return 1
	}
	return 0
}

// disk is where the S3 server keeps its data and the worker its scratch files.
type disk struct {
	dir     string
	mounted bool
}

func newDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &disk{dir: dir}
	if os.Getenv(namespaceEnv) == "run" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskBytes); err != nil {
			return nil, err
		}
		d.mounted = true
	}
	return d, nil
}

// filler is the file that fills the disk.
func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill writes until nothing more fits.
func (d *disk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) free() { os.Remove(d.filler()) }

func (d *disk) close() {
	if d.mounted {
		syscall.Unmount(d.dir, syscall.MNT_DETACH)
	}
}
