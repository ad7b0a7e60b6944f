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
}

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
	return o.BudgetOptions.Validate()
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

// TrainOptions say how the policy is trained. Defaults are the paper's recipe.
type TrainOptions struct {
	// BaseModel is a name in the worker's configuration. Default "base".
	BaseModel string `json:"base_model,omitempty"`
	// Loss is "rpo", "dpo", "kto" or "sft". Default "rpo". The last three train on
	// the baselines' tables where the manifest has them; without, dpo and sft train
	// on the pairs.
	Loss string `json:"loss,omitempty"`
	// MarginScale is "reward" (the paper's equation) or "logit" (the authors'
	// code, a margin beta times smaller). Default "reward".
	MarginScale string `json:"margin_scale,omitempty"`
	// Beta defaults to 0.1, Gamma to 0.05.
	Beta  float64 `json:"beta,omitempty"`
	Gamma float64 `json:"gamma,omitempty"`
	// LearningRate defaults to 5e-4.
	LearningRate float64 `json:"learning_rate,omitempty"`
	// Epochs defaults to 3; MaxSteps ends earlier if it is not 0.
	Epochs   int `json:"epochs,omitempty"`
	MaxSteps int `json:"max_steps,omitempty"`
	// PairsPerStep is the global batch. Default 64. PairsPerBatch is what one
	// process holds at once. Default 2.
	PairsPerStep  int `json:"pairs_per_step,omitempty"`
	PairsPerBatch int `json:"pairs_per_batch,omitempty"`
	// LoraRank defaults to 8, LoraAlpha to twice the rank. FullFineTuning trains
	// all weights instead.
	LoraRank       int  `json:"lora_rank,omitempty"`
	LoraAlpha      int  `json:"lora_alpha,omitempty"`
	FullFineTuning bool `json:"full_fine_tuning,omitempty"`
	// MaxLength drops longer pairs (prompt and response, in tokens). Default 4096.
	MaxLength int `json:"max_length,omitempty"`
	// HeldOutFraction of the profiles measures reward accuracy. Default 0.1.
	HeldOutFraction float64 `json:"held_out_fraction,omitempty"`
	// Processes is the number of ranks on the node. Default 1.
	Processes int `json:"processes,omitempty"`
	// CheckpointEvery counts steps. Default 50.
	CheckpointEvery int `json:"checkpoint_every,omitempty"`
	// Precision is "float32" or "bfloat16". Default "bfloat16" on GPUs, "float32" on CPUs.
	Precision string `json:"precision,omitempty"`
	// TrainSeed orders the data and initialises the adapter.
	TrainSeed int64 `json:"train_seed,omitempty"`
	// StallTimeout ends a trainer that makes no step for so long. Default 30m.
	StallTimeout Duration `json:"stall_timeout,omitempty"`
	// SFTWeight adds so much of the chosen response's negative log-likelihood per
	// token to the loss. Default 0.
	SFTWeight float64 `json:"sft_weight,omitempty"`
	// Layout says what shares a prompt's tokens: "none", "pairs" or "groups" (all
	// pairs of one prompt, which then follow each other). Default "pairs".
	Layout string `json:"layout,omitempty"`
	// TokensPerBatch, if not 0, is what one process holds at once, in place of
	// PairsPerBatch.
	TokensPerBatch int `json:"tokens_per_batch,omitempty"`
	// Shard is the number of processes that hold one copy of the model between
	// them. Default 1: each holds all of it.
	Shard int `json:"shard,omitempty"`
}

// Recipe returns the options with those zeroed that change speed, memory or
// patience but not what is trained: they must not make another job, so that a
// run that ran out of memory goes on from its checkpoint with a smaller batch.
func (o TrainOptions) Recipe() TrainOptions {
	o.PairsPerBatch, o.CheckpointEvery, o.Processes, o.StallTimeout = 0, 0, 0, 0
	o.TokensPerBatch, o.Shard = 0, 0
	if o.Layout != "groups" { // which also orders the data
		o.Layout = ""
	}
	return o
}

func (o *TrainOptions) SetDefaults() {
	setDefault(&o.BaseModel, "base")
	setDefault(&o.Loss, "rpo")
	setDefault(&o.MarginScale, "reward")
	setDefault(&o.Beta, 0.1)
	setDefault(&o.Gamma, 0.05)
	setDefault(&o.LearningRate, 5e-4)
	setDefault(&o.Epochs, 3)
	setDefault(&o.PairsPerStep, 64)
	setDefault(&o.PairsPerBatch, 2)
	setDefault(&o.LoraRank, 8)
	setDefault(&o.LoraAlpha, 2*o.LoraRank)
	setDefault(&o.MaxLength, 4096)
	setDefault(&o.HeldOutFraction, 0.1)
	setDefault(&o.Processes, 1)
	setDefault(&o.CheckpointEvery, 50)
	setDefault(&o.StallTimeout, Duration(30*60e9))
}

func (o TrainOptions) Validate() error {
	positive := map[string]float64{
		"beta": o.Beta, "learning_rate": o.LearningRate, "epochs": float64(o.Epochs),
		"pairs_per_step": float64(o.PairsPerStep), "pairs_per_batch": float64(o.PairsPerBatch),
		"lora_rank": float64(o.LoraRank), "lora_alpha": float64(o.LoraAlpha),
		"max_length": float64(o.MaxLength), "processes": float64(o.Processes),
		"checkpoint_every": float64(o.CheckpointEvery), "stall_timeout": float64(o.StallTimeout),
	}
	for _, field := range sortedKeys(positive) {
		if v := positive[field]; !(v > 0) || math.IsInf(v, 0) {
			return invalid(field, "%v is not positive", v)
		}
	}
	switch {
	case o.Loss != "rpo" && o.Loss != "dpo" && o.Loss != "kto" && o.Loss != "sft":
		return invalid("loss", "%q is not one of rpo, dpo, kto, sft", o.Loss)
	case !(o.SFTWeight >= 0) || o.SFTWeight > 0 && o.Loss == "sft":
		return invalid("sft_weight", "%v is negative, or the loss is sft already", o.SFTWeight)
	case o.Layout != "" && o.Layout != "none" && o.Layout != "pairs" && o.Layout != "groups":
		return invalid("layout", "%q is not one of none, pairs, groups", o.Layout)
	case o.TokensPerBatch < 0:
		return invalid("tokens_per_batch", "%d is negative", o.TokensPerBatch)
	case o.Shard < 0 || o.Shard > 0 && o.Processes%o.Shard != 0:
		return invalid("shard", "%d processes cannot be cut into groups of %d", o.Processes, o.Shard)
	case o.MarginScale != "reward" && o.MarginScale != "logit":
		return invalid("margin_scale", "%q is not reward (the paper) or logit (the authors' code)", o.MarginScale)
	case !(o.Gamma >= 0):
		return invalid("gamma", "%v is negative", o.Gamma)
	case o.MaxSteps < 0:
		return invalid("max_steps", "%d is negative", o.MaxSteps)
	case !(o.HeldOutFraction > 0 && o.HeldOutFraction < 1):
		return invalid("held_out_fraction", "%v is not between 0 and 1", o.HeldOutFraction)
	case o.Precision != "" && o.Precision != "float32" && o.Precision != "bfloat16":
		return invalid("precision", "%q is not float32 or bfloat16", o.Precision)
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
