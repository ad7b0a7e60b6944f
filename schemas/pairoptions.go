package schemas

import "math"

// PairOptions say which pairs are kept and where they are published.
type PairOptions struct {
	// Dataset is the data set's name. Default "default".
	Dataset string `json:"dataset,omitempty"`
	// MinMargin drops pairs with a smaller g. Default 1: all. (The authors' own
	// released set keeps g > 2, that is 3.)
	MinMargin int `json:"min_margin,omitempty"`
	// MaxPairsPerTurn keeps that many training pairs of a turn, those with the
	// largest g, ties by pair id. Default 0: all.
	MaxPairsPerTurn int `json:"max_pairs_per_turn,omitempty"`
	// MaxLengthRatio drops pairs whose longer response has more than that many
	// times the characters (runes) of the shorter one. Default 0: no bound.
	MaxLengthRatio float64 `json:"max_length_ratio,omitempty"`
	// NearDuplicate removes a response whose similarity to an earlier one of its
	// turn is that or more: the Jaccard index of the sets of five characters in a
	// row, 0 to 1. Default 0: off. A response with the very text of an earlier one
	// is always removed.
	NearDuplicate float64 `json:"near_duplicate,omitempty"`
	// Decontaminate lists URIs of manifests, as `rpo import` printed them, with
	// evaluation prompts. A pair is dropped if a system or user message of its
	// prompt equals an evaluation prompt (case, width, white space and punctuation
	// aside) or shares 13 words in a row with one; two characters of a script
	// without spaces, as Chinese and Japanese, count as a word, and the headings of
	// written profiles do not count. A pair is also dropped if its profile and an
	// evaluation profile are the same prompt of a published set by its key: IFEval
	// and System-IFEval, which share their keys. Ids of other files are not
	// compared. Of the import that the pairs themselves come from only the
	// evaluation split counts, of any other all of it.
	Decontaminate []string `json:"decontaminate,omitempty"`
	// NotApplicable is the policy for constraints that do not apply to one of the
	// two responses: "exclude" (neither reversed nor counted in their pairs), or
	// "followed" (the paper's: they count as followed). Default "exclude".
	NotApplicable string `json:"not_applicable,omitempty"`
	// CheckOpposites asks a model whether a response follows the opposite, for
	// opposites that a model wrote and that some pair needs. A response that follows
	// both or neither takes that constraint out of its pairs.
	CheckOpposites bool `json:"check_opposites,omitempty"`
	// OppositeJudgeEndpoint is a name in the worker's configuration; required with
	// CheckOpposites.
	OppositeJudgeEndpoint string `json:"opposite_judge_endpoint,omitempty"`
	OppositeJudgeModel    string `json:"opposite_judge_model,omitempty"`
	// Baselines makes and publishes the data of DPO, KTO and SFT from the same
	// responses, as data sets named after Dataset with "-dpo", "-kto" and "-sft".
	Baselines bool `json:"baselines,omitempty"`
}

// Policies for constraints that do not apply to a response.
const (
	ExcludeNotApplicable  = "exclude"
	FollowedNotApplicable = "followed"
)

// maxDecontaminate bounds the list, which travels in payloads.
const maxDecontaminate = 16

// Recipe returns the options with those zeroed that do not change the rows.
func (o PairOptions) Recipe() PairOptions {
	o.Dataset = ""
	return o
}

func (o *PairOptions) SetDefaults() {
	setDefault(&o.Dataset, "default")
	setDefault(&o.MinMargin, 1)
	setDefault(&o.NotApplicable, ExcludeNotApplicable)
}

func (o PairOptions) Validate() error {
	switch {
	case !validName(o.Dataset):
		return invalid("dataset", "%q is not a name of 1 to 64 letters, digits, '-', '_' or '.' that begins with a letter or digit", o.Dataset)
	case o.MinMargin < 1:
		return invalid("min_margin", "%d is not positive", o.MinMargin)
	case o.MaxPairsPerTurn < 0:
		return invalid("max_pairs_per_turn", "%d is negative", o.MaxPairsPerTurn)
	case o.MaxLengthRatio != 0 && !(o.MaxLengthRatio >= 1) || math.IsInf(o.MaxLengthRatio, 0):
		return invalid("max_length_ratio", "%v is not a number of at least 1 (0 is no bound)", o.MaxLengthRatio)
	case !(o.NearDuplicate >= 0 && o.NearDuplicate <= 1):
		return invalid("near_duplicate", "%v is not between 0 (off) and 1", o.NearDuplicate)
	case len(o.Decontaminate) > maxDecontaminate:
		return invalid("decontaminate", "%d manifests are more than %d: import their files as one", len(o.Decontaminate), maxDecontaminate)
	case o.NotApplicable != ExcludeNotApplicable && o.NotApplicable != FollowedNotApplicable:
		return invalid("not_applicable", "%q is not %q or %q", o.NotApplicable, ExcludeNotApplicable, FollowedNotApplicable)
	case o.CheckOpposites && o.OppositeJudgeEndpoint == "":
		return invalid("opposite_judge_endpoint", "is required with check_opposites: a name in the worker's configuration")
	}
	for _, uri := range o.Decontaminate {
		if uri == "" {
			return invalid("decontaminate", "holds an empty URI")
		}
	}
	return nil
}
