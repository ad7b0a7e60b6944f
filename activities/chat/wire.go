package chat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"rpo/schemas"
)

// maxBody bounds what is read of one reply.
const maxBody = 16 << 20

// wire is the exchanger that speaks HTTP.
type wire struct {
	endpoint Endpoint
	http     *http.Client
}

// requestJSON is the request in the form that OpenAI-compatible servers share.
// Field order is fixed, so equal requests are equal bytes. n is left out when it
// is 1, which it is everywhere by default, for servers that do not know the key.
// The penalties are sent as off: servers disagree on their defaults, and vLLM
// reads repetition_penalty from the model's folder.
type requestJSON struct {
	Model             string            `json:"model"`
	Messages          []schemas.Message `json:"messages"`
	N                 int               `json:"n,omitempty"`
	Temperature       float64           `json:"temperature"`
	TopP              float64           `json:"top_p"`
	TopK              int               `json:"top_k"`
	MinP              float64           `json:"min_p"`
	MaxTokens         int               `json:"max_tokens"`
	Seed              int64             `json:"seed"`
	Stop              []string          `json:"stop,omitempty"`
	ResponseFormat    *responseFormat   `json:"response_format,omitempty"`
	PresencePenalty   float64           `json:"presence_penalty"`
	FrequencyPenalty  float64           `json:"frequency_penalty"`
	RepetitionPenalty float64           `json:"repetition_penalty"`
	Stream            bool              `json:"stream"`
}

type responseFormat struct {
	Type       string     `json:"type"`
	JSONSchema jsonSchema `json:"json_schema"`
}

type jsonSchema struct {
	Name   string          `json:"name"`
	Strict bool            `json:"strict"`
	Schema json.RawMessage `json:"schema"`
}

// replyJSON holds pointers where absence is a fault or has a meaning.
type replyJSON struct {
	Model   string       `json:"model"`
	Choices []choiceJSON `json:"choices"`
	Usage   *struct {
		PromptTokens     *int64 `json:"prompt_tokens"`
		CompletionTokens *int64 `json:"completion_tokens"`
	} `json:"usage"`
	// Timings is llama.cpp's mark.
	Timings json.RawMessage `json:"timings"`
	Error   json.RawMessage `json:"error"`
}

type choiceJSON struct {
	Index        int     `json:"index"`
	FinishReason *string `json:"finish_reason"`
	Message      *struct {
		Content *string `json:"content"`
	} `json:"message"`
}

func encode(req Request) ([]byte, error) {
	body := requestJSON{
		Model:             req.Model,
		Messages:          req.Messages,
		Temperature:       req.Temperature,
		TopP:              req.TopP,
		TopK:              req.TopK,
		MinP:              req.MinP,
		MaxTokens:         req.MaxTokens,
		Seed:              req.seedAt(0),
		Stop:              req.Stop,
		RepetitionPenalty: 1,
	}
	if req.N > 1 {
		body.N = req.N
	}
	if req.TopK == 0 {
		// SGLang refuses 0; every server takes -1 as off.
		body.TopK = -1
	}
	if len(req.Schema) > 0 {
		body.ResponseFormat = &responseFormat{"json_schema", jsonSchema{req.SchemaName, true, req.Schema}}
	}
	return json.Marshal(body)
}

// exchange implements exchanger with exactly one HTTP request.
func (w *wire) exchange(ctx context.Context, req Request) (Response, error) {
	body, err := encode(req)
	if err != nil {
		return Response{}, w.endpoint.failed(schemas.InvalidInput, "encode the request: %v", err)
	}
	got, err := w.send(ctx, http.MethodPost, "/chat/completions", body)
	if err != nil {
		return Response{Calls: got.sent}, err
	}
	response, err := w.decode(got, req)
	response.Calls = got.sent
	return response, err
}

// answer is an HTTP reply that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	secret secret
	// sent is 1 if a request was attempted, 0 if it failed before.
	sent int
}

// send makes one HTTP request under the endpoint's timeout and reads the reply.
// A status that is not 2xx is not an error here.
func (w *wire) send(ctx context.Context, method, path string, body []byte) (answer, error) {
	if ctx.Err() != nil {
		return answer{}, w.endpoint.interrupted(ctx)
	}
	key, err := w.endpoint.key()
	if err != nil {
		return answer{}, err
	}
	limited, cancel := context.WithTimeout(ctx, w.endpoint.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, method, w.endpoint.URL+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, w.endpoint.failed(schemas.Internal, "make the request: %v", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "rpo")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	got := answer{secret: secret(key), sent: 1}
	reply, err := w.http.Do(request)
	if err != nil {
		return got, w.endpoint.notAnswered(ctx, limited, got.secret, err)
	}
	defer reply.Body.Close()
	got.status, got.header = reply.StatusCode, reply.Header
	got.body, err = io.ReadAll(io.LimitReader(reply.Body, maxBody+1))
	switch {
	case err != nil && limited.Err() != nil:
		return got, w.endpoint.notAnswered(ctx, limited, got.secret, err)
	case err != nil && got.status/100 == 2:
		return got, w.endpoint.failed(schemas.CorruptData, "the reply broke off after %d bytes (%v)", len(got.body), err)
	case len(got.body) > maxBody:
		return got, w.endpoint.failed(schemas.CorruptData, "the reply is larger than %d MiB", maxBody>>20)
	}
	return got, nil
}

// decode reads a completion for req out of an answer.
func (w *wire) decode(got answer, req Request) (Response, error) {
	if got.status/100 != 2 {
		return Response{}, w.endpoint.refused(got)
	}
	nonsense := func(what string) (Response, error) {
		return Response{}, w.endpoint.failed(schemas.CorruptData, "the reply is not a chat completion: %s: %s", what, got.excerpt())
	}
	var reply replyJSON
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return nonsense("not the JSON expected")
	}
	if len(reply.Choices) == 0 {
		if status := errorCode(reply.Error); status != 0 {
			got.status = status
			return Response{}, w.endpoint.refused(got)
		}
		return nonsense("no choices")
	}
	slices.SortStableFunc(reply.Choices, func(a, b choiceJSON) int { return cmp.Compare(a.Index, b.Index) })
	response := Response{Model: reply.Model}
	for _, choice := range reply.Choices {
		if choice.Message == nil {
			return nonsense("a choice without a message")
		}
		var c Choice
		// Content is null when a model spent all its tokens on reasoning.
		if choice.Message.Content != nil {
			c.Text = *choice.Message.Content
		}
		if choice.FinishReason != nil {
			c.FinishReason = *choice.FinishReason
		}
		response.Choices = append(response.Choices, c)
	}
	response.Usage = usageOf(reply, response.Choices, req.MaxTokens)
	if len(response.Choices) > req.N {
		response.Choices = response.Choices[:req.N]
	}
	return response, nil
}

// usageOf believes a server's count unless it cannot be that of all choices.
func usageOf(reply replyJSON, choices []Choice, maxTokens int) Usage {
	if reply.Usage == nil || reply.Usage.PromptTokens == nil || reply.Usage.CompletionTokens == nil {
		return Usage{}
	}
	usage := Usage{*reply.Usage.PromptTokens, *reply.Usage.CompletionTokens, true}
	var least int64
	for _, c := range choices {
		switch {
		case len(choices) > 1 && c.FinishReason == "length":
			least += int64(maxTokens)
		case c.Text != "":
			least++
		}
	}
	if usage.PromptTokens < 0 || usage.CompletionTokens < least || len(choices) > 1 && len(reply.Timings) > 0 {
		usage.Known = false
	}
	return usage
}
