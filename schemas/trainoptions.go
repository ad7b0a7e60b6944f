package schemas

import (
	"math"
	"reflect"
	"strings"
)

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
	// LearningRate defaults to 5e-4, of loss "sft" to 5e-5.
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
	// them; -1 means all processes of a node. Default 1: each holds all of it.
	Shard int `json:"shard,omitempty"`
	// Preset names one of the paper's recipes; see Presets. Its values stand for the
	// fields that are not given.
	Preset string `json:"preset,omitempty"`
	// Init is the policy that training starts from, which is the reference, too:
	// "base", or a promoted version ("name@v3", "name@latest"), merged into the base
	// model that it was trained from. Default "base".
	Init string `json:"init,omitempty"`
	// PolicyEndpoint is the endpoint whose rendering of prompts must be the
	// trainer's. "none" compares nothing. Default: none, in a pipeline its endpoint.
	PolicyEndpoint string `json:"policy_endpoint,omitempty"`
	// Nodes is the number of hosts that train together, each with Processes
	// processes, leased from Pool. Default: one host of the queue rpo-gpu or, if a
	// pool is named, one of its nodes.
	Nodes int `json:"nodes,omitempty"`
	// Pool is what ManageNodePool manages. Default "default" if Nodes is not 0.
	Pool string `json:"pool,omitempty"`
}

// NoEndpoint is the PolicyEndpoint that compares nothing.
const NoEndpoint = "none"

// InitBase is the Init of a run that starts from the base model itself.
const InitBase = "base"

// Recipe returns the options with those zeroed that change speed, memory or
// patience but not what is trained: they must not make another job, so that a
// run that ran out of memory goes on from its checkpoint with a smaller batch.
func (o TrainOptions) Recipe() TrainOptions {
	o.PairsPerBatch, o.CheckpointEvery, o.Processes, o.StallTimeout = 0, 0, 0, 0
	o.TokensPerBatch, o.Shard = 0, 0
	o.Nodes, o.Pool = 0, ""
	// What a preset says and Init names is in the other fields and in the hash of
	// the weights that the run starts from.
	o.Preset, o.Init, o.PolicyEndpoint = "", "", ""
	if o.Layout != "groups" { // which also orders the data
		o.Layout = ""
	}
	return o
}

// Ranks are the processes of all nodes together.
func (o TrainOptions) Ranks() int { return max(1, o.Nodes) * o.Processes }

func (o *TrainOptions) SetDefaults() {
	if o.Loss == "sft" {
		setDefault(&o.LearningRate, 5e-5)
	}
	if p, ok := presets[o.Preset]; ok {
		fillZero(reflect.ValueOf(o).Elem(), reflect.ValueOf(p))
	}
	setDefault(&o.BaseModel, "base")
	setDefault(&o.Init, InitBase)
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
	if o.Pool != "" {
		setDefault(&o.Nodes, 1)
	}
	if o.Nodes != 0 {
		setDefault(&o.Pool, DefaultPool)
	}
}

func (o TrainOptions) Validate() error {
	if _, ok := presets[o.Preset]; !ok && o.Preset != "" {
		return invalid("preset", "%.100q is not one of %s", o.Preset, strings.Join(Presets(), ", "))
	}
	if o.Init != InitBase {
		if _, _, err := ParseModelName("init", o.Init); err != nil {
			return err
		}
	}
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
	case o.Nodes < 0 || o.Nodes > maxGangNodes:
		return invalid("nodes", "%d is not between 0 and %d", o.Nodes, maxGangNodes)
	case o.Pool != "" && !validName(o.Pool):
		return invalid("pool", "%q is not a name of up to 64 letters, digits and . _ - that begins with a letter or digit", o.Pool)
	case o.Shard < -1 || o.Shard > 0 && o.Ranks()%o.Shard != 0:
		return invalid("shard", "%d processes cannot be cut into groups of %d", o.Ranks(), o.Shard)
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
