package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"rpo/schemas"
)

// exchanger makes one exchange with a server. It returns between 1 and req.N
// choices for a normalized request, or an error; Response.Calls is set either
// way.
type exchanger interface {
	exchange(ctx context.Context, req Request) (Response, error)
}

// Client is the Completer of one endpoint.
type Client struct {
	endpoint Endpoint
	wire     *wire
	exchanger
	// refusedN is the smallest n > 1 that the server is known to refuse, 0 for
	// none. It saves a refused request and does not change any result.
	refusedN atomic.Int64
}

var _ Completer = (*Client)(nil)

// New makes a client. It connects to nothing; see Check.
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
	return &Client{
		endpoint:  e,
		wire:      w,
		exchanger: &retrying{inner: w, limit: e.Timeout, now: time.Now, sleep: sleep, jitter: rand.Float64},
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
		MaxIdleConnsPerHost:   256,
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
// other, each of as many choices as the server has shown to give.
func (c *Client) Complete(ctx context.Context, req Request) (Response, error) {
	req, err := req.normalized(c.endpoint.Model)
	if err != nil {
		return Response{}, err
	}
	total := Response{Choices: make([]Choice, 0, req.N), Usage: Usage{Known: true}}
	step, refused := req.N, false
	if known := c.refusedN.Load(); known != 0 && int64(req.N) >= known {
		step = 1
	}
	for len(total.Choices) < req.N {
		part := req
		part.N = min(step, req.N-len(total.Choices))
		part.Seed = req.seedAt(len(total.Choices))
		reply, err := c.exchange(ctx, part)
		total.Calls += reply.Calls
		if err != nil {
			if part.N > 1 && errors.Is(err, errRefusesN) {
				step, refused = 1, true
				continue
			}
			return total, err
		}
		if refused {
			c.rememberRefusal(int64(req.N))
		}
		step = min(step, len(reply.Choices))
		total.Choices = append(total.Choices, reply.Choices...)
		total.Model = reply.Model
		total.Usage = Usage{
			PromptTokens:     total.Usage.PromptTokens + reply.Usage.PromptTokens,
			CompletionTokens: total.Usage.CompletionTokens + reply.Usage.CompletionTokens,
			Known:            total.Usage.Known && reply.Usage.Known,
		}
	}
	return total, nil
}

// rememberRefusal keeps the smallest refused n.
func (c *Client) rememberRefusal(n int64) {
	for {
		known := c.refusedN.Load()
		if known != 0 && known <= n || c.refusedN.CompareAndSwap(known, n) {
			return
		}
	}
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// interrupted is the error of a call whose own ctx ended.
func (e Endpoint) interrupted(ctx context.Context) *schemas.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return e.failed(schemas.Overloaded, "no reply before the caller's deadline: %w", ctx.Err())
	}
	return e.failed(schemas.Internal, "the call was given up: %w", ctx.Err())
}
