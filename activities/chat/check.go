package chat

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"rpo/schemas"
)

// checkTimeout bounds Check, which a person waits for.
const checkTimeout = 15 * time.Second

// Check says in one sentence what is wrong with the endpoint, or nil. It asks
// for the list of models, where the server has one, and probes the endpoint's own
// model, as the first call would; it repeats nothing. Types: Overloaded if the endpoint is down or not ready yet,
// InvalidInput for a wrong key, NotFound for a model it does not serve,
// CorruptData if what answers does not speak the protocol.
func (c *Client) Check(ctx context.Context) error {
	w := *c.wire
	w.endpoint.Timeout = min(w.endpoint.Timeout, checkTimeout)
	got, err := w.get(ctx, "/models")
	switch {
	case err != nil:
		return err
	case got.status == http.StatusNotFound, got.status == http.StatusMethodNotAllowed, got.status == http.StatusNotImplemented:
		if c.endpoint.Model == "" {
			return w.endpoint.misconfigured(schemas.InvalidInput, "lists no models; name one at the endpoint")
		}
		return c.checkProbe(ctx)
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
	switch {
	case model == "":
		return nil
	case slices.Contains(served, model):
		return c.checkProbe(ctx)
	}
	if len(served) == 0 {
		served = []string{"none"}
	}
	slices.Sort(served)
	return w.endpoint.misconfigured(schemas.NotFound, "does not serve model %q; it serves: %s",
		model, clip(got.secret.redact(strings.Join(slices.Compact(served), ", ")), 300))
}

// checkProbe probes the endpoint's model unless it is known.
func (c *Client) checkProbe(ctx context.Context) error {
	_, err := c.know(ctx, c.wire, c.endpoint.Model)
	if schemas.TypeOf(err) == schemas.CorruptData {
		return c.endpoint.misconfigured(schemas.CorruptData, "does not answer as the protocol says: %v", err)
	}
	return err
}
