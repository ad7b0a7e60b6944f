package chat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

func streaming(e *chat.Endpoint) { e.Stream = true }

func TestAStreamGivesTheSameResponse(t *testing.T) {
	for name, reply := range map[string]scripted.Reply{
		"several choices":         scripted.Say("a b  c\n d", "one", "", "多 言 語 🌧️ \"quoted\" \\ \x00"),
		"cut at the limit":        {Texts: []string{"a b c"}, Finish: "length"},
		"usage of one of n":       {Texts: []string{"a b", "c d"}, Usage: scripted.UsageOne},
		"no usage":                {Texts: []string{"a b"}, Usage: scripted.UsageNone},
		"slowly, piece by piece":  {Texts: []string{"a b c d"}, Trickle: time.Millisecond},
		"fewer choices than n":    scripted.Say("only one"),
		"more choices than n":     scripted.Say("1", "2", "3", "4", "5", "6"),
		"a server without events": {Body: []byte(`{"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"content":"x"}}]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
			var got [2]chat.Response
			for i, stream := range []bool{false, true} {
				client, _ := open(t, server.URL, func(e *chat.Endpoint) { e.Stream = stream })
				var err error
				if got[i], err = client.Complete(t.Context(), ask(4)); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(got[0], got[1]) {
				t.Errorf("whole   %+v\nstreamed %+v", got[0], got[1])
			}
		})
	}
}

// sse is a stream of these events.
func sse(events ...string) scripted.Reply {
	return scripted.Reply{Body: []byte(strings.Join(events, "\n\n") + "\n\n"), Header: http.Header{"Content-Type": {"text/event-stream"}}}
}

// delta is an event with a piece of text, and with a finish reason if finish is
// not "".
func delta(index int, text, finish string) string {
	reason := "null"
	if finish != "" {
		reason = `"` + finish + `"`
	}
	return fmt.Sprintf(`data: {"model":"m","choices":[{"index":%d,"delta":{"content":%q},"finish_reason":%s}]}`, index, text, reason)
}

const done = "data: [DONE]"

func TestStreamsThatServersSendAreUnderstood(t *testing.T) {
	for name, test := range map[string]struct {
		reply scripted.Reply
		want  []string
	}{
		"choices interleaved":                 {sse(delta(1, "b", ""), delta(0, "a", ""), delta(1, "B", "stop"), delta(0, "A", "stop"), done), []string{"aA", "bB"}},
		"carriage returns, comments, ids":     {sse(":\r\n", "id: 7\r\nretry: 3\r\n"+delta(0, "a", ""), ": ping", delta(0, "b", "stop"), delta(1, "c", "stop"), done), []string{"ab", "c"}},
		"no space after the colon":            {sse(strings.ReplaceAll(delta(0, "a", "stop")+"\n\n"+delta(1, "b", "stop"), "data: ", "data:"), "data:[DONE]"), []string{"a", "b"}},
		"an event over several lines":         {sse("data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}", delta(1, "b", "stop"), done), []string{"a", "b"}},
		"the finish reason twice":             {sse(delta(0, "a", "stop"), delta(0, "", "stop"), delta(1, "b", "stop"), done), []string{"a", "b"}},
		"reasoning apart from content":        {sse(`data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm","reasoning":"hm"}}]}`, delta(0, "a", "stop"), delta(1, "", "length"), done), []string{"a", ""}},
		"surplus and negative indices":        {sse(delta(2, "c", "stop"), delta(-1, "z", "stop"), delta(0, "a", "stop"), delta(1, "b", "stop"), done), []string{"a", "b"}},
		"a last event without its blank line": {scripted.Reply{Body: []byte(delta(0, "a", "stop") + "\n\n" + delta(1, "b", "stop") + "\n\n" + done), Header: sse().Header}, []string{"a", "b"}},
		"events without choices":              {sse(`data: {"choices":[],"prompt_filter_results":[]}`, delta(0, "a", "stop"), delta(1, "b", "stop"), `data: {"choices":[],"usage":null,"error":null}`, done), []string{"a", "b"}},
		"a very long event":                   {sse(delta(0, strings.Repeat("x", 100_000), "stop"), delta(1, "b", "stop"), done), []string{strings.Repeat("x", 100_000), "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return test.reply })
			client, _ := open(t, server.URL, streaming)
			got, err := client.Complete(t.Context(), ask(2))
			if err != nil || !reflect.DeepEqual(texts(got), test.want) || got.Calls != 1 {
				t.Errorf("%d calls gave %.200q, %v, want %.200q", got.Calls, texts(got), err, test.want)
			}
		})
	}
}

func TestChoicesAfterAMissingOneAreAskedForAgain(t *testing.T) {
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if p.Seed == 40 {
			return sse(delta(0, "a", "stop"), delta(2, "wrong place", "stop"), done)
		}
		return echo(p)
	})
	client, _ := open(t, server.URL, streaming)
	got, err := client.Complete(t.Context(), ask(3))
	if want := []string{"a", "hello seed 41", "hello seed 42"}; err != nil || !reflect.DeepEqual(texts(got), want) {
		t.Errorf("got %q, %v, want %q", texts(got), err, want)
	}
}

func TestABrokenStreamIsNoReply(t *testing.T) {
	for _, test := range []struct {
		name     string
		reply    scripted.Reply
		kind     schemas.ErrorType
		attempts int // 0 is what the limiter decides
		says     string
	}{
		{"cut by the network", scripted.Truncated("one two three"), schemas.Overloaded, 5, "broke off"},
		{"ended without saying so", sse(delta(0, "a", "stop")), schemas.CorruptData, 3, "broke off"},
		{"said to be done before its choice", sse(delta(0, "a", ""), done), schemas.CorruptData, 3, "broke off"},
		{"without a choice", sse(done), schemas.CorruptData, 3, "no choices"},
		{"empty", sse(""), schemas.CorruptData, 3, "broke off"},
		{"not JSON", sse(`data: {"choices": oops`, done), schemas.CorruptData, 3, "oops"},
		{"two texts under one index", sse(delta(0, "a", "stop"), delta(0, "b", "stop"), done), schemas.CorruptData, 3, "not the JSON expected"},
		{"a choice given up", sse(delta(0, "a", "abort"), done), schemas.Overloaded, 5, "gave a choice up"},
		{"an error object after text", scripted.Reply{Texts: []string{"a b"}, Status: 503, Message: "worker died", Inside: true}, schemas.Overloaded, 5, "worker died"},
		{"an error object of 400", sse(delta(0, "a", ""), `data: {"error":{"message":"too long","code":400}}`), schemas.InvalidInput, 1, "too long"},
		{"an error object with a textual code", sse(`data: {"error":{"message":"slow down","code":"429"}}`, done), schemas.RateLimited, 0, "slow down"},
		{"an error object without a code", sse(delta(0, "a", "stop"), `data: {"error":{"message":"odd"}}`, done), schemas.CorruptData, 3, "odd"},
		{"an error line of llama.cpp", sse(`error: {"code":500,"message":"slot lost"}`), schemas.Overloaded, 5, "slot lost"},
		{"endless", scripted.Reply{Body: []byte(strings.Repeat(": keep-alive\n", 1_400_000)), Header: sse().Header}, schemas.CorruptData, 3, "larger than 16 MiB"},
		{"one endless line", scripted.Reply{Body: []byte("data: " + strings.Repeat("x", 17<<20)), Header: sse().Header}, schemas.CorruptData, 3, "larger than 16 MiB"},
		{"refused by status", scripted.Refuse(400, "bad schema"), schemas.InvalidInput, 1, "bad schema"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return test.reply })
			client, _ := open(t, server.URL, streaming)
			got, err := client.Complete(t.Context(), ask(1))
			if schemas.TypeOf(err) != test.kind && test.attempts > 0 || err == nil || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 1024 {
				t.Errorf("want %s saying %q, got %v", test.kind, test.says, err)
			}
			if test.attempts > 0 && got.Calls != test.attempts || len(got.Choices) != 0 {
				t.Errorf("%d calls, want %d; choices %q", got.Calls, test.attempts, texts(got))
			}
		})
	}
}

func TestAReplyThatStopsMeetsTheIdleTimeout(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for name, reply := range map[string]scripted.Reply{
			"stuck":           {Texts: []string{"one two three four"}, Stick: true},
			"slower than due": {Texts: []string{"one two three four"}, Trickle: time.Minute},
		} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				t.Parallel()
				server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
				client, _ := open(t, server.URL, func(e *chat.Endpoint) { e.Stream, e.IdleTimeout = stream, 200*time.Millisecond })
				_, err := client.Complete(t.Context(), ask(1))
				if schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "not a byte for 200ms") {
					t.Error(err)
				}
				limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				if err := server.Await(limit, func(s scripted.Stats) bool { return s.Abandoned == 5 && s.InFlight == 0 }); err != nil {
					t.Errorf("the server still holds requests: %+v", server.Stats())
				}
			})
		}
	}
}

func TestAnIdleTimeoutDoesNotBoundTheWaitForTheFirstByteNorASteadyReply(t *testing.T) {
	for name, reply := range map[string]scripted.Reply{
		"a late reply":   {Texts: []string{"late"}, Delay: 900 * time.Millisecond},
		"a steady reply": {Texts: []string{"one two three four five six"}, Trickle: 120 * time.Millisecond},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				t.Parallel()
				server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
				client, _ := open(t, server.URL, func(e *chat.Endpoint) { e.Stream, e.IdleTimeout = stream, 700*time.Millisecond })
				if got, err := client.Complete(t.Context(), ask(1)); err != nil || got.Calls != 1 || got.Choices[0].Text != reply.Texts[0] {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	}
}

// TestCancellingIsSeenOnTheWire reads the connection itself: the server must learn
// of a cancel by its end, in every state of the reply.
func TestCancellingIsSeenOnTheWire(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, sent := range map[string]string{
		"before the reply":       "",
		"in the middle of one":   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"choices\":",
		"before a stream begins": head,
		"in the middle of one, streamed": head + fmt.Sprintf("%x\r\n%s\n\n\r\n", len(delta(0, "a", ""))+2,
			delta(0, "a", "")),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				conn.Read(make([]byte, 64<<10))
				io.WriteString(conn, sent)
				cancel()
				_, err = io.Copy(io.Discard, conn)
				ended <- err
			}()
			client, _ := open(t, "http://"+l.Addr().String()+"/v1", streaming)
			if _, err := client.Complete(ctx, ask(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			if err := <-ended; err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the connection was not closed: %v", err)
			}
		})
	}
}

func TestAStreamedRequestAsksForUsageUnlessTheServerRefuses(t *testing.T) {
	for _, refuse := range [][]string{nil, {"stream_options"}} {
		server := scripted.Start(t, scripted.Config{Refuse: refuse}, echo)
		client, _ := open(t, server.URL, streaming)
		got, err := client.Complete(t.Context(), ask(2))
		if err != nil || len(got.Choices) != 2 || got.Usage.Known != (refuse == nil) {
			t.Errorf("refusing %v: %+v, %v", refuse, got, err)
		}
	}
}

func TestAConnectionServesOneStreamAfterTheOther(t *testing.T) {
	server := scripted.New(t, echo)
	client, _ := open(t, server.URL, streaming)
	for range 5 {
		if _, err := client.Complete(t.Context(), ask(2)); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
}

func TestAKeptConnectionThatTheServerClosesCostsNoAttempt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	body := `{"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"content":"x"}}]}`
	go http.Serve(oneAnswer{l}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	client, waits := open(t, "http://"+l.Addr().String()+"/v1")
	for range 5 {
		if got, err := client.Complete(t.Context(), ask(1)); err != nil || got.Calls != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if len(waits.All) != 0 {
		t.Errorf("waited %v", waits.All)
	}
}

// oneAnswer is a listener whose connections end when a second request comes.
type oneAnswer struct{ net.Listener }

func (l oneAnswer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &answersOnce{Conn: c}, err
}

type answersOnce struct {
	net.Conn
	answered atomic.Bool
}

func (c *answersOnce) Write(p []byte) (int, error) {
	c.answered.Store(true)
	return c.Conn.Write(p)
}

func (c *answersOnce) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.answered.Load() && n > 0 {
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}
