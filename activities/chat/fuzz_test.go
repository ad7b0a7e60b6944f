package chat

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"rpo/schemas"
)

func FuzzAStreamGivesAtMostNChoicesOrAnError(f *testing.F) {
	for _, seed := range []string{
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
		"data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"}},{\"index\":0,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n",
		": ping\n\nerror: {\"code\":500}\n\n", "data:\ndata\n\n:\n", "data: {\"error\":null,\"choices\":[{\"index\":-1}]}\n\ndata: [DONE]",
		"data: {\"choices\":[{\"index\":9999999999999999999}]}\n\n", "data: {\"choices\":null,\"timings\":{},\"model\":\"\\ud800\"}\n\ndata: [DONE]\n\n",
	} {
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		whole, _, err := assemble(strings.NewReader(text), int(n))
		if len(whole.Choices) > int(n) {
			t.Errorf("%d choices of %d", len(whole.Choices), n)
		}
		if err == nil && whole.Error == nil && !strings.Contains(text, "[DONE]") {
			t.Error("a stream without its end is whole")
		}
		for i, c := range whole.Choices {
			if c.Index != i || c.FinishReason == nil || *c.FinishReason == "" || c.Message == nil || c.Message.Content == nil {
				t.Errorf("choice %d is %+v", i, c)
			}
		}
		// The pieces in which the network brings it change nothing.
		bitwise, _, again := assemble(iotest.OneByteReader(strings.NewReader(text)), int(n))
		if len(bitwise.Choices) != len(whole.Choices) || !errors.Is(again, err) && !errors.Is(err, again) {
			t.Errorf("%d choices and %v at once, %d and %v byte by byte", len(whole.Choices), err, len(bitwise.Choices), again)
		}
		// Cut anywhere before its end it is never taken for whole.
		if end := strings.Index(text, "[DONE]"); end > 0 {
			cut, _, err := assemble(strings.NewReader(text[:end]), int(n))
			if err == nil && cut.Error == nil {
				t.Error("a stream cut before its end is whole")
			}
		}
	})
}

func FuzzAReplyGivesAtMostNChoicesOrATypedError(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
		`{"choices":[{"index":5,"message":{}},{"index":-5,"message":{"content":null}}],"timings":{}}`,
		`{"error":{"code":"429","message":"slow"}}`, `{"error":{"message":"Unsupported parameter: 'top_k'","param":"top_k"}}`,
		`{"detail":[{"type":"extra_forbidden","loc":["body","min_p"],"msg":"Extra inputs are not permitted"}]}`,
		`{"choices":[{}]}`, `[]`, `null`, `"`, "", `{"detail":[{"loc":null}]}`, `{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}`,
	} {
		f.Add(seed, 200, uint8(2))
		f.Add(seed, 400, uint8(1))
		f.Add(seed, 422, uint8(3))
	}
	w := &wire{endpoint: Endpoint{Name: "e", URL: "http://h/v1"}}
	f.Fuzz(func(t *testing.T, body string, status int, n uint8) {
		got, err := w.decode(answer{status: status, body: []byte(body)}, Request{N: int(n), MaxTokens: 8})
		if err == nil {
			if len(got.Choices) > int(n) || n > 0 && len(got.Choices) == 0 || status/100 != 2 {
				t.Errorf("%d choices of %d with status %d", len(got.Choices), n, status)
			}
			return
		}
		e, ok := errors.AsType[*schemas.Error](err)
		if !ok || len(e.Message) > 1024 || strings.ContainsAny(e.Message, "\n\r") || len(got.Choices) != 0 {
			t.Errorf("error %q, %d choices", err, len(got.Choices))
		}
		if b := blamed(err); b != nil && b.named == 0 {
			t.Error("a blame without a name")
		}
	})
}

func TestStreamsOfAnyLengthAreReadInBoundedPieces(t *testing.T) {
	// A line is never kept twice, and what comes after the end is not read.
	text := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("x", 1<<20) +
		"\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	rest := &counter{from: strings.NewReader(strings.Repeat("y", 1<<20))}
	got, _, err := assemble(io.MultiReader(strings.NewReader(text), rest), 1)
	if err != nil || len(*got.Choices[0].Message.Content) != 1<<20 || rest.n > 8<<10 {
		t.Errorf("%v, %d bytes read of what follows", err, rest.n)
	}
}
