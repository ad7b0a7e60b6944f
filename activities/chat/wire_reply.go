package chat

import (
	"cmp"
	"encoding/json"
	"slices"

	"rpo/schemas"
)

// replyJSON holds pointers where absence is a fault or has a meaning.
type replyJSON struct {
	Model   string       `json:"model"`
	Choices []choiceJSON `json:"choices"`
	Usage   *usageJSON   `json:"usage"`
	// Timings is llama.cpp's mark.
	Timings json.RawMessage `json:"timings"`
	Error   json.RawMessage `json:"error"`
}

type usageJSON struct {
	PromptTokens     *int64 `json:"prompt_tokens"`
	CompletionTokens *int64 `json:"completion_tokens"`
}

type choiceJSON struct {
	Index        int     `json:"index"`
	FinishReason *string `json:"finish_reason"`
	// Reasoning, which some servers put beside content, is not read.
	Message *messageJSON `json:"message"`
}

type messageJSON struct {
	Content *string `json:"content"`
}

// decode reads a completion for req out of an answer.
func (w *wire) decode(got answer, req Request) (Response, error) {
	if got.status/100 != 2 {
		return Response{}, w.endpoint.refused(got)
	}
	var reply replyJSON
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return Response{}, w.nonsense(got, "not the JSON expected")
	}
	return w.respond(got, reply, req)
}

// nonsense is the error of an answer that is not the protocol.
func (w *wire) nonsense(got answer, what string) error {
	return w.endpoint.failed(schemas.CorruptData, "the reply is not a chat completion: %s: %s", what, got.excerpt())
}

// respond makes a response out of a completion, at most req.N choices of it.
func (w *wire) respond(got answer, reply replyJSON, req Request) (Response, error) {
	if len(reply.Choices) == 0 {
		if status := errorCode(reply.Error); status != 0 {
			got.status = status
			return Response{}, w.endpoint.refused(got)
		}
		return Response{}, w.nonsense(got, "no choices")
	}
	slices.SortStableFunc(reply.Choices, func(a, b choiceJSON) int { return cmp.Compare(a.Index, b.Index) })
	response := Response{Model: reply.Model, Choices: make([]Choice, 0, len(reply.Choices))}
	for _, choice := range reply.Choices {
		if choice.Message == nil {
			return Response{}, w.nonsense(got, "a choice without a message")
		}
		var c Choice
		// Content is null when a model spent all its tokens on reasoning.
		if choice.Message.Content != nil {
			c.Text = *choice.Message.Content
		}
		if choice.FinishReason != nil {
			c.FinishReason = *choice.FinishReason
		}
		if c.FinishReason == "error" || c.FinishReason == "abort" {
			return Response{}, w.endpoint.failed(schemas.Overloaded, "gave a choice up (finish_reason %s)", c.FinishReason)
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
