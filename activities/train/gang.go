package train

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"rpo/activities/store"
	"rpo/schemas"
)

// Place is where one host stands in a gang of several. Nil is a host alone.
type Place struct {
	// Attempt numbers the attempts of a job, over all workflows that ever work on it:
	// one that is not the newest may commit nothing.
	Attempt int `json:"attempt"`
	// Rank is the host's, from 0 to Nodes-1. Host 0 keeps the events, commits
	// checkpoints and stores the model.
	Rank  int `json:"rank"`
	Nodes int `json:"nodes"`
	// Master and Port are where host 0 waits for the others.
	Master string `json:"master"`
	Port   int    `json:"port"`
	// Checkpoint is the key of the record that all hosts go on from, "" for none:
	// what they have on local disk may differ.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// At returns the input of one host of a gang.
func (in Input) At(p *Place) any {
	in.Gang = p
	return in
}

// OpenGangInput opens an attempt.
type OpenGangInput struct {
	Job string `json:"job"`
	// Request tells attempts apart: opening one twice gives the same number.
	Request string `json:"request"`
	// Address is host 0's own, where it is to listen.
	Address string `json:"address"`
}

// attemptRecord says whose an attempt is.
type attemptRecord struct {
	Request string `json:"request"`
}

func attemptFolder(job string) string { return checkpointFolder(job) + "attempts/" }

func attemptKey(job string, number int) string {
	return fmt.Sprintf("%s%06d.json", attemptFolder(job), number)
}

// OpenGang runs on host 0. It opens the next attempt of a job, which ends the
// right of all earlier ones to commit, chooses the checkpoint that all hosts go on
// from, and a port that is free.
func (a *Activities) OpenGang(ctx context.Context, in OpenGangInput) (Place, error) {
	p := Place{Master: in.Address}
	for won := false; !won; {
		newest, err := newestAttempt(ctx, a.Store, in.Job)
		if err != nil {
			return p, err
		}
		if newest > 0 {
			data, err := a.Store.Get(ctx, attemptKey(in.Job, newest))
			if err != nil {
				return p, err
			}
			var r attemptRecord
			if json.Unmarshal(data, &r) == nil && r.Request == in.Request {
				p.Attempt = newest
				break
			}
		}
		data, err := json.Marshal(attemptRecord{in.Request})
		if err != nil {
			return p, schemas.Errorf(schemas.Internal, "encode attempt: %w", err)
		}
		p.Attempt = newest + 1
		if won, err = a.Store.PutIfAbsent(ctx, attemptKey(in.Job, p.Attempt), data); err != nil {
			return p, err
		}
	}
	// The earlier attempts can add no checkpoint from here on.
	keys, err := a.Store.List(ctx, checkpointFolder(in.Job)+"step-", "", 0)
	if err != nil {
		return p, err
	}
	if len(keys) > 0 {
		p.Checkpoint = keys[len(keys)-1]
	}
	p.Port, err = freePort(in.Address)
	return p, err
}

func newestAttempt(ctx context.Context, s store.Store, job string) (int, error) {
	keys, err := s.List(ctx, attemptFolder(job), "", 0)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	last := keys[len(keys)-1]
	n, err := strconv.Atoi(strings.TrimSuffix(path.Base(last), ".json"))
	if err != nil {
		return 0, schemas.Errorf(schemas.CorruptData, "%s is not the key of an attempt", last)
	}
	return n, nil
}

// Fence refuses a host whose attempt was replaced by a newer one: what thinks
// itself alive since nobody could tell it otherwise may not commit. A host alone
// has no rival.
//
// Between this look and the write that follows a new attempt may open. What is
// written then is whole, of this very job and older than what the new attempt
// makes, so it does no harm: the new attempt has chosen its checkpoint.
func (p *Place) Fence(ctx context.Context, s store.Store, job string) error {
	if p == nil {
		return nil
	}
	newest, err := newestAttempt(ctx, s, job)
	if err != nil {
		return err
	}
	if newest != p.Attempt {
		return schemas.Errorf(schemas.Overloaded, "attempt %d of job %s may not commit: attempt %d has replaced it", p.Attempt, job, newest)
	}
	return nil
}

// Leads reports whether the host commits what the gang makes.
func (p *Place) Leads() bool { return p == nil || p.Rank == 0 }

// freePort finds a port that nobody listens at now. One that is taken before
// torchrun does fails the attempt, and the next one finds another.
func freePort(address string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil { // an address that others know, but not this host
		l, err = net.Listen("tcp", ":0")
	}
	if err != nil {
		return 0, schemas.Errorf(schemas.Internal, "find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Launch is the command that starts a Python module on so many processes of this
// host, together with those of the gang's other hosts; the module's arguments
// follow.
func (n Node) Launch(processes int, p *Place) []string {
	if p == nil {
		return n.Ranks(processes)
	}
	return []string{n.Python, "-m", "torch.distributed.run", "--max-restarts=0",
		"--nnodes", strconv.Itoa(p.Nodes), "--node-rank", strconv.Itoa(p.Rank), "--nproc-per-node", strconv.Itoa(processes),
		"--master-addr", p.Master, "--master-port", strconv.Itoa(p.Port), "--rdzv-id", fmt.Sprint("attempt-", p.Attempt)}
}

// GangEnv has the processes talk to those of other hosts through the interface of
// the host's address, if it has that.
func (n Node) GangEnv(p *Place) []string {
	if name := interfaceOf(n.Address); p != nil && name != "" {
		return append(n.Env(), "GLOO_SOCKET_IFNAME="+name, "NCCL_SOCKET_IFNAME="+name)
	}
	return n.Env()
}

func interfaceOf(address string) string {
	ip := net.ParseIP(address)
	all, err := net.Interfaces()
	if ip == nil || err != nil {
		return ""
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if own, ok := a.(*net.IPNet); ok && own.IP.Equal(ip) {
				return i.Name
			}
		}
	}
	return ""
}

// runOf names the workflow run that an activity works for: two runs that work on
// the same attempt keep their parts apart.
func runOf(ctx context.Context) string {
	id := activity.GetInfo(ctx).WorkflowExecution.RunID
	return id[:min(len(id), 8)]
}

// Folder is the name of a job's local folder. A gang's is its own: what one of its
// hosts has of a checkpoint is not a whole one.
func (p *Place) Folder(job string) string {
	if p == nil {
		return job
	}
	return job + "-gang"
}

// Stall is how long the trainer may make no progress. Host 0 has the event lines;
// what stalls any host stalls it.
func (p *Place) Stall(timeout schemas.Duration) time.Duration {
	if p.Leads() {
		return time.Duration(timeout)
	}
	return math.MaxInt64
}

// command starts the trainer under torchrun.
func (n Node) command(in Input, config string) []string {
	launch := n.Launch(in.Processes, in.Gang)
	if in.Gang == nil {
		launch = n.torchrun(in.Processes)
	}
	return append(launch, "-m", "rpo_trainer.train", "--config", config)
}

// stoppedTogether reports whether the trainer says that all ranks stopped with a
// checkpoint: then all hosts are there to store it.
func stoppedTogether(out string) bool {
	var res result
	found, err := readJSON(filepath.Join(out, "result.json"), &res)
	return err == nil && found && res.Status == "stopped"
}

func (a *Activities) parts(ctx context.Context, in Input, out string) parts {
	return parts{store: a.Store, job: in.Job, place: *in.Gang, run: runOf(ctx), out: out}
}

// copy brings checkpoints into the store as their folders come, and on a gang's
// other hosts as host 0 asks for them. It returns the first error when no more
// come and all is stored; over, when closed, says that nobody may be left to wait
// for.
func (a *Activities) copy(ctx context.Context, in Input, out string, folders <-chan string, over <-chan struct{}) (first error) {
	if !in.Gang.Leads() {
		ended := make(chan struct{})
		go func() {
			for range folders { // only host 0 has event lines
			}
			close(ended)
		}()
		return a.parts(ctx, in, out).follow(ctx, ended, over)
	}
	for dir := range folders {
		var err error
		if in.Gang == nil {
			err = saveCheckpoint(ctx, a.Store, in.Job, dir)
		} else {
			err = a.parts(ctx, in, out).save(ctx, dir, over)
		}
		first = cmp.Or(first, err)
	}
	return first
}
