package scripted

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"rpo/schemas"
)

// Parsed is a chat completion request as the server got it.
type Parsed struct {
	Model       string
	Messages    []schemas.Message
	N           int // 1 if the request names none
	Temperature float64
	TopP        float64
	TopK        int
	MinP        float64
	MaxTokens   int
	Seed        int64
	Stop        []string
	// Schema is empty if the request asks for free text.
	Schema     json.RawMessage
	SchemaName string
	// Key is the bearer token, "" if there is none.
	Key string
	// Body is the request as sent.
	Body []byte
	// Stream asks for the reply piece by piece.
	Stream       bool
	includeUsage bool
}

// Last is the content of the last message.
func (p Parsed) Last() string {
	if len(p.Messages) == 0 {
		return ""
	}
	return p.Messages[len(p.Messages)-1].Content
}

// System is the content of the first message if its role is system.
func (p Parsed) System() string {
	if len(p.Messages) == 0 || p.Messages[0].Role != "system" {
		return ""
	}
	return p.Messages[0].Content
}

// UsageKind says how a reply reports tokens.
type UsageKind int

const (
	// UsageAll counts all choices.
	UsageAll UsageKind = iota
	// UsageOne counts the first choice only, with the timings object that tells
	// llama.cpp's server.
	UsageOne
	// UsageNone reports nothing.
	UsageNone
)

// Reply is what the server does with a request. The zero Reply is a completion
// without choices, which is a fault.
type Reply struct {
	// Texts are the choices, whatever n the request asked for.
	Texts []string
	// Finish is the finish reason of all choices; "" means "stop".
	Finish string
	Usage  UsageKind

	// Status other than 0 and 200 refuses with Message as the error's message.
	Status  int
	Message string
	// RetryAfter is sent with a refusal in whole seconds if Status is not 0 and
	// it is at least a second.
	RetryAfter time.Duration

	// Body, if not nil, is sent instead of a completion or error object.
	Body []byte
	// Header is added to the reply.
	Header http.Header
	// Truncate closes the connection after half of the reply, whose whole length
	// was announced unless it is a stream.
	Truncate bool
	// Stick sends half of the reply and the rest after Server.Release.
	Stick bool
	// Trickle is waited between the pieces of the reply.
	Trickle time.Duration
	// Inside sends the error object of Status and Message with status 200; in a
	// stream, after the texts.
	Inside bool
	// Delay is waited before replying, unless the caller goes away.
	Delay time.Duration
	// Hang holds the request until Server.Release or until the caller goes away.
	Hang bool
}

// Say replies with one choice per text.
func Say(texts ...string) Reply { return Reply{Texts: texts} }

// Refuse replies with an error object.
func Refuse(status int, message string) Reply { return Reply{Status: status, Message: message} }

// RateLimited replies 429; after is sent as Retry-After if it is at least a second.
func RateLimited(after time.Duration) Reply {
	return Reply{Status: http.StatusTooManyRequests, Message: "rate limit reached", RetryAfter: after}
}

// Overloaded replies 503, as vLLM does when its queue is full and llama.cpp's
// server while it loads.
func Overloaded() Reply { return Refuse(http.StatusServiceUnavailable, "queue is full") }

// InvalidJSON replies 200 with something that only begins like a completion.
func InvalidJSON() Reply { return Reply{Body: []byte(`{"choices": [{"index": 0, "message": oops`)} }

// Truncated replies with half of what Say would send, then hangs up.
func Truncated(texts ...string) Reply { return Reply{Texts: texts, Truncate: true} }

// Hang holds the request until Server.Release or until the caller goes away;
// after a release it replies with texts.
func Hang(texts ...string) Reply { return Reply{Texts: texts, Hang: true} }

// PerChoice makes a handler out of a function of one choice: choice i of a
// request is text(p, seed of p + i), so that asking for n choices at once and
// one by one with derived seeds gives the same texts.
func PerChoice(text func(p Parsed, seed int64) string) func(Parsed) Reply {
	return func(p Parsed) Reply {
		texts := make([]string, p.N)
		for i := range texts {
			texts[i] = text(p, p.Seed+int64(i))
		}
		return Say(texts...)
	}
}

// tokens is the count that this server pretends: one per word.
func tokens(text string) int { return len(strings.Fields(text)) }

// render is the body of a reply.
func (r Reply) render(p Parsed) []byte {
	switch {
	case r.Body != nil:
		return r.Body
	case r.Status != 0 && r.Status != http.StatusOK:
		return encode(map[string]any{"error": r.errorObject()})
	}
	return encode(r.completion(p))
}

func (r Reply) errorObject() map[string]any {
	return map[string]any{"message": r.Message, "type": http.StatusText(r.Status), "code": r.Status}
}

func (r Reply) finish() string { return cmp.Or(r.Finish, "stop") }

// completion is the body of a reply that is not an error.
func (r Reply) completion(p Parsed) map[string]any {
	choices := make([]map[string]any, 0, len(r.Texts))
	completion := 0
	for i, text := range r.Texts {
		if i == 0 || r.Usage == UsageAll {
			completion += tokens(text)
		}
		choices = append(choices, map[string]any{
			"index": i, "finish_reason": r.finish(),
			"message": map[string]any{"role": "assistant", "content": text},
		})
	}
	prompt := 0
	for _, m := range p.Messages {
		prompt += tokens(m.Content)
	}
	body := map[string]any{"object": "chat.completion", "id": "scripted", "model": p.Model, "choices": choices}
	if r.Usage != UsageNone {
		body["usage"] = map[string]any{
			"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
		}
	}
	if r.Usage == UsageOne {
		body["timings"] = map[string]any{"prompt_n": prompt, "predicted_n": completion}
	}
	return body
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers only
	}
	return data
}
