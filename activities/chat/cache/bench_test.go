package cache_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/schemas"
)

var sentence = strings.Repeat("A sentence of an answer that a model gave to a question. ", 10)

func conversation(i int) chat.Request {
	system := strings.Repeat("You are a shop assistant who keeps to every rule given below. ", 25)
	return chat.Request{N: 5, MaxTokens: 512, Temperature: 1, Seed: int64(i) * 100, Messages: []schemas.Message{
		{Role: "system", Content: system}, {Role: "user", Content: fmt.Sprint("Question ", i, ": ", sentence)},
	}}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// BenchmarkMiss is what the cache adds to the calls of 5 choices: keys, look-up,
// encoding, compression and writing to memory. The unit is one choice.
func BenchmarkMiss(b *testing.B) {
	c := cache.New(store.NewMemory("rpo"), quiet())
	completer := c.Completer(free{}, cache.Use{Identity: "m"})
	b.ReportAllocs()
	for i := 0; i < b.N; i += 5 {
		if _, err := completer.Complete(b.Context(), conversation(i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// free answers with about 600 bytes a choice, at hardly any cost of its own.
type free struct{}

func (free) Complete(_ context.Context, req chat.Request) (chat.Response, error) {
	resp := chat.Response{Choices: make([]chat.Choice, req.N), Calls: 1}
	for i := range resp.Choices {
		resp.Choices[i] = chat.Choice{Text: fmt.Sprint(sentence, req.Seed, i), FinishReason: "stop"}
	}
	return resp, nil
}

// BenchmarkHit answers calls of 5 choices in the order in which they were made,
// as a replayed shard does, from the objects in the store on. The unit is one
// choice.
func BenchmarkHit(b *testing.B) {
	s := store.NewMemory("rpo")
	c := cache.New(s, quiet())
	for i := 0; i < b.N; i += 5 {
		if _, err := c.Completer(free{}, cache.Use{Identity: "m"}).Complete(b.Context(), conversation(i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	again := cache.New(s, quiet())
	completer := again.Completer(newModel(), cache.Use{Identity: "m"})
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 5 {
		resp, err := completer.Complete(b.Context(), conversation(i))
		if err != nil || resp.Calls != 0 {
			b.Fatal(resp.Calls, err)
		}
	}
}

// short answers with one word.
type short struct{}

func (short) Complete(_ context.Context, req chat.Request) (chat.Response, error) {
	resp := chat.Response{Choices: make([]chat.Choice, req.N), Calls: 1}
	for i := range resp.Choices {
		resp.Choices[i] = chat.Choice{Text: "yes", FinishReason: "stop"}
	}
	return resp, nil
}

// BenchmarkOpenAMillion reads the indexes of a million entries in 50 parts.
func BenchmarkOpenAMillion(b *testing.B) {
	s := store.NewMemory("rpo")
	c := cache.New(s, quiet())
	completer := c.Completer(short{}, cache.Use{Identity: "m"})
	for i := range 50 {
		if _, err := completer.Complete(b.Context(), chat.Request{N: 20000, Seed: int64(i) << 20}); err != nil {
			b.Fatal(err)
		}
		if err := c.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	c, completer = nil, nil
	open := func() *cache.Cache {
		opened := cache.New(s, quiet())
		if err := opened.Open(b.Context(), "m"); err != nil {
			b.Fatal(err)
		}
		return opened
	}
	for b.Loop() {
		open()
	}
	without := heap()
	opened := open()
	b.ReportMetric(float64(heap()-without)/1_000_000, "B/entry")
	if n := opened.Stats().Entries; n != 1_000_000 {
		b.Fatal(n, "entries")
	}
}

func heap() int64 {
	var m runtime.MemStats
	for range 3 { // pools let go at the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
