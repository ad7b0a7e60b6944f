package main

import (
	"strings"
	"testing"
)

func TestTheLedgerNamesWhatMustNeverHappenToAShard(t *testing.T) {
	u := unit{"judge", 3}
	for name, c := range map[string]struct {
		do   func(*ledger)
		now  map[unit]string
		says string // "" for nothing
	}{
		"one attempt": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.called(1, u)
			l.wrote(1, u, l.known(u), true, "a", 200)
		}, map[unit]string{u: "a"}, ""},
		"a worker that was at work already calls on": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.looked(2, u, l.known(u), "")
			l.wrote(2, u, l.known(u), true, "a", 200)
			l.called(1, u)
			l.wrote(1, u, l.known(u), true, "b", 412)
			l.looked(1, u, l.known(u), "a")
		}, map[unit]string{u: "a"}, ""},
		"an answer that did not come": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.wrote(1, u, l.known(u), true, "a", 0)
			l.wrote(1, u, l.known(u), true, "a", 412)
		}, map[unit]string{u: "a"}, ""},
		"answers that overtake each other": {func(l *ledger) {
			before := l.known(u)
			l.looked(1, u, before, "")
			l.looked(2, u, before, "a")
			l.wrote(1, u, before, true, "a", 200)
			l.looked(3, u, before, "")
		}, map[unit]string{u: "a"}, ""},
		"work after the commit": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.looked(2, u, l.known(u), "a")
			l.wrote(2, u, l.known(u), true, "b", 412)
		}, map[unit]string{u: "a"}, "worked on it again"},
		"work after the worker's own commit": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.looked(1, u, l.known(u), "a")
			l.wrote(1, u, l.known(u), true, "b", 412)
		}, map[unit]string{u: "a"}, "worked on it again"},
		"a second creation": {func(l *ledger) {
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.wrote(2, u, l.known(u), true, "b", 200)
		}, map[unit]string{u: "b"}, "created again"},
		"a write without a condition": {func(l *ledger) {
			l.wrote(1, u, l.known(u), false, "a", 200)
		}, map[unit]string{u: "a"}, "without a condition"},
		"a call of the worker that committed": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.called(1, u)
		}, map[unit]string{u: "a"}, "called for it after"},
		"a call of a worker that began after the commit": {func(l *ledger) {
			l.looked(1, u, l.known(u), "")
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.called(2, u)
		}, map[unit]string{u: "a"}, "called for it after"},
		"a record that is gone when a worker looks": {func(l *ledger) {
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.looked(2, u, l.known(u), "")
		}, map[unit]string{u: "a"}, "is gone"},
		"a record that is gone at the end": {func(l *ledger) {
			l.wrote(1, u, l.known(u), true, "a", 200)
		}, nil, "is gone"},
		"a record that nobody wrote": {func(*ledger) {}, map[unit]string{u: "a"}, "created 0 times"},
		"a record that changed": {func(l *ledger) {
			l.wrote(1, u, l.known(u), true, "a", 200)
			l.looked(2, u, l.known(u), "b")
		}, map[unit]string{u: "a"}, "has changed"},
		"another record than was created": {func(l *ledger) {
			l.wrote(1, u, l.known(u), true, "a", 200)
		}, map[unit]string{u: "b"}, "not the one"},
	} {
		l := newLedger()
		c.do(l)
		said := strings.Join(l.check(c.now), "; ")
		if c.says == "" && said != "" || c.says != "" && !strings.Contains(said, c.says) {
			t.Errorf("%s: the ledger says %q, want %q", name, said, c.says)
		}
	}
}

func TestOnlyTheKeysOfCommitRecordsNameAShard(t *testing.T) {
	for key, want := range map[string]unit{
		"runs/0b1c/judge/shard-00042.json": {"judge", 42}, "runs/0b1c/judge/manifest.json": {}, "data/pair/shard-00042.json": {},
		"runs/0b1c/judge/failed/x/00001/shard-00002.json": {},
	} {
		if got, ok := unitOf(key); got != want || ok != (want != unit{}) {
			t.Errorf("%s: %v, %v", key, got, ok)
		}
	}
}
