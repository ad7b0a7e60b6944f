package workflows

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rpo/schemas"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func joins(p *pool, gpus int, hosts ...string) {
	for _, host := range hosts {
		p.register(schemas.RegisterNode{Host: host, Address: "10.0.0.1", GPUs: gpus, ValidFor: schemas.Duration(time.Hour)}, noon)
	}
}

func asks(p *pool, holder string, want, priority int) {
	p.request(schemas.LeaseNodes{Holder: holder, Request: "1", Want: want, Priority: priority}, noon)
}

func granted(p *pool, now time.Time) (holders []string) {
	for _, l := range p.grant(now) {
		holders = append(holders, l.Holder)
	}
	return holders
}

func wantHolders(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: granted to %v, want %v", what, got, want)
	}
}

func TestAGangGetsAllItsNodesOrNone(t *testing.T) {
	var p pool
	joins(&p, 0, "a")
	asks(&p, "two", 2, 3)
	wantHolders(t, "one node of two", granted(&p, noon))
	joins(&p, 0, "b")
	wantHolders(t, "two nodes", granted(&p, noon), "two")
	if hosts := p.Leases[0].Hosts; !slices.Equal(hosts, []string{"a", "b"}) {
		t.Errorf("leased %v", hosts)
	}
	wantHolders(t, "twice", granted(&p, noon))
}

func TestSmallGangsDoNotStarveALargeOne(t *testing.T) {
	var p pool
	joins(&p, 0, "a", "b", "c")
	asks(&p, "running", 1, 3)
	granted(&p, noon)
	asks(&p, "large", 3, 3)
	asks(&p, "small", 1, 3)
	wantHolders(t, "two nodes are free, the large gang is next", granted(&p, noon))
	p.release(schemas.ReleaseNodes{Holder: "running"})
	wantHolders(t, "all nodes are free", granted(&p, noon), "large")
	p.release(schemas.ReleaseNodes{Holder: "large"})
	wantHolders(t, "then the small one", granted(&p, noon), "small")
}

func TestAGangThatThePoolCannotServeKeepsNobodyWaiting(t *testing.T) {
	var p pool
	joins(&p, 0, "a", "b")
	asks(&p, "huge", 3, 1)
	asks(&p, "small", 1, 5)
	wantHolders(t, "three nodes of two", granted(&p, noon), "small")
	if s := p.status("x", noon); s.Waiting[0].Possible || s.Free != 1 {
		t.Errorf("status %+v", s)
	}
	joins(&p, 0, "c")
	asks(&p, "later", 1, 5)
	wantHolders(t, "now it could be served", granted(&p, noon))
	p.release(schemas.ReleaseNodes{Holder: "small"})
	wantHolders(t, "and is", granted(&p, noon), "huge")
}

func TestUrgentGangsComeFirstAndEqualOnesInOrderOfArrival(t *testing.T) {
	var p pool
	for _, r := range []struct {
		holder   string
		priority int
	}{{"usual", 3}, {"backfill", 5}, {"first", 1}, {"second", 1}} {
		asks(&p, r.holder, 1, r.priority)
	}
	joins(&p, 0, "a", "b", "c")
	wantHolders(t, "three nodes", granted(&p, noon), "first", "second", "usual")
}

func TestNodesThatAreTooSmallDrainedOrLostAreNotLeased(t *testing.T) {
	var p pool
	joins(&p, 4, "small")
	joins(&p, 8, "drained", "lost", "suspect", "good")
	p.drain("drained", true)
	p.node("lost").Until = noon
	p.node("suspect").Suspect = true
	p.request(schemas.LeaseNodes{Holder: "h", Request: "1", Want: 1, GPUs: 8}, noon)
	p.grant(noon)
	if got := p.Leases[0].Hosts; !slices.Equal(got, []string{"good"}) {
		t.Errorf("leased %v, want good alone", got)
	}
	p.drain("drained", false)
	joins(&p, 8, "lost", "suspect")
	p.request(schemas.LeaseNodes{Holder: "i", Request: "1", Want: 3, GPUs: 8}, noon)
	wantHolders(t, "all came back", granted(&p, noon), "i")
}

func TestAnotherRequestOfAHolderTakesThePlaceOfItsFirst(t *testing.T) {
	var p pool
	joins(&p, 0, "a", "b")
	asks(&p, "gang", 2, 3)
	granted(&p, noon)
	asks(&p, "behind", 1, 3)
	again := schemas.LeaseNodes{Holder: "gang", Request: "1", Want: 2}
	if l := p.request(again, noon); l == nil || len(l.Hosts) != 2 {
		t.Errorf("the same request again: %+v, want its nodes", l)
	}
	again.Request, again.Suspects = "2", []string{"b"}
	p.request(again, noon)
	wantHolders(t, "b is suspect, the gang no longer possible", granted(&p, noon), "behind")
	p.release(schemas.ReleaseNodes{Holder: "behind"})
	asks(&p, "later", 1, 3)
	joins(&p, 0, "b")
	wantHolders(t, "the gang kept its rank", granted(&p, noon), "gang")
	p.release(schemas.ReleaseNodes{Holder: "gang", Request: "1"})
	if p.holder("a") == nil {
		t.Error("a release of an old request took the nodes of the new one")
	}
}

func TestALostNodeIsForgottenWhenNobodyHoldsIt(t *testing.T) {
	var p pool
	joins(&p, 0, "held", "free", "drained")
	p.drain("drained", true)
	p.drain("held", false)
	p.Leases = []schemas.PoolLease{{Holder: "gang", Hosts: []string{"held"}, Want: 1}}
	p.forget(noon.Add(90 * time.Minute))
	if len(p.Nodes) != 3 {
		t.Errorf("nodes %+v are forgotten too early", p.Nodes)
	}
	p.forget(noon.Add(3 * time.Hour))
	if p.node("free") != nil || p.node("held") == nil || p.node("drained") == nil {
		t.Errorf("left %+v, want those held and drained", p.Nodes)
	}
	p.evict("held")
	if p.node("held") != nil || len(p.Leases[0].Hosts) != 0 {
		t.Errorf("evicted, but %+v %+v", p.Nodes, p.Leases)
	}
}

func TestAPoolNeverOutgrowsAPayload(t *testing.T) {
	var p pool
	for i := range 200 {
		joins(&p, 8, fmt.Sprintf("gpu-node-with-a-long-name-%03d.cluster.internal", i))
	}
	nodes := len(p.Nodes)
	for i := range 200 {
		asks(&p, fmt.Sprintf("pipeline-2026-01-02-%03d/train", i), 1, 3)
	}
	p.grant(noon)
	data, err := json.Marshal(p.PoolState)
	if err != nil || len(data) > maxPayload {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	if nodes < 30 || p.Refused == 0 {
		t.Errorf("%d nodes found room, %d refused", nodes, p.Refused)
	}
	t.Logf("%d nodes of long names in %d bytes", nodes, len(data))
}

func TestWhoAsksAgainInAFullPoolKeepsTheirTurn(t *testing.T) {
	var p pool
	for i := range 200 {
		asks(&p, fmt.Sprintf("pipeline-2026-01-02-%03d/train", i), 1, 3)
	}
	if p.Refused == 0 {
		t.Fatal("the pool is not full")
	}
	first, places := p.Waiting[0], len(p.Waiting)
	p.request(schemas.LeaseNodes{Holder: first.Holder, Request: "2", Want: 1, Priority: 3}, noon)
	if now := p.Waiting[0]; now.Holder != first.Holder || now.Request != "2" || now.Rank != first.Rank || len(p.Waiting) != places {
		t.Errorf("%+v is first of %d", now, len(p.Waiting))
	}
}

// TestRandomEventsNeverLeaseANodeTwice plays random events against a pool, through
// JSON at random moments as a continuation does, and then lets all holders end.
func TestRandomEventsNeverLeaseANodeTwice(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		var p pool
		now := noon
		var log []string
		request := 0
		for range 60 {
			now = now.Add(time.Duration(random.IntN(90)) * time.Second)
			host, holder := fmt.Sprint("n", random.IntN(5)), fmt.Sprint("h", random.IntN(6))
			event := random.IntN(12)
			log = append(log, fmt.Sprint(event, host, holder))
			switch event {
			case 0, 1, 2:
				p.register(schemas.RegisterNode{Host: host, GPUs: []int{0, 2, 8}[random.IntN(3)], ValidFor: schemas.Duration(3 * time.Minute)}, now)
			case 3, 4, 5:
				request++
				p.request(schemas.LeaseNodes{Holder: holder, Request: fmt.Sprint(request), Want: 1 + random.IntN(5), GPUs: random.IntN(4), Priority: 1 + random.IntN(5)}, now)
			case 6, 7:
				p.release(schemas.ReleaseNodes{Holder: holder})
			case 8:
				p.leave(host)
			case 9:
				p.drain(host, random.IntN(2) == 0)
			case 10:
				if n := p.node(host); n != nil && lost(*n, now) {
					p.evict(host)
				}
			case 11:
				p.forget(now)
				data, err := json.Marshal(p.PoolState)
				var again pool
				if err == nil {
					err = json.Unmarshal(data, &again.PoolState)
				}
				if err != nil {
					t.Fatal(err)
				}
				p = again
			}
			free := map[string]bool{}
			for _, n := range p.Nodes {
				free[n.Host] = p.holder(n.Host) == nil && !lost(n, now) && !n.Drained
			}
			waited := slices.Clone(p.Waiting)
			for _, l := range p.grant(now) {
				if len(l.Hosts) != l.Want {
					t.Fatalf("seed %d %v: %+v is a partial lease", seed, log, l)
				}
				for _, host := range l.Hosts {
					if !free[host] {
						t.Fatalf("seed %d %v: %s was not free", seed, log, host)
					}
					free[host] = false
					if n := p.node(host); n.GPUs != 0 && n.GPUs < l.GPUs {
						t.Fatalf("seed %d %v: %s is too small", seed, log, host)
					}
				}
				// Nobody ahead of it could have been served by what it got.
				for _, ahead := range waited {
					if inTurn(ahead, l) >= 0 || !slices.ContainsFunc(p.Waiting, func(w schemas.PoolLease) bool { return w.Holder == ahead.Holder }) {
						continue
					}
					possible := 0
					for _, n := range p.Nodes {
						if fits(ahead, n, now) {
							possible++
						}
					}
					if possible >= ahead.Want && slices.ContainsFunc(l.Hosts, func(h string) bool { return fits(ahead, *p.node(h), now) }) {
						t.Fatalf("seed %d %v: %+v got what %+v waits for", seed, log, l, ahead)
					}
				}
			}
			p.consistent(t, seed, log)
		}
		// Everybody ends, all nodes are there: every request is served in turn.
		for i := range 5 {
			joins(&p, 8, fmt.Sprint("n", i))
			p.node(fmt.Sprint("n", i)).Until = now.Add(time.Hour)
			p.drain(fmt.Sprint("n", i), false)
		}
		for rounds := 0; len(p.Waiting)+len(p.Leases) > 0; rounds++ {
			if rounds > 100 {
				t.Fatalf("seed %d %v: deadlock: %+v", seed, log, p.PoolState)
			}
			p.grant(now)
			if len(p.Leases) == 0 {
				t.Fatalf("seed %d %v: all is free and nobody is served: %+v", seed, log, p.PoolState)
			}
			p.release(schemas.ReleaseNodes{Holder: p.Leases[0].Holder})
		}
		if s := p.status("x", now); s.Free != 5 {
			t.Fatalf("seed %d %v: %d of 5 nodes are free in the end: %+v", seed, log, s.Free, s)
		}
	}
}

// consistent demands that no node is leased twice and no holder has two requests.
func (p *pool) consistent(t *testing.T, seed uint64, log []string) {
	t.Helper()
	leased, holders := map[string]bool{}, map[string]bool{}
	for _, l := range append(slices.Clone(p.Leases), p.Waiting...) {
		if holders[l.Holder] {
			t.Fatalf("seed %d %v: %s has two requests", seed, log, l.Holder)
		}
		holders[l.Holder] = true
		for _, host := range l.Hosts {
			if leased[host] || p.node(host) == nil {
				t.Fatalf("seed %d %v: %s is leased twice or unknown", seed, log, host)
			}
			leased[host] = true
		}
	}
	if !slices.IsSortedFunc(p.Waiting, inTurn) {
		t.Fatalf("seed %d %v: out of turn: %+v", seed, log, p.Waiting)
	}
}
