package workflows

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

// play is a pool's workflow among gangs: it sends one event a second and keeps
// what the pool answers.
type play struct {
	t      *testing.T
	events []func(*testsuite.TestWorkflowEnvironment)
	next   int
	// mu guards what follows: answers come from the environment's goroutine.
	mu sync.Mutex
	// has are the hosts that each holder was given and has not given back, asked
	// the request that each waits with.
	has, asked map[string][]string
	gone       map[string]bool
	grants     int
}

func newPlay(t *testing.T) *play {
	return &play{t: t, has: map[string][]string{}, asked: map[string][]string{}, gone: map[string]bool{}}
}

func (p *play) signal(name string, arg any) {
	p.events = append(p.events, func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(name, arg) })
}

func (p *play) then(do func(*testsuite.TestWorkflowEnvironment)) { p.events = append(p.events, do) }

func (p *play) register(host string) {
	p.signal(SignalRegisterNode, schemas.RegisterNode{Host: host, Address: "10.0.0." + host[1:], ValidFor: schemas.Duration(time.Hour)})
}

func (p *play) lease(holder string, want int) {
	p.then(func(env *testsuite.TestWorkflowEnvironment) {
		p.mu.Lock()
		delete(p.has, holder) // a new request gives the old lease back
		p.mu.Unlock()
		env.SignalWorkflow(SignalLeaseNodes, schemas.LeaseNodes{Holder: holder, Request: fmt.Sprint(p.next), Want: want})
	})
}

func (p *play) release(holder string) {
	p.then(func(env *testsuite.TestWorkflowEnvironment) {
		p.mu.Lock()
		delete(p.has, holder)
		p.mu.Unlock()
		env.SignalWorkflow(SignalReleaseNodes, schemas.ReleaseNodes{Holder: holder})
	})
}

// run plays all events, cancels the pool and returns its last status.
func (p *play) run() schemas.PoolStatus {
	w := newWorld(1, nil)
	w.gone = p.gone
	var last *testsuite.TestWorkflowEnvironment
	tr := try(p.t, w, ManageNodePoolName, nothing{}, func(env *testsuite.TestWorkflowEnvironment) {
		last = env
		env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, SignalNodesLeased, mock.Anything).Return(
			func(_, holder, _, _ string, arg any) error { return p.given(holder, arg.(schemas.NodesLeased)) })
		var tick func()
		tick = func() {
			if p.next == len(p.events) {
				env.CancelWorkflow()
				return
			}
			p.next++
			p.events[p.next-1](env)
			env.RegisterDelayedCallback(tick, time.Second)
		}
		env.RegisterDelayedCallback(tick, time.Second)
	})
	if !temporal.IsCanceledError(tr.err) {
		p.t.Fatalf("the pool ended with %v", tr.err)
	}
	checkPoolWeight(p.t, tr)
	var s schemas.PoolStatus
	v, err := last.QueryWorkflow(QueryStatus)
	if err == nil {
		err = v.Get(&s)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func checkPoolWeight(t *testing.T, tr *trial) {
	t.Helper()
	if len(tr.seen.heaviest) > maxPayload {
		t.Errorf("a payload weighs %d bytes", len(tr.seen.heaviest))
	}
	for _, c := range tr.seen.activities {
		checkOptions(t, c.name, c.options)
	}
}

// given is a gang that gets its nodes.
func (p *play) given(holder string, l schemas.NodesLeased) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[holder] {
		return errors.New("workflow not found")
	}
	p.grants++
	p.has[holder] = nil
	for _, n := range l.Nodes {
		for other, hosts := range p.has {
			if strings.Contains(fmt.Sprint(hosts), n.Host) && other != holder {
				p.t.Errorf("%s has %s, which %s gets", other, n.Host, holder)
			}
		}
		if n.Address == "" {
			p.t.Errorf("node %s has no address", n.Host)
		}
		p.has[holder] = append(p.has[holder], n.Host)
	}
	return nil
}

// endsPool cancels a pool, which ends with nothing else.
func endsPool(name string) func(*testsuite.TestWorkflowEnvironment) {
	return func(env *testsuite.TestWorkflowEnvironment) {
		if name == ManageNodePoolName {
			env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
		}
	}
}

func inSteps(t *testing.T, steps int) {
	old := poolSteps
	poolSteps = steps
	t.Cleanup(func() { poolSteps = old })
}

func TestAPoolServesTheSameThroughContinuations(t *testing.T) {
	var want string
	for _, steps := range []int{1000, 1, 2, 3, 5, 7} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			inSteps(t, steps)
			p := newPlay(t)
			for _, host := range []string{"n1", "n2", "n3"} {
				p.register(host)
			}
			p.lease("one", 1)
			p.lease("all", 3)
			p.lease("two", 2)
			p.then(func(*testsuite.TestWorkflowEnvironment) {
				if len(p.has["one"]) != 1 || p.has["all"] != nil || p.has["two"] != nil {
					t.Errorf("while one has a node: %v", p.has)
				}
			})
			p.release("one")
			p.then(func(*testsuite.TestWorkflowEnvironment) {
				if len(p.has["all"]) != 3 || p.has["two"] != nil {
					t.Errorf("when all are free: %v", p.has)
				}
			})
			p.release("all")
			p.then(func(*testsuite.TestWorkflowEnvironment) {})
			p.lease("more", 2)
			s := p.run()
			got := fmt.Sprintf("%v %v %d %+v", p.has, s.Free, p.grants, s.Waiting)
			got = got[:strings.Index(got, "Since")]
			if want == "" {
				want = got
			}
			if got != want || len(p.has["two"]) != 2 || s.Free != 1 {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestRandomGangsGetAllTheirNodesAndGiveAllBack(t *testing.T) {
	for seed, steps := range []int{1, 2, 3, 5, 7, 1000} {
		inSteps(t, steps)
		random := rand.New(rand.NewPCG(uint64(seed), 2))
		p := newPlay(t)
		for range 80 {
			holder := fmt.Sprint("h", random.IntN(4))
			switch random.IntN(4) {
			case 0, 1:
				p.register(fmt.Sprint("n", random.IntN(4)))
			case 2:
				p.lease(holder, 1+random.IntN(3))
			case 3:
				p.release(holder)
			}
		}
		for i := range 4 {
			p.register(fmt.Sprint("n", i))
		}
		for i := range 4 {
			p.release(fmt.Sprint("h", i))
		}
		p.lease("last", 4)
		p.then(func(*testsuite.TestWorkflowEnvironment) {})
		s := p.run()
		if len(p.has["last"]) != 4 || len(s.Waiting) != 0 || len(s.Nodes) != 4 {
			t.Errorf("%d steps: the last gang has %v of %+v", steps, p.has["last"], s)
		}
	}
}

func TestWhatAVanishedHolderHadIsTakenBack(t *testing.T) {
	p := newPlay(t)
	p.register("n1")
	p.gone["vanished"] = true
	p.lease("vanished", 1) // its answer finds nobody
	p.lease("next", 1)
	p.then(func(*testsuite.TestWorkflowEnvironment) {
		if len(p.has["next"]) != 1 {
			t.Errorf("the next gang has %v", p.has["next"])
		}
		p.gone["next"] = true // it ends without a word
		delete(p.has, "next")
	})
	p.lease("third", 1)
	for range 70 { // more than check_every
		p.then(func(*testsuite.TestWorkflowEnvironment) {})
	}
	if s := p.run(); len(p.has["third"]) != 1 || s.Nodes[0].Holder != "third" {
		t.Errorf("the third gang has %v: %+v", p.has["third"], s)
	}
}

func TestAnEmptyPoolStartsNoTimerAndNoActivity(t *testing.T) {
	timers := 0
	w := newWorld(1, nil)
	tr := try(t, w, ManageNodePoolName, object(`{}`), func(env *testsuite.TestWorkflowEnvironment) {
		env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
		env.RegisterDelayedCallback(env.CancelWorkflow, 1000*time.Hour)
	})
	// One timer is the test's own.
	if len(tr.seen.activities) != 0 || timers > 1 {
		t.Errorf("%d activities and %d timers in 1,000 hours of nothing", len(tr.seen.activities), timers)
	}
	if a := tr.seen.attributes[ManageNodePoolName]; a["RpoStage"] != "pool" || a["RpoStatus"] != schemas.StatusCanceled {
		t.Errorf("search attributes %v", a)
	}
}

func TestAPoolTakesDecisionsAsUpdatesAndAsSignals(t *testing.T) {
	var did decisions
	update := func(p *play, name string, arg any) {
		p.then(func(env *testsuite.TestWorkflowEnvironment) { env.UpdateWorkflow(name, "", &did, arg) })
	}
	p := newPlay(t)
	p.register("n1")
	p.register("n2")
	update(p, UpdateDrain, schemas.NodeName{Host: "n1"})
	p.lease("gang", 1)
	p.then(func(*testsuite.TestWorkflowEnvironment) {
		if fmt.Sprint(p.has["gang"]) != "[n2]" {
			t.Errorf("with n1 drained the gang has %v", p.has["gang"])
		}
	})
	p.lease("other", 1)
	p.signal(UpdateUndrain, schemas.NodeName{Host: "n1"})
	p.then(func(*testsuite.TestWorkflowEnvironment) {
		if fmt.Sprint(p.has["other"]) != "[n1]" {
			t.Errorf("with n1 back the other gang has %v", p.has["other"])
		}
		delete(p.has, "gang")
	})
	update(p, UpdateRelease, schemas.ReleaseNodes{Holder: "gang"})
	p.signal(SignalNodeLeaves, schemas.NodeName{Host: "n1"})
	p.then(func(*testsuite.TestWorkflowEnvironment) {})
	update(p, UpdateEvict, schemas.NodeName{Host: "n1"})
	// Refused:
	update(p, UpdateEvict, schemas.NodeName{Host: "n2"})
	update(p, UpdateDrain, schemas.NodeName{Host: "n9"})
	update(p, UpdateRelease, schemas.ReleaseNodes{Holder: "nobody"})
	update(p, UpdateDrain, map[string]string{"node": "n2"})
	s := p.run()
	if len(s.Nodes) != 1 || s.Free != 1 || s.Nodes[0].Host != "n2" {
		t.Errorf("left %+v", s)
	}
	if len(did.accepted) != 3 || len(did.rejected) != 4 {
		t.Fatalf("%d accepted, refused %v", len(did.accepted), did.rejected)
	}
	for i, says := range []string{`"n2" is alive`, `no node "n9"`, `"nobody" has nothing`, `unknown field "node"`} {
		if !strings.Contains(did.rejected[i].Error(), says) {
			t.Errorf("refused with %v, want %s", did.rejected[i], says)
		}
	}
}

func TestTheDetailsOfAPoolAreATableOfItsNodes(t *testing.T) {
	var p pool
	joins(&p, 8, "gpu-1", "gpu-2")
	asks(&p, "run/train", 1, 3)
	p.grant(noon)
	asks(&p, "huge/train", 5, 1)
	got := poolDetails(p.status("h100", noon))
	for _, line := range []string{
		"**pool h100**: 2 nodes, 1 free, 1 waiting",
		"| gpu-1 | 10.0.0.1 | 8 | leased | run/train | 2026-01-02T12:00:00Z |",
		"| gpu-2 | 10.0.0.1 | 8 | free |  |  |",
		"| huge/train | 5 | 1 | 2026-01-02T12:00:00Z | the pool has too few nodes |",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}
