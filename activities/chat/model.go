package chat

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"rpo/schemas"
)

// Model is one model at one endpoint, as a step uses it.
type Model struct {
	Completer
	// Name is what requests and provenance columns call the model.
	Name string
	// AtOnce bounds the calls of one Each; 0 means callsAtOnce. It is no bound for
	// an endpoint: how many requests are sent is found out behind Complete.
	AtOnce int
}

// callsAtOnce keeps the goroutines of a shard few, and is far more than those
// whose requests are under way.
const callsAtOnce = 512

const (
	// validReplies bounds how often a reply that accept refuses is asked for,
	// each time with another seed.
	validReplies = 3
	// againTemperature is that of every request but the first: greedy decoding
	// would give the refused reply again, whatever the seed.
	againTemperature = 0.5
)

// Ask asks for one choice until accept takes its text. replied says that the
// model replied at all. A reply that stays unacceptable is a CorruptData error
// that says why the last one was.
func (m Model) Ask(ctx context.Context, req Request, accept func(text string) error) (replied bool, err error) {
	for range validReplies {
		var resp Response
		switch resp, err = m.Complete(ctx, req); {
		case err == nil:
			text := resp.Choices[0].Text
			if len(req.Schema) > 0 {
				text = unfenced(text)
			}
			if err = accept(text); err == nil {
				return true, nil
			}
		case !errors.Is(err, errUseless):
			return replied, err
		}
		replied = true
		req.Seed, req.Temperature = req.Seed+1, againTemperature
	}
	return true, schemas.Errorf(schemas.CorruptData, "%d replies of model %s were invalid, the last one: %w", validReplies, m.Name, err)
}

// unfenced takes a JSON document out of the code fence that models put around it
// where nothing constrains them.
func unfenced(text string) string {
	text = strings.TrimSpace(text)
	inner, ok := strings.CutSuffix(text, "```")
	if !ok || !strings.HasPrefix(inner, "```") {
		return text
	}
	_, inner, ok = strings.Cut(inner, "\n")
	if !ok {
		return text
	}
	return strings.TrimSpace(inner)
}

// Use names a model and the work that it is used for.
type Use struct {
	// Endpoint is a name in the worker's configuration. Model may be "" for the
	// endpoint's own.
	Endpoint, Model string
	// Generation keeps replies of one generation from answering another's calls.
	Generation int64
	// Meter counts what the calls take and bounds it.
	Meter *Meter
}

// Models finds the models that inputs name. What stands behind a name, address,
// key and limits, is the worker's own configuration, so that nobody who may start
// a workflow can make a worker call elsewhere.
type Models interface {
	// Model returns a model that stays usable until release is called. Its calls
	// are answered from the call cache where it holds them, else metered and made.
	// An unknown name is an InvalidInput error that lists the names there are.
	Model(ctx context.Context, use Use) (m Model, release func(), err error)
	// Identify checks that the endpoint answers and speaks the protocol, and
	// returns what determines the model's replies: its name, or the hash of its
	// weights where the worker knows them.
	Identify(ctx context.Context, endpoint, model string) (string, error)
	// Evaluates returns an InvalidInput error unless the endpoint serves the named
	// base model itself and so can load what is trained from it.
	Evaluates(ctx context.Context, endpoint, base string) error
}

// Activities check endpoints.
type Activities struct{ Models Models }

// DescribeModelInput names a model.
type DescribeModelInput struct {
	Endpoint string `json:"endpoint"`
	Model    string `json:"model"`
	// Evaluates, if not "", is the base model that the endpoint must serve, and
	// whose trained successors it must be able to load.
	Evaluates string `json:"evaluates,omitempty"`
}

// DescribeModel fails at once if the endpoint is down or speaks nonsense, before
// anything is written, and returns the model's identity.
func (a *Activities) DescribeModel(ctx context.Context, in DescribeModelInput) (string, error) {
	if in.Evaluates != "" {
		if err := a.Models.Evaluates(ctx, in.Endpoint, in.Evaluates); err != nil {
			return "", err
		}
	}
	return a.Models.Identify(ctx, in.Endpoint, in.Model)
}

// Each calls do for 0 to n-1, beginning in this order and many at once, and
// returns the first error after cancelling the rest.
func (m Model) Each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	free := make(chan struct{}, min(cmp.Or(m.AtOnce, callsAtOnce), max(n, 1)))
	begun := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-free }()
			begun <- struct{}{}
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
		// Whoever comes first is served first, so the order reaches the server.
		<-begun
	}
	wg.Wait()
	return context.Cause(ctx)
}

// RowError reports whether a failed call is the row's fault, so that the row is
// set aside and the shard goes on: the server refused this request or answered
// it with nonsense, while its configuration is sound.
func RowError(err error) bool {
	if errors.Is(err, ErrEndpoint) {
		return false
	}
	t := schemas.TypeOf(err)
	return t == schemas.InvalidInput || t == schemas.CorruptData
}
