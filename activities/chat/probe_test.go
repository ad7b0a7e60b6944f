package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

var schema = json.RawMessage(`{"type":"object"}`)

func TestAProbeFindsWhatTheServerDoes(t *testing.T) {
	plain := chat.Capabilities{N: "honoured", Seed: "reproducible", Schema: "json_schema", TokenLimit: "max_tokens"}
	with := func(change func(*chat.Capabilities)) chat.Capabilities {
		c := plain
		change(&c)
		return c
	}
	extensions := []string{"top_k", "min_p", "repetition_penalty"}
	for _, test := range []struct {
		name   string
		config scripted.Config
		want   chat.Capabilities
		probes int
	}{
		{"the whole protocol", scripted.Config{}, plain, 3},
		{"n ignored", scripted.Config{MaxChoices: 1}, with(func(c *chat.Capabilities) { c.N = "ignored" }), 3},
		{"n refused", scripted.Config{RefuseN: true}, with(func(c *chat.Capabilities) { c.N = "refused" }), 4},
		{"seed ignored", scripted.Config{IgnoreSeed: true}, with(func(c *chat.Capabilities) { c.Seed = "not reproducible" }), 3},
		{"seed refused", scripted.Config{Refuse: []string{"seed"}}, with(func(c *chat.Capabilities) { c.Seed = "refused" }), 3},
		{"the older schema form", scripted.Config{Schema: scripted.SchemaFlat}, with(func(c *chat.Capabilities) { c.Schema = "schema" }), 4},
		{"schema ignored", scripted.Config{Schema: scripted.SchemaIgnored}, with(func(c *chat.Capabilities) { c.Schema = "none" }), 4},
		{"schema refused", scripted.Config{Schema: scripted.SchemaRefused}, with(func(c *chat.Capabilities) { c.Schema = "none" }), 4},
		{"another token limit", scripted.Config{Refuse: []string{"max_tokens"}},
			with(func(c *chat.Capabilities) { c.TokenLimit = "max_completion_tokens" }), 4},
		{"a validator that names all it refuses", scripted.Config{Refuse: extensions, RefuseStatus: 422},
			with(func(c *chat.Capabilities) { c.Refused = extensions }), 4},
		{"a hosted server that names one at a time", scripted.Config{Refuse: extensions},
			with(func(c *chat.Capabilities) { c.Refused, c.Seed = extensions, "unknown" }), 4},
		{"a server that refuses more than the probe can ask", scripted.Config{Refuse: append(slices.Clone(extensions), "max_tokens", "presence_penalty", "frequency_penalty")},
			chat.Capabilities{N: "unknown", Seed: "unknown", Schema: "json_schema", TokenLimit: "max_completion_tokens",
				Refused: []string{"top_k", "min_p", "presence_penalty", "repetition_penalty"}}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := scripted.Start(t, test.config, echo)
			client, _ := open(t, server.URL)
			for range 2 {
				got, err := client.Capabilities(t.Context())
				if err != nil || !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %+v, %v, want %+v", got, err, test.want)
				}
			}
			// What the probe did not find, a call does; the choices do not differ.
			req := ask(2)
			got, err := client.Complete(t.Context(), req)
			if want := []string{"hello seed 40", "hello seed 41"}; err != nil ||
				!slices.Equal(texts(got), want) && !slices.Contains(test.config.Refuse, "seed") {
				t.Errorf("got %q, %v, want %q", texts(got), err, want)
			}
			if s := server.Stats(); s.Probes != test.probes || got.Calls != s.Requests {
				t.Errorf("%d probes and %d calls for %d requests, want %d probes", s.Probes, got.Calls, s.Requests, test.probes)
			}
		})
	}
}

func TestAParameterThatTheServerRefusesIsLeftOutIfItIsOffAndElseTheRequestIsRefused(t *testing.T) {
	for key, set := range map[string]func(*chat.Request){
		"top_k":       func(r *chat.Request) { r.TopK = 40 },
		"min_p":       func(r *chat.Request) { r.MinP = 0.05 },
		"stop":        func(r *chat.Request) { r.Stop = []string{"END"} },
		"temperature": func(r *chat.Request) { r.Temperature = 0.7 },
		"top_p":       func(r *chat.Request) { r.TopP = 0.9 },
	} {
		for _, status := range []int{400, 422} {
			server := scripted.Start(t, scripted.Config{Refuse: []string{key}, RefuseStatus: status}, echo)
			client, _ := open(t, server.URL)
			if _, err := client.Complete(t.Context(), ask(1)); err != nil {
				t.Errorf("%s refused with %d: %v", key, status, err)
			}
			req := ask(1)
			set(&req)
			before := server.Stats().Requests
			_, err := client.Complete(t.Context(), req)
			if schemas.TypeOf(err) != schemas.InvalidInput || !errors.Is(err, chat.ErrEndpoint) ||
				!strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), `endpoint "sampler"`) {
				t.Errorf("%s set: %v", key, err)
			}
			if server.Stats().Requests != before {
				t.Errorf("%s: a request was sent although the refusal is known", key)
			}
		}
	}
}

func TestARefusalThatOnlyACallMeetsIsLearntOnceTheServerTakesTheRest(t *testing.T) {
	refuse := true
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if refuse && strings.Contains(string(p.Body), `"min_p"`) {
			return scripted.Refuse(400, "property 'min_p' is unsupported")
		}
		return echo(p)
	})
	client, _ := open(t, server.URL)
	for i, calls := range []int{2, 1} {
		got, err := client.Complete(t.Context(), ask(1))
		if err != nil || got.Calls != calls {
			t.Errorf("call %d: %d requests, want %d, %v", i, got.Calls, calls, err)
		}
	}
	req := ask(1)
	req.MinP = 0.1
	if _, err := client.Complete(t.Context(), req); !errors.Is(err, chat.ErrEndpoint) || !strings.Contains(err.Error(), "min_p") {
		t.Errorf("min_p set: %v", err)
	}
}

func TestAMessageThatNamesAParameterForAnotherReasonTeachesNothing(t *testing.T) {
	for _, said := range []string{
		"'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens",
		"temperature must be at most 1 here, top_p at least 0.1",
		"the prompt is not supported: too long", // no key
	} {
		server := scripted.New(t, func(p scripted.Parsed) scripted.Reply { return scripted.Refuse(400, said) })
		client, _ := open(t, server.URL)
		before, err := client.Capabilities(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.Complete(t.Context(), ask(1)); schemas.TypeOf(err) != schemas.InvalidInput || errors.Is(err, chat.ErrEndpoint) || got.Calls != 1 {
			t.Errorf("%s: %d calls, %v", said, got.Calls, err)
		}
		if after, _ := client.Capabilities(t.Context()); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: %+v became %+v", said, before, after)
		}
	}
}

func TestASchemaIsSentInTheFormThatTheServerHeedsOrNotAtAll(t *testing.T) {
	for kind, want := range map[scripted.SchemaKind]string{
		scripted.SchemaNested:  `"response_format":{"type":"json_schema","json_schema":{"name":"reply","strict":true,"schema":{"type":"object"}}}`,
		scripted.SchemaFlat:    `"response_format":{"type":"json_schema","schema":{"type":"object"}}`,
		scripted.SchemaIgnored: "",
		scripted.SchemaRefused: "",
	} {
		bodies := make(chan string, 1)
		server := scripted.Start(t, scripted.Config{Schema: kind}, func(p scripted.Parsed) scripted.Reply {
			bodies <- string(p.Body)
			return scripted.Say("{}")
		})
		client, _ := open(t, server.URL)
		req := ask(1)
		req.Schema = schema
		if _, err := client.Complete(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if body := <-bodies; !strings.Contains(body, want) || want == "" && strings.Contains(body, "response_format") {
			t.Errorf("kind %d: sent %s, want %s", kind, body, want)
		}
	}
}

func TestASchemaThatAModelHidesBehindItsReasoningIsStillSent(t *testing.T) {
	server := scripted.New(t, echo)
	nothing := scripted.Reply{Body: []byte(`{"model":"m","choices":[{"index":0,"finish_reason":"length","message":{"content":null,"reasoning_content":"Hmm"}}]}`)}
	server.FailProbes(nothing, nothing, nothing)
	client, _ := open(t, server.URL)
	if got, err := client.Capabilities(t.Context()); err != nil || got.Schema != "json_schema" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestConcurrentFirstCallsShareOneProbe(t *testing.T) {
	server := scripted.New(t, echo)
	client, _ := open(t, server.URL)
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			if _, err := client.Complete(t.Context(), ask(1)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if s := server.Stats(); s.Probes != 3 || s.Requests != 16 {
		t.Errorf("%d probes and %d requests", s.Probes, s.Requests)
	}
	req := ask(1)
	req.Model = "an-adapter" // another model may have another chat template, another limit
	if _, err := client.Complete(t.Context(), req); err != nil || server.Stats().Probes != 6 {
		t.Errorf("%d probes for two models, %v", server.Stats().Probes, err)
	}
}

func TestAFailedProbeFailsLikeACallAndIsMadeAgain(t *testing.T) {
	for name, test := range map[string]struct {
		replies  []scripted.Reply
		kind     schemas.ErrorType
		endpoint bool
	}{
		"broken throughout":     {slices.Repeat([]scripted.Reply{scripted.Refuse(500, "cuda")}, 5), schemas.Overloaded, false},
		"nonsense throughout":   {slices.Repeat([]scripted.Reply{scripted.InvalidJSON()}, 3), schemas.CorruptData, false},
		"a wrong key":           {[]scripted.Reply{scripted.Refuse(401, "who?")}, schemas.InvalidInput, true},
		"no such model":         {[]scripted.Reply{scripted.Refuse(404, "no model")}, schemas.NotFound, true},
		"a refusal of anything": {[]scripted.Reply{scripted.Refuse(400, "not today")}, schemas.InvalidInput, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := scripted.New(t, echo)
			server.FailProbes(test.replies...)
			client, _ := open(t, server.URL)
			got, err := client.Complete(t.Context(), ask(1))
			if schemas.TypeOf(err) != test.kind || errors.Is(err, chat.ErrEndpoint) != test.endpoint || got.Calls != 0 {
				t.Errorf("%d calls, %v", got.Calls, err)
			}
			if _, err := client.Complete(t.Context(), ask(1)); err != nil {
				t.Errorf("once it is mended: %v", err)
			}
			if s := server.Stats(); s.Requests != 1 {
				t.Errorf("%d requests besides probes", s.Requests)
			}
		})
	}
}

func TestACallerThatGoesAwayWhileItProbesLeavesTheProbeToTheNext(t *testing.T) {
	server := scripted.New(t, echo)
	server.FailProbes(scripted.Hang())
	client, _ := open(t, server.URL)
	first, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() { _, err := client.Complete(first, ask(1)); results <- err }()
	limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := server.Await(limit, func(s scripted.Stats) bool { return s.Probes == 1 }); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { _, err := client.Complete(t.Context(), ask(1)); second <- err }()
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second caller got %v", err)
	}
}

func TestCheckProbes(t *testing.T) {
	server := scripted.New(t, echo)
	client, _ := open(t, server.URL)
	for range 2 {
		if err := client.Check(t.Context()); err != nil || server.Stats().Probes != 3 {
			t.Errorf("%d probes, %v", server.Stats().Probes, err)
		}
	}
	server.FailProbes(scripted.Overloaded())
	client, waits := open(t, server.URL)
	if err := client.Check(t.Context()); schemas.TypeOf(err) != schemas.Overloaded || len(waits.All) != 0 {
		t.Errorf("after %d waits: %v", len(waits.All), err)
	}
}
