package chat

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"rpo/schemas"
)

// Render returns the token ids that the server makes of a chat request's messages,
// generation prompt included, and names the way it was asked. No server offers it
// under /v1: llama.cpp's renders at /apply-template and /tokenize, vLLM's at
// /tokenize. through is "" where the server has neither.
func (c *Client) Render(ctx context.Context, messages []schemas.Message) (ids []int, through string, err error) {
	w := *c.wire
	w.endpoint.URL = strings.TrimSuffix(w.endpoint.URL, "/v1")
	var template struct {
		Prompt *string `json:"prompt"`
	}
	ok, err := w.ask(ctx, "/apply-template", map[string]any{"messages": messages}, &template)
	if err != nil {
		return nil, "", err
	}
	request := map[string]any{"model": c.endpoint.Model, "messages": messages, "add_generation_prompt": true}
	through = "/tokenize"
	if ok && template.Prompt != nil {
		// What begins a text is the tokenizer's matter, as it is in a chat request.
		request = map[string]any{"content": *template.Prompt, "add_special": true, "parse_special": true}
		through = "/apply-template and /tokenize"
	} else if c.endpoint.Model == "" {
		delete(request, "model")
	}
	var reply struct {
		Tokens []int `json:"tokens"`
	}
	ok, err = w.ask(ctx, "/tokenize", request, &reply)
	if err != nil || !ok || len(reply.Tokens) == 0 {
		return nil, "", err
	}
	return reply.Tokens, through, nil
}

// absent are the statuses of a server that does not know a path, or of a gateway
// that lets nobody through to it.
var absent = []int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented}

// ask sends one object and decodes the reply; ok is false if the server does not
// know the path or replies with something else than an object.
func (w *wire) ask(ctx context.Context, path string, request, into any) (ok bool, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return false, w.endpoint.failed(schemas.InvalidInput, "encode the request: %v", err)
	}
	r, _, err := w.open(ctx, http.MethodPost, path, body, userAgent)
	if err != nil {
		return false, err
	}
	defer r.close()
	if err := r.readAll(); err != nil {
		return false, err
	}
	switch {
	case slices.Contains(absent, r.status):
		return false, nil
	case r.status/100 != 2:
		return false, w.endpoint.refused(r.answer)
	}
	return json.Unmarshal(r.body, into) == nil, nil
}
