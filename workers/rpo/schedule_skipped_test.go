//go:build endtoend

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/train"
)

// A night that hangs has the server leave out those after it, without a word.
func TestNightsThatAreSilentlySkippedRaiseTheAlarm(t *testing.T) {
	l := startLocal(t)
	var hangs atomic.Bool
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	policy := scripted.New(t, scripted.PerChoice(func(_ scripted.Parsed, seed int64) string {
		if hangs.Load() {
			<-gate
		}
		return []string{"a river", "no water, none"}[seed%2]
	}))
	address := freeAddress(t)
	cmd := exec.Command(filepath.Join(l.root, "bin/rpo"), "worker", "--config", l.config(t, policy.URL), "--metrics-address", address)
	exited, err := train.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); <-exited })
	c, s := l.client(t), l.store(t)
	arrive := func(name string, n int) {
		if err := s.Put(t.Context(), "incoming/"+name, []byte(mustRead(t, profiles(t, t.TempDir(), n)))); err != nil {
			t.Fatal(err)
		}
	}
	metric := func(name string) (value float64) {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return -1
		}
		defer answer.Body.Close()
		page, _ := io.ReadAll(answer.Body)
		for line := range strings.Lines(string(page)) {
			if strings.HasPrefix(line, name+`{schedule="nightly"`) {
				fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &value)
			}
		}
		return value
	}
	arrive("1.jsonl", 2)
	l.expect(t, 0, "schedule", "apply", writeFile(t, l.dir, "schedules.yaml", `schedules:
  - {id: nightly, workflow: RefreshDataset, every: 1m, input: {source: "s3://`+l.Bucket+`/incoming/", dataset: nightly}}
`))
	l.expect(t, 0, "schedule", "trigger", "nightly")
	await(t, "the first night", func() bool { return len(runsOf(t, c, "nightly")) > 0 })
	hangs.Store(true)
	arrive("2.jsonl", 4)
	l.expect(t, 0, "schedule", "list", "--check") // fresh so far
	if stale := metric("rpo_schedule_stale"); stale != 0 {
		t.Errorf("stale is %v right after a success", stale)
	}
	await(t, "the alarm", func() bool { return metric("rpo_schedule_stale") == 1 && metric("rpo_schedule_skipped_total") >= 1 })
	if complaint := l.expect(t, 1, "schedule", "list", "--check"); !strings.Contains(complaint, "nightly") {
		t.Errorf("the check says %q", complaint)
	}
	open()
	hangs.Store(false)
	await(t, "the end of the alarm", func() bool { return metric("rpo_schedule_stale") == 0 })
	l.expect(t, 0, "schedule", "list", "--check")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
