package schemas

import (
	"math"
	"strings"
)

// Gates are the thresholds that a model must meet to be promoted. A zero means the
// default.
type Gates struct {
	// MinGain is the least difference between the trained model's and the base's
	// share of followed constraints. Default 0: not worse than its base.
	MinGain float64 `json:"min_gain,omitempty"`
	// MinCILow is what the lower end of the difference's 95 % interval must exceed.
	// Default 0: better than chance explains. -1 lets any through.
	MinCILow float64 `json:"min_ci_low,omitempty"`
	// MinVerdicts and MinProfiles are what the evaluation must rest on: verdicts of
	// each arm, and held-out profiles. Defaults 100 and 10.
	MinVerdicts int64 `json:"min_verdicts,omitempty"`
	MinProfiles int64 `json:"min_profiles,omitempty"`
	// MaxMalformed is the greatest share of the trained model's answers that are
	// empty, cut off, or that nobody could judge. Default 0.05; 1 lets any through.
	MaxMalformed float64 `json:"max_malformed,omitempty"`
	// BeatCurrent demands that the model follows a greater share than the version in
	// use does, on the turns that both were evaluated on, which must be the same.
	// Nothing is demanded of the first version. Default: off.
	BeatCurrent bool `json:"beat_current,omitempty"`
	// MinCILowOverCurrent is what the lower end of the 95 % interval of that
	// difference must exceed; it needs BeatCurrent. Default 0. -1 lets any through.
	MinCILowOverCurrent float64 `json:"min_ci_low_over_current,omitempty"`
}

func (g *Gates) SetDefaults() {
	setDefault(&g.MinVerdicts, 100)
	setDefault(&g.MinProfiles, 10)
	setDefault(&g.MaxMalformed, 0.05)
}

// Validate names fields below path ("gates").
func (g Gates) Validate(path string) error {
	for _, f := range []struct {
		name  string
		value float64
	}{{"min_gain", g.MinGain}, {"min_ci_low", g.MinCILow}, {"min_ci_low_over_current", g.MinCILowOverCurrent}} {
		if !(f.value >= -1 && f.value <= 1) {
			return invalid(path+"."+f.name, "%v is not between -1 and 1", f.value)
		}
	}
	switch {
	case g.MinVerdicts < 1:
		return invalid(path+".min_verdicts", "%d is not positive", g.MinVerdicts)
	case g.MinProfiles < 1:
		return invalid(path+".min_profiles", "%d is not positive", g.MinProfiles)
	case !(g.MaxMalformed >= 0 && g.MaxMalformed <= 1) || math.IsNaN(g.MaxMalformed):
		return invalid(path+".max_malformed", "%v is not between 0 and 1", g.MaxMalformed)
	case g.MinCILowOverCurrent != 0 && !g.BeatCurrent:
		return invalid(path+".min_ci_low_over_current", "needs beat_current beside it")
	}
	return nil
}

// validPromotion checks the promotion at the end of another workflow, "" for none.
func validPromotion(name string, g Gates) error {
	switch {
	case name == "" && g != (Gates{}):
		return invalid("gates", "are given, but no model to promote to: name it with promote")
	case name == "":
		return nil
	case !validName(name):
		return invalid("promote", "%.100q is not a name of 1 to 64 letters, digits, '-', '_' or '.' that begins with a letter or digit", name)
	}
	return g.Validate("gates")
}

// PromoteModelInput promotes a trained model, or brings an older version back.
type PromoteModelInput struct {
	// Name is the model's name: 1 to 64 letters, digits, '-', '_' or '.'. Required.
	Name string `json:"name"`
	// Model is the URI that TrainModel returned as `model`, Evaluation the one that
	// EvaluateModel returned as `manifest` for it. Both are required, but for a
	// restored version.
	Model      string `json:"model,omitempty"`
	Evaluation string `json:"evaluation,omitempty"`
	// Dataset, if given, is the data set of which a version must hold the rows that
	// the model was trained on; the promoted version then names it.
	Dataset string `json:"dataset,omitempty"`
	Gates   Gates  `json:"gates,omitzero"`
	// Restore is the number of an older version to promote again, without gates: it
	// passed them once.
	Restore int `json:"restore,omitempty"`
	// EvaluatedAs is the name under which the evaluation's endpoint served the model,
	// if the endpoint is not one that the worker serves itself.
	EvaluatedAs string `json:"evaluated_as,omitempty"`
}

func (in *PromoteModelInput) SetDefaults() { in.Gates.SetDefaults() }

func (in *PromoteModelInput) Validate() error {
	switch {
	case in.Name == "":
		return invalid("name", "is required: the name of the model that gets a version")
	case !validName(in.Name):
		return invalid("name", "%.100q is not a name of 1 to 64 letters, digits, '-', '_' or '.' that begins with a letter or digit", in.Name)
	case in.Restore < 0:
		return invalid("restore", "%d is negative", in.Restore)
	case in.Restore > 0 && (in.Model != "" || in.Evaluation != "" || in.Dataset != "" || in.EvaluatedAs != ""):
		return invalid("restore", "brings back version %d as it is: leave model, evaluation, evaluated_as and dataset out", in.Restore)
	case in.Restore > 0:
		return nil
	case !strings.HasPrefix(in.Model, "s3://"):
		return invalid("model", "is required: the URI that TrainModel returned as model (or restore, the number of an older version)")
	case !strings.HasPrefix(in.Evaluation, "s3://"):
		return invalid("evaluation", "is required: the URI that EvaluateModel returned as manifest")
	case in.Dataset != "" && !validName(in.Dataset):
		return invalid("dataset", "%.100q is not the name of a data set", in.Dataset)
	}
	return in.Gates.Validate("gates")
}

// Decisions of a promotion.
const (
	// DecisionPromoted is a version that this promotion wrote.
	DecisionPromoted = "Promoted"
	// DecisionUnchanged is a model that had been promoted before: that version.
	DecisionUnchanged = "Unchanged"
	// DecisionRefused is a model that a gate did not let through. It is no failure
	// of the workflow, and nothing was written.
	DecisionRefused = "Refused"
)

// PromoteResult is the result of PromoteModel.
type PromoteResult struct {
	// Decision is one of the Decision constants.
	Decision string `json:"decision"`
	Name     string `json:"name"`
	// Version is the number of the promoted version, 0 if refused; Manifest its URI.
	Version  int    `json:"version"`
	Manifest string `json:"manifest,omitempty"`
	// Current is the number of the version in use after the run, 0 if none. It is
	// not Version for a model that had been promoted and replaced: `restore` brings
	// that back.
	Current int `json:"current"`
	// Reasons say which gates failed, in words.
	Reasons    []string      `json:"reasons,omitempty"`
	Outcomes   []GateOutcome `json:"outcomes,omitempty"`
	Evaluation PromotedScore `json:"evaluation,omitzero"`
}

// PromoteStatus is the answer of the query `status` of a promotion.
type PromoteStatus struct {
	// Status is a Status constant, or StatusRefused.
	Status string `json:"status"`
	PromoteResult
}

// StatusRefused is of a promotion that ended without an error, and without a
// version.
const StatusRefused = "Refused"
