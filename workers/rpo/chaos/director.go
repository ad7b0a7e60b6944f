package main

import "sync"

// director counts the events of the stage under way and says when a fault is due.
type director struct {
	strike func(f fault, worker int, u unit)

	mu     sync.Mutex
	stage  string
	counts map[event]int
	faults []fault
	struck []bool
}

func newDirector(faults []fault, strike func(fault, int, unit)) *director {
	return &director{strike: strike, faults: faults, struck: make([]bool, len(faults))}
}

// begin starts a stage: its events count from 1.
func (d *director) begin(stage string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stage, d.counts = stage, map[event]int{}
}

// on counts an event of a worker and strikes before it returns, so that what
// caused the event meets the fault. u is the shard of a commit.
func (d *director) on(e event, worker int, u unit) {
	d.mu.Lock()
	if d.counts == nil {
		d.mu.Unlock()
		return
	}
	d.counts[e]++
	var due []fault
	for i, f := range d.faults {
		if !d.struck[i] && f.stage == d.stage && f.on == e && f.n == d.counts[e] {
			d.struck[i] = true
			due = append(due, f)
		}
	}
	d.mu.Unlock()
	for _, f := range due {
		d.strike(f, worker, u)
	}
}

// left are the faults whose moment did not come.
func (d *director) left() (out []fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, f := range d.faults {
		if !d.struck[i] {
			out = append(out, f)
		}
	}
	return out
}
