package chat

import (
	"encoding/json"
	"strings"

	"rpo/schemas"
)

// parameters is a set of request keys that a server may refuse.
type parameters uint32

const (
	paramN parameters = 1 << iota
	paramSeed
	paramTemperature
	paramTopP
	paramTopK
	paramMinP
	paramPresence
	paramFrequency
	paramRepetition
	paramStop
	paramMaxTokens
	paramStreamOptions
	paramResponseFormat

	// extensions are keys that the original protocol lacks: who refuses one often
	// refuses all, but names one at a time.
	extensions = paramTopK | paramMinP | paramRepetition
	// strippable are the keys that a request can do without. A refusal of
	// response_format may blame the one schema, so only the probe strips it.
	strippable = paramSeed | paramTemperature | paramTopP | extensions | paramPresence | paramFrequency |
		paramStop | paramMaxTokens | paramStreamOptions
)

// parameterNames are the keys in the order of their bits.
var parameterNames = [...]string{"n", "seed", "temperature", "top_p", "top_k", "min_p", "presence_penalty",
	"frequency_penalty", "repetition_penalty", "stop", "max_tokens", "stream_options", "response_format"}

// names lists the keys of the set.
func (p parameters) names() []string {
	var out []string
	for i, name := range parameterNames {
		if p&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// The ways to ask for a reply that follows a JSON schema.
const (
	// schemaNested is OpenAI's: the schema within json_schema.
	schemaNested = "json_schema"
	// schemaFlat is the older one of llama.cpp's server: the schema beside the type.
	schemaFlat = "schema"
	schemaNone = "none"
)

// dialect is how requests to one server are written. The zero dialect is the
// whole protocol as vLLM speaks it.
type dialect struct {
	// refused keys are left out; max_tokens becomes max_completion_tokens.
	refused parameters
	// schema is one of the constants above; "" is schemaNested.
	schema string
}

// unsendable returns the keys that the request needs and the server refuses. A
// key is not needed where leaving it out means the same to a server that does not
// know it. Neither is seed: no server promises to reproduce.
func (d dialect) unsendable(r Request) parameters {
	var needed parameters
	if r.Temperature != 1 {
		needed |= paramTemperature
	}
	if r.TopP != 1 {
		needed |= paramTopP
	}
	if r.TopK != 0 {
		needed |= paramTopK
	}
	if r.MinP != 0 {
		needed |= paramMinP
	}
	if len(r.Stop) > 0 {
		needed |= paramStop
	}
	return needed & d.refused
}

// requestJSON is the request in the form that OpenAI-compatible servers share.
// Field order is fixed, so equal requests are equal bytes. n is left out when it
// is 1, which it is everywhere by default, for servers that do not know the key.
// The penalties are sent as off: servers disagree on their defaults, and vLLM
// reads repetition_penalty from the model's folder. A nil pointer leaves out what
// the server refuses.
type requestJSON struct {
	Model               string            `json:"model"`
	Messages            []schemas.Message `json:"messages"`
	N                   int               `json:"n,omitempty"`
	Temperature         *float64          `json:"temperature,omitempty"`
	TopP                *float64          `json:"top_p,omitempty"`
	TopK                *int              `json:"top_k,omitempty"`
	MinP                *float64          `json:"min_p,omitempty"`
	MaxTokens           *int              `json:"max_tokens,omitempty"`
	MaxCompletionTokens *int              `json:"max_completion_tokens,omitempty"`
	Seed                *int64            `json:"seed,omitempty"`
	Stop                []string          `json:"stop,omitempty"`
	ResponseFormat      *responseFormat   `json:"response_format,omitempty"`
	PresencePenalty     *int              `json:"presence_penalty,omitempty"`
	FrequencyPenalty    *int              `json:"frequency_penalty,omitempty"`
	RepetitionPenalty   *int              `json:"repetition_penalty,omitempty"`
	Stream              bool              `json:"stream"`
	StreamOptions       *streamOptions    `json:"stream_options,omitempty"`
}

type responseFormat struct {
	Type       string          `json:"type"`
	JSONSchema *jsonSchema     `json:"json_schema,omitempty"`
	Schema     json.RawMessage `json:"schema,omitempty"`
}

type jsonSchema struct {
	Name   string          `json:"name"`
	Strict bool            `json:"strict"`
	Schema json.RawMessage `json:"schema"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Values that every request has; nothing writes to them.
var (
	topKOff          = -1 // SGLang refuses 0; every server takes -1 as off
	penaltyOff       = 0
	penaltyFactorOff = 1
	includeUsage     = streamOptions{IncludeUsage: true}
	zeroDialect      dialect
)

// encode writes a request in its dialect.
func encode(req Request, stream bool) ([]byte, error) {
	d := req.dialect
	if d == nil {
		d = &zeroDialect
	}
	seed := req.seedAt(0)
	body := requestJSON{Model: req.Model, Messages: req.Messages, Stream: stream}
	if req.N > 1 && d.refused&paramN == 0 {
		body.N = req.N
	}
	body.Temperature = unless(d.refused&paramTemperature, &req.Temperature)
	body.TopP = unless(d.refused&paramTopP, &req.TopP)
	topK := &req.TopK
	if req.TopK == 0 {
		topK = &topKOff
	}
	body.TopK = unless(d.refused&paramTopK, topK)
	body.MinP = unless(d.refused&paramMinP, &req.MinP)
	if d.refused&paramMaxTokens == 0 {
		body.MaxTokens = &req.MaxTokens
	} else {
		body.MaxCompletionTokens = &req.MaxTokens
	}
	body.Seed = unless(d.refused&paramSeed, &seed)
	if d.refused&paramStop == 0 {
		body.Stop = req.Stop
	}
	body.PresencePenalty = unless(d.refused&paramPresence, &penaltyOff)
	body.FrequencyPenalty = unless(d.refused&paramFrequency, &penaltyOff)
	body.RepetitionPenalty = unless(d.refused&paramRepetition, &penaltyFactorOff)
	if stream {
		body.StreamOptions = unless(d.refused&paramStreamOptions, &includeUsage)
	}
	if len(req.Schema) > 0 {
		switch d.schema {
		case "", schemaNested:
			body.ResponseFormat = &responseFormat{Type: "json_schema", JSONSchema: &jsonSchema{req.SchemaName, true, req.Schema}}
		case schemaFlat:
			body.ResponseFormat = &responseFormat{Type: "json_schema", Schema: req.Schema}
		}
	}
	return json.Marshal(body)
}

// unless is value, or nil if the key is refused.
func unless[T any](refused parameters, value *T) *T {
	if refused != 0 {
		return nil
	}
	return value
}

// stripped is d without those of the blamed keys that a request can do without.
func (d dialect) stripped(blamed parameters) dialect {
	d.refused |= blamed & strippable
	return d
}

// needs is the error of a request that cannot be sent as it is meant.
func (e Endpoint) needs(keys parameters) error {
	return e.misconfigured(schemas.InvalidInput, "refuses the parameter %s, which the request sets; leave it at its default for this endpoint or name another endpoint",
		strings.Join(keys.names(), ", "))
}
