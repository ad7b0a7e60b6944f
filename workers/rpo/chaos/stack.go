package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
)

// stack is the parts of one run.
type stack struct {
	bin, dir string
	disk     *disk
	temporal *part
	s3       *part
	at       ready
	ports    struct{ temporal, s3 string }
	endpoint *scripted.Server
	proxy    *proxy
	director *director
	ledger   *ledger

	ctx context.Context
	// fail ends the run: a part of the drill itself does not work.
	fail context.CancelCauseFunc
	// mending are parts that are being started again.
	mending sync.WaitGroup

	mu      sync.Mutex
	workers []*worker
	// failing are the faults of the endpoint that wait for calls.
	failing []*armed
	closed  bool
}

// worker is one worker process; its number counts from 1 and is its key at the
// endpoint.
type worker struct {
	*part
	number int
	end    func()
	// replaced says that another one was started in its place.
	replaced bool
}

// startStack starts everything but the worker.
func startStack(ctx context.Context, bin, dir string, faults []fault) (s *stack, err error) {
	s = &stack{bin: bin, dir: dir, ledger: newLedger()}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	s.director = newDirector(faults, s.strike)
	if s.disk, err = newDisk(filepath.Join(dir, "disk")); err != nil {
		return s, err
	}
	s.temporal = &part{name: "Temporal", program: filepath.Join(bin, "rpo-local"), env: plainEnv(), log: filepath.Join(dir, "temporal.log")}
	s.s3 = &part{name: "the S3 server", program: filepath.Join(bin, "rpo-local"), env: plainEnv(), log: filepath.Join(dir, "s3.log")}
	temporal, err := s.startTemporal("0")
	if err != nil {
		return s, err
	}
	if s.at, err = s.startS3("0"); err != nil {
		return s, err
	}
	s.at.Temporal = temporal.Temporal
	if _, s.ports.temporal, err = net.SplitHostPort(s.at.Temporal); err != nil {
		return s, err
	}
	if _, s.ports.s3, err = net.SplitHostPort(strings.TrimPrefix(s.at.S3, "http://")); err != nil {
		return s, err
	}
	s.proxy = newProxy(s.at.S3, s.at.Bucket, s.director, s.ledger)
	s.endpoint = scripted.Start(nil, scripted.Config{Models: []string{policyModel, judgeModel, reverseModel}}, s.answer)
	return s, nil
}

func (s *stack) startTemporal(port string) (ready, error) {
	return s.temporal.serve("--only", "temporal", "--headless", "--dir", filepath.Join(s.dir, "temporal"), "--port", port)
}

func (s *stack) startS3(port string) (ready, error) {
	return s.s3.serve("--only", "s3", "--dir", filepath.Join(s.disk.dir, "s3"), "--s3-port", port)
}

// answer is the endpoint's handler.
func (s *stack) answer(p scripted.Parsed) scripted.Reply {
	number, _ := strconv.Atoi(p.Key)
	stage := map[string]string{policyModel: "sample", judgeModel: "judge", reverseModel: "reverse"}[p.Model]
	shard, _, ok := shardOf(p)
	if !ok {
		return scripted.Refuse(http.StatusBadRequest, "a call for no row")
	}
	u := unit{stage, shard}
	s.ledger.called(number, u)
	s.director.on(onCall, number, u)
	if f, struck := s.failure(); struck {
		return f
	}
	return reply(p)
}

// failure is what the call that just came gets instead of its reply, if anything.
func (s *stack) failure() (scripted.Reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.failing {
		if a.left == 0 {
			continue
		}
		a.left--
		switch {
		case a.kind == hangEndpoint:
			return scripted.Reply{Hang: true}, true
		case a.status == 0:
			return scripted.Truncated("cut off in the middle of a word"), true
		default:
			return scripted.Refuse(a.status, "chaos"), true
		}
	}
	return scripted.Reply{}, false
}

// open is the store as the operator sees it, past the proxy.
func (s *stack) open(ctx context.Context) (*store.S3, error) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": s.at.S3, "AWS_SHARED_CREDENTIALS_FILE": s.at.CredentialsFile, "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	return store.NewS3(ctx, store.Config{Bucket: s.at.Bucket})
}

// importProfiles imports the profiles and returns the manifest's URI.
func (s *stack) importProfiles(ctx context.Context) (string, error) {
	path := filepath.Join(s.dir, "profiles.jsonl")
	if err := os.WriteFile(path, []byte(profiles()), 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "rpo"), "import", path, "--profiles-per-shard", strconv.Itoa(profilesPerShard))
	cmd.Env = s.workerEnv(s.at.S3)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("import: %w: %s", err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *stack) workerEnv(s3 string) []string {
	return append(plainEnv(), "TEMPORAL_ADDRESS="+s.at.Temporal, "AWS_ENDPOINT_URL_S3="+s3,
		"AWS_SHARED_CREDENTIALS_FILE="+s.at.CredentialsFile, "RPO_BUCKET="+s.at.Bucket, "TMPDIR="+s.disk.dir)
}

// startWorker starts a further worker.
func (s *stack) startWorker() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	number := len(s.workers) + 1
	address, end, err := s.proxy.listen(number)
	if err != nil {
		return err
	}
	endpoint := func(model string) map[string]any {
		return map[string]any{"url": s.endpoint.URL, "model": model, "concurrency": 6, "timeout": "3s", "key_env": "CHAOS_WORKER"}
	}
	config, err := writeJSON(s.dir, "worker.json", map[string]any{
		"work_dir": filepath.Join(s.disk.dir, "work"),
		"endpoints": map[string]any{
			"policy": endpoint(policyModel), "judge": endpoint(judgeModel), "reverse": endpoint(reverseModel),
		},
	})
	if err != nil {
		return err
	}
	w := &worker{number: number, end: end, part: &part{
		name: fmt.Sprintf("worker %d", number), program: filepath.Join(s.bin, "rpo"),
		env: append(s.workerEnv(address), "CHAOS_WORKER="+strconv.Itoa(number)), log: filepath.Join(s.dir, fmt.Sprintf("worker-%d.log", number)),
	}}
	s.workers = append(s.workers, w)
	go s.keep(w, config)
	return nil
}

// keep runs a worker and, should it end by itself (a start while a server is
// down does), again, as any supervisor of processes would.
func (s *stack) keep(w *worker, config string) {
	for {
		s.mu.Lock()
		over := s.closed || w.replaced
		var err error
		if !over {
			err = w.run([]string{"worker", "--config", config, "--queues", "rpo,rpo-io,rpo-llm"}, nil)
		}
		s.mu.Unlock()
		if over {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		<-w.exited
		time.Sleep(200 * time.Millisecond)
	}
}

// find returns a worker by its number; 0 is the latest.
func (s *stack) find(number int) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < 1 || number > len(s.workers) {
		number = len(s.workers)
	}
	return s.workers[number-1]
}

// close kills everything.
func (s *stack) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.fail(nil)
	s.mending.Wait()
	for _, w := range s.workers {
		w.kill()
		w.end()
	}
	if s.endpoint != nil {
		s.endpoint.Close()
	}
	for _, p := range []*part{s.temporal, s.s3} {
		if p != nil {
			p.kill()
		}
	}
	if s.disk != nil {
		s.disk.close()
	}
}

// later does what mends a fault after its delay, or at once if the run ends.
func (s *stack) later(delay time.Duration, mend func() error) {
	s.mending.Go(func() {
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
		}
		if err := mend(); err != nil {
			s.fail(err)
		}
	})
}

// strike makes a fault happen. The worker is the one whose event it was.
func (s *stack) strike(f fault, number int, u unit) {
	switch f.kind {
	case killWorker:
		w := s.find(number)
		s.mu.Lock()
		w.replaced = true
		s.mu.Unlock()
		w.kill()
		s.later(f.delay, s.startWorker)
	case killTemporal:
		s.temporal.kill()
		s.later(f.delay, func() error {
			return s.back(s.temporal, func() (ready, error) { return s.startTemporal(s.ports.temporal) })
		})
	case killS3:
		s.s3.kill()
		s.later(f.delay, func() error { return s.back(s.s3, func() (ready, error) { return s.startS3(s.ports.s3) }) })
	case freezeWorker:
		w := s.find(number)
		w.signal(syscall.SIGSTOP)
		s.later(0, s.startWorker)
		s.later(f.delay, func() error { w.signal(syscall.SIGCONT); return nil })
	case raceCommit:
		w := s.find(number)
		over := s.proxy.hold(u)
		w.signal(syscall.SIGSTOP)
		s.later(0, s.startWorker)
		s.mending.Go(func() {
			select {
			case <-over:
			case <-s.ctx.Done():
			}
			w.signal(syscall.SIGCONT)
		})
	case fillDisk:
		if !s.disk.mounted {
			s.proxy.setFull(true)
			s.later(f.delay, func() error { s.proxy.setFull(false); return nil })
			return
		}
		if err := s.disk.fill(); err != nil {
			s.fail(err)
		}
		s.later(f.delay, func() error { s.disk.free(); return nil })
	case hangEndpoint, failEndpoint:
		a := &armed{f, f.count}
		s.mu.Lock()
		s.failing = append(s.failing, a)
		s.mu.Unlock()
		s.later(f.delay, func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			a.left = 0
			return nil
		})
	case refuseS3:
		disarm := s.proxy.arm(f)
		s.later(f.delay, func() error { disarm(); return nil })
	default:
		s.proxy.arm(f)
	}
}

// back starts a killed server again, once: a second fault may have killed it
// while it was down.
func (s *stack) back(p *part, start func() (ready, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	select {
	case <-p.exited:
	default:
		return nil
	}
	_, err := start()
	return err
}
