package chat

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"rpo/schemas"
)

// exchanger makes one exchange with a server. It returns between 1 and req.N
// choices for a normalized request, or an error; Response.Calls is set either
// way.
type exchanger interface {
	exchange(ctx context.Context, req Request) (Response, error)
}

// Client is the Completer of one address.
type Client struct {
	endpoint Endpoint
	wire     *wire
	limited  *limited
	exchanger

	mu sync.Mutex
	// known is what was found out about each model.
	known map[string]*knowledge
}

var _ Completer = (*Client)(nil)

// New makes the client of the endpoint's first address, see Open for replicas. It
// connects to nothing, see Check.
func New(e Endpoint) (*Client, error) {
	e, err := e.normalized()
	if err != nil {
		return nil, err
	}
	w := &wire{endpoint: e, http: &http.Client{
		Transport: newTransport(),
		// A redirect would carry the prompt, and on the same host the key, to an
		// address that nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	l := newLimited(w, e)
	return &Client{
		endpoint:  e,
		wire:      w,
		limited:   l,
		known:     map[string]*knowledge{},
		exchanger: &breaking{&retrying{l, e.Timeout}, l.breaker},
	}, nil
}

// newTransport is net/http's default (so a proxy is taken from the environment,
// never for loopback) with connections kept for as many calls as a worker has in
// flight, and without compression, so that the limit on a body's size is the
// limit on what is read.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   DefaultMaxConcurrency,
		IdleConnTimeout:       60 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}
}

// Close drops idle connections. A client is usable after it.
func (c *Client) Close() { c.wire.http.CloseIdleConnections() }

// Complete implements Completer. When the server gives fewer choices than asked
// for, or refuses n, the rest is asked for in further requests, one after the
// other, each of as many choices as the server has shown to give. Parameters that
// it refuses are left out if they are off, else the request is refused here.
func (c *Client) Complete(ctx context.Context, req Request) (Response, error) {
	req, err := req.normalized(c.endpoint.Model)
	if err != nil {
		return Response{}, err
	}
	if ctx.Err() != nil {
		return Response{}, c.endpoint.interrupted(ctx)
	}
	known, err := c.know(ctx, c.exchanger, req.Model)
	if err != nil {
		return Response{}, err
	}
	total := Response{Choices: make([]Choice, 0, req.N), Usage: Usage{Known: true}}
	step, refusedN := req.N, false
	if least := known.refusedN.Load(); least != 0 && int64(req.N) >= least {
		step = 1
	}
	talk := *known.dialect.Load()
	for len(total.Choices) < req.N {
		if keys := talk.unsendable(req); keys != 0 {
			return total, c.endpoint.needs(keys)
		}
		part := req
		part.N = min(step, req.N-len(total.Choices))
		part.Seed = req.seedAt(len(total.Choices))
		part.dialect = &talk
		reply, err := c.exchange(ctx, part)
		total.Calls += reply.Calls
		if b := blamed(err); b != nil {
			if part.N > 1 && b.named&paramN != 0 {
				step, refusedN = 1, true
				continue
			}
			if without := talk.stripped(b.named); b.plainly && without != talk {
				talk = without
				continue
			}
		}
		if err != nil {
			return total, err
		}
		if refusedN {
			known.learnN(req.N)
		}
		known.learn(talk.refused)
		step = min(step, len(reply.Choices))
		total.add(reply)
	}
	return total, nil
}

// add appends the choices and tokens of a further exchange.
func (r *Response) add(part Response) {
	r.Choices = append(r.Choices, part.Choices...)
	r.Model = part.Model
	r.Usage = Usage{
		PromptTokens:     r.Usage.PromptTokens + part.Usage.PromptTokens,
		CompletionTokens: r.Usage.CompletionTokens + part.Usage.CompletionTokens,
		Known:            r.Usage.Known && part.Usage.Known,
	}
}

// interrupted is the error of a call whose own ctx ended.
func (e Endpoint) interrupted(ctx context.Context) *schemas.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return e.failed(schemas.Overloaded, "no reply before the caller's deadline: %w", ctx.Err())
	}
	return e.failed(schemas.Internal, "the call was given up: %w", ctx.Err())
}
