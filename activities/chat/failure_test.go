package chat_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

func TestEveryFaultIsClassifiedAndRetriedWithinBounds(t *testing.T) {
	type outcome struct {
		kind       schemas.ErrorType
		attempts   int
		endpoint   bool // matches ErrEndpoint
		retryAfter time.Duration
		says       string
	}
	body := func(s string) scripted.Reply { return scripted.Reply{Body: []byte(s)} }
	for _, test := range []struct {
		name  string
		reply scripted.Reply
		want  outcome
	}{
		{"429", scripted.RateLimited(0), outcome{kind: schemas.Overloaded, attempts: 23, retryAfter: 15 * time.Second, says: "rate limit reached"}},
		{"429 with a short Retry-After", scripted.RateLimited(3 * time.Second),
			outcome{kind: schemas.Overloaded, attempts: 10, retryAfter: 15 * time.Second}},
		{"429 with a Retry-After beyond the timeout", scripted.RateLimited(10 * time.Minute),
			outcome{kind: schemas.RateLimited, attempts: 1, retryAfter: 10 * time.Minute}},
		{"503", scripted.Overloaded(), outcome{kind: schemas.Overloaded, attempts: 23, retryAfter: 15 * time.Second, says: "queue is full"}},
		{"503 with Retry-After", scripted.Reply{Status: 503, RetryAfter: time.Hour * 900},
			outcome{kind: schemas.Overloaded, attempts: 1, retryAfter: time.Hour}},
		{"500", scripted.Refuse(500, "cuda"), outcome{kind: schemas.Overloaded, attempts: 5, says: "cuda"}},
		{"400", scripted.Refuse(400, "bad schema"), outcome{kind: schemas.InvalidInput, attempts: 1, says: "bad schema"}},
		{"413", scripted.Refuse(413, "too large"), outcome{kind: schemas.InvalidInput, attempts: 1, says: "too large"}},
		{"401", scripted.Refuse(401, "who are you"), outcome{kind: schemas.InvalidInput, attempts: 1, endpoint: true, says: "refuses the key"}},
		{"403", scripted.Refuse(403, "not you"), outcome{kind: schemas.InvalidInput, attempts: 1, endpoint: true, says: "refuses the key"}},
		{"404", scripted.Refuse(404, "no model x"), outcome{kind: schemas.NotFound, attempts: 1, endpoint: true, says: "no model x"}},
		{"redirect", scripted.Reply{Status: 307, Header: http.Header{"Location": {"http://elsewhere/"}}},
			outcome{kind: schemas.InvalidInput, attempts: 1, endpoint: true, says: "http://elsewhere/"}},
		{"invalid JSON", scripted.InvalidJSON(), outcome{kind: schemas.CorruptData, attempts: 3, says: "oops"}},
		{"truncated body", scripted.Truncated("a text of some length"), outcome{kind: schemas.Overloaded, attempts: 5, says: "broke off"}},
		{"no choices", scripted.Say(), outcome{kind: schemas.CorruptData, attempts: 3, says: "no choices"}},
		{"choices missing", body(`{"object":"chat.completion"}`), outcome{kind: schemas.CorruptData, attempts: 3, says: "no choices"}},
		{"message missing", body(`{"choices":[{"index":0}]}`), outcome{kind: schemas.CorruptData, attempts: 3, says: "without a message"}},
		{"HTML", body(`<html>login</html>`), outcome{kind: schemas.CorruptData, attempts: 3, says: "login"}},
		{"error object with status 200", body(`{"error":{"code":429,"message":"slow down"}}`),
			outcome{kind: schemas.Overloaded, attempts: 23, retryAfter: 15 * time.Second, says: "slow down"}},
		{"endless body", body(strings.Repeat(" ", 17<<20)), outcome{kind: schemas.CorruptData, attempts: 3, says: "larger than 16 MiB"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return test.reply })
			client, _ := open(t, server.URL)
			got, err := client.Complete(t.Context(), ask(1))
			typed, ok := errors.AsType[*schemas.Error](err)
			if !ok || len(got.Choices) != 0 {
				t.Fatalf("got %+v and error %v", got, err)
			}
			if typed.Type != test.want.kind || typed.RetryAfter != test.want.retryAfter {
				t.Errorf("type %s after %s, want %s after %s: %v", typed.Type, typed.RetryAfter, test.want.kind, test.want.retryAfter, err)
			}
			if errors.Is(err, chat.ErrEndpoint) != test.want.endpoint {
				t.Errorf("blames the endpoint: %v, want %v", !test.want.endpoint, test.want.endpoint)
			}
			if !strings.Contains(typed.Message, test.want.says) || !strings.Contains(typed.Message, `endpoint "sampler"`) || len(typed.Message) > 1024 {
				t.Errorf("message is %q", typed.Message)
			}
			if requests := server.Stats().Requests; requests != test.want.attempts {
				t.Errorf("%d requests, want %d", requests, test.want.attempts)
			}
		})
	}
}

func TestAPassingFaultIsOutlived(t *testing.T) {
	for name, faults := range map[string][]scripted.Reply{
		"429 then 503":   {scripted.RateLimited(time.Second), scripted.Overloaded()},
		"invalid JSON":   {scripted.InvalidJSON()},
		"truncated body": {scripted.Truncated("half of this"), scripted.Truncated("and of this")},
	} {
		t.Run(name, func(t *testing.T) {
			server := scripted.New(t, echo)
			server.Fail(faults...)
			client, waits := open(t, server.URL)
			got, err := client.Complete(t.Context(), ask(2))
			if err != nil {
				t.Fatal(err)
			}
			if got.Calls != len(faults)+1 || len(waits.All) != len(faults) {
				t.Errorf("%d calls and %d waits for %d faults", got.Calls, len(waits.All), len(faults))
			}
		})
	}
}

func TestDelaysDoubleAndFollowRetryAfter(t *testing.T) {
	server := scripted.New(t, echo)
	server.Fail(scripted.Overloaded(), scripted.Overloaded(), scripted.RateLimited(7*time.Second), scripted.Overloaded())
	client, waits := open(t, server.URL)
	if _, err := client.Complete(t.Context(), ask(1)); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{375 * time.Millisecond, 750 * time.Millisecond, 7500 * time.Millisecond, 1500 * time.Millisecond}
	for i := range want {
		if i >= len(waits.All) || waits.All[i] != want[i] {
			t.Fatalf("waited %v, want %v", waits.All, want)
		}
	}
}

func TestTheKeyIsSentAndNeverShown(t *testing.T) {
	const key = "sk-live/AbCdEf0123456789+x"
	t.Setenv("SAMPLER_KEY", key)
	shown := []string{key, key[:12], "AbCdEf0123456789"}
	for name, reply := range map[string]scripted.Reply{
		"refusal that echoes it":        scripted.Refuse(401, "wrong key "+key+" given"),
		"refusal that echoes a part":    scripted.Refuse(400, "key "+key[:14]+"****** is bad"),
		"nonsense that echoes it":       {Body: []byte("<p>Bearer " + key + "</p>")},
		"escaped echo":                  {Body: []byte(`{"oops": "sk-live\/AbCdEf0123456789+x"`)},
		"overload that echoes it":       scripted.Refuse(503, key),
		"redirect that carries it":      {Status: 302, Header: http.Header{"Location": {"/login?key=sk-live%2FAbCdEf0123456789%2Bx"}}},
		"long echo cut at the excerpt":  scripted.Refuse(400, strings.Repeat("x", 290)+" "+key),
		"error object with status 200":  {Body: []byte(`{"error":{"code":403,"message":"` + key + `"}}`)},
		"error object of unknown shape": {Body: []byte(`{"error":"` + key + `"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan string, 100)
			server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
				sent <- p.Key
				if strings.Contains(string(p.Body), key) {
					t.Error("the key is in the body")
				}
				return reply
			})
			client, _ := open(t, server.URL, func(e *chat.Endpoint) { e.KeyEnv = "SAMPLER_KEY" })
			_, err := client.Complete(t.Context(), ask(1))
			if err == nil {
				t.Fatal("no error")
			}
			if got := <-sent; got != key {
				t.Errorf("sent key %q", got)
			}
			for _, part := range shown {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error shows %q: %v", part, err)
				}
			}
		})
	}
}

func TestAServerThatIsGoneIsOverloaded(t *testing.T) {
	server := scripted.New(t, echo)
	client, waits := open(t, server.URL)
	if _, err := client.Complete(t.Context(), ask(1)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	_, err := client.Complete(t.Context(), ask(1))
	if schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "connection refused") || len(waits.All) != 4 {
		t.Errorf("after %d waits: %v", len(waits.All), err)
	}
}

// listenRaw answers the first words of every connection with text.
func listenRaw(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			conn.Write([]byte(text))
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String() + "/v1"
}

func TestCheckSaysPlainlyWhatIsWrong(t *testing.T) {
	t.Setenv("SAMPLER_KEY", "sk-0123456789abcdef")
	t.Setenv("EMPTY_KEY", "")
	serve := func(config scripted.Config) string { return scripted.Start(t, config, echo).URL }
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>hello</html>")) }))
	t.Cleanup(web.Close)
	loading := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
		w.Write([]byte(`{"error":{"message":"Loading model"}}`))
	}))
	t.Cleanup(loading.Close)
	gone := scripted.New(nil, echo)
	gone.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)

	const fine = schemas.ErrorType("")
	for _, test := range []struct {
		name   string
		url    string
		change func(*chat.Endpoint)
		kind   schemas.ErrorType
		says   string
	}{
		{"fine", serve(scripted.Config{}), nil, fine, ""},
		{"fine with any model", serve(scripted.Config{Models: []string{"other"}}), func(e *chat.Endpoint) { e.Model = "" }, fine, ""},
		{"fine without a list of models", serve(scripted.Config{NoModels: true}), nil, fine, ""},
		{"fine with a key", serve(scripted.Config{Key: "sk-0123456789abcdef"}), func(e *chat.Endpoint) { e.KeyEnv = "SAMPLER_KEY" }, fine, ""},
		{"down", gone.URL, nil, schemas.Overloaded, "is down: connection refused"},
		{"not ready", loading.URL + "/v1", nil, schemas.Overloaded, "Loading model"},
		{"wrong key", serve(scripted.Config{Key: "k"}), func(e *chat.Endpoint) { e.KeyEnv = "SAMPLER_KEY" }, schemas.InvalidInput, "environment variable SAMPLER_KEY"},
		{"no key", serve(scripted.Config{Key: "k"}), nil, schemas.InvalidInput, "neither key_env nor key_file"},
		{"unset key", serve(scripted.Config{}), func(e *chat.Endpoint) { e.KeyEnv = "EMPTY_KEY" }, schemas.InvalidInput, "no key in environment variable EMPTY_KEY"},
		{"missing key file", serve(scripted.Config{}), func(e *chat.Endpoint) { e.KeyFile = "/nowhere/key" }, schemas.InvalidInput, "/nowhere/key"},
		{"wrong model", serve(scripted.Config{Models: []string{"tiny", "base"}}), nil, schemas.NotFound, `model "scripted"; it serves: base, tiny`},
		{"a web page", web.URL + "/v1", nil, schemas.CorruptData, "does not speak the OpenAI protocol"},
		{"not HTTP", listenRaw(t, "SSH-2.0-OpenSSH_9.6\r\n"), nil, schemas.CorruptData, "does not speak HTTP"},
		{"a server of other things", other.URL + "/v1", nil, schemas.NotFound, "no such model or address (404)"},
		{"http where https is spoken", strings.Replace(web.URL, "http:", "https:", 1), nil, schemas.InvalidInput, "no secure connection"},
		{"an unknown certificate", tls.URL, nil, schemas.InvalidInput, "no secure connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, _ := open(t, test.url, func(e *chat.Endpoint) {
				if test.change != nil {
					test.change(e)
				}
			})
			err := client.Check(t.Context())
			if test.kind == fine {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || schemas.TypeOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
				t.Errorf("want %s saying %q, got %v", test.kind, test.says, err)
			}
		})
	}
}
