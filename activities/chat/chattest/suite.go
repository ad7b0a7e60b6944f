package chattest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/schemas"
)

// Options say what may be asked of the endpoint.
type Options struct {
	// Model is sent with each request; "" is the endpoint's.
	Model string
	// MaxTokens of a free text reply; 0 means 32. The endpoint must be able to
	// end or cut a reply there in good time.
	MaxTokens int
	// Reproducible endpoints answer equal requests equally when asked one at a
	// time.
	Reproducible bool
	// Batches is set for reproducible endpoints whose replies may change with
	// what else they answer at that time.
	Batches bool
	// Schema endpoints constrain the reply to a JSON schema.
	Schema bool
	// Context, if not 0, is a number of tokens that no prompt may have.
	Context int
}

// Run checks a Completer. open is called once per subtest.
func Run(t *testing.T, open func(t *testing.T) chat.Completer, o Options) {
	if o.MaxTokens == 0 {
		o.MaxTokens = 32
	}
	s := suite{o}
	for _, test := range []struct {
		name string
		run  func(*testing.T, chat.Completer)
	}{
		{"n choices come back for n from one to six", s.exactlyN},
		{"zero values mean one choice", s.zeroValues},
		{"a reply cut at one token is marked length or stop", s.finishReason},
		{"usage is known for a single choice", s.usage},
		{"text of several scripts goes through", s.scripts},
		{"equal requests get equal replies", s.reproducible},
		{"a schema constrains the reply", s.schema},
		{"a reply ends before a stop text", s.stop},
		{"affinity changes no reply", s.affinity},
		{"calls at the same time do not mix", s.concurrent},
		{"a cancelled call returns the reason", s.cancelled},
		{"a call past its deadline returns the reason", s.late},
		{"a prompt longer than the context is that request's own fault", s.tooLong},
		{"an impossible request is refused as invalid input", s.invalid},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

type suite struct{ Options }

func (s suite) request(content string) chat.Request {
	return chat.Request{
		Model: s.Model, N: 1, Temperature: 1, TopP: 1, MaxTokens: s.MaxTokens, Seed: 11,
		Messages: []schemas.Message{
			{Role: "system", Content: "You answer in one sentence."},
			{Role: "user", Content: content},
		},
	}
}

// complete asks and checks what every reply must have.
func (s suite) complete(t *testing.T, c chat.Completer, req chat.Request) chat.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := c.Complete(ctx, req)
	if err != nil {
		t.Fatalf("complete: %v", err)
	}
	if want := max(req.N, 1); len(got.Choices) != want {
		t.Fatalf("got %d choices, want %d", len(got.Choices), want)
	}
	for i, choice := range got.Choices {
		if choice.FinishReason == "" {
			t.Errorf("choice %d has no finish reason", i)
		}
	}
	return got
}

func (s suite) exactlyN(t *testing.T, c chat.Completer) {
	for n := 1; n <= 6; n++ {
		req := s.request("Name a colour.")
		req.N = n
		s.complete(t, c, req)
	}
}

func (s suite) zeroValues(t *testing.T, c chat.Completer) {
	req := s.request("Name a colour.")
	req.N, req.Temperature, req.TopP = 0, 0, 0
	s.complete(t, c, req)
}

func (s suite) finishReason(t *testing.T, c chat.Completer) {
	req := s.request("Count to one hundred.")
	req.MaxTokens = 1
	got := s.complete(t, c, req)
	if reason := got.Choices[0].FinishReason; reason != "length" && reason != "stop" {
		t.Errorf("finish reason is %q", reason)
	}
}

func (s suite) usage(t *testing.T, c chat.Completer) {
	got := s.complete(t, c, s.request("Name a colour."))
	if !got.Usage.Known {
		t.Fatal("usage is not known")
	}
	if got.Usage.PromptTokens < 1 || got.Usage.CompletionTokens < 0 || got.Usage.CompletionTokens > int64(s.MaxTokens) {
		t.Errorf("usage is %+v for at most %d tokens", got.Usage, s.MaxTokens)
	}
}

func (s suite) scripts(t *testing.T, c chat.Completer) {
	s.complete(t, c, s.request("请用中文回答：<天气> & \"风\"\n\té 🌧️ \\ </s>"))
}

func (s suite) reproducible(t *testing.T, c chat.Completer) {
	if !s.Reproducible {
		t.Log("not asked of this endpoint")
		return
	}
	req := s.request("Name three animals.")
	req.N = 3
	first, second := s.complete(t, c, req), s.complete(t, c, req)
	for i := range first.Choices {
		if first.Choices[i] != second.Choices[i] {
			t.Errorf("choice %d: %q, then %q", i, first.Choices[i], second.Choices[i])
		}
	}
	// Choice i has the seed of the request plus i, however it was asked for.
	for i := range first.Choices {
		alone := req
		alone.N, alone.Seed = 1, req.Seed+int64(i)
		if got := s.complete(t, c, alone); got.Choices[0] != first.Choices[i] {
			t.Errorf("choice %d is %q among three and %q alone", i, first.Choices[i], got.Choices[0])
		}
	}
}

func (s suite) schema(t *testing.T, c chat.Completer) {
	if !s.Schema {
		t.Log("not asked of this endpoint")
		return
	}
	req := s.request("Is the sky blue?")
	req.MaxTokens = 100
	req.SchemaName = "verdict"
	req.Schema = json.RawMessage(`{"type":"object","properties":{"verdict":{"type":"string","enum":["yes","no"]}},` +
		`"required":["verdict"],"additionalProperties":false}`)
	got := s.complete(t, c, req)
	var verdict struct{ Verdict string }
	if err := json.Unmarshal([]byte(got.Choices[0].Text), &verdict); err != nil || verdict.Verdict != "yes" && verdict.Verdict != "no" {
		t.Errorf("reply %q does not follow the schema", got.Choices[0].Text)
	}
}

func (s suite) stop(t *testing.T, c chat.Completer) {
	if !s.Reproducible {
		t.Log("not asked of this endpoint")
		return
	}
	req := s.request("Name three animals.")
	whole := []rune(s.complete(t, c, req).Choices[0].Text)
	if len(whole) < 3 {
		t.Fatalf("the reply %q is too short to be stopped", string(whole))
	}
	text, middle := string(whole), string(whole[len(whole)/2])
	req.Stop = []string{middle}
	got := s.complete(t, c, req).Choices[0]
	if want := text[:strings.Index(text, middle)]; got.Text != want || got.FinishReason != "stop" {
		t.Errorf("stopped at %q, %q became %q (%s), want %q", middle, text, got.Text, got.FinishReason, want)
	}
}

func (s suite) affinity(t *testing.T, c chat.Completer) {
	if !s.Reproducible {
		t.Log("not asked of this endpoint")
		return
	}
	req := s.request("Name three animals.")
	req.N = 2
	want := s.complete(t, c, req)
	for _, affinity := range []string{"a", "b", "another dialogue"} {
		req.Affinity = affinity
		if got := s.complete(t, c, req); got.Choices[0] != want.Choices[0] || got.Choices[1] != want.Choices[1] {
			t.Errorf("affinity %q: %+v, want %+v", affinity, got.Choices, want.Choices)
		}
	}
}

func (s suite) concurrent(t *testing.T, c chat.Completer) {
	const calls = 8
	var group sync.WaitGroup
	replies := make([]chat.Response, calls)
	request := func(i int) chat.Request {
		req := s.request(fmt.Sprintf("Write the number %d.", i))
		req.N, req.Seed = 2, int64(i)*100
		return req
	}
	for i := range calls {
		group.Go(func() {
			got, err := c.Complete(t.Context(), request(i))
			if err != nil || len(got.Choices) != 2 {
				t.Errorf("call %d: %d choices, %v", i, len(got.Choices), err)
			}
			replies[i] = got
		})
	}
	group.Wait()
	if t.Failed() || !s.Reproducible || s.Batches {
		return
	}
	for i := range calls {
		if got := s.complete(t, c, request(i)); got.Choices[0] != replies[i].Choices[0] {
			t.Errorf("call %d: %q together, %q alone", i, replies[i].Choices[0], got.Choices[0])
		}
	}
}

func (s suite) cancelled(t *testing.T, c chat.Completer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Complete(ctx, s.request("Name a colour."))
	mustBeTyped(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not match context.Canceled", err)
	}
}

func (s suite) late(t *testing.T, c chat.Completer) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := c.Complete(ctx, s.request("Name a colour."))
	mustBeTyped(t, err)
	if !errors.Is(err, context.DeadlineExceeded) || !schemas.Retryable(err) {
		t.Errorf("error %v does not match context.DeadlineExceeded or is not retryable", err)
	}
}

func (s suite) tooLong(t *testing.T, c chat.Completer) {
	if s.Context == 0 {
		t.Log("not asked of this endpoint")
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := c.Complete(ctx, s.request(strings.Repeat("word ", s.Context)))
	mustBeTyped(t, err)
	if err == nil || schemas.TypeOf(err) != schemas.InvalidInput || !chat.RowError(err) || len(got.Choices) != 0 {
		t.Errorf("%d choices and error %v", len(got.Choices), err)
	}
}

func (s suite) invalid(t *testing.T, c chat.Completer) {
	for name, spoil := range map[string]func(*chat.Request){
		"no messages":          func(r *chat.Request) { r.Messages = nil },
		"unknown role":         func(r *chat.Request) { r.Messages[0].Role = "judge" },
		"negative n":           func(r *chat.Request) { r.N = -1 },
		"no token limit":       func(r *chat.Request) { r.MaxTokens = 0 },
		"top_p above one":      func(r *chat.Request) { r.TopP = 1.5 },
		"negative temperature": func(r *chat.Request) { r.Temperature = -1 },
		"broken schema":        func(r *chat.Request) { r.Schema = json.RawMessage(`{`) },
	} {
		req := s.request("Name a colour.")
		spoil(&req)
		got, err := c.Complete(t.Context(), req)
		mustBeTyped(t, err)
		if err != nil && schemas.TypeOf(err) != schemas.InvalidInput || len(got.Choices) != 0 {
			t.Errorf("%s: %d choices and error %v", name, len(got.Choices), err)
		}
	}
}

// mustBeTyped checks what holds for every error.
func mustBeTyped(t *testing.T, err error) {
	t.Helper()
	typed, ok := errors.AsType[*schemas.Error](err)
	if !ok {
		t.Fatalf("error %v is not a *schemas.Error", err)
	}
	if len(typed.Message) > 1024 || strings.ContainsAny(typed.Message, "\n\r") {
		t.Errorf("message is %d bytes or not one line: %q", len(typed.Message), typed.Message)
	}
}
