package main

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
)

// commitPath is a commit record's key.
var commitPath = regexp.MustCompile(`^runs/[^/]+/([a-z]+)/shard-(\d+)\.json$`)

// unit is one shard of one stage.
type unit struct {
	stage string
	shard int
}

func (u unit) String() string { return fmt.Sprintf("%s shard %d", u.stage, u.shard) }

// unitOf reads a commit record's key.
func unitOf(key string) (unit, bool) {
	m := commitPath.FindStringSubmatch(key)
	if m == nil {
		return unit{}, false
	}
	shard, err := strconv.Atoi(m[2])
	return unit{m[1], shard}, err == nil
}

// ledger is what the proxy and the endpoint saw of every shard, and what of it
// must never happen.
type ledger struct {
	mu       sync.Mutex
	units    map[unit]*entry
	breaches []string
}

type entry struct {
	// created counts the commit records that S3 took, unknown the writes of one
	// that S3 did not answer.
	created, unknown int
	sum              string
	// committed is set at the first sign that there is a record. committer wrote
	// it, 0 if nobody saw who did.
	committed bool
	committer int
	// began counts, by worker, the looks for a record that found none: each begins
	// an attempt, which may still be at work. wrote are the different records that
	// the worker then wrote, at most one an attempt.
	began map[int]int
	wrote map[int]map[string]bool
}

func newLedger() *ledger { return &ledger{units: map[unit]*entry{}} }

func (l *ledger) of(u unit) *entry {
	e := l.units[u]
	if e == nil {
		e = &entry{began: map[int]int{}, wrote: map[int]map[string]bool{}}
		l.units[u] = e
	}
	return e
}

func (l *ledger) breach(format string, args ...any) {
	l.breaches = append(l.breaches, fmt.Sprintf(format, args...))
}

// known reports whether there is a record as far as anybody saw. It is asked
// before a request is passed on: what happens meanwhile breaches nothing.
func (l *ledger) known(u unit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(u).committed
}

// wrote notes a worker's write of a commit record and S3's answer, 0 for none.
func (l *ledger) wrote(worker int, u unit, known, conditional bool, sum string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(u)
	if !conditional {
		l.breach("%s: its commit record was written without a condition", u)
	}
	if e.wrote[worker] == nil {
		e.wrote[worker] = map[string]bool{}
	}
	if e.wrote[worker][sum] = true; len(e.wrote[worker]) > e.began[worker] {
		l.breach("%s: worker %d worked on it again, though it was committed", u, worker)
	}
	switch {
	case status == 200:
		if e.created++; e.created > 1 || known {
			l.breach("%s: its commit record was created again", u)
		}
		e.committed, e.committer, e.sum = true, worker, sum
	case status == 412:
		e.committed = true
	case status == 0:
		e.unknown++
	}
}

// looked notes a worker's look for a commit record: what it found, "" for none.
func (l *ledger) looked(worker int, u unit, known bool, sum string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(u)
	switch {
	case sum == "" && known:
		l.breach("%s: its commit record is gone", u)
	case sum == "":
		e.began[worker]++
	case e.sum != "" && e.sum != sum:
		l.breach("%s: its commit record has changed", u)
	default:
		e.committed, e.sum = true, sum
	}
}

// called notes a call for a row of a shard. After the commit only a worker that
// had begun before, and that is not the one that committed, may still call.
func (l *ledger) called(worker int, u unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(u)
	if e.committed && (worker == e.committer || e.began[worker] == 0) {
		l.breach("%s: worker %d called for it after it was committed", u, worker)
	}
}

// check compares the records that there are now, by their hashes, with what was
// seen.
func (l *ledger) check(now map[unit]string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for u, sum := range now {
		e := l.of(u)
		if e.created != 1 && e.unknown == 0 {
			l.breach("%s: its commit record was created %d times", u, e.created)
		}
		if e.sum != "" && e.sum != sum {
			l.breach("%s: its commit record is not the one that was created", u)
		}
	}
	for u, e := range l.units {
		if _, ok := now[u]; !ok && e.committed {
			l.breach("%s: it was committed and its record is gone", u)
		}
	}
	return l.breaches
}
