package storetest

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and an S3 server and breaks connections.
type Proxy struct {
	// Endpoint is where clients connect.
	Endpoint string

	target string
	mu     sync.Mutex
	lose   int
	cut    int64
	from   []byte
	to     []byte

	answers tampering
	slow    time.Duration
	stall   int64
}

// tampering replaces bytes a number of times.
type tampering struct {
	from, to []byte
	times    int
}

// StartProxy forwards to endpoint ("http://host:port") until the test ends.
func StartProxy(t *testing.T, endpoint string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Endpoint: "http://" + listener.Addr().String(), target: strings.TrimPrefix(endpoint, "http://")}
	var group sync.WaitGroup
	stop := make(chan struct{})
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.forward(client, stop) })
		}
	})
	t.Cleanup(func() {
		close(stop)
		listener.Close()
		group.Wait()
	})
	return p
}

// LoseAnswers cuts the connection instead of passing on the next n answers. The
// server has done by then what was asked.
func (p *Proxy) LoseAnswers(n int) { p.set(func() { p.lose = n }) }

// CutUploads cuts every connection after it carried n bytes to the server; 0
// ends that.
func (p *Proxy) CutUploads(n int64) { p.set(func() { p.cut = n }) }

// Tamper replaces from by to, of the same length, on the way to the server.
func (p *Proxy) Tamper(from, to string) { p.set(func() { p.from, p.to = []byte(from), []byte(to) }) }

// TamperAnswers replaces from by to, of the same length, in the next n answers that
// hold it.
func (p *Proxy) TamperAnswers(from, to string, n int) {
	p.set(func() { p.answers = tampering{[]byte(from), []byte(to), n} })
}

// SlowAnswers delays every 32 KiB of them.
func (p *Proxy) SlowAnswers(d time.Duration) { p.set(func() { p.slow = d }) }

// StallAnswers passes on the first n bytes of every connection's answers and then
// keeps it open in silence; 0 ends that for new connections.
func (p *Proxy) StallAnswers(n int64) { p.set(func() { p.stall = n }) }

func (p *Proxy) set(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

func (p *Proxy) forward(client net.Conn, stop <-chan struct{}) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	go func() { p.upload(server, client); ended <- struct{}{} }()
	go func() {
		if !p.download(client, server) {
			ended <- struct{}{}
		}
	}()
	select {
	case <-ended:
	case <-stop:
	}
}

func (p *Proxy) upload(server io.Writer, client io.Reader) {
	buffer := make([]byte, 32<<10)
	var carried int64
	for {
		n, err := client.Read(buffer)
		data := buffer[:n]
		p.set(func() {
			if p.cut > 0 && carried+int64(n) > p.cut {
				data, err = data[:max(0, p.cut-carried)], io.ErrUnexpectedEOF
			}
			if len(p.from) > 0 {
				data = bytes.ReplaceAll(data, p.from, p.to)
			}
		})
		carried += int64(len(data))
		if _, failed := server.Write(data); failed != nil || err != nil {
			return
		}
	}
}

// download reports whether it stalled.
func (p *Proxy) download(client io.Writer, server io.Reader) (stalled bool) {
	buffer := make([]byte, 32<<10)
	var carried int64
	for {
		n, err := server.Read(buffer)
		data := buffer[:n]
		lost, delay := false, time.Duration(0)
		p.set(func() {
			delay = p.slow
			if lost = n > 0 && p.lose > 0; lost {
				p.lose--
			}
			if a := &p.answers; a.times > 0 && bytes.Contains(data, a.from) {
				a.times--
				data = bytes.ReplaceAll(data, a.from, a.to)
			}
			if stalled = p.stall > 0 && carried+int64(n) > p.stall; stalled {
				data = data[:max(0, p.stall-carried)]
			}
		})
		if lost {
			return false
		}
		carried += int64(len(data))
		time.Sleep(delay)
		if _, failed := client.Write(data); failed != nil || err != nil || stalled {
			return stalled
		}
	}
}
