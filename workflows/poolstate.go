package workflows

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"rpo/schemas"
)

const (
	// maxPoolState bounds the state as JSON, since it travels in a payload.
	maxPoolState = 7 << 10
	// forgetNodeAfter is when a lost node that nobody holds is forgotten. A drained
	// one is not: it would come back undrained.
	forgetNodeAfter = time.Hour
)

// pool is what may happen to the nodes of a pool. Nothing in it knows Temporal:
// the same events in the same order give the same state.
//
// Who waits is served by priority, then in order of arrival, and all or nothing.
// A request that the pool could meet once others give back keeps all nodes that
// it could use from those behind it: small gangs cannot starve a large one. A
// request that the pool cannot meet with all the nodes it has keeps nobody waiting.
type pool struct{ schemas.PoolState }

func lost(n schemas.PoolNode, now time.Time) bool { return n.Suspect || !now.Before(n.Until) }

// fits reports whether a request could use a node, leased or not.
func fits(l schemas.PoolLease, n schemas.PoolNode, now time.Time) bool {
	return !n.Drained && !lost(n, now) && (n.GPUs == 0 || n.GPUs >= l.GPUs)
}

func (p *pool) node(host string) *schemas.PoolNode {
	i, found := slices.BinarySearchFunc(p.Nodes, host, func(n schemas.PoolNode, host string) int { return cmp.Compare(n.Host, host) })
	if !found {
		return nil
	}
	return &p.Nodes[i]
}

// holder is the lease of a node, nil if it is free.
func (p *pool) holder(host string) *schemas.PoolLease {
	for i := range p.Leases {
		if slices.Contains(p.Leases[i].Hosts, host) {
			return &p.Leases[i]
		}
	}
	return nil
}

// full counts what would outgrow a payload.
func (p *pool) full() bool {
	data, err := json.Marshal(p.PoolState)
	if err == nil && len(data) <= maxPoolState {
		return false
	}
	p.Refused++
	return true
}

// register takes note of a node, which is alive.
func (p *pool) register(r schemas.RegisterNode, now time.Time) {
	if r.Host == "" {
		return
	}
	n := p.node(r.Host)
	if n == nil {
		i, _ := slices.BinarySearchFunc(p.Nodes, r.Host, func(n schemas.PoolNode, host string) int { return cmp.Compare(n.Host, host) })
		p.Nodes = slices.Insert(p.Nodes, i, schemas.PoolNode{Host: r.Host, Address: r.Address, GPUs: r.GPUs, Until: now})
		if p.full() {
			p.Nodes = slices.Delete(p.Nodes, i, i+1)
			return
		}
		n = &p.Nodes[i]
	}
	n.Address, n.GPUs, n.Suspect = r.Address, r.GPUs, false
	n.Until = now.Add(time.Duration(r.ValidFor)).UTC().Truncate(time.Second)
}

// leave takes note of a node that shuts down.
func (p *pool) leave(host string) {
	n := p.node(host)
	switch {
	case n == nil:
	case n.Drained || p.holder(host) != nil:
		n.Suspect = true
	default:
		p.remove(host)
	}
}

func (p *pool) remove(host string) {
	p.Nodes = slices.DeleteFunc(p.Nodes, func(n schemas.PoolNode) bool { return n.Host == host })
}

// request queues a request. The same one again changes nothing; renewed reports
// that it has its nodes already.
func (p *pool) request(r schemas.LeaseNodes, now time.Time) (granted *schemas.PoolLease) {
	if r.Holder == "" || r.Want < 1 {
		return nil
	}
	same := func(l schemas.PoolLease) bool { return l.Holder == r.Holder && l.Request == r.Request }
	if i := slices.IndexFunc(p.Leases, same); i >= 0 {
		return &p.Leases[i]
	}
	if slices.ContainsFunc(p.Waiting, same) {
		return nil
	}
	l := schemas.PoolLease{Holder: r.Holder, Request: r.Request, Want: r.Want, GPUs: r.GPUs,
		Priority: cmp.Or(r.Priority, usualPriority), Rank: p.Next, Since: now.UTC().Truncate(time.Second)}
	old, had := p.release(schemas.ReleaseNodes{Holder: r.Holder})
	if had {
		l.Rank = old.Rank
	}
	for _, host := range r.Suspects {
		if n := p.node(host); n != nil {
			n.Suspect = true
		}
	}
	i, _ := slices.BinarySearchFunc(p.Waiting, l, inTurn)
	p.Waiting = slices.Insert(p.Waiting, i, l)
	if !had && p.full() { // who asks again takes the place of what they had
		p.Waiting = slices.Delete(p.Waiting, i, i+1)
		return nil
	}
	p.Next++
	return nil
}

// inTurn is the order in which requests are served.
func inTurn(a, b schemas.PoolLease) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Rank, b.Rank))
}

// meant reports whether a release means a lease or request.
func meant(r schemas.ReleaseNodes, l schemas.PoolLease) bool {
	return l.Holder == r.Holder && (r.Request == "" || l.Request == r.Request)
}

// has reports whether there is anything to release.
func (p *pool) has(r schemas.ReleaseNodes) bool {
	is := func(l schemas.PoolLease) bool { return meant(r, l) }
	return slices.ContainsFunc(p.Leases, is) || slices.ContainsFunc(p.Waiting, is)
}

// release ends a holder's lease or request, whichever it has.
func (p *pool) release(r schemas.ReleaseNodes) (old schemas.PoolLease, had bool) {
	for _, list := range []*[]schemas.PoolLease{&p.Leases, &p.Waiting} {
		*list = slices.DeleteFunc(*list, func(l schemas.PoolLease) bool {
			if !meant(r, l) {
				return false
			}
			old, had = l, true
			return true
		})
	}
	return old, had
}

// grant gives nodes to those who wait, as far as there are any, and returns the
// new leases.
func (p *pool) grant(now time.Time) (granted []schemas.PoolLease) {
	taken := map[string]bool{}
	for _, l := range p.Leases {
		for _, host := range l.Hosts {
			taken[host] = true
		}
	}
	var waiting []schemas.PoolLease
	for _, l := range p.Waiting {
		var free []string
		possible := 0
		for _, n := range p.Nodes {
			if fits(l, n, now) {
				possible++
				if !taken[n.Host] {
					free = append(free, n.Host)
				}
			}
		}
		switch {
		case len(free) >= l.Want:
			l.Hosts, l.Since = free[:l.Want:l.Want], now.UTC().Truncate(time.Second)
			for _, host := range l.Hosts {
				taken[host] = true
			}
			granted = append(granted, l)
			continue
		case possible >= l.Want:
			// Its turn: what it could use waits for it.
			for _, host := range free {
				taken[host] = true
			}
		}
		waiting = append(waiting, l)
	}
	p.Waiting = waiting
	p.Leases = append(p.Leases, granted...)
	slices.SortFunc(p.Leases, func(a, b schemas.PoolLease) int { return cmp.Compare(a.Rank, b.Rank) })
	return granted
}

// forget drops nodes that were lost for long.
func (p *pool) forget(now time.Time) {
	p.Nodes = slices.DeleteFunc(p.Nodes, func(n schemas.PoolNode) bool {
		return lost(n, now) && !n.Drained && !now.Before(n.Until.Add(forgetNodeAfter)) && p.holder(n.Host) == nil
	})
}

// drain has a node take no further lease, or again.
func (p *pool) drain(host string, drained bool) {
	if n := p.node(host); n != nil {
		n.Drained = drained
	}
}

// evict forgets a lost node; who holds it keeps the rest of its lease.
func (p *pool) evict(host string) {
	if l := p.holder(host); l != nil {
		l.Hosts = slices.DeleteFunc(l.Hosts, func(h string) bool { return h == host })
	}
	p.remove(host)
}

// empty reports whether there is nothing to look after.
func (p *pool) empty() bool { return len(p.Nodes) == 0 && len(p.Leases) == 0 && len(p.Waiting) == 0 }

// status is the state as people see it.
func (p *pool) status(name string, now time.Time) schemas.PoolStatus {
	s := schemas.PoolStatus{Pool: name, Status: schemas.StatusRunning, Refused: p.Refused, Nodes: []schemas.PoolNodeStatus{}, Waiting: []schemas.PoolWaiting{}}
	for _, n := range p.Nodes {
		v := schemas.PoolNodeStatus{Host: n.Host, Address: n.Address, GPUs: n.GPUs, State: schemas.NodeFree, Until: n.Until}
		l := p.holder(n.Host)
		switch {
		case lost(n, now):
			v.State = schemas.NodeLost
		case n.Drained && l != nil:
			v.State = schemas.NodeDraining
		case n.Drained:
			v.State = schemas.NodeDrained
		case l != nil:
			v.State = schemas.NodeLeased
		default:
			s.Free++
		}
		if l != nil {
			v.Holder, v.LeasedSince = l.Holder, l.Since
		}
		s.Nodes = append(s.Nodes, v)
	}
	for _, l := range p.Waiting {
		possible := 0
		for _, n := range p.Nodes {
			if fits(l, n, now) {
				possible++
			}
		}
		s.Waiting = append(s.Waiting, schemas.PoolWaiting{Holder: l.Holder, Want: l.Want, GPUs: l.GPUs, Priority: l.Priority, Since: l.Since, Possible: possible >= l.Want})
	}
	return s
}
