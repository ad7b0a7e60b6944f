package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/schemas"
)

const (
	// Eight messages of 4 KB, an answer of 4 KB.
	messages, messageBytes = 8, 4 << 10
	callers                = 8
	rounds, callsPerRound  = 8, 400
)

// cost is what calls took of this process.
type cost struct {
	cpu   time.Duration
	bytes uint64
}

// compareCalls measures CPU time and allocated bytes per call of the whole chain
// (cache with its writes to s, meter, breaker, retry, limiter, wire) and of the
// bare loop, in turns, so that both meet the same machine.
func compareCalls(ctx context.Context, s store.Store) (ours, theirs cost, err error) {
	e, err := startEndpoint(script{Least: messageBytes / wordBytes, Most: messageBytes / wordBytes})
	if err != nil {
		return ours, theirs, err
	}
	defer e.stop()
	client, err := chat.New(chat.Endpoint{Name: "policy", URL: e.url, Model: "scripted"})
	if err != nil {
		return ours, theirs, err
	}
	defer client.Close()
	const identity = "bench-calls"
	calls := cache.New(s, slog.New(slog.DiscardHandler))
	if err := calls.Open(ctx, identity); err != nil {
		return ours, theirs, err
	}
	chain := calls.Completer(chat.Metered(client, chat.NewMeter(ctx, schemas.Allowance{}), chat.Terms{}), cache.Use{Identity: identity, Endpoint: "policy"})
	plain := newBare(e.url, 0)
	flush := func() error { return calls.Flush(ctx) }
	// The first round of each warms connections and finds the level.
	for round := -1; round < rounds; round++ {
		seed := int64(round+2) * 1_000_000
		a, err := measure(ctx, chain, seed, flush)
		if err != nil {
			return ours, theirs, err
		}
		b, err := measure(ctx, plain, seed+500_000, nil)
		if err != nil {
			return ours, theirs, err
		}
		if round >= 0 {
			ours, theirs = ours.plus(a), theirs.plus(b)
		}
	}
	return ours, theirs, calls.Close(ctx)
}

func (c cost) plus(d cost) cost { return cost{c.cpu + d.cpu, c.bytes + d.bytes} }

// perCall is in microseconds and bytes.
func (c cost) perCall() (cpu, bytes float64) {
	const n = rounds * callsPerRound
	return float64(c.cpu.Microseconds()) / n, float64(c.bytes) / n
}

func measure(ctx context.Context, c chat.Completer, seed int64, end func() error) (cost, error) {
	request := chat.Request{Model: "scripted", N: 1, Temperature: 1, TopP: 1, MaxTokens: 2048}
	for i := range messages {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		request.Messages = append(request.Messages, schemas.Message{Role: role, Content: strings.Repeat("message ", messageBytes/len("message "))})
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime()
	var group sync.WaitGroup
	failed := make(chan error, callers)
	for caller := range callers {
		group.Go(func() {
			for i := range callsPerRound / callers {
				req := request
				req.Seed = seed + int64(i*callers+caller)
				resp, err := c.Complete(ctx, req)
				if err == nil && (len(resp.Choices) != 1 || len(resp.Choices[0].Text) != messageBytes-1) {
					err = fmt.Errorf("got %d choices", len(resp.Choices))
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return cost{}, err
	}
	if end != nil {
		if err := end(); err != nil {
			return cost{}, err
		}
	}
	runtime.GC()
	took := cpuTime() - began
	runtime.ReadMemStats(&after)
	return cost{took, after.TotalAlloc - before.TotalAlloc}, nil
}

// cpuTime is that of this process, without its children.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
