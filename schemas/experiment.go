package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RunExperimentInput trains several arms on the same rows and evaluates them on
// the same held-out turns.
type RunExperimentInput struct {
	// Manifest is the URI of what BuildPairs made: the rows that all arms train on.
	// Losses kto, and dpo and sft on data of their own, need its option baselines.
	// Required.
	Manifest string `json:"manifest"`
	// Profiles is the URI of the manifest with the held-out turns, as RunPipeline
	// takes it. Required.
	Profiles string `json:"profiles"`
	// Arms are 1 to 10 trainings. Each is a name and those training options that are
	// not the same in all arms. The others are compared with the first. Required.
	Arms []ExperimentArm `json:"arms"`
	// MaxParallel bounds the arms worked on at once. Default 2: while one is
	// evaluated another one is trained.
	MaxParallel int `json:"max_parallel,omitempty"`
	// ParkTimeout is how long a stage of an arm that needs attention may wait for a
	// person, counted from its beginning; an arm that gives way counts as failed.
	// Default 30m. Where it parks later it is noticed within the hour.
	ParkTimeout Duration `json:"park_timeout,omitempty"`
	// Promote, if given, is the model that the best arm is promoted to, if the gates
	// let it through. Dataset is as in PromoteModel.
	Promote string `json:"promote,omitempty"`
	Gates   Gates  `json:"gates,omitzero"`
	Dataset string `json:"dataset,omitempty"`
	RunOptions
	// The options of SampleOptions are those of the evaluation.
	SampleOptions
	JudgeOptions
	EvaluateOptions
	TrainOptions
}

// ExperimentArm is one training of an experiment. SetDefaults of the experiment
// completes its options by those of the experiment.
type ExperimentArm struct {
	// Name is 1 to 32 letters, digits, '-', '_' or '.'. Required.
	Name string `json:"name"`
	TrainOptions
}

// UnmarshalJSON refuses zeros. In an input a zero means the default, but somebody
// who writes "gamma": 0 into an arm means to train without a margin, and would
// compare the default with itself.
func (a *ExperimentArm) UnmarshalJSON(data []byte) error {
	type plain ExperimentArm
	var given plain
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&given); err != nil {
		return err // the decoder of the whole input completes it with the path
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return Errorf(InvalidInput, "decode an arm: %w", err)
	}
	for _, field := range slices.Sorted(maps.Keys(values)) {
		if text := string(values[field]); text == "false" || text == "0" || text == "0.0" {
			return Errorf(InvalidInput, "field \"arms\": arm %.40q sets %s to %s, which would mean the default: leave it out, or give a tiny number such as 1e-9", given.Name, field, text)
		}
	}
	*a = ExperimentArm(given)
	return nil
}

// maxArms keeps an experiment's results in one payload.
const maxArms = 10

func (in *RunExperimentInput) SetDefaults() {
	for i := range in.Arms {
		in.Arms[i].TrainOptions = overlaid(in.TrainOptions, in.Arms[i].TrainOptions)
		in.Arms[i].TrainOptions.SetDefaults()
	}
	setDefault(&in.MaxParallel, 2)
	setDefault(&in.ParkTimeout, Duration(30*time.Minute))
	if in.Promote != "" {
		in.Gates.SetDefaults()
	}
	in.RunOptions.SetDefaults()
	in.SampleOptions.SetDefaults()
	in.JudgeOptions.SetDefaults()
	in.EvaluateOptions.SetDefaults()
	in.TrainOptions.SetDefaults()
}

// overlaid are the shared options with those that an arm gives in their place.
func overlaid(shared, arm TrainOptions) TrainOptions {
	data, err := json.Marshal(arm)
	if err == nil {
		err = json.Unmarshal(data, &shared)
	}
	if err != nil {
		return arm // not a number: Validate names it
	}
	return shared
}

func (in *RunExperimentInput) Validate() error {
	if err := first(require("manifest", in.Manifest), require("profiles", in.Profiles)); err != nil {
		return err
	}
	switch {
	case len(in.Arms) == 0:
		return invalid("arms", "is required: a list of objects with a name and training options")
	case len(in.Arms) > maxArms:
		return invalid("arms", "%d arms are more than %d: split the experiment", len(in.Arms), maxArms)
	case in.MaxParallel < 1 || in.MaxParallel > maxArms:
		return invalid("max_parallel", "%d is not between 1 and %d", in.MaxParallel, maxArms)
	case in.Dataset != "" && !validName(in.Dataset):
		return invalid("dataset", "%.100q is not the name of a data set", in.Dataset)
	case in.ParkTimeout < Duration(time.Second):
		return invalid("park_timeout", "%s is under 1s", time.Duration(in.ParkTimeout))
	}
	// What all arms share is named without them.
	if err := in.TrainOptions.Validate(); err != nil {
		return err
	}
	for i, arm := range in.Arms {
		field := fmt.Sprintf("arms[%d]", i)
		if !validName(arm.Name) || len(arm.Name) > 32 {
			return invalid(field+".name", "%.100q is not a name of 1 to 32 letters, digits, '-', '_' or '.' that begins with a letter or digit", arm.Name)
		}
		if err := arm.TrainOptions.Validate(); err != nil {
			return inField(field, err)
		}
		for _, other := range in.Arms[:i] {
			if other.Name == arm.Name {
				return invalid(field+".name", "%q is the name of another arm", arm.Name)
			}
			if a, b := other.identity(), arm.identity(); a == b {
				return invalid(field, "%q is the same training as %q: give it an option or a train_seed of its own", arm.Name, other.Name)
			}
		}
	}
	return first(validPromotion(in.Promote, in.Gates), in.RunOptions.Validate(), in.SampleOptions.Validate(), in.JudgeOptions.Validate(),
		in.EvaluateOptions.Validate())
}

// ForReference are the options of a reference pass over a table that stands for all
// trainings which share it: what changes no reference value has its default.
func (o TrainOptions) ForReference(table string) TrainOptions {
	loss := "rpo"
	if table != TablePair {
		loss = table
	}
	out := o
	out.Loss, out.Preset, out.PolicyEndpoint, out.Layout, out.MarginScale = loss, "", "", "", ""
	out.Beta, out.Gamma, out.LearningRate, out.SFTWeight, out.HeldOutFraction = 0, 0, 0, 0, 0
	out.Epochs, out.MaxSteps, out.PairsPerStep, out.CheckpointEvery, out.TrainSeed = 0, 0, 0, 0, 0
	out.LoraRank, out.LoraAlpha, out.FullFineTuning = 0, 0, false
	out.SetDefaults()
	return out
}

// identity is what makes an arm another training than others on the same rows.
func (a ExperimentArm) identity() string {
	recipe := a.Recipe()
	recipe.Init = a.Init
	data, err := json.Marshal(recipe)
	if err != nil {
		return a.Name
	}
	return string(data)
}

// inField puts the field that an error names below another one.
func inField(field string, err error) error {
	message := strings.Replace(err.Error(), `field "`, `field "`+field+`.`, 1)
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Type: e.Type, Message: message, Cause: e.Cause}
	}
	return err
}

// StatusSkipped is of an arm that was not started, since the experiment was told
// to stop.
const StatusSkipped = "Skipped"

// ArmResult is one row of an experiment's table. Figures of an arm that is not
// Done are zero.
type ArmResult struct {
	Arm    string `json:"arm"`
	Status string `json:"status"`
	// Trained is the share of followed constraints, Gain its difference from the base
	// model's, CI95 the 95 % interval of Gain.
	Trained float64    `json:"trained"`
	Gain    float64    `json:"gain"`
	CI95    [2]float64 `json:"ci95"`
	// OverFirst is the difference from the first arm on the same turns; null for the
	// first arm itself and where that has no result.
	OverFirst *Difference `json:"over_first,omitempty"`
	// RewardAccuracy is on held-out pairs; null if there were none.
	RewardAccuracy *float64 `json:"reward_accuracy"`
	// Malformed is the share of malformed answers.
	Malformed float64 `json:"malformed"`
	LossLast  float64 `json:"loss_last"`
	// Tokens and Hours are those of the training, over all its processes and by the
	// clock of its steps.
	Tokens int64   `json:"tokens"`
	Hours  float64 `json:"hours"`
	// Model is the URI of the training's record.
	Model string `json:"model,omitempty"`
	// Error says why an arm has no result.
	Error string `json:"error,omitempty"`
}

// Difference is a difference of shares with its 95 % interval.
type Difference struct {
	Value float64    `json:"value"`
	CI95  [2]float64 `json:"ci95"`
}

// ExperimentResult is the result of RunExperiment.
type ExperimentResult struct {
	// Base is the base model's share of followed constraints over Verdicts verdicts on
	// Profiles held-out profiles, in the first arm that has a result.
	Base     float64     `json:"base"`
	Verdicts int64       `json:"verdicts"`
	Profiles int64       `json:"profiles"`
	Arms     []ArmResult `json:"arms"`
	// Best is the arm with the greatest share of followed constraints, "" for none.
	Best string `json:"best"`
	// Table is the URI of the comparison as JSON, Page as HTML.
	Table string `json:"table"`
	Page  string `json:"page"`
	// Promotion is what became of the best arm, null if none was asked for.
	Promotion *Promotion `json:"promotion,omitempty"`
}

// Promotion shortens a PromoteResult.
type Promotion struct {
	Decision string `json:"decision"`
	Name     string `json:"name"`
	Version  int    `json:"version"`
	// Reasons say which gates failed.
	Reasons []string `json:"reasons,omitempty"`
}

// Short is what other workflows say of a promotion.
func (r PromoteResult) Short() *Promotion {
	return &Promotion{Decision: r.Decision, Name: r.Name, Version: r.Version, Reasons: r.Reasons}
}

// ExperimentStatus is the answer of the query `status` of an experiment.
type ExperimentStatus struct {
	Status string      `json:"status"`
	Arms   []ArmStatus `json:"arms"`
	// Paused says that no further arm is to start.
	Paused bool `json:"paused,omitempty"`
	// Promotion is the id of the workflow that promotes.
	Promotion string `json:"promotion,omitempty"`
}

// ArmStatus is how far an arm is.
type ArmStatus struct {
	Arm string `json:"arm"`
	// Status is a Status constant, Stage what is at work: "reference", "train" or
	// "evaluate", and Workflow its id.
	Status   string `json:"status"`
	Stage    string `json:"stage,omitempty"`
	Workflow string `json:"workflow_id,omitempty"`
	// Gain and CI95 are there once the arm was evaluated.
	Gain  *float64    `json:"gain,omitempty"`
	CI95  *[2]float64 `json:"ci95,omitempty"`
	Error string      `json:"error,omitempty"`
}
