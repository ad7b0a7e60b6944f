package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/chattest"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

// echo depends on everything that a choice may depend on, and on n for nothing.
var echo = scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
	if len(p.Schema) > 0 {
		return `{"verdict":"yes"}`
	}
	return fmt.Sprintf("%s seed %d", p.Last(), seed)
})

// narrow is echo with a context of 100 words.
func narrow(p scripted.Parsed) scripted.Reply {
	if len(strings.Fields(p.Last())) >= 100 {
		return scripted.Refuse(400, "'max_tokens' is too large: this model's maximum context length is 100 tokens, which is not supported to be more")
	}
	return echo(p)
}

// open makes a client that does not really wait between attempts.
func open(t *testing.T, url string, change ...func(*chat.Endpoint)) (*chat.Client, *chat.Waits) {
	t.Helper()
	e := chat.Endpoint{Name: "sampler", URL: url, Model: "scripted"}
	for _, c := range change {
		c(&e)
	}
	client, err := chat.New(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, chat.RecordWaits(client)
}

func ask(n int) chat.Request {
	return chat.Request{
		Messages: []schemas.Message{{Role: "user", Content: "hello"}},
		N:        n, Temperature: 1, TopP: 1, MaxTokens: 16, Seed: 40,
	}
}

func texts(r chat.Response) []string {
	var out []string
	for _, c := range r.Choices {
		out = append(out, c.Text)
	}
	return out
}

func TestTheClientPassesTheAcceptanceSuite(t *testing.T) {
	for name, config := range map[string]scripted.Config{
		"server that honours n":    {},
		"server that ignores n":    {MaxChoices: 1},
		"server with three slots":  {MaxChoices: 3},
		"server that refuses n":    {RefuseN: true},
		"server that fails once":   {FailFirst: &scripted.Reply{Status: 503, Message: "loading model"}},
		"server that demands keys": {Key: "sk-0123456789abcdef"},
		"hosted server":            {Refuse: []string{"max_tokens", "top_k", "min_p", "repetition_penalty"}},
		"strict server": {Refuse: []string{"top_k", "min_p", "repetition_penalty", "presence_penalty", "n", "seed"},
			RefuseStatus: 422, Schema: scripted.SchemaRefused},
		"older llama.cpp": {Schema: scripted.SchemaFlat},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				t.Setenv("SAMPLER_KEY", config.Key)
				chattest.Run(t, func(t *testing.T) chat.Completer {
					server := scripted.Start(t, config, narrow)
					client, _ := open(t, server.URL, func(e *chat.Endpoint) {
						e.Stream = stream
						if config.Key != "" {
							e.KeyEnv = "SAMPLER_KEY"
						}
					})
					return client
				}, chattest.Options{Reproducible: true, Schema: config.Schema < scripted.SchemaIgnored, Context: 100})
			})
		}
	}
}

func TestMissingChoicesAreAskedForWithDerivedSeeds(t *testing.T) {
	want := []string{"hello seed 40", "hello seed 41", "hello seed 42", "hello seed 43", "hello seed 44"}
	for _, test := range []struct {
		name          string
		config        scripted.Config
		calls, second int // requests for the first and for the second call
	}{
		{"all at once", scripted.Config{}, 1, 1},
		{"one at a time when n is ignored", scripted.Config{MaxChoices: 1}, 5, 5},
		{"in portions when the server has few slots", scripted.Config{MaxChoices: 2}, 3, 3},
		{"one at a time when n is refused, which the probe found", scripted.Config{RefuseN: true}, 5, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := scripted.Start(t, test.config, echo)
			client, _ := open(t, server.URL)
			for _, calls := range []int{test.calls, test.second} {
				got, err := client.Complete(t.Context(), ask(5))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(texts(got), want) {
					t.Errorf("got %q, want %q", texts(got), want)
				}
				if got.Calls != calls {
					t.Errorf("%d calls, want %d", got.Calls, calls)
				}
				if got.Usage != (chat.Usage{PromptTokens: got.Usage.PromptTokens, CompletionTokens: 15, Known: true}) {
					t.Errorf("usage is %+v, want 15 completion tokens", got.Usage)
				}
			}
			if most := server.Stats().MaxInFlight; most != 1 {
				t.Errorf("%d requests of one call in flight, want 1", most)
			}
		})
	}
}

func TestARefusalOfAnotherThingIsNotTakenForARefusalOfN(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply {
		return scripted.Refuse(400, "prompt is longer than the context of 512 tokens")
	})
	client, _ := open(t, server.URL)
	_, err := client.Complete(t.Context(), ask(4))
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "longer than the context") {
		t.Errorf("error is %v", err)
	}
	if got := server.Stats().Requests; got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func TestSurplusChoicesAreDroppedInOrder(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply {
		return scripted.Reply{Body: []byte(`{"model":"m","choices":[
			{"index":2,"finish_reason":"stop","message":{"content":"c"}},
			{"index":0,"finish_reason":"length","message":{"content":"a"}},
			{"index":1,"finish_reason":"stop","message":{"content":null}}]}`)}
	})
	client, _ := open(t, server.URL)
	got, err := client.Complete(t.Context(), ask(2))
	if err != nil {
		t.Fatal(err)
	}
	if want := []chat.Choice{{Text: "a", FinishReason: "length"}, {FinishReason: "stop"}}; !slices.Equal(got.Choices, want) {
		t.Errorf("got %+v, want %+v", got.Choices, want)
	}
}

func TestEverySamplingParameterIsSent(t *testing.T) {
	bodies := make(chan map[string]any, 1)
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		var body map[string]any
		if err := json.Unmarshal(p.Body, &body); err != nil {
			t.Error(err)
		}
		bodies <- body
		return scripted.Say("x")
	})
	client, _ := open(t, server.URL)
	req := ask(1)
	req.Temperature, req.TopP, req.Seed = 0, 0, -1
	req.Schema, req.Stop = json.RawMessage(`{"type":"object"}`), []string{"END"}
	if _, err := client.Complete(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	got := <-bodies
	delete(got, "messages")
	want := `{"frequency_penalty":0,"max_tokens":16,"min_p":0,"model":"scripted","presence_penalty":0,"repetition_penalty":1,` +
		`"response_format":{"json_schema":{"name":"reply","schema":{"type":"object"},"strict":true},"type":"json_schema"},` +
		`"seed":2147483647,"stop":["END"],"stream":false,"temperature":0,"top_k":-1,"top_p":1}`
	if encoded, _ := json.Marshal(got); string(encoded) != want {
		t.Errorf("sent\n%s\nwant\n%s", encoded, want)
	}
}

func TestUsageIsNotBelievedWhenItCannotCountAllChoices(t *testing.T) {
	for _, test := range []struct {
		name  string
		n     int
		reply scripted.Reply
		want  chat.Usage
	}{
		{"all choices counted", 2, scripted.Say("a b", "c"), chat.Usage{PromptTokens: 1, CompletionTokens: 3, Known: true}},
		{"no usage", 1, scripted.Reply{Texts: []string{"a"}, Usage: scripted.UsageNone}, chat.Usage{}},
		{"one of two counted by llama.cpp", 2, scripted.Reply{Texts: []string{"a b c", "d"}, Usage: scripted.UsageOne},
			chat.Usage{PromptTokens: 1, CompletionTokens: 3}},
		{"one of one counted by llama.cpp", 1, scripted.Reply{Texts: []string{"a b c"}, Usage: scripted.UsageOne},
			chat.Usage{PromptTokens: 1, CompletionTokens: 3, Known: true}},
		{"fewer tokens than choices cut at the limit", 2, scripted.Reply{Texts: []string{"a b", "c"}, Finish: "length"},
			chat.Usage{PromptTokens: 1, CompletionTokens: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return test.reply })
			client, _ := open(t, server.URL)
			got, err := client.Complete(t.Context(), ask(test.n))
			if err != nil || got.Usage != test.want {
				t.Errorf("usage %+v, error %v, want %+v", got.Usage, err, test.want)
			}
		})
	}
}

func TestCancellingClosesTheConnection(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return scripted.Hang("late") })
	client, _ := open(t, server.URL)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client.Complete(ctx, ask(1))
		done <- err
	}()
	limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := server.Await(limit, func(s scripted.Stats) bool { return s.InFlight == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not match context.Canceled", err)
	}
	if err := server.Await(limit, func(s scripted.Stats) bool { return s.Abandoned == 1 }); err != nil {
		t.Errorf("the server still holds the request: %+v", server.Stats())
	}
}

func TestACallersDeadlineIsTold(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return scripted.Hang() })
	client, _ := open(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := client.Complete(ctx, ask(1))
	if !errors.Is(err, context.DeadlineExceeded) || schemas.TypeOf(err) != schemas.Overloaded {
		t.Errorf("error is %v", err)
	}
}

func TestAHungServerMeetsTheHardTimeout(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return scripted.Hang() })
	client, waits := open(t, server.URL, func(e *chat.Endpoint) { e.Timeout = 50 * time.Millisecond })
	_, err := client.Complete(t.Context(), ask(1))
	if schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "no complete reply within 50ms") {
		t.Errorf("error is %v", err)
	}
	if len(waits.All) != 0 {
		t.Errorf("waited %v although the next attempt would begin after the timeout", waits.All)
	}
}

func TestCancellingEndsTheWaitBetweenAttempts(t *testing.T) {
	server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return scripted.RateLimited(time.Minute) })
	client, err := chat.New(chat.Endpoint{Name: "sampler", URL: server.URL, Model: "scripted"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		if err := server.Await(ctx, func(s scripted.Stats) bool { return s.Refused == 1 }); err != nil {
			t.Error(err)
		}
	}()
	if _, err := client.Complete(ctx, ask(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not match context.Canceled", err)
	}
}
