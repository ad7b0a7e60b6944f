package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(namespaceEnv) == "probe" {
		os.Exit(probeMount())
	}
	if status, done := inNamespace(); done {
		os.Exit(status)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(drill(ctx, os.Args[1:]))
}

// options of the command line.
type options struct {
	seed, first uint64
	runs        int
	limit       time.Duration
	bin         string
	plan        bool
}

// drill makes the runs and returns the exit status: 0 if all passed.
func drill(ctx context.Context, args []string) int {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "play the run of this seed alone")
	flags.Uint64Var(&o.first, "first", 1, "seed of the first run; the next ones have the next seeds")
	flags.IntVar(&o.runs, "runs", 50, "number of runs")
	flags.DurationVar(&o.limit, "limit", 39*time.Minute, "begin no run after this time")
	flags.StringVar(&o.bin, "bin", "bin", "folder of rpo and rpo-local")
	flags.BoolVar(&o.plan, "plan", false, "print the faults of the runs and make none")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if o.seed != 0 {
		o.first, o.runs = o.seed, 1
	}
	if o.plan {
		for i := range o.runs {
			printPlan(o.first+uint64(i), planOf(o.first+uint64(i)))
		}
		return 0
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	disk := "a full disk is a small tmpfs, under the S3 server's data and the worker's scratch folder, that is filled"
	if os.Getenv(namespaceEnv) != "run" {
		disk = "no file system can be mounted here: a full disk is played by the proxy, which answers 507 to every write"
	}
	fmt.Println(disk)
	began := time.Now()
	calm := play(ctx, bin, 0, nil, nil)
	if len(calm.problems) == 0 && calm.calls.Repeated > 0 {
		calm.problems = append(calm.problems, fmt.Sprintf("%d calls were made twice", calm.calls.Repeated))
	}
	calm.print("undisturbed run")
	if len(calm.problems) > 0 {
		fmt.Printf("0 passed, %d failed\n", o.runs)
		return 1
	}
	passed, failed := 0, []uint64{}
	for i := range o.runs {
		seed := o.first + uint64(i)
		if ctx.Err() != nil || time.Since(began) > o.limit {
			fmt.Printf("seed %d: not run: the time is over\n", seed)
			failed = append(failed, seed)
			continue
		}
		faults := planOf(seed)
		printPlan(seed, faults)
		got := play(ctx, bin, seed, faults, &calm.outcome)
		got.print(fmt.Sprintf("seed %d", seed))
		if len(got.problems) == 0 {
			passed++
		} else {
			failed = append(failed, seed)
		}
	}
	for _, seed := range failed {
		fmt.Printf("failed: make chaos SEED=%d\n", seed)
	}
	fmt.Printf("%d passed, %d failed\n", passed, len(failed))
	if len(failed) > 0 {
		return 1
	}
	return 0
}

func printPlan(seed uint64, faults []fault) {
	fmt.Printf("seed %d:\n", seed)
	for _, f := range faults {
		fmt.Printf("  %s\n", f)
	}
}

// played is how a run went.
type played struct {
	outcome
	problems           []string
	took               time.Duration
	retried, restarted int
	workers            int
	calls              struct{ Requests, Repeated int }
	// missed are the faults whose moment did not come.
	missed []fault
	// kept is the folder of a run that failed.
	kept string
}

func (p played) print(name string) {
	verdict := "passed"
	if len(p.problems) > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("%s %s in %.1f s: %d workers, %d calls, %d of them made twice, retry_failed sent %d times, a stage started again %d times",
		name, verdict, p.took.Seconds(), p.workers, p.calls.Requests, p.calls.Repeated, p.retried, p.restarted)
	if len(p.missed) > 0 {
		fmt.Printf(", %d faults had no occasion", len(p.missed))
	}
	fmt.Println()
	for _, problem := range p.problems {
		fmt.Println("  ", strings.ReplaceAll(problem, "\n", " "))
	}
	if p.kept != "" {
		fmt.Println("   its logs are in", p.kept)
	}
}

// play makes one run. want is what it must make, nil for the undisturbed run.
func play(ctx context.Context, bin string, seed uint64, faults []fault, want *outcome) (out played) {
	began, interrupted := time.Now(), ctx
	problem := func(err error) { out.problems = append(out.problems, err.Error()) }
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		problem(err)
		return out
	}
	defer func() {
		out.took = time.Since(began)
		switch {
		case interrupted.Err() != nil:
			out.problems = []string{"interrupted"}
			os.RemoveAll(dir)
		case len(out.problems) > 0:
			out.kept = dir
		default:
			os.RemoveAll(dir)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, runWithin, errors.New("the run takes too long"))
	defer cancel()
	s, err := startStack(ctx, bin, dir, faults)
	defer s.close()
	if err != nil {
		problem(err)
		return out
	}
	if err := s.run(seed, want, &out); err != nil {
		problem(err)
	}
	stats := s.endpoint.Stats()
	out.calls.Requests, out.calls.Repeated = stats.Requests, stats.Repeated
	out.workers, out.missed = len(s.workers), s.director.left()
	return out
}

// run imports, runs the stages and checks what they made.
func (s *stack) run(seed uint64, want *outcome, out *played) error {
	manifest, err := s.importProfiles(s.ctx)
	if err != nil {
		return err
	}
	o, err := newOperator(s, seed)
	if err != nil {
		return err
	}
	defer o.temporal.Close()
	if err := s.startWorker(); err != nil {
		return err
	}
	results, published, err := o.stages(s.ctx, manifest)
	out.retried, out.restarted = o.retried, o.restarted
	if err != nil {
		return err
	}
	// What is still broken is mended before the store is read.
	mended := make(chan struct{})
	go func() { s.mending.Wait(); close(mended) }()
	select {
	case <-mended:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	objects, err := s.open(s.ctx)
	if err != nil {
		return err
	}
	got, records, problems, err := collect(s.ctx, objects, results, published)
	if err != nil {
		return err
	}
	out.outcome = got
	out.problems = append(append(out.problems, problems...), s.ledger.check(records)...)
	if want != nil {
		out.problems = append(out.problems, differences(*want, got)...)
	} else if missing := empty(got); missing != "" {
		out.problems = append(out.problems, missing)
	}
	return nil
}

// empty says what an undisturbed run lacks to be worth comparing with.
func empty(o outcome) string {
	for _, name := range stageNames {
		if o.Stages[name].Books.OK == 0 {
			return "stage " + name + " made nothing"
		}
	}
	if len(o.Stages["sample"].SetAside) == 0 || len(o.Stages["judge"].SetAside) == 0 || o.Stages["pair"].Rows["pair"] == 0 {
		return "no row was set aside, or no pair was made"
	}
	return ""
}
