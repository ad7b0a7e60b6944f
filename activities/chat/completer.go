package chat

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"rpo/schemas"
)

// Completer turns a conversation into choices.
//
// Complete returns exactly req.N choices (one if req.N is 0) in the order of
// their sample index, or an error. With an error, the Response holds what was
// answered and paid before it: the first so many choices, Calls and Usage. Every
// error is a *schemas.Error:
//
//   - InvalidInput: the request cannot be answered by this model as it is (a
//     prompt longer than the context, a schema the server refuses), or the
//     endpoint is configured wrongly; the latter, and NotFound, match
//     ErrEndpoint.
//   - RateLimited, Overloaded: the server kept refusing or could not be reached;
//     RetryAfter is what it asked for.
//   - CorruptData: the server kept answering with what is not the protocol.
//   - A cancelled ctx gives an error that matches context.Canceled or
//     context.DeadlineExceeded.
//
// Complete may be called from many goroutines. One call has at most one HTTP
// request in flight, so whoever bounds the calls bounds the requests.
type Completer interface {
	Complete(ctx context.Context, req Request) (Response, error)
}

// ErrEndpoint is in the chain of errors that no row is to blame for: a wrong or
// missing key, an unknown model, a wrong address. A step that meets it fails the
// shard instead of sending its rows to quarantine.
var ErrEndpoint = errors.New("endpoint configuration")

// Request is one conversation to be continued. All sampling parameters are sent
// with every request, since servers differ in their defaults and some take them
// from the model's folder; the penalties, which Request does not have, are sent
// as off.
type Request struct {
	// Model overrides the endpoint's model, for example with the name of an
	// adapter; "" means the endpoint's.
	Model    string
	Messages []schemas.Message
	// N is the number of choices; 0 means 1.
	N int
	// Temperature 0 is greedy decoding.
	Temperature float64
	// TopP is in (0, 1]; 0 means 1, off.
	TopP float64
	// TopK 0 means off.
	TopK int
	// MinP 0 means off.
	MinP float64
	// MaxTokens bounds each choice; it must be at least 1.
	MaxTokens int
	// Seed of choice 0; see the package comment.
	Seed int64
	// Schema, if not empty, is the JSON schema that the server must constrain
	// the reply to. The client does not check that it did.
	Schema json.RawMessage
	// SchemaName names the schema for servers that demand a name; "" means "reply".
	SchemaName string
	Stop       []string
	// Affinity groups requests that profit from one server's prefix cache, for
	// example by dialogue: of several replicas the same one gets them. It is not
	// sent, determines no reply and so belongs in no cache key.
	Affinity string

	// dialect is how the server wants the request written; nil is the whole
	// protocol.
	dialect *dialect
	// probing marks a request that asks about the server, for its log and for
	// scripted servers.
	probing bool
}

// Choice is one sampled continuation.
type Choice struct {
	Text string
	// FinishReason is the server's word. Only "stop" marks a text that the model
	// itself ended; "length" is a text cut at MaxTokens.
	FinishReason string
}

// Usage counts tokens over all exchanges of a call that were answered. Refused
// exchanges count nothing.
//
// Known is false when a server did not report usage, or when what it reported
// cannot be right: llama.cpp's server counts one of the n choices only, so its
// figure is not known for n > 1, and neither is one that is smaller than the
// texts and finish reasons allow. A server with the same defect that cannot be
// recognised is still believed; a budget that must hold counts on its own.
type Usage struct {
	PromptTokens, CompletionTokens int64
	Known                          bool
}

// Response is what a call brought.
type Response struct {
	Choices []Choice
	// Model is the model that the server says it used.
	Model string
	Usage Usage
	// Calls is the number of HTTP requests sent, refused and repeated ones
	// included.
	Calls int
}

// seedSpace bounds the seeds on the wire: llama.cpp's are 32 bits, and all
// ones there means a random seed.
const seedSpace = 1 << 31

// seedAt is the seed of the choice with the given sample index.
func (r Request) seedAt(index int) int64 {
	return int64((uint64(r.Seed) + uint64(index)) % seedSpace)
}

// normalized replaces zero values by what they mean and refuses what no server
// could answer.
func (r Request) normalized(model string) (Request, error) {
	if r.N == 0 {
		r.N = 1
	}
	if r.TopP == 0 {
		r.TopP = 1
	}
	if r.Model == "" {
		r.Model = model
	}
	if r.SchemaName == "" {
		r.SchemaName = "reply"
	}
	refuse := func(format string, args ...any) (Request, error) {
		return Request{}, schemas.Errorf(schemas.InvalidInput, "chat request: "+format, args...)
	}
	if r.Model == "" {
		return Request{}, noModel()
	}
	switch {
	case len(r.Messages) == 0:
		return refuse("no messages")
	case r.N < 0:
		return refuse("n is %d, must be at least 1", r.N)
	case r.MaxTokens < 1:
		return refuse("max_tokens is %d, must be at least 1", r.MaxTokens)
	case !(r.Temperature >= 0) || math.IsInf(r.Temperature, 0):
		return refuse("temperature is %v, must be a number of at least 0", r.Temperature)
	case !(r.TopP > 0 && r.TopP <= 1):
		return refuse("top_p is %v, must be in (0, 1]", r.TopP)
	case r.TopK < 0:
		return refuse("top_k is %d, must be at least 0 (0 is off)", r.TopK)
	case !(r.MinP >= 0 && r.MinP <= 1):
		return refuse("min_p is %v, must be in [0, 1]", r.MinP)
	case len(r.Schema) > 0 && !json.Valid(r.Schema):
		return refuse("the schema %q is not valid JSON", r.SchemaName)
	}
	for i, m := range r.Messages {
		switch m.Role {
		case "system", "user", "assistant":
		default:
			return refuse("messages[%d].role is %q, must be system, user or assistant", i, m.Role)
		}
	}
	return r, nil
}

// noModel is the error of a request that names no model to an endpoint that
// names none.
func noModel() error {
	err := schemas.Errorf(schemas.InvalidInput, "chat request: no model: name one in the request or at the endpoint")
	err.Cause = ErrEndpoint
	return err
}
