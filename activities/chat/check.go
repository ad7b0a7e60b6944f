package chat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"rpo/schemas"
)

// checkTimeout bounds Check, which a person waits for.
const checkTimeout = 15 * time.Second

// Check says in one sentence what is wrong with the endpoint, or nil. It asks
// for the list of models or, where the server has none, for one token; it
// repeats nothing. Types: Overloaded if the endpoint is down or not ready yet,
// InvalidInput for a wrong key, NotFound for a model it does not serve,
// CorruptData if what answers does not speak the protocol.
func (c *Client) Check(ctx context.Context) error {
	w := *c.wire
	w.endpoint.Timeout = min(w.endpoint.Timeout, checkTimeout)
	got, err := w.send(ctx, http.MethodGet, "/models", nil)
	switch {
	case err != nil:
		return err
	case got.status == http.StatusNotFound, got.status == http.StatusMethodNotAllowed, got.status == http.StatusNotImplemented:
		return c.checkByToken(ctx, &w)
	case got.status/100 != 2:
		return w.endpoint.refused(got)
	}
	var list struct {
		Data []struct {
			ID      string   `json:"id"`
			Aliases []string `json:"aliases"`
		} `json:"data"`
	}
	if err := json.Unmarshal(got.body, &list); err != nil || list.Data == nil {
		return w.endpoint.misconfigured(schemas.CorruptData,
			"does not speak the OpenAI protocol: its /models is not a list of models: %s", got.excerpt())
	}
	var served []string
	for _, model := range list.Data {
		served = append(served, model.ID)
		served = append(served, model.Aliases...)
	}
	model := c.endpoint.Model
	if model == "" || slices.Contains(served, model) {
		return nil
	}
	if len(served) == 0 {
		served = []string{"none"}
	}
	slices.Sort(served)
	return w.endpoint.misconfigured(schemas.NotFound, "does not serve model %q; it serves: %s",
		model, clip(got.secret.redact(strings.Join(slices.Compact(served), ", ")), 300))
}

// checkByToken asks for one token.
func (c *Client) checkByToken(ctx context.Context, w *wire) error {
	req, err := Request{
		Messages:  []schemas.Message{{Role: "user", Content: "Hi"}},
		MaxTokens: 1,
	}.normalized(c.endpoint.Model)
	if err != nil {
		return w.endpoint.misconfigured(schemas.InvalidInput, "lists no models; name one at the endpoint")
	}
	_, err = w.exchange(ctx, req)
	if e, ok := errors.AsType[*schemas.Error](err); ok && e.Type == schemas.CorruptData {
		e.Cause = ErrEndpoint
	}
	return err
}
