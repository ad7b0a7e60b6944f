package schemas

import (
	"math"
	"time"
)

// The option structs below are embedded in workflow inputs, so that RunPipeline
// takes in one flat object what its stages take alone. A zero or absent value
// means the default.

// RunOptions are common to all stages.
type RunOptions struct {
	// Generation, when raised, has everything made anew.
	Generation int64 `json:"generation,omitempty"`
	// ShardsInFlight bounds the shards worked on at once. Default 4.
	ShardsInFlight int `json:"shards_in_flight,omitempty"`
	// MaxFailedFraction is the share of failed shards above which a stage parks
	// with status NeedsAttention. Default 0: one failed shard parks it.
	MaxFailedFraction float64 `json:"max_failed_fraction,omitempty"`
	// HeartbeatTimeout is how long a silent worker counts as alive. Default 30s.
	HeartbeatTimeout Duration `json:"heartbeat_timeout,omitempty"`
	BudgetOptions
	RetryOptions
}

// Run returns the options, of whatever input they are part of.
func (o RunOptions) Run() RunOptions { return o }

// BudgetOptions are hard caps on each stage that calls models: one that is reached
// parks the stage, and the update `raise_budget`, which takes the same fields,
// lets it go on. Default 0: no cap.
type BudgetOptions struct {
	// BudgetTokens counts prompts and completions. A call begins only if the most
	// that it can take is left, so a stage parks a little before its cap.
	BudgetTokens int64 `json:"budget_tokens,omitempty"`
	// BudgetCost is in the currency of the endpoints' prices.
	BudgetCost float64 `json:"budget_cost,omitempty"`
	// BudgetTime counts the time at work, without that spent parked.
	BudgetTime Duration `json:"budget_time,omitempty"`
}

func (o BudgetOptions) Validate() error {
	switch {
	case o.BudgetTokens < 0:
		return invalid("budget_tokens", "%d is negative", o.BudgetTokens)
	case !(o.BudgetCost >= 0) || math.IsInf(o.BudgetCost, 0):
		return invalid("budget_cost", "%v is not a number of at least 0", o.BudgetCost)
	case o.BudgetTime < 0:
		return invalid("budget_time", "%s is negative", time.Duration(o.BudgetTime))
	}
	return nil
}

func (o *RunOptions) SetDefaults() {
	setDefault(&o.ShardsInFlight, 4)
	setDefault(&o.HeartbeatTimeout, Duration(30e9))
	o.RetryOptions.SetDefaults()
}

func (o RunOptions) Validate() error {
	switch {
	case o.ShardsInFlight < 1 || o.ShardsInFlight > 500:
		return invalid("shards_in_flight", "%d is not between 1 and 500", o.ShardsInFlight)
	case !(o.MaxFailedFraction >= 0 && o.MaxFailedFraction <= 1):
		return invalid("max_failed_fraction", "%v is not between 0 and 1", o.MaxFailedFraction)
	case o.HeartbeatTimeout < Duration(1e9) || o.HeartbeatTimeout > Duration(3600e9):
		return invalid("heartbeat_timeout", "%s is not between 1s and 1h", time.Duration(o.HeartbeatTimeout))
	}
	return first(o.BudgetOptions.Validate(), o.RetryOptions.Validate())
}

// SampleOptions say how responses are sampled (arXiv 2505.22172, section 3.3: N = 5,
// temperature 1).
type SampleOptions struct {
	// Endpoint is a name in the worker's configuration. Default "policy".
	Endpoint string `json:"endpoint,omitempty"`
	// Model overrides the endpoint's model; for an endpoint that serves models
	// itself it may be the URI of a trained model.
	Model string `json:"model,omitempty"`
	// Responses is N, the samples a turn. Default 5.
	Responses int `json:"responses,omitempty"`
	// Temperature defaults to 1, TopP to 1.
	Temperature float64 `json:"temperature,omitempty"`
	TopP        float64 `json:"top_p,omitempty"`
	// MaxTokens bounds a response. Default 1024.
	MaxTokens int `json:"max_tokens,omitempty"`
	// Seed makes the samples of an endpoint that honours seeds repeatable.
	Seed int64 `json:"seed,omitempty"`
}

func (o *SampleOptions) SetDefaults() {
	setDefault(&o.Endpoint, "policy")
	setDefault(&o.Responses, 5)
	setDefault(&o.Temperature, 1)
	setDefault(&o.TopP, 1)
	setDefault(&o.MaxTokens, 1024)
}

func (o SampleOptions) Validate() error {
	switch {
	case o.Responses < 1 || o.Responses > 128:
		return invalid("responses", "%d is not between 1 and 128", o.Responses)
	case !(o.Temperature > 0 && o.Temperature <= 2):
		return invalid("temperature", "%v is not above 0 and at most 2", o.Temperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return invalid("top_p", "%v is not above 0 and at most 1", o.TopP)
	case o.MaxTokens < 1:
		return invalid("max_tokens", "%d is not positive", o.MaxTokens)
	}
	return nil
}

// JudgeOptions say who judges constraints that have no rule, and how surely.
type JudgeOptions struct {
	// JudgeEndpoint is a name in the worker's configuration. Without it
	// the responses to turns with a constraint that has no rule are quarantined.
	JudgeEndpoint string `json:"judge_endpoint,omitempty"`
	JudgeModel    string `json:"judge_model,omitempty"`
	// SecondJudgeEndpoint and SecondJudgeModel name another judge that gives as many
	// votes as the first. The endpoint defaults to JudgeEndpoint if a model is named.
	SecondJudgeEndpoint string `json:"second_judge_endpoint,omitempty"`
	SecondJudgeModel    string `json:"second_judge_model,omitempty"`
	// JudgeVotes is how often each judge is asked about a response, 1 to 9. A
	// constraint on which the votes disagree gets the outcome Abstained. Default 1.
	JudgeVotes int `json:"judge_votes,omitempty"`
	// KeepTruncated judges responses that were cut off, too. Default: they are
	// skipped, since the cut may be what breaks a constraint.
	KeepTruncated bool `json:"keep_truncated,omitempty"`
	// Calibrate asks the judges about constraints that have rules as well, in calls
	// of their own that change no verdict, and reports how often they are right.
	Calibrate bool `json:"calibrate,omitempty"`
}

func (o *JudgeOptions) SetDefaults() {
	setDefault(&o.JudgeVotes, 1)
	if o.SecondJudgeModel != "" {
		setDefault(&o.SecondJudgeEndpoint, o.JudgeEndpoint)
	}
}

func (o JudgeOptions) Validate() error {
	second := "second_judge_endpoint"
	if o.SecondJudgeEndpoint == o.JudgeEndpoint {
		second = "second_judge_model"
	}
	switch {
	case o.JudgeVotes < 1 || o.JudgeVotes > 9:
		return invalid("judge_votes", "%d is not between 1 and 9", o.JudgeVotes)
	case o.JudgeEndpoint == "" && (o.SecondJudgeEndpoint != "" || o.SecondJudgeModel != ""):
		return invalid(second, "is given, but no first judge: name it with judge_endpoint")
	case o.JudgeEndpoint == "" && o.Calibrate:
		return invalid("calibrate", "needs a judge: name it with judge_endpoint")
	case o.JudgeEndpoint != "" && o.SecondJudgeEndpoint == o.JudgeEndpoint && o.SecondJudgeModel == o.JudgeModel:
		return invalid(second, "names the first judge again: name another model, or use judge_votes to ask one more often")
	}
	return nil
}

// ReverseOptions say who reverses constraints that have no rule, and who checks
// what came of it.
type ReverseOptions struct {
	// ReverseEndpoint is a name in the worker's configuration. Without it
	// constraints that have no rule are quarantined and their pairs are dropped.
	ReverseEndpoint string `json:"reverse_endpoint,omitempty"`
	ReverseModel    string `json:"reverse_model,omitempty"`
	// OppositeCheckEndpoint and OppositeCheckModel name the model that checks every
	// opposite a model wrote. Default: the one that wrote it; the endpoint defaults
	// to ReverseEndpoint if a model is named.
	OppositeCheckEndpoint string `json:"opposite_check_endpoint,omitempty"`
	OppositeCheckModel    string `json:"opposite_check_model,omitempty"`
}

func (o *ReverseOptions) SetDefaults() {
	switch {
	case o.OppositeCheckEndpoint != "":
	case o.OppositeCheckModel != "":
		o.OppositeCheckEndpoint = o.ReverseEndpoint
	default:
		o.OppositeCheckEndpoint, o.OppositeCheckModel = o.ReverseEndpoint, o.ReverseModel
	}
}

func (o ReverseOptions) Validate() error {
	if o.ReverseEndpoint == "" && (o.OppositeCheckEndpoint != "" || o.OppositeCheckModel != "") {
		return invalid("opposite_check_endpoint", "is given, but nobody to write opposites: name one with reverse_endpoint")
	}
	return nil
}

// EvaluateOptions say how base and trained model are compared.
type EvaluateOptions struct {
	// EvalResponses are the samples of each arm a held-out turn. Default 2.
	EvalResponses int `json:"eval_responses,omitempty"`
}

func (o *EvaluateOptions) SetDefaults() { setDefault(&o.EvalResponses, 2) }

func (o EvaluateOptions) Validate() error {
	if o.EvalResponses < 1 || o.EvalResponses > 128 {
		return invalid("eval_responses", "%d is not between 1 and 128", o.EvalResponses)
	}
	return nil
}
