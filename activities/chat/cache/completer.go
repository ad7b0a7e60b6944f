package cache

import (
	"context"

	"rpo/activities/chat"
	"rpo/schemas"
)

// completer is a chat.Completer that asks inner for what the cache lacks.
type completer struct {
	inner chat.Completer
	use   Use
	scope *scope
}

// call is one Complete under way.
type call struct {
	req  chat.Request
	keys []key // of the choices, then of the refusal
	// have are the entries found, absent the keys that the index cannot hold,
	// asked the choices that this call paid for.
	have   []*entry
	absent []bool
	asked  []bool
	owner  string // the tags that what is paid for gets
	total  chat.Response
}

// Complete implements chat.Completer.
func (c *completer) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	if req.N < 0 {
		return c.inner.Complete(ctx, req) // which refuses it
	}
	n := max(req.N, 1)
	w := &call{
		req: req, keys: keysOf(c.use, req, n),
		have: make([]*entry, n+1), absent: make([]bool, n+1), asked: make([]bool, n), owner: ownerTags(chat.Owners(ctx)),
		total: chat.Response{Usage: chat.Usage{Known: true}},
	}
	if err := c.scope.open(ctx); err != nil {
		return chat.Response{}, err
	}
	for {
		p := c.scope.look(w.keys, w.have, w.absent)
		var err error
		switch {
		case len(p.located) > 0:
			err = c.read(ctx, w, p.located)
		case w.whole():
			return c.end(w), nil
		case w.have[n] != nil:
			c.scope.cache.count(func(st *Stats) { st.Refusals++ })
			err = &schemas.Error{Type: schemas.InvalidInput, Message: w.have[n].text}
		case len(p.claimed) > 0:
			err = c.ask(ctx, w, p)
		default:
			select {
			case <-p.others:
			case <-ctx.Done():
				err = schemas.Errorf(schemas.Internal, "given up while waiting for another call's reply: %w", ctx.Err())
			}
		}
		if err != nil {
			return c.end(w), err
		}
	}
}

// whole reports whether all choices are there.
func (w *call) whole() bool {
	for _, e := range w.have[:len(w.have)-1] {
		if e == nil {
			return false
		}
	}
	return true
}

// read gets located entries. Those that are not there any more stay wanted.
func (c *completer) read(ctx context.Context, w *call, at []located) error {
	for _, l := range at {
		r, err := c.scope.read(ctx, l)
		switch {
		case err != nil:
			return err
		case r == nil:
			return nil // the index changed
		case r.key != w.keys[l.at]:
			w.absent[l.at] = true
		default:
			w.have[l.at] = &r.entry
		}
	}
	return nil
}

// ask makes the calls for the claimed choices, one after the other, and keeps
// what they bring.
func (c *completer) ask(ctx context.Context, w *call, p plan) error {
	defer c.scope.release(p, w.keys)
	if err := c.scope.writable(); err != nil {
		return err
	}
	for rest := p.claimed; len(rest) > 0; {
		first, run := rest[0], 1
		for run < len(rest) && rest[run] == first+run {
			run++
		}
		rest = rest[run:]
		part := w.req
		part.N, part.Seed = run, w.req.Seed+int64(first)
		resp, err := c.inner.Complete(ctx, part)
		c.take(w, first, run, resp, err)
		if err == nil && len(resp.Choices) != run {
			err = schemas.Errorf(schemas.Internal, "asked model %s for %d choices, got %d", resp.Model, run, len(resp.Choices))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take keeps the choices of a run, and the refusal that ended it if there is one.
func (c *completer) take(w *call, first, run int, resp chat.Response, err error) {
	w.total.Calls += resp.Calls
	if err == nil || len(resp.Choices) > 0 {
		w.total.Model = resp.Model
		w.total.Usage = chat.Usage{
			PromptTokens:     w.total.Usage.PromptTokens + resp.Usage.PromptTokens,
			CompletionTokens: w.total.Usage.CompletionTokens + resp.Usage.CompletionTokens,
			Known:            w.total.Usage.Known && resp.Usage.Known,
		}
	}
	var records []record
	for i, got := range resp.Choices[:min(run, len(resp.Choices))] {
		e := entry{choice, got.Text, got.FinishReason, resp.Model, w.owner}
		w.have[first+i], w.asked[first+i] = &e, true
		records = append(records, record{w.keys[first+i], e})
	}
	paid := int64(len(records))
	if err != nil && permanent(resp, err) {
		records = append(records, record{w.keys[len(w.keys)-1], entry{kind: refusal, text: err.Error(), owner: w.owner}})
	}
	c.scope.keep(c.use.Endpoint, paid > 0, records)
	c.scope.cache.count(func(st *Stats) { st.Asked += paid })
}

// end makes the response of the first choices up to one that is missing.
func (c *completer) end(w *call) chat.Response {
	hits := 0
	for i, e := range w.have[:len(w.have)-1] {
		if e == nil {
			break
		}
		w.total.Choices = append(w.total.Choices, chat.Choice{Text: e.text, FinishReason: e.finish})
		if w.total.Model == "" {
			w.total.Model = e.model
		}
		if !w.asked[i] {
			hits++
		}
	}
	if hits > 0 {
		c.scope.cache.count(func(st *Stats) { st.Hits += int64(hits) })
		if c.use.Hit != nil {
			c.use.Hit(hits)
		}
	}
	return w.total
}
