package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopWithin bounds an orderly stop. State is safe without one, so a server
// that hangs must not keep a terminal or a test waiting.
const stopWithin = 8 * time.Second

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0 after a stop that was asked for, 1 after a
// failure, 2 when the command line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	// Everything under the folder is the user's own: credentials, and prompts
	// and replies in the objects and in workflow inputs.
	syscall.Umask(0o077)
	opts, err := parseArgs(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "rpo-local: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, stop, opts, stdout); err != nil {
		fmt.Fprintf(stderr, "rpo-local: %v\n", err)
		return 1
	}
	return 0
}

// readyLine is what a program that started rpo-local reads to find it. Fields
// of what does not run are absent.
type readyLine struct {
	Temporal        string `json:"temporal,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	UI              string `json:"ui,omitempty"`
	S3              string `json:"s3,omitempty"`
	Bucket          string `json:"bucket,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
}

func describe(opts *options, state *state) readyLine {
	var ready readyLine
	if opts.temporal {
		ready.Temporal = opts.temporalAddress()
		ready.Namespace = opts.namespaces[0]
	}
	if opts.ui {
		ready.UI = "http://" + opts.uiAddress()
	}
	if opts.s3 {
		ready.S3 = "http://" + opts.s3Address()
		ready.Bucket = opts.bucket
		ready.CredentialsFile = state.credentialsFile
	}
	return ready
}

// serve starts what opts ask for, prints the ready line and returns when ctx
// is done or a server ends by itself. release gives signals their default
// effect back, so that a second Ctrl-C ends a slow stop.
func serve(ctx context.Context, release func(), opts *options, stdout io.Writer) error {
	if err := assignPorts(opts); err != nil {
		return err
	}
	state, err := openState(opts)
	if err != nil {
		return err
	}
	defer state.close()
	// Standard output belongs to the ready line: the embedded servers print
	// notices with fmt.Print and log.Print, which must not reach its reader.
	os.Stdout = state.log
	log.SetOutput(state.log)

	var stops []func()
	stopped := make(chan struct{})
	stopAll := func() {
		release()
		go func() {
			for i := len(stops) - 1; i >= 0; i-- {
				stops[i]()
			}
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(stopWithin):
		}
	}
	defer stopAll()

	failed := make(chan error, 1)
	for _, part := range []struct {
		runs  bool
		start func() (stop func(), err error)
	}{
		{opts.s3, func() (func(), error) { return startObjectServer(ctx, opts, state, failed) }},
		{opts.temporal, func() (func(), error) { return startTemporal(ctx, opts, state) }},
		{opts.ui, func() (func(), error) { return startUI(ctx, opts) }},
	} {
		if !part.runs {
			continue
		}
		stop, err := part.start()
		if ctx.Err() != nil {
			if err == nil {
				stops = append(stops, stop)
			}
			return nil // asked to stop before it was ready
		}
		if err != nil && state.logFile != "" {
			return fmt.Errorf("%w (log: %s)", err, state.logFile)
		}
		if err != nil {
			return err
		}
		stops = append(stops, stop)
	}
	line, err := json.Marshal(describe(opts, state))
	if err != nil {
		return fmt.Errorf("encode the ready line: %w", err)
	}
	// A reader that went away is no reason to take the servers down.
	_, _ = fmt.Fprintf(stdout, "%s\n", line)

	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
