package schemas

import (
	"math"
	"time"
)

// Spending is what calls to language models took. Calls that the call cache
// answered are counted apart and took nothing.
type Spending struct {
	// Calls are HTTP requests, refused and repeated ones included.
	Calls int64 `json:"calls"`
	// Cached are choices that were answered without a call.
	Cached           int64 `json:"cached,omitempty"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	// EstimatedTokens are those of the tokens above that no server reported in a
	// believable way: an upper bound stands for them.
	EstimatedTokens int64 `json:"estimated_tokens,omitempty"`
	// Cost is in the currency of the prices in the worker's configuration.
	Cost float64 `json:"cost,omitempty"`
}

// Add returns the sum of both.
func (s Spending) Add(o Spending) Spending {
	return Spending{
		s.Calls + o.Calls, s.Cached + o.Cached, s.PromptTokens + o.PromptTokens,
		s.CompletionTokens + o.CompletionTokens, s.EstimatedTokens + o.EstimatedTokens, s.Cost + o.Cost,
	}
}

// Tokens are those of prompts and completions.
func (s Spending) Tokens() int64 { return s.PromptTokens + s.CompletionTokens }

// Allowance is how much one piece of work may spend, and on which models. A nil
// field is no cap; a cap of 0 allows nothing.
type Allowance struct {
	// Identities are those of the models when the stage opened, by ModelKey: a
	// worker whose configuration means another model by the name must not do the
	// work. A name that is not here may mean any.
	Identities map[string]string `json:"identities,omitempty"`
	Tokens     *int64            `json:"tokens,omitempty"`
	Cost       *float64          `json:"cost,omitempty"`
	// Deadline, unless zero, is when the last call may begin.
	Deadline time.Time `json:"deadline,omitzero"`
	// EstimateOnly allows nothing either: calls that the call cache does not hold
	// are counted instead of made, and nothing is written.
	EstimateOnly bool `json:"estimate_only,omitempty"`
}

// ModelKey names a model as inputs do.
func ModelKey(endpoint, model string) string { return endpoint + " " + model }

// Estimate is what a stage will take, computed before its first call from the
// calls that one of its shards would make.
type Estimate struct {
	Rows  int64 `json:"rows"`
	Calls int64 `json:"calls"`
	// PromptTokens are estimated as a quarter of the prompts' bytes.
	PromptTokens int64 `json:"prompt_tokens"`
	// CompletionTokensMax is the most that the replies may take.
	CompletionTokensMax int64 `json:"completion_tokens_max"`
	// CostMax is by the prices of the named endpoint; 0 where it has none.
	CostMax float64 `json:"cost_max,omitempty"`
	// Seconds is the time at the worker's present rate with that endpoint; null
	// before the endpoint has answered anything.
	Seconds *float64 `json:"seconds,omitempty"`
}

// Scale multiplies everything by factor, and by the calls that each call counted
// stands for.
func (e Estimate) Scale(factor float64, calls int64) Estimate {
	factor *= float64(calls)
	times := func(n int64) int64 { return int64(math.Ceil(float64(n) * factor)) }
	out := Estimate{Rows: e.Rows, Calls: times(e.Calls), PromptTokens: times(e.PromptTokens),
		CompletionTokensMax: times(e.CompletionTokensMax), CostMax: e.CostMax * factor}
	if e.Seconds != nil {
		seconds := *e.Seconds * factor
		out.Seconds = &seconds
	}
	return out
}
