package chat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"rpo/schemas"
)

// drainWithin bounds the wait for the end of a body whose stream has ended; after
// it the connection is closed instead of kept for the next request.
const drainWithin = time.Second

// Faults of a stream.
var (
	errTooLarge  = errors.New("too large")
	errNotChunks = errors.New("not the JSON expected")
	errEnded     = errors.New("the stream ended")
)

// readStream reads a completion that comes as server-sent events.
func (w *wire) readStream(r *incoming, req Request) (Response, error) {
	r.watch(r.endpoint.IdleTimeout)
	counted := &counter{from: r}
	reply, last, err := assemble(counted, req.N)
	switch {
	case err == nil:
		r.watch(drainWithin)
		io.CopyN(io.Discard, r.from, 4096)
	case r.limited.Err() != nil:
		return Response{}, w.endpoint.notAnswered(r.caller, r.limited, r.secret, err)
	case errors.Is(err, errTooLarge):
		return Response{}, w.endpoint.failed(schemas.CorruptData, "the reply is larger than %d MiB", maxBody>>20)
	case errors.Is(err, errNotChunks):
		r.body = last
		return Response{}, w.nonsense(r.answer, err.Error())
	case errors.Is(err, errEnded):
		return Response{}, r.brokeOff(schemas.CorruptData, counted.n, err)
	default:
		return Response{}, r.brokeOff(schemas.Overloaded, counted.n, err)
	}
	r.body = last
	response, err := w.respond(r.answer, reply, req)
	if e, ok := errors.AsType[*schemas.Error](err); ok && errors.Is(e, errBusy) {
		e.Cause = nil // the request was begun
	}
	return response, err
}

// counter counts the bytes read.
type counter struct {
	from io.Reader
	n    int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}

// chunkJSON is one event of a stream.
type chunkJSON struct {
	Model   string `json:"model"`
	Choices []struct {
		Index        int          `json:"index"`
		Delta        *messageJSON `json:"delta"`
		FinishReason *string      `json:"finish_reason"`
	} `json:"choices"`
	Usage   *usageJSON      `json:"usage"`
	Timings json.RawMessage `json:"timings"`
	Error   json.RawMessage `json:"error"`
}

// partial is a choice of which a part has come.
type partial struct {
	text     strings.Builder
	finished string
	begun    bool
}

// assemble makes a completion with at most n choices out of a stream. Choices
// come interleaved; those from the first missing index on are left out. last is
// the latest event. A stream is whole when it says so and each of its choices has
// its finish reason; after an error object nothing more is read.
func assemble(from io.Reader, n int) (reply replyJSON, last []byte, err error) {
	events := newEvents(from)
	choices := make([]partial, n)
	for {
		event, err := events.next()
		if err != nil {
			if err == io.EOF {
				err = errEnded
			}
			return reply, last, err
		}
		last = event
		if string(event) == "[DONE]" {
			break
		}
		var chunk chunkJSON
		if err := json.Unmarshal(event, &chunk); err != nil {
			return reply, last, errNotChunks
		}
		if isObject(chunk.Error) {
			reply.Error = chunk.Error
			return reply, last, nil
		}
		if chunk.Model != "" {
			reply.Model = chunk.Model
		}
		if chunk.Usage != nil {
			reply.Usage = chunk.Usage
		}
		if len(chunk.Timings) > 0 {
			reply.Timings = chunk.Timings
		}
		for _, c := range chunk.Choices {
			if c.Index < 0 || c.Index >= n {
				continue
			}
			p := &choices[c.Index]
			p.begun = true
			if c.Delta != nil && c.Delta.Content != nil && *c.Delta.Content != "" {
				if p.finished != "" {
					return reply, last, errNotChunks // two texts under one index
				}
				p.text.WriteString(*c.Delta.Content)
			}
			if c.FinishReason != nil && *c.FinishReason != "" {
				p.finished = *c.FinishReason
			}
		}
	}
	for i := range choices {
		p := &choices[i]
		if !p.begun {
			break
		}
		if p.finished == "" {
			return reply, last, errEnded
		}
		text := p.text.String()
		reply.Choices = append(reply.Choices, choiceJSON{Index: i, FinishReason: &p.finished, Message: &messageJSON{&text}})
	}
	return reply, last, nil
}

// isObject says whether an error object is one: absent and null are none.
func isObject(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// events reads the data of server-sent events.
type events struct {
	lines *bufio.Reader
	left  int
}

func newEvents(from io.Reader) *events { return &events{bufio.NewReaderSize(from, 8<<10), maxBody} }

// next returns the data of the next event that has any. Comments, which servers
// send to keep the connection, and other fields are skipped, but for "error",
// under which older versions of llama.cpp's server put an error object.
func (e *events) next() ([]byte, error) {
	var data []byte
	for {
		line, err := e.line()
		if err != nil && (err != io.EOF || len(line) == 0) {
			if err == io.EOF && len(data) > 0 {
				return data, nil // the last event needs no blank line
			}
			return nil, err
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
			if len(data) > 0 {
				return data, nil
			}
		case string(field) == "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		case string(field) == "error":
			return append(append([]byte(`{"error":`), value...), '}'), nil
		}
	}
}

// line returns a line without its end, which is valid until the next call.
func (e *events) line() ([]byte, error) {
	line, err := e.lines.ReadSlice('\n')
	e.left -= len(line)
	if err == bufio.ErrBufferFull {
		whole := bytes.Clone(line)
		for err == bufio.ErrBufferFull && e.left > 0 {
			line, err = e.lines.ReadSlice('\n')
			e.left -= len(line)
			whole = append(whole, line...)
		}
		line = whole
	}
	if e.left < 0 || err == bufio.ErrBufferFull {
		return nil, errTooLarge
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), err
}
