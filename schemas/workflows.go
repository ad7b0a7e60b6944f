package schemas

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// RunPipelineInput starts the whole method on imported profiles.
type RunPipelineInput struct {
	// Profiles is the URI of the manifest that `rpo import` printed. Required.
	Profiles string `json:"profiles"`
	RunOptions
	SampleOptions
	JudgeOptions
	ReverseOptions
	PairOptions
	TrainOptions
	EvaluateOptions
	// EvalEndpoint serves both arms of the evaluation: its own model and the
	// trained one, which it must be able to load (serve). Default: Endpoint.
	EvalEndpoint string `json:"eval_endpoint,omitempty"`
	// Promote, if given, is the model that the trained one becomes a version of at the
	// end, if the gates let it through. Default: nothing is promoted.
	Promote string `json:"promote,omitempty"`
	Gates   Gates  `json:"gates,omitzero"`
}

func (in *RunPipelineInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.SampleOptions.SetDefaults()
	in.JudgeOptions.SetDefaults()
	in.ReverseOptions.SetDefaults()
	if in.CheckOpposites && in.OppositeJudgeEndpoint == "" {
		in.OppositeJudgeEndpoint, in.OppositeJudgeModel = in.JudgeEndpoint, in.JudgeModel
	}
	in.PairOptions.SetDefaults()
	in.TrainOptions.SetDefaults()
	in.EvaluateOptions.SetDefaults()
	setDefault(&in.EvalEndpoint, in.Endpoint)
	if in.Promote != "" {
		in.Gates.SetDefaults()
	}
}

func (in *RunPipelineInput) Validate() error {
	return first(require("profiles", in.Profiles), validPromotion(in.Promote, in.Gates), in.RunOptions.Validate(), in.SampleOptions.Validate(),
		in.JudgeOptions.Validate(), in.ReverseOptions.Validate(),
		in.PairOptions.Validate(), in.TrainOptions.Validate(), in.EvaluateOptions.Validate())
}

// StageInput is the part of a stage's input that its engine reads.
type StageInput struct {
	// Manifest is the URI of what the stage before (or `rpo import`) made. Required.
	Manifest string `json:"manifest"`
	RunOptions
	// Progress is written by the workflow itself when it continues as new.
	Progress *StageProgress `json:"progress,omitempty"`
}

func (in *StageInput) Validate() error {
	return first(require("manifest", in.Manifest), in.RunOptions.Validate())
}

// RetryFailed says which failed shards are to be worked on again, and how. The
// zero value means all of them, as before.
type RetryFailed struct {
	// Shards and ErrorTypes each narrow the choice if not empty.
	Shards     []int    `json:"shards,omitempty"`
	ErrorTypes []string `json:"error_types,omitempty"`
	// Endpoint, with or without Model, replaces the one whose model the stage
	// calls, for all shards that are still to be worked on. The job stays the
	// same: rows say who made them.
	Endpoint string `json:"endpoint,omitempty"`
	Model    string `json:"model,omitempty"`
	// HeartbeatTimeout replaces the stage's.
	HeartbeatTimeout Duration `json:"heartbeat_timeout,omitempty"`
}

// maxRetryShards keeps the list in a payload.
const maxRetryShards = 500

// Validate refuses what no stage can take.
func (r RetryFailed) Validate() error {
	switch {
	case len(r.Shards) > maxRetryShards:
		return invalid("shards", "lists %d shards, more than %d: choose by error_types", len(r.Shards), maxRetryShards)
	case r.Model != "" && r.Endpoint == "":
		return invalid("model", "needs endpoint beside it")
	case r.HeartbeatTimeout != 0 && (r.HeartbeatTimeout < Duration(1e9) || r.HeartbeatTimeout > Duration(3600e9)):
		return invalid("heartbeat_timeout", "%s is not between 1s and 1h", time.Duration(r.HeartbeatTimeout))
	}
	for _, t := range r.ErrorTypes {
		if !slices.Contains(errorTypes, ErrorType(t)) {
			return invalid("error_types", "%q is not one of %v", t, errorTypes)
		}
	}
	return nil
}

// StageProgress is what a stage carries from one run to the next.
type StageProgress struct {
	Job        string `json:"job"`
	ConfigHash string `json:"config_hash"`
	Shards     int    `json:"shards"`
	// Next is the first shard that no run has started.
	Next   int `json:"next"`
	Done   int `json:"done"`
	Reused int `json:"reused"`
	// FailedShards counts the failed shards of this round, whose log has that many
	// Batches; Failed holds the first of them by number.
	FailedShards int            `json:"failed_shards,omitempty"`
	Failed       []ShardFailure `json:"failed,omitempty"`
	Round        int            `json:"round,omitempty"`
	Batches      int            `json:"batches,omitempty"`
	// Streak counts the shards that failed since one did not.
	Streak int `json:"streak,omitempty"`
	// Retry is how many shards this round works on again, of which RetryNext are
	// started.
	Retry     int `json:"retry,omitempty"`
	RetryNext int `json:"retry_next,omitempty"`
	// HeartbeatTimeout is what retry_failed set.
	HeartbeatTimeout Duration `json:"heartbeat_timeout,omitempty"`
	// Paused says that no further shard is to start.
	Paused bool `json:"paused,omitempty"`
	// Spent is what shards took so far, those that failed included.
	Spent Spending `json:"spent,omitzero"`
	// Ran is the time at work so far.
	Ran Duration `json:"ran,omitempty"`
	// Identities are those of the models when the stage opened, by ModelKey.
	Identities map[string]string `json:"identities,omitempty"`
	// Estimate was made before the first call; null if no model is called.
	Estimate *Estimate `json:"estimate,omitempty"`
	// Raised, if not nil, are the caps that raise_budget set.
	Raised *BudgetOptions `json:"raised,omitempty"`
	// GaveUp says that the shards left are given up since the budget is reached.
	GaveUp bool `json:"gave_up,omitempty"`
	// Endpoint and Model are what retry_failed set.
	Endpoint string `json:"endpoint,omitempty"`
	Model    string `json:"model,omitempty"`
	// Began is when the first run began.
	Began time.Time `json:"began,omitzero"`
}

// GenerateProfilesInput starts the generation of profiles and personas on a
// manifest of seeds.
type GenerateProfilesInput struct {
	StageInput
	GenerateOptions
}

func (in *GenerateProfilesInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.GenerateOptions.SetDefaults()
}

func (in *GenerateProfilesInput) Validate() error {
	return first(in.StageInput.Validate(), in.GenerateOptions.Validate())
}

// BuildDialoguesInput starts self-play on a manifest of profiles.
type BuildDialoguesInput struct {
	StageInput
	DialogueOptions
	// JudgeEndpoint says which constraints a query triggers, and judges those that
	// have no rule. JudgeModel may override its model.
	JudgeEndpoint string `json:"judge_endpoint,omitempty"`
	JudgeModel    string `json:"judge_model,omitempty"`
}

func (in *BuildDialoguesInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.DialogueOptions.SetDefaults()
}

func (in *BuildDialoguesInput) Validate() error {
	return first(in.StageInput.Validate(), in.DialogueOptions.Validate())
}

// SampleResponsesInput starts the sample stage on a manifest of turns.
type SampleResponsesInput struct {
	StageInput
	SampleOptions
}

func (in *SampleResponsesInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.SampleOptions.SetDefaults()
}

func (in *SampleResponsesInput) Validate() error {
	return first(in.StageInput.Validate(), in.SampleOptions.Validate())
}

// JudgeResponsesInput starts the judge stage on a manifest of responses.
type JudgeResponsesInput struct {
	StageInput
	JudgeOptions
}

func (in *JudgeResponsesInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.JudgeOptions.SetDefaults()
}

func (in *JudgeResponsesInput) Validate() error {
	return first(in.StageInput.Validate(), in.JudgeOptions.Validate())
}

// ReverseConstraintsInput starts the reverse stage on a manifest of turns.
type ReverseConstraintsInput struct {
	StageInput
	ReverseOptions
}

func (in *ReverseConstraintsInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.ReverseOptions.SetDefaults()
}

func (in *ReverseConstraintsInput) Validate() error {
	return first(in.StageInput.Validate(), in.ReverseOptions.Validate())
}

// BuildPairsInput starts the pair stage on a manifest of turns, responses,
// verdicts and opposites.
type BuildPairsInput struct {
	StageInput
	PairOptions
	// Extends is written by RefreshDataset. Default: the version holds these pairs
	// and no others.
	Extends *Extension `json:"extends,omitempty"`
}

func (in *BuildPairsInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.PairOptions.SetDefaults()
}

func (in *BuildPairsInput) Validate() error {
	return first(in.StageInput.Validate(), in.PairOptions.Validate(), in.Extends.Validate())
}

// ComputeReferenceInput starts the reference pass over a manifest of pairs.
type ComputeReferenceInput struct {
	StageInput
	TrainOptions
}

func (in *ComputeReferenceInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.TrainOptions.SetDefaults()
}

func (in *ComputeReferenceInput) Validate() error {
	return first(in.StageInput.Validate(), in.TrainOptions.Validate())
}

// TrainModelInput starts training on a manifest of pairs and reference values.
type TrainModelInput struct {
	StageInput
	TrainOptions
}

func (in *TrainModelInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.TrainOptions.SetDefaults()
}

func (in *TrainModelInput) Validate() error {
	return first(in.StageInput.Validate(), in.TrainOptions.Validate())
}

// EvaluateModelInput compares a trained model with its base on the evaluation
// shards of a manifest of turns.
type EvaluateModelInput struct {
	StageInput
	SampleOptions
	JudgeOptions
	EvaluateOptions
	// TrainedModel is the model of the second arm, named as Model is. Required.
	TrainedModel string `json:"trained_model"`
}

func (in *EvaluateModelInput) SetDefaults() {
	in.RunOptions.SetDefaults()
	in.SampleOptions.SetDefaults()
	in.JudgeOptions.SetDefaults()
	in.EvaluateOptions.SetDefaults()
}

func (in *EvaluateModelInput) Validate() error {
	return first(in.StageInput.Validate(), require("trained_model", in.TrainedModel),
		in.SampleOptions.Validate(), in.JudgeOptions.Validate(), in.EvaluateOptions.Validate())
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func require(field, value string) error {
	if value == "" {
		return invalid(field, "is required: the URI of a manifest, as `rpo import` or an earlier stage printed it")
	}
	return nil
}

func first(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func validName(s string) bool {
	if len(s) == 0 || len(s) > 64 || strings.ContainsRune("._-", rune(s[0])) {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false
		}
	}
	return true
}
