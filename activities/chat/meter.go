package chat

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"rpo/schemas"
)

// Price is what a million tokens cost, in whatever currency the worker's
// configuration uses throughout.
type Price struct {
	Prompt     float64 `json:"prompt,omitempty"`
	Completion float64 `json:"completion,omitempty"`
}

// Cost of the tokens; without a price they cost nothing.
func (p *Price) Cost(prompt, completion int64) float64 {
	if p == nil {
		return 0
	}
	return (float64(prompt)*p.Prompt + float64(completion)*p.Completion) / 1e6
}

// Meter counts what the calls of one piece of work take and keeps them inside
// its allowance: a call begins only when the most that it can take is left. Many
// goroutines and several models may share a Meter.
type Meter struct {
	mu        sync.Mutex
	allowance schemas.Allowance
	spent     schemas.Spending
	// reserved is the most that the calls in flight may still take.
	reserved schemas.Spending
	// settled is closed and replaced whenever a call ends.
	settled chan struct{}
	// estimate counts the calls that are not made.
	estimate schemas.Estimate
}

// errEstimate is in the chain of the error of a call that is only estimated. The
// step takes it for a row that cannot be processed and goes on with the next.
var errEstimate = errors.New("estimated only")

// NewMeter makes the meter of one activity. What its earlier attempts spent, as
// their last heartbeat says, counts against the allowance.
func NewMeter(ctx context.Context, allowance schemas.Allowance) *Meter {
	m := &Meter{allowance: allowance, settled: make(chan struct{})}
	if activity.IsActivity(ctx) && activity.HasHeartbeatDetails(ctx) {
		var last schemas.Heartbeat
		if activity.GetHeartbeatDetails(ctx, &last) == nil {
			m.spent = last.Spent
		}
	}
	return m
}

// Allows is an Overloaded error, so that another worker may do the work, if the
// model is not the one that the stage opened with.
func (m *Meter) Allows(endpoint, model, identity string) error {
	want, ok := m.allowance.Identities[schemas.ModelKey(endpoint, model)]
	if !ok || want == identity {
		return nil
	}
	return schemas.Errorf(schemas.Overloaded, "this worker's endpoint %q means model %s, and the stage opened with %s: "+
		"give all workers of a queue the same configuration", endpoint, identity, want)
}

// Spent is what the calls that ended took.
func (m *Meter) Spent() schemas.Spending {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spent
}

// Beat tells Temporal and people how far the work is and what it has spent. A
// command that runs a step on a few rows is no activity, and tells nobody.
func (m *Meter) Beat(ctx context.Context, done, total int) {
	if !activity.IsActivity(ctx) {
		return
	}
	activity.RecordHeartbeat(ctx, schemas.Heartbeat{Done: done, Total: total, Spent: m.Spent()})
}

// Result completes what a shard's work returns, success or failure, with what
// was spent.
func (m *Meter) Result(r schemas.CommitRecord, reused bool, err error) (schemas.ShardResult, error) {
	if m.allowance.EstimateOnly && (err == nil || errors.Is(err, errEstimate)) {
		m.mu.Lock()
		defer m.mu.Unlock()
		e := m.estimate
		return schemas.ShardResult{Shard: r.Shard, Estimate: &e}, nil
	}
	if err != nil {
		failed := &schemas.Error{Type: schemas.TypeOf(err), Message: err.Error(), Cause: err, Spent: m.Spent()}
		if e, ok := errors.AsType[*schemas.Error](err); ok {
			failed.RetryAfter = e.RetryAfter
		}
		return schemas.ShardResult{}, failed
	}
	out := schemas.ResultOf(r, reused)
	out.Spent = m.Spent()
	return out, nil
}

// Terms are what a model's tokens cost and how fast they come.
type Terms struct {
	// Price is nil where nobody said what tokens cost.
	Price *Price
	// TokensPerSecond is the rate of completion tokens of late; 0 if not known.
	TokensPerSecond float64
}

// Metered returns c with its calls counted and kept inside m's allowance. A call
// that could exceed it is a BudgetExceeded error; one that could only because
// others are in flight waits for them. Of an estimate, no call is made.
func Metered(c Completer, m *Meter, terms Terms) Completer { return &metered{c, m, terms} }

type metered struct {
	inner Completer
	meter *Meter
	Terms
}

func (c *metered) Complete(ctx context.Context, req Request) (Response, error) {
	most := mostOf(req)
	if c.meter.allowance.EstimateOnly {
		return Response{}, c.meter.count(req, most, c.Terms)
	}
	if c.meter.allowance.Cost != nil && c.Price == nil {
		err := schemas.Errorf(schemas.InvalidInput, "budget_cost cannot be kept: nobody said what model %s costs: "+
			"give its endpoint a price in the worker's configuration, {\"prompt\": 0, \"completion\": 0} if it is free", req.Model)
		err.Cause = ErrEndpoint
		return Response{}, err
	}
	most.Cost = c.Price.Cost(most.PromptTokens, most.CompletionTokens)
	if err := c.meter.reserve(ctx, most); err != nil {
		return Response{}, err
	}
	resp, err := c.inner.Complete(ctx, req)
	took := tookOf(req, resp)
	took.Cost = c.Price.Cost(took.PromptTokens, took.CompletionTokens)
	c.meter.settle(most, took)
	return resp, err
}

// count adds a call that is not made to the estimate.
func (m *Meter) count(req Request, most schemas.Spending, terms Terms) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	prompt := promptBytes(req) / 4
	m.estimate.Calls++
	m.estimate.PromptTokens += prompt
	m.estimate.CompletionTokensMax += most.CompletionTokens
	m.estimate.CostMax += terms.Price.Cost(prompt, most.CompletionTokens)
	if terms.TokensPerSecond > 0 {
		seconds := float64(most.CompletionTokens) / terms.TokensPerSecond
		if m.estimate.Seconds != nil {
			seconds += *m.estimate.Seconds
		}
		m.estimate.Seconds = &seconds
	}
	return schemas.Errorf(schemas.CorruptData, "%w", errEstimate)
}

func (m *Meter) reserve(ctx context.Context, most schemas.Spending) error {
	for {
		m.mu.Lock()
		short, idle := m.short(most), m.reserved.Tokens() == 0
		if short == nil {
			m.reserved = m.reserved.Add(most)
			m.mu.Unlock()
			return nil
		}
		settled := m.settled
		m.mu.Unlock()
		if idle || m.late() {
			return short
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return schemas.Errorf(schemas.Internal, "given up while waiting for the budget: %w", context.Cause(ctx))
		}
	}
}

// late reports whether no call may begin any more, however little it takes.
func (m *Meter) late() bool {
	return !m.allowance.Deadline.IsZero() && time.Now().After(m.allowance.Deadline)
}

// short is the error of a call that could take more than is left, or nil.
func (m *Meter) short(most schemas.Spending) error {
	if m.late() {
		return schemas.Errorf(schemas.BudgetExceeded, "the time allowed is over: raise budget_time")
	}
	after := m.spent.Add(m.reserved).Add(most)
	if cap := m.allowance.Tokens; cap != nil && after.Tokens() > *cap {
		return schemas.Errorf(schemas.BudgetExceeded, "the next call may take %d tokens, and %d are left: raise budget_tokens",
			most.Tokens(), *cap-m.spent.Tokens())
	}
	if cap := m.allowance.Cost; cap != nil && after.Cost > *cap {
		return schemas.Errorf(schemas.BudgetExceeded, "the next call may cost %.6g, and %.6g is left: raise budget_cost",
			most.Cost, *cap-m.spent.Cost)
	}
	return nil
}

func (m *Meter) settle(most, took schemas.Spending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent = m.spent.Add(took)
	m.reserved.PromptTokens -= most.PromptTokens
	m.reserved.CompletionTokens -= most.CompletionTokens
	if m.reserved.Cost -= most.Cost; m.reserved.Tokens() == 0 {
		m.reserved.Cost = 0 // no rounding left over
	}
	close(m.settled)
	m.settled = make(chan struct{})
}

// Cached counts choices that no call was made for.
func (m *Meter) Cached(n int) {
	m.mu.Lock()
	m.spent.Cached += int64(n)
	m.mu.Unlock()
}

// perMessage bounds what a chat template adds to a message, in tokens.
const perMessage = 16

// promptBytes bounds the tokens of a prompt: no tokenizer makes more tokens than
// there are bytes.
func promptBytes(req Request) int64 {
	n := int64(perMessage)
	for _, m := range req.Messages {
		n += int64(len(m.Content)) + perMessage
	}
	return n
}

// mostOf bounds what a call may take: a server that ignores n reads the prompt
// once for each choice.
func mostOf(req Request) schemas.Spending {
	n := int64(max(req.N, 1))
	return schemas.Spending{PromptTokens: n * promptBytes(req), CompletionTokens: n * int64(req.MaxTokens)}
}

// tookOf is what a call took. Where the server's own count cannot be believed,
// an upper bound by bytes stands for it.
func tookOf(req Request, resp Response) schemas.Spending {
	took := schemas.Spending{Calls: int64(resp.Calls), PromptTokens: resp.Usage.PromptTokens, CompletionTokens: resp.Usage.CompletionTokens}
	if resp.Usage.Known || len(resp.Choices) == 0 {
		return took
	}
	if took.PromptTokens <= 0 {
		took.PromptTokens = promptBytes(req)
		took.EstimatedTokens += took.PromptTokens
	}
	took.CompletionTokens = 0
	for _, c := range resp.Choices {
		took.CompletionTokens += min(int64(req.MaxTokens), int64(len(c.Text))+1)
	}
	took.EstimatedTokens += took.CompletionTokens
	return took
}
