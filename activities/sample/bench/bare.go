package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"rpo/activities/chat"
	"rpo/schemas"
)

// bare is the least that makes a call: net/http and encoding/json. With slots it
// is the fixed-concurrency baseline: so many requests at a time, and after a
// refusal the same again, a fixed time later.
type bare struct {
	url   string
	http  *http.Client
	slots chan struct{} // nil for no bound and no repetition
}

// repeatAfter is the baseline's fixed delay.
const repeatAfter = time.Second

func newBare(url string, slots int) *bare {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1024
	b := &bare{url: url + "/chat/completions", http: &http.Client{Transport: transport}}
	if slots > 0 {
		b.slots = make(chan struct{}, slots)
	}
	return b
}

type bareRequest struct {
	Model       string            `json:"model"`
	Messages    []schemas.Message `json:"messages"`
	N           int               `json:"n"`
	Temperature float64           `json:"temperature"`
	TopP        float64           `json:"top_p"`
	MaxTokens   int               `json:"max_tokens"`
	Seed        int64             `json:"seed"`
}

type bareReply struct {
	Model   string `json:"model"`
	Choices []struct {
		Index   int `json:"index"`
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	} `json:"usage"`
}

// Complete implements chat.Completer.
func (b *bare) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	if b.slots == nil {
		resp, _, err := b.once(ctx, req)
		return resp, err
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return chat.Response{}, ctx.Err()
	}
	for {
		resp, status, err := b.once(ctx, req)
		if status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			return resp, err
		}
		select {
		case <-time.After(repeatAfter):
		case <-ctx.Done():
			return resp, ctx.Err()
		}
	}
}

func (b *bare) once(ctx context.Context, req chat.Request) (chat.Response, int, error) {
	body, err := json.Marshal(bareRequest{req.Model, req.Messages, max(req.N, 1), req.Temperature, req.TopP, req.MaxTokens, req.Seed % (1 << 31)})
	if err != nil {
		return chat.Response{}, 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return chat.Response{}, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	reply, err := b.http.Do(request)
	if err != nil {
		return chat.Response{}, 0, err
	}
	defer reply.Body.Close()
	var got bareReply
	if err := json.NewDecoder(reply.Body).Decode(&got); err != nil {
		return chat.Response{}, reply.StatusCode, err
	}
	if reply.StatusCode != http.StatusOK {
		return chat.Response{}, reply.StatusCode, fmt.Errorf("status %d", reply.StatusCode)
	}
	resp := chat.Response{Model: got.Model, Calls: 1, Usage: chat.Usage{PromptTokens: got.Usage.PromptTokens, CompletionTokens: got.Usage.CompletionTokens, Known: true}}
	for _, c := range got.Choices {
		resp.Choices = append(resp.Choices, chat.Choice{Text: c.Message.Content, FinishReason: c.FinishReason})
	}
	return resp, reply.StatusCode, nil
}

// bareModels is chat.Models with nothing behind it.
type bareModels struct{ completer chat.Completer }

func (m bareModels) Model(_ context.Context, use chat.Use) (chat.Model, func(), error) {
	return chat.Model{Completer: m.completer, Name: use.Model}, func() {}, nil
}

func (m bareModels) Identify(_ context.Context, _, model string) (string, error) { return model, nil }

func (m bareModels) Evaluates(context.Context, string, string) error { return nil }
