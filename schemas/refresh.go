package schemas

import (
	"strings"
	"time"
)

// RefreshDatasetInput extends a data set by the pairs of those profiles of a
// source that its newest version has not consumed.
type RefreshDatasetInput struct {
	// Source is the URI of a manifest that has profiles and turns ("….json", as `rpo
	// import` and BuildDialogues make it), or of a folder ("s3://bucket/folder/")
	// whose .jsonl objects hold profiles as `rpo import` reads them, and whose .parquet
	// objects hold the same as rows. Required.
	Source string `json:"source"`
	// EvalFraction of a folder's profiles, drawn by their constraints, is kept out of
	// the pairs where a line does not say its split. Default 0.2.
	EvalFraction float64 `json:"eval_fraction,omitempty"`
	// ParkTimeout is when, counted from its start, a run that a schedule started
	// gives way if a stage of it needs attention. Default 20h.
	ParkTimeout Duration `json:"park_timeout,omitempty"`
	RunOptions
	SampleOptions
	JudgeOptions
	ReverseOptions
	PairOptions
}

func (in *RefreshDatasetInput) SetDefaults() {
	setDefault(&in.EvalFraction, 0.2)
	setDefault(&in.ParkTimeout, Duration(20*time.Hour))
	in.RunOptions.SetDefaults()
	in.SampleOptions.SetDefaults()
	in.JudgeOptions.SetDefaults()
	in.ReverseOptions.SetDefaults()
	if in.CheckOpposites && in.OppositeJudgeEndpoint == "" {
		in.OppositeJudgeEndpoint, in.OppositeJudgeModel = in.JudgeEndpoint, in.JudgeModel
	}
	in.PairOptions.SetDefaults()
}

func (in *RefreshDatasetInput) Validate() error {
	switch {
	case in.Source == "":
		return invalid("source", "is required: the URI of a manifest, or of a folder of .jsonl objects with a slash at its end")
	case !strings.HasPrefix(in.Source, "s3://") || !strings.HasSuffix(in.Source, "/") && !strings.HasSuffix(in.Source, ".json"):
		return invalid("source", "%.200q is neither a manifest (s3://bucket/….json) nor a folder (s3://bucket/folder/)", in.Source)
	case !(in.EvalFraction >= 0 && in.EvalFraction < 1):
		return invalid("eval_fraction", "%v is not from 0 to under 1", in.EvalFraction)
	case in.ParkTimeout < Duration(time.Minute):
		return invalid("park_timeout", "%s is under 1m", time.Duration(in.ParkTimeout))
	}
	return first(in.RunOptions.Validate(), in.SampleOptions.Validate(), in.JudgeOptions.Validate(),
		in.ReverseOptions.Validate(), in.PairOptions.Validate())
}

// Extension has a version hold the objects of the one before it as well.
type Extension struct {
	// Parent is the number that the newest version must still have, 0 for none.
	Parent int `json:"parent"`
	// Watermark is the URI of the Watermark that the new version gets.
	Watermark string `json:"watermark"`
	// Anew leaves the objects of Parent out.
	Anew bool `json:"anew,omitempty"`
}

// Validate takes nil for no extension.
func (e *Extension) Validate() error {
	switch {
	case e == nil:
		return nil
	case e.Parent < 0:
		return invalid("extends.parent", "%d is negative", e.Parent)
	case e.Watermark == "":
		return invalid("extends.watermark", "is required")
	}
	return nil
}

// Watermark is what the versions of a data set have consumed up to one of them:
// versions of objects and ids of rows, never times, so that neither a late file
// nor a clock can make a refresh miss a row or take one twice.
type Watermark struct {
	Dataset    string `json:"dataset"`
	Generation int64  `json:"generation"`
	// Objects are those whose rows are all consumed, by key.
	Objects []ConsumedObject `json:"objects"`
	// Profiles are the ids of the consumed profiles, sorted.
	Profiles []string `json:"profiles"`
}

// ConsumedObject is one version of an object.
type ConsumedObject struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// FoundProfiles is what a source holds that a data set has not consumed.
type FoundProfiles struct {
	// New counts the profiles in Manifest. It is 0, and nothing was written, also
	// while all that is new is held out for evaluation (Waiting).
	New     int64 `json:"new"`
	Waiting int64 `json:"waiting,omitempty"`
	// Manifest is the import manifest of the new profiles alone.
	Manifest string `json:"manifest,omitempty"`
	Extension
	// Unchanged counts the source's objects that were consumed before.
	Unchanged int `json:"unchanged,omitempty"`
	// Refused counts the objects that could not be read as profiles, RefusedFirst
	// lists the first. They are looked at again by every refresh until mended.
	Refused      int             `json:"refused,omitempty"`
	RefusedFirst []RefusedObject `json:"refused_first,omitempty"`
	// Forgotten counts the source's profiles that `rpo dataset forget` removed: they
	// do not come back.
	Forgotten int `json:"forgotten,omitempty"`
}

// RefusedObject is an object of a source that holds no profiles as it is.
type RefusedObject struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// RefreshResult is the result of RefreshDataset, and its progress where it gave
// way.
type RefreshResult struct {
	Dataset string `json:"dataset"`
	// ScheduledTime is the time for which the schedule started the run (RFC 3339),
	// "" for a run that a person started. Nothing is derived from it.
	ScheduledTime string `json:"scheduled_time,omitempty"`
	FoundProfiles
	// Version is the newest one after the run, Pairs are those that it added, Total
	// all pairs of it.
	Version int    `json:"version"`
	Hash    string `json:"hash,omitempty"`
	Pairs   int64  `json:"pairs"`
	Total   int64  `json:"total"`
	// DatasetManifest lists all shards of the version.
	DatasetManifest string              `json:"dataset_manifest,omitempty"`
	Baselines       []PublishedBaseline `json:"baselines,omitempty"`
	// Stages are the results of the stages that ended.
	Stages []StageResult `json:"stages,omitempty"`
}
