package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
)

// ModelVersion is one promoted, immutable version of a named model. Its files are
// those of the training's commit record and are not copied. The highest number is
// the model in use; an older one comes back as a new version that restores it.
type ModelVersion struct {
	Name   string `json:"name"`
	Number int    `json:"number"`
	// Parent is the number before, 0 for the first.
	Parent int `json:"parent"`
	// Restores is the number of the older version that this one brings back, 0 for
	// one that was promoted for the first time.
	Restores int `json:"restores,omitempty"`
	// Hash is what Digest returns: two versions with one hash are the same model
	// with the same evaluation.
	Hash string `json:"hash"`
	// Record is the URI of the training's commit record, which names the model to
	// every endpoint that can load trained ones.
	Record string `json:"record"`
	// Files are the model's objects by path: "adapter/…" (absent after full
	// fine-tuning), "merged/…" and "model.gguf".
	Files      map[string]Object `json:"files"`
	Training   TrainingRecord    `json:"training"`
	Evaluation PromotedScore     `json:"evaluation"`
	// Gates are the thresholds that held, Outcomes what was measured against them.
	Gates    Gates         `json:"gates"`
	Outcomes []GateOutcome `json:"outcomes"`
	// Dataset and DatasetVersion name the data set whose rows the model was trained
	// on, "" and 0 if the promotion was not told it. Training.DataHash is its hash.
	Dataset        string   `json:"dataset,omitempty"`
	DatasetVersion int      `json:"dataset_version,omitempty"`
	Promoted       Promoted `json:"promoted"`
}

// ModelBase is a base model: its name in the workers' configuration, and the
// hash of its configuration, weights and tokenizer.
type ModelBase struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// TrainingRecord says what a model was trained from, how, and with which losses.
// The training keeps it beside the model's files, as "training.json".
type TrainingRecord struct {
	Job  string    `json:"job"`
	Base ModelBase `json:"base"`
	// Init is the promoted version that training started from, "" for Base.
	Init string `json:"init,omitempty"`
	// Manifest is the URI of the manifest of rows and reference values, Table the
	// table of the rows, DataHash the Hash of their objects: that of the data set's
	// version that holds them.
	Manifest string `json:"manifest"`
	Table    string `json:"table"`
	DataHash string `json:"data_hash"`
	// Recipe are the options that determine the model.
	Recipe         TrainOptions `json:"recipe"`
	Steps          int64        `json:"steps"`
	LossFirst      float64      `json:"loss_first"`
	LossLast       float64      `json:"loss_last"`
	RewardAccuracy *float64     `json:"reward_accuracy"`
}

// PromotedScore is the evaluation that a version was promoted by.
type PromotedScore struct {
	// Manifest is the URI of the evaluation's manifest, RowsHash the Hash of its
	// evaluation objects.
	Manifest string `json:"manifest"`
	RowsHash string `json:"rows_hash"`
	// BaseModel and TrainedModel are the names that the arms answered under.
	BaseModel    string `json:"base_model"`
	TrainedModel string `json:"trained_model"`
	// Base and Trained are the shares of followed constraints of both arms over
	// Verdicts verdicts each on Profiles held-out profiles.
	Base       float64    `json:"base"`
	Trained    float64    `json:"trained"`
	Verdicts   int64      `json:"verdicts"`
	Profiles   int64      `json:"profiles"`
	Difference float64    `json:"difference"`
	CI95       [2]float64 `json:"ci95"`
	// Responses counts the trained arm's answers, and one for each turn without any;
	// Malformed those that are empty, cut off, could not be judged or are not there.
	Responses int64 `json:"responses"`
	Malformed int64 `json:"malformed"`
}

// MalformedShare is the share of malformed answers, 1 if there are none at all.
func (s PromotedScore) MalformedShare() float64 {
	if s.Responses == 0 {
		return 1
	}
	return float64(s.Malformed) / float64(s.Responses)
}

// GateOutcome is what one gate measured.
type GateOutcome struct {
	// Gate is the name of the threshold in Gates.
	Gate   string  `json:"gate"`
	Passed bool    `json:"passed"`
	Value  float64 `json:"value"`
	Bound  float64 `json:"bound"`
	// Reason says in words what was compared, and the mend if it failed.
	Reason string `json:"reason"`
}

// Promoted says which run promoted a version. It is not in Hash.
type Promoted struct {
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
	// At is when the run began (RFC 3339), which a retry does not change.
	At string `json:"at"`
	// By is the run's identity as its starter gave it, "" if it gave none.
	By string `json:"by,omitempty"`
}

// Digest is the sha256 of what a version is: its files, what they were trained
// from and the evaluation. Its number, the gates and who promoted it when are
// not in it.
func (v ModelVersion) Digest() string {
	data, err := json.Marshal(struct {
		Files    map[string]Object `json:"files"`
		Training TrainingRecord    `json:"training"`
		RowsHash string            `json:"rows_hash"`
	}{v.Files, v.Training, v.Evaluation.RowsHash})
	if err != nil {
		// A loss that is not a number: no such version can be written either.
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Part returns the objects of a version that lie in one folder ("adapter",
// "merged"), by their path inside it.
func (v ModelVersion) Part(folder string) map[string]Object {
	out := map[string]Object{}
	for path, o := range v.Files {
		if name, ok := strings.CutPrefix(path, folder+"/"); ok {
			out[name] = o
		}
	}
	return out
}

// ParseModelName reads "name@v3", "name@3", "name@latest" or "name", which also
// means the latest; number is 0 for that. field names the place in an error.
func ParseModelName(field, s string) (name string, number int, err error) {
	name, version, _ := strings.Cut(s, "@")
	if version != "" && version != "latest" {
		number, err = strconv.Atoi(strings.TrimPrefix(version, "v"))
	}
	if err != nil || number < 0 || number == 0 && version != "" && version != "latest" || strings.HasSuffix(s, "@") || !validName(name) {
		return "", 0, invalid(field, "%.100q names no version of a model: want name@v3 or name@latest", s)
	}
	return name, number, nil
}
