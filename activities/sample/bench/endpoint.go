package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"rpo/activities/chat/scripted"
)

// script is what an endpoint does. It travels to the child process as JSON.
type script struct {
	// Queue, if not nil, is its capacity; else it answers at once.
	Queue *scripted.Queue `json:"queue"`
	// Words of each choice: the seed picks a number in [Least, Most].
	Least int `json:"least"`
	Most  int `json:"most"`
}

// counts is what an endpoint did.
type counts struct {
	Queue scripted.QueueStats
	Stats scripted.Stats
}

// wordBytes is the length of a word with its space.
const wordBytes = 8

// serveEndpoint is the child process: it plays an endpoint, tells its address and
// its counts whenever it is asked for them, and ends with its parent.
func serveEndpoint(text string) error {
	var s script
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	var b strings.Builder
	for i := range 2 * s.Most {
		fmt.Fprintf(&b, "word%03d ", i%1000)
	}
	words := b.String()
	server := scripted.Start(nil, scripted.Config{Queue: s.Queue, NoModels: true}, scripted.PerChoice(func(_ scripted.Parsed, seed int64) string {
		n := s.Least + int(uint64(seed)%uint64(s.Most-s.Least+1))
		from := int(uint64(seed) / 1000 % uint64(s.Most))
		return words[from*wordBytes : (from+n)*wordBytes-1]
	}))
	defer server.Close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(server.URL); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		c := counts{Stats: server.Stats()}
		if s.Queue != nil {
			c.Queue = server.QueueStats()
		}
		if err := out.Encode(c); err != nil {
			return err
		}
	}
	return nil
}

// endpoint is the parent's end.
type endpoint struct {
	url string

	mu  sync.Mutex
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

func startEndpoint(s script) (*endpoint, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	e := &endpoint{cmd: exec.Command(self, "endpoint", string(text))}
	e.cmd.Stderr = os.Stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := e.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	e.in, e.out = json.NewEncoder(in), json.NewDecoder(out)
	return e, e.out.Decode(&e.url)
}

func (e *endpoint) counts() (counts, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var c counts
	if err := e.in.Encode("?"); err != nil {
		return c, err
	}
	return c, e.out.Decode(&c)
}

func (e *endpoint) stop() {
	e.cmd.Process.Kill()
	e.cmd.Wait()
}
