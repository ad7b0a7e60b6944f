package scripted

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// probe answers a request about the server itself: its text depends on the seed,
// and follows a schema that the server heeds.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p, err := s.parse(body)
	var salt int
	var failure *Reply
	s.count(func(c *Stats) {
		c.Probes++
		if s.config.IgnoreSeed {
			salt = c.Probes
		}
		if len(s.probes) > 0 {
			failure, s.probes = &s.probes[0], s.probes[1:]
		}
	})
	reply := PerChoice(func(p Parsed, seed int64) string {
		if len(p.Schema) > 0 {
			return string(encode(instance(p.Schema)))
		}
		return fmt.Sprintf("animal %d %d", seed, salt)
	})(p)
	if most := s.config.MaxChoices; most > 0 && len(reply.Texts) > most {
		reply.Texts = reply.Texts[:most]
	}
	switch refusal := s.refusal(p); {
	case !s.authorized(r):
		reply = s.wrongKey()
	case err != nil:
		reply = Refuse(http.StatusBadRequest, err.Error())
	case failure != nil:
		reply = *failure
	case refusal != nil:
		reply = *refusal
	}
	if reply.Hang && !wait(r, nil, 0) {
		return
	}
	s.write(w, r, reply, p, nil, func() {})
}

// write sends the reply in pieces: a stream by event, a slow or broken body in
// parts. The counts are right before the caller has the last piece. It returns
// false if the caller goes away before.
func (s *Server) write(w http.ResponseWriter, r *http.Request, reply Reply, p Parsed, released <-chan struct{}, settled func()) bool {
	var pieces [][]byte
	stream := p.Stream && reply.Body == nil && (reply.Status == 0 || reply.Inside)
	if stream {
		pieces = reply.events(p)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	} else {
		body := reply.render(p)
		pieces = [][]byte{body}
		if reply.Truncate || reply.Stick || reply.Trickle > 0 {
			pieces = cut(body, 8)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if seconds := int(reply.RetryAfter.Seconds()); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if reply.Status != 0 && !reply.Inside {
		w.WriteHeader(reply.Status)
	}
	out := http.NewResponseController(w)
	for i, piece := range pieces {
		if i == len(pieces)/2 {
			switch {
			case reply.Truncate:
				settled()
				out.Flush()
				panic(http.ErrAbortHandler)
			case reply.Stick && !wait(r, released, 0):
				return false
			}
		}
		if i > 0 && reply.Trickle > 0 && !wait(r, nil, reply.Trickle) {
			return false
		}
		if i == len(pieces)-1 {
			settled()
		}
		w.Write(piece)
		if len(pieces) > 1 {
			out.Flush()
		}
	}
	return true
}

// cut divides a body into about n parts.
func cut(body []byte, n int) [][]byte {
	var out [][]byte
	size := max(len(body)/n, 1)
	for len(body) > 2*size {
		out, body = append(out, body[:size]), body[size:]
	}
	return append(out, body)
}

// events is the reply as a stream: the choices take turns, word by word, between
// comments that keep the connection.
func (r Reply) events(p Parsed) [][]byte {
	whole := r.completion(p)
	var out [][]byte
	say := func(v any) { out = append(out, bytes.Join([][]byte{[]byte("data: "), encode(v), []byte("\n\n")}, nil)) }
	chunk := func(index int, delta map[string]any, finish any) {
		say(map[string]any{"object": "chat.completion.chunk", "id": "scripted", "model": p.Model,
			"choices": []any{map[string]any{"index": index, "delta": delta, "finish_reason": finish}}})
	}
	out = append(out, []byte(": keep-alive\n\n"))
	words := make([][]string, len(r.Texts))
	for i, text := range r.Texts {
		chunk(i, map[string]any{"role": "assistant", "content": ""}, nil)
		words[i] = strings.SplitAfter(text, " ")
	}
	for more, at := true, 0; more; at++ {
		more = false
		for i := range words {
			if at < len(words[i]) {
				more = true
				chunk(i, map[string]any{"content": words[i][at]}, nil)
			}
		}
		out = append(out, []byte(": keep-alive\r\n\r\n"))
	}
	if r.Inside {
		say(map[string]any{"error": r.errorObject()})
		return append(out, []byte("data: [DONE]\n\n"))
	}
	for i := range r.Texts {
		chunk(i, map[string]any{}, r.finish())
	}
	if usage, ok := whole["usage"]; ok && p.includeUsage {
		last := map[string]any{"model": p.Model, "choices": []any{}, "usage": usage}
		if timings, ok := whole["timings"]; ok {
			last["timings"] = timings
		}
		say(last)
	}
	return append(out, []byte("data: [DONE]\n\n"))
}
