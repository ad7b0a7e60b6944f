package chat

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"rpo/schemas"
)

// Capabilities is what a server does with requests for one model, as a few tiny
// requests showed and later refusals taught. No result depends on it but through
// what the server would have refused anyway.
type Capabilities struct {
	// N is "honoured", "ignored" (the server gives one choice; the others are
	// asked for one by one), "refused", or "unknown".
	N string `json:"n"`
	// Seed is "reproducible" if a repeated request got the same text, "not
	// reproducible", "refused", or "unknown".
	Seed string `json:"seed"`
	// Schema is the form of response_format that the server heeds: "json_schema",
	// "schema" (beside the type, as older versions of llama.cpp's server want it),
	// or "none": the prompt alone asks for JSON.
	Schema string `json:"schema"`
	// TokenLimit is "max_tokens" or "max_completion_tokens".
	TokenLimit string `json:"token_limit"`
	// Refused are the parameters that the server refuses and that are not sent. A
	// request that sets one is an InvalidInput error.
	Refused []string `json:"refused,omitempty"`
}

const (
	// probeCalls bounds the requests that a probe takes, probeTokens the tokens of
	// each choice.
	probeCalls  = 4
	probeTokens = 16
)

// What the probe asks. The first text has many answers, so that seeds show; the
// schema is one that nobody would follow by chance.
const (
	probeText   = "Name a random animal."
	probeSchema = `{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}`
)

// knowledge is what a client knows of one model.
type knowledge struct {
	// ready is closed when the probe has ended; err is its failure.
	ready chan struct{}
	err   error
	// abandoned is set if the probe failed because its caller went away.
	abandoned bool

	mu      sync.Mutex
	found   Capabilities
	dialect atomic.Pointer[dialect]
	// refusedN is the smallest n > 1 that the server is known to refuse, 0 for
	// none. It saves a refused request and does not change any result.
	refusedN atomic.Int64
}

// know returns what is known of a model, after one probe for all who ask. A
// failed probe fails all who wait for it and is made again for the next. via
// makes the exchanges.
func (c *Client) know(ctx context.Context, via exchanger, model string) (*knowledge, error) {
	for {
		c.mu.Lock()
		k, known := c.known[model]
		if !known {
			k = &knowledge{ready: make(chan struct{})}
			c.known[model] = k
		}
		c.mu.Unlock()
		if !known {
			k.err = c.probe(ctx, via, model, k)
			if k.err != nil {
				k.abandoned = ctx.Err() != nil
				c.mu.Lock()
				delete(c.known, model)
				c.mu.Unlock()
			}
			close(k.ready)
			return k, k.err
		}
		select {
		case <-k.ready:
		case <-ctx.Done():
			return nil, c.endpoint.interrupted(ctx)
		}
		if !k.abandoned {
			return k, k.err
		}
	}
}

// Capabilities returns what the endpoint does with requests for its model,
// probing it if nobody has yet.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	k, err := c.know(ctx, c.exchanger, c.endpoint.Model)
	if err != nil {
		return Capabilities{}, err
	}
	return k.capabilities(), nil
}

func (k *knowledge) capabilities() Capabilities {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, d := k.found, k.dialect.Load()
	found.Schema = d.schema
	found.TokenLimit = "max_tokens"
	if d.refused&paramMaxTokens != 0 {
		found.TokenLimit = "max_completion_tokens"
	}
	found.Refused = (d.refused &^ (paramN | paramSeed | paramMaxTokens | paramResponseFormat)).names()
	if d.refused&paramN != 0 {
		found.N = "refused"
	}
	if d.refused&paramSeed != 0 {
		found.Seed = "refused"
	}
	return found
}

// learn keeps keys that the server refused, after it took the request without
// them.
func (k *knowledge) learn(refused parameters) {
	if k.dialect.Load().refused|refused == k.dialect.Load().refused {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dialect.Load().stripped(refused)
	k.dialect.Store(&d)
}

// learnN keeps the smallest refused n.
func (k *knowledge) learnN(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.refusedN.Load(); known == 0 || int64(n) < known {
		k.refusedN.Store(int64(n))
	}
}

// prober makes the requests of one probe.
type prober struct {
	via     exchanger
	model   string
	left    int
	refused parameters
}

// errProbeSpent ends a probe that has made all its requests.
var errProbeSpent = errors.New("the probe has made all its requests")

// ask sends a request, without the keys that the server names in refusals, until
// it is taken.
func (p *prober) ask(ctx context.Context, schema string, req Request) (Response, error) {
	for p.left > 0 {
		p.left--
		req.Model, req.probing = p.model, true
		req.dialect = &dialect{refused: p.refused, schema: schema}
		req, err := req.normalized(p.model)
		if err != nil {
			return Response{}, err
		}
		if p.refused&paramN != 0 {
			req.N = 1
		}
		got, err := p.via.exchange(ctx, req)
		b := blamed(err)
		if b == nil || p.refused|b.named == p.refused {
			return got, err
		}
		if b.named&paramResponseFormat != 0 && len(req.Schema) > 0 {
			return got, err
		}
		if p.refused&extensions != 0 && b.named&extensions != 0 {
			b.named |= extensions // one at a time would take too many requests
		}
		p.refused |= b.named
	}
	return Response{}, errProbeSpent
}

// probe finds out how the server wants its requests. What it has no request left
// to find stays unknown, and refusals of calls teach it later.
func (c *Client) probe(ctx context.Context, via exchanger, model string, k *knowledge) error {
	if model == "" {
		return noModel()
	}
	p := &prober{via: via, model: model, left: probeCalls}
	k.found = Capabilities{N: "unknown", Seed: "unknown"}
	free := Request{Messages: []schemas.Message{{Role: "user", Content: probeText}}, N: 2, Temperature: 1, MaxTokens: probeTokens,
		Stop: []string{"\n\n\n\n"}}
	first, err := p.ask(ctx, schemaNested, free)
	if err != nil && !errors.Is(err, errProbeSpent) {
		return c.probeFailed(err)
	}
	if err == nil {
		k.found.N = "ignored"
		if len(first.Choices) > 1 {
			k.found.N = "honoured"
		}
	}
	schema, err := p.schema(ctx)
	if err != nil {
		return c.probeFailed(err)
	}
	if len(first.Choices) > 0 {
		if k.found.Seed, err = p.seed(ctx, free, first.Choices); err != nil {
			return c.probeFailed(err)
		}
	}
	if p.refused&paramN != 0 || k.found.N == "ignored" {
		k.learnN(2)
	}
	k.dialect.Store(&dialect{refused: p.refused &^ paramResponseFormat, schema: schema})
	return nil
}

// probeFailed blames the endpoint for refusing what nothing is wrong with.
func (c *Client) probeFailed(err error) error {
	if e, ok := errors.AsType[*schemas.Error](err); ok && e.Type == schemas.InvalidInput && !errors.Is(err, ErrEndpoint) {
		return c.endpoint.misconfigured(schemas.InvalidInput, "refuses even a plain request: %s", e.Message)
	}
	return err
}

// schema finds the form of response_format that the server heeds. One that it
// takes without showing a text, as models do that reason first, is believed.
func (p *prober) schema(ctx context.Context) (string, error) {
	for _, form := range []string{schemaNested, schemaFlat} {
		got, err := p.ask(ctx, form, Request{
			Messages: []schemas.Message{{Role: "user", Content: "Hi"}}, Temperature: 1, MaxTokens: probeTokens,
			Schema: json.RawMessage(probeSchema), SchemaName: "probe",
		})
		switch {
		case errors.Is(err, errProbeSpent):
			if form == schemaNested {
				return schemaNested, nil // never asked
			}
			return schemaNone, nil
		case err != nil && schemas.TypeOf(err) == schemas.InvalidInput && !errors.Is(err, ErrEndpoint):
			continue
		case err != nil:
			return "", err
		case follows(got.Choices[0].Text):
			return form, nil
		}
	}
	return schemaNone, nil
}

// follows says whether a text, which may be cut, is or can become an instance of
// probeSchema.
func follows(text string) bool {
	text = strings.Join(strings.Fields(text), "")
	return strings.HasPrefix(`{"ok":true}`, text) || strings.HasPrefix(`{"ok":false}`, text)
}

// seed asks again for one of the choices that came first: the second, if there
// are two, by the seed that it must have had.
func (p *prober) seed(ctx context.Context, free Request, first []Choice) (string, error) {
	if p.left == 0 || p.refused&paramSeed != 0 || len(first) > 1 && first[0] == first[1] {
		return "unknown", nil
	}
	free.N, free.Seed = 1, int64(len(first)-1)
	again, err := p.ask(ctx, schemaNested, free)
	switch {
	case errors.Is(err, errProbeSpent):
		return "unknown", nil
	case err != nil:
		return "", err
	case again.Choices[0].Text == first[len(first)-1].Text:
		return "reproducible", nil
	}
	return "not reproducible", nil
}
