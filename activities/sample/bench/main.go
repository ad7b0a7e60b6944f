// Command bench measures the sampling stage against an endpoint whose capacity is
// known to the benchmark alone: the workflow SampleResponses over shards in a real
// S3 server, with Temporal, a worker process and commits, as a user runs it.
//
//	go run ./activities/sample/bench [flags]
//
// It needs bin/rpo and bin/rpo-local. The endpoint is a process of its own with
// slots and no queue: what finds no slot is refused with 503. The last line is
// one JSON object:
//
//   - share_of_capacity: slot time of answers over slots times time, from the end
//     of the warm-up until less work is left than fills all slots twice.
//   - refused_share: refused of all requests in the same span.
//   - fixed_concurrency_share: the same with a semaphore of 16 and a fixed delay
//     after a refusal instead of the client's chain; fixed_double_share and
//     fixed_double_refused_share with one of twice as many as there are slots.
//   - cpu_ratio, bytes_ratio: CPU time and allocated bytes per call of the whole
//     chain over those of a bare loop of net/http and encoding/json that makes the
//     same calls, in turns with it; cpu_us and bytes are the two sides.
//   - resume_calls_repeated: requests that were answered twice because the worker
//     was killed in the middle of a run, which takes up to its last two seconds;
//     resume_calls_in_flight: those that the kill cut off; resume_seconds: from the
//     start of the next worker to its first new answer, a heartbeat of 2 s and the
//     start of the process among it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"rpo/activities/chat/scripted"
)

const (
	shardsInFlight = 4
	allQueues      = "rpo,rpo-io,rpo-llm"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "endpoint" {
		exit(serveEndpoint(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench sample:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// plan is the size of the benchmark.
type plan struct {
	slots, turns, perShard int
	service, warm          time.Duration
	refusal                int
	retryAfter             time.Duration
	only                   string
}

func run(ctx context.Context, args []string) error {
	var p plan
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&p.slots, "slots", 64, "slots of the endpoint")
	flags.IntVar(&p.turns, "turns", 5000, "turns to sample")
	flags.IntVar(&p.perShard, "turns-per-shard", 150, "turns of a shard")
	flags.DurationVar(&p.service, "service", 900*time.Millisecond, "mean slot time of a request")
	flags.DurationVar(&p.warm, "warm-up", 20*time.Second, "time from the first request to the beginning of the measurement")
	flags.IntVar(&p.refusal, "refusal", 503, "status of a refusal, 503 or 429")
	flags.DurationVar(&p.retryAfter, "retry-after", 0, "Retry-After of a refusal")
	flags.StringVar(&p.only, "only", "", "make one part: calls, sample, fixed or resume")
	bin := flags.String("bin", "bin", "folder of rpo and rpo-local")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-sample-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := startStack(folder, dir)
	if s != nil {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	out := map[string]any{"slots": p.slots, "turns": p.turns, "turns_per_shard": p.perShard, "shards_in_flight": shardsInFlight}
	for _, part := range []struct {
		name string
		make func(context.Context, *stack, map[string]any) error
	}{{"calls", p.calls}, {"sample", p.sample}, {"fixed", p.fixed}, {"resume", p.resume}} {
		if p.only != "" && p.only != part.name {
			continue
		}
		fmt.Println("part:", part.name)
		if err := part.make(ctx, s, out); err != nil {
			if log, readErr := os.ReadFile(filepath.Join(dir, "worker.log")); readErr == nil {
				fmt.Fprintf(os.Stderr, "%s\n", log[max(0, len(log)-4000):])
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// script shares the mean slot time out: a tenth for the request, the rest for the
// tokens of five choices of 20 to 60 words.
func (p plan) script() script {
	const choices, least, most = 5, 20, 60
	perToken := p.service * 9 / 10 / (choices * (least + most) / 2)
	return script{Least: least, Most: most, Queue: &scripted.Queue{
		Slots: p.slots, PerRequest: p.service / 10, PerToken: perToken, Status: p.refusal, RetryAfter: p.retryAfter,
	}}
}

func (p plan) calls(ctx context.Context, s *stack, out map[string]any) error {
	objects, err := s.store(ctx)
	if err != nil {
		return err
	}
	ours, theirs, err := compareCalls(ctx, objects)
	if err != nil {
		return err
	}
	cpu, bytes := ours.perCall()
	bareCPU, bareBytes := theirs.perCall()
	out["cpu_ratio"], out["bytes_ratio"] = round(cpu/bareCPU), round(bytes/bareBytes)
	out["cpu_us"], out["bytes"] = [2]float64{round(cpu), round(bareCPU)}, [2]float64{round(bytes), round(bareBytes)}
	return nil
}

func (p plan) sample(ctx context.Context, s *stack, out map[string]any) error {
	e, err := startEndpoint(p.script())
	if err != nil {
		return err
	}
	defer e.stop()
	kill, err := s.worker(e.url, allQueues)
	if err != nil {
		return err
	}
	defer kill()
	m, err := p.watched(ctx, s, e, "sample")
	if err != nil {
		return err
	}
	out["share_of_capacity"], out["refused_share"] = m.share, m.refused
	out["share_of_whole_run"], out["refused_share_of_whole_run"] = m.wholeShare, m.wholeRefused
	out["measured_seconds"] = m.seconds
	return nil
}

func (p plan) fixed(ctx context.Context, s *stack, out map[string]any) error {
	m, err := p.fixedAt(ctx, s, 16)
	if err != nil {
		return err
	}
	out["fixed_concurrency_share"] = m.share
	if m, err = p.fixedAt(ctx, s, 2*p.slots); err != nil {
		return err
	}
	out["fixed_double_share"], out["fixed_double_refused_share"] = m.share, m.refused
	return nil
}

// fixedAt runs the baseline. Everything but the calls is the program's own.
func (p plan) fixedAt(ctx context.Context, s *stack, width int) (shares, error) {
	e, err := startEndpoint(p.script())
	if err != nil {
		return shares{}, err
	}
	defer e.stop()
	kill, err := s.worker(e.url, "rpo,rpo-io")
	if err != nil {
		return shares{}, err
	}
	defer kill()
	stop, err := s.bareWorker(ctx, e.url, width)
	if err != nil {
		return shares{}, err
	}
	defer stop()
	p.turns = p.turns * min(width, p.slots) / p.slots
	return p.watched(ctx, s, e, fmt.Sprintf("fixed-%d", width))
}

// resume kills the worker after four tenths of the turns.
func (p plan) resume(ctx context.Context, s *stack, out map[string]any) error {
	p.turns = p.turns / 4
	e, err := startEndpoint(p.script())
	if err != nil {
		return err
	}
	defer e.stop()
	manifest, err := s.importTurns(ctx, p.turns, p.perShard)
	if err != nil {
		return err
	}
	kill, err := s.worker(e.url, allQueues)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.sample(ctx, manifest, "resume", "2s") }()
	c, err := await(ctx, e, done, func(c counts) bool { return c.Queue.Answered >= p.turns*4/10 })
	kill()
	if err != nil {
		return err
	}
	atKill := c.Queue.Answered + c.Queue.Running
	began := time.Now()
	kill, err = s.worker(e.url, allQueues)
	if err != nil {
		return err
	}
	defer kill()
	if _, err := await(ctx, e, done, func(c counts) bool { return c.Queue.Answered > atKill+1 }); err != nil {
		return err
	}
	out["resume_seconds"] = round(time.Since(began).Seconds())
	if err := <-done; err != nil {
		return err
	}
	c, err = e.counts()
	out["resume_calls_repeated"], out["resume_calls_in_flight"], out["resume_turns"] = c.Stats.Repeated, c.Stats.Abandoned, p.turns
	return err
}
