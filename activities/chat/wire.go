package chat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"rpo/schemas"
)

// maxBody bounds what is read of one reply.
const maxBody = 16 << 20

// userAgent and probeAgent tell calls from probes in a server's log.
const (
	userAgent  = "rpo"
	probeAgent = "rpo (probe)"
)

// Causes of a cancelled request.
var (
	errSlow = errors.New("hard timeout")
	errIdle = errors.New("idle timeout")
)

// wire is the exchanger that speaks HTTP.
type wire struct {
	endpoint Endpoint
	http     *http.Client
}

// exchange implements exchanger with exactly one HTTP request.
func (w *wire) exchange(ctx context.Context, req Request) (Response, error) {
	body, err := encode(req, w.endpoint.Stream)
	if err != nil {
		return Response{}, w.endpoint.failed(schemas.InvalidInput, "encode the request: %v", err)
	}
	agent := userAgent
	if req.probing {
		agent = probeAgent
	}
	r, sent, err := w.open(ctx, http.MethodPost, "/chat/completions", body, agent)
	if err != nil {
		return Response{Calls: sent}, err
	}
	defer r.close()
	var response Response
	if w.endpoint.Stream && r.status/100 == 2 && r.isStream() {
		response, err = w.readStream(r, req)
	} else if err = r.readAll(); err == nil {
		response, err = w.decode(r.answer, req)
	}
	response.Calls = sent
	return response, err
}

// get makes one GET request and reads the reply.
func (w *wire) get(ctx context.Context, path string) (answer, error) {
	r, _, err := w.open(ctx, http.MethodGet, path, nil, userAgent)
	if err != nil {
		return answer{}, err
	}
	defer r.close()
	err = r.readAll()
	return r.answer, err
}

// answer is an HTTP reply that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	secret secret
}

// incoming is an HTTP reply whose body is still to be read, under the endpoint's
// timeouts.
type incoming struct {
	answer
	endpoint Endpoint
	// caller is the caller's context, limited the one that timeouts cancel.
	caller, limited context.Context
	cancel          context.CancelCauseFunc
	hard, idle      *time.Timer
	from            io.ReadCloser
}

// open makes one HTTP request and reads the head of the reply. sent is 1 if a
// request was attempted, 0 if it failed before. A status that is not 2xx is not an
// error here.
func (w *wire) open(ctx context.Context, method, path string, body []byte, agent string) (r *incoming, sent int, err error) {
	if ctx.Err() != nil {
		return nil, 0, w.endpoint.interrupted(ctx)
	}
	key, err := w.endpoint.key()
	if err != nil {
		return nil, 0, err
	}
	r = &incoming{answer: answer{secret: secret(key)}, endpoint: w.endpoint, caller: ctx}
	r.limited, r.cancel = context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(r.limited, method, w.endpoint.URL+path, bytes.NewReader(body))
	if err != nil {
		r.cancel(nil)
		return nil, 0, w.endpoint.failed(schemas.Internal, "make the request: %v", err)
	}
	request.Header.Set("Accept", "application/json")
	if w.endpoint.Stream {
		request.Header.Set("Accept", "text/event-stream, application/json")
	}
	request.Header.Set("User-Agent", agent)
	// Not sent: it has net/http repeat a request at once on a new connection when
	// the server closes a kept one instead of answering, as llama.cpp's does after
	// each stream.
	request.Header["Idempotency-Key"] = nil
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	r.hard = time.AfterFunc(w.endpoint.Timeout, func() { r.cancel(errSlow) })
	reply, err := w.http.Do(request)
	if err != nil {
		err = w.endpoint.notAnswered(ctx, r.limited, r.secret, err)
		r.close()
		return nil, 1, err
	}
	r.status, r.header, r.from = reply.StatusCode, reply.Header, reply.Body
	return r, 1, nil
}

// close ends the request: one whose body was not read to its end is broken off by
// closing the connection, which servers take for a cancel.
func (r *incoming) close() {
	r.hard.Stop()
	if r.idle != nil {
		r.idle.Stop()
	}
	r.cancel(nil)
	if r.from != nil {
		r.from.Close()
	}
}

// isStream says whether the server streams.
func (r *incoming) isStream() bool {
	media, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	return media == "text/event-stream"
}

// Read reads the body. From the first byte on, a pause that is too long ends it.
func (r *incoming) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if n > 0 && err == nil {
		r.watch(r.endpoint.IdleTimeout)
	}
	return n, err
}

// watch ends the request unless a byte comes within d.
func (r *incoming) watch(d time.Duration) {
	if r.idle == nil {
		r.idle = time.AfterFunc(d, func() { r.cancel(errIdle) })
	} else {
		r.idle.Reset(d)
	}
}

// readAll reads the body to its end.
func (r *incoming) readAll() (err error) {
	r.body, err = io.ReadAll(io.LimitReader(r, maxBody+1))
	switch {
	case err != nil && r.limited.Err() != nil:
		return r.endpoint.notAnswered(r.caller, r.limited, r.secret, err)
	case err != nil && r.status/100 == 2:
		return r.brokeOff(schemas.Overloaded, len(r.body), err)
	case len(r.body) > maxBody:
		return r.endpoint.failed(schemas.CorruptData, "the reply is larger than %d MiB", maxBody>>20)
	}
	return nil
}

// brokeOff is the error of a reply that ended too early: Overloaded if the
// connection was lost, which says nothing of the request and must not have its row
// set aside, and CorruptData if the server ended the reply as if it were whole.
func (r *incoming) brokeOff(t schemas.ErrorType, after int, err error) error {
	return r.endpoint.failed(t, "the reply broke off after %d bytes (%v)", after, err)
}
