package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// serving makes models whose endpoint "local" runs a script for a model server.
// It notes its process id, one a line, in the file that started returns.
func serving(t *testing.T, script string) (m *models, started func() []int) {
	t.Helper()
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	for name, text := range map[string]string{"python": "#!/bin/sh\necho $$ >> " + pids + "\n" + script + "\n", "config.json": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m = newModels(config{WorkDir: dir, Python: filepath.Join(dir, "python"), Models: map[string]string{"base": dir},
		Endpoints: map[string]endpoint{"local": {Serve: &serve{Model: "base"}}}}, store.NewMemory("rpo"), newMetrics())
	t.Cleanup(m.close)
	return m, func() (all []int) {
		data, _ := os.ReadFile(pids)
		for word := range strings.FieldsSeq(string(data)) {
			pid, _ := strconv.Atoi(word)
			all = append(all, pid)
		}
		return all
	}
}

// answering prints an address and stays.
const answering = `echo '{"url": "http://127.0.0.1:1/v1"}'; exec sleep 60`

// running returns the number of servers that the registry knows.
func (m *models) running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.servers)
}

func TestAModelServerIsStartedOnceForAllWhoAskAtTheSameTime(t *testing.T) {
	m, started := serving(t, "sleep 0.2; "+answering)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			model, release, err := m.Model(t.Context(), chat.Use{Endpoint: "local", Model: "", Meter: chat.NewMeter(t.Context(), schemas.Allowance{})})
			if err != nil {
				t.Error(err)
				return
			}
			if !strings.HasPrefix(model.Name, "base") {
				t.Errorf("the model is called %q", model.Name)
			}
			release()
		})
	}
	users.Wait()
	if n := len(started()); n != 1 {
		t.Errorf("%d servers were started", n)
	}
	m.close()
	if err := awaitGone(started()[0]); err != nil {
		t.Error(err)
	}
}

func TestAModelServerThatDiedIsStartedAgain(t *testing.T) {
	m, started := serving(t, answering)
	for want := 1; want <= 2; want++ {
		_, release, err := m.Model(t.Context(), chat.Use{Endpoint: "local", Model: "", Meter: chat.NewMeter(t.Context(), schemas.Allowance{})})
		if err != nil {
			t.Fatal(err)
		}
		release()
		pids := started()
		if len(pids) != want {
			t.Fatalf("%d servers were started, want %d", len(pids), want)
		}
		syscall.Kill(pids[want-1], syscall.SIGKILL)
		for deadline := time.Now().Add(10 * time.Second); m.running() > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the dead server is still in use")
			}
		}
	}
}

func TestAModelServerThatDoesNotStartIsReportedWithItsLogAndTriedAgain(t *testing.T) {
	for script, says := range map[string]string{
		`echo "cannot read model" >&2; exit 1`: "ended before it answered",
		`echo ready; exec sleep 60`:            `said "ready" instead of its address`,
	} {
		m, started := serving(t, script)
		for want := 1; want <= 2; want++ {
			_, _, err := m.Model(t.Context(), chat.Use{Endpoint: "local", Model: "", Meter: chat.NewMeter(t.Context(), schemas.Allowance{})})
			if schemas.TypeOf(err) != schemas.Internal || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), ".log") {
				t.Errorf("%s: error %v, want one that says %q", script, err, says)
			}
			if n := len(started()); n != want || m.running() != 0 {
				t.Errorf("%s: %d starts, want %d; %d servers are known", script, n, want, m.running())
			}
		}
		if err := awaitGone(started()[0]); err != nil {
			t.Error(err)
		}
	}
}

// awaitGone polls until a child of this process has ended and was waited for.
func awaitGone(pid int) error {
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return schemas.Errorf(schemas.Internal, "process %d is still there", pid)
		}
	}
	return nil
}
