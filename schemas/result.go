package schemas

// EvaluationResult is the result of EvaluateModel.
type EvaluationResult struct {
	StageResult
	// Base and Trained are the shares of followed constraints, not applicable
	// ones left out, over Verdicts verdicts of each arm on Profiles profiles.
	Base     float64 `json:"base"`
	Trained  float64 `json:"trained"`
	Verdicts int64   `json:"verdicts"`
	Profiles int64   `json:"profiles"`
	// Difference is Trained minus Base; CI95 its 95 % interval with profiles as
	// the independent units.
	Difference float64              `json:"difference"`
	CI95       [2]float64           `json:"ci95"`
	Families   []FamilySatisfaction `json:"families"`
}

// JudgeResult is the result of JudgeResponses.
type JudgeResult struct {
	StageResult
	// Calibration is set if it was asked for.
	Calibration *CalibrationResult `json:"calibration,omitempty"`
}

// TrainResult is the result of TrainModel.
type TrainResult struct {
	StageResult
	// Model is the URI of the commit record that names the model's files.
	Model          string   `json:"model"`
	TrainSteps     int64    `json:"train_steps"`
	LossFirst      float64  `json:"loss_first"`
	LossLast       float64  `json:"loss_last"`
	RewardAccuracy *float64 `json:"reward_accuracy"`
	PairsTrain     int64    `json:"pairs_train"`
	PairsHeldOut   int64    `json:"pairs_held_out"`
	DroppedLong    int64    `json:"dropped_long"`
	// Events, Metrics and TensorBoard are the URIs of the event lines, the last
	// figures as Prometheus text, and the folder of TensorBoard's files.
	Events      string `json:"events,omitempty"`
	Metrics     string `json:"metrics,omitempty"`
	TensorBoard string `json:"tensorboard,omitempty"`
	// Init is the promoted version that the run started from, "base" for the base
	// model.
	Init string `json:"init,omitempty"`
	// PairsPerBatch and TokensPerBatch are set if they had to be lowered because the
	// memory did not suffice.
	PairsPerBatch  int `json:"pairs_per_batch,omitempty"`
	TokensPerBatch int `json:"tokens_per_batch,omitempty"`
	// PromptsCompared is how many prompts the policy's endpoint renders to the same
	// tokens as the trainer, 0 if that was not looked at.
	PromptsCompared int `json:"prompts_compared,omitempty"`
	// Plan is what was predicted.
	Plan *TrainPlan `json:"plan,omitempty"`
}

// PairResult is the result of BuildPairs.
type PairResult struct {
	StageResult
	Dataset string `json:"dataset"`
	// Version is the number of the published version, Hash its hash.
	Version  int              `json:"version"`
	Hash     string           `json:"hash"`
	Pairs    int64            `json:"pairs"`
	PairsByG map[string]int64 `json:"pairs_by_g"`
	// PairsByCase counts unordered pairs of responses by the paper's case ("1" to
	// "6"), before any filter.
	PairsByCase map[string]int64 `json:"pairs_by_case"`
	// Baselines are the published data of DPO, KTO and SFT, where asked for.
	Baselines []PublishedBaseline `json:"baselines,omitempty"`
	// Total and DatasetManifest are of a version that extends another one: its pairs,
	// of which Pairs are new, and the manifest of all its shards, which
	// ComputeReference takes.
	Total           int64  `json:"total,omitempty"`
	DatasetManifest string `json:"dataset_manifest,omitempty"`
}

// StageStatus is the answer of the query `status` of a stage.
type StageStatus struct {
	Stage string `json:"stage"`
	// Status is one of the Status constants.
	Status string `json:"status"`
	Job    string `json:"job,omitempty"`
	Total  int    `json:"total"`
	Done   int    `json:"done"`
	// Reused counts those of Done that an earlier run had committed.
	Reused int `json:"reused"`
	// Failed counts the failed shards, Failures lists the first of them.
	Failed   int            `json:"failed"`
	Failures []ShardFailure `json:"failures,omitempty"`
	// Reason says why the stage needs attention, Updates which updates it then takes.
	Reason  string   `json:"reason,omitempty"`
	Updates []string `json:"updates,omitempty"`
	// Spent is what the shards that ended took; Budget the caps that hold now.
	Spent    Spending      `json:"spent,omitzero"`
	Budget   BudgetOptions `json:"budget,omitzero"`
	Estimate *Estimate     `json:"estimate,omitempty"`
	// Override is what retry_failed put in the place of the input's, null if it
	// never did.
	Override *StageOverride `json:"override,omitempty"`
	// Began is when the first run of the stage began; Ends when it will end if the
	// shards that are left take as long as those before, "" if that is not known.
	// Both are RFC 3339 in UTC.
	Began string `json:"began,omitempty"`
	Ends  string `json:"ends,omitempty"`
}

// StageOverride is what a person changed while a stage was parked. It holds for
// all shards that are worked on from then on.
type StageOverride struct {
	Endpoint string `json:"endpoint,omitempty"`
	// Model is "" for the endpoint's own.
	Model            string   `json:"model,omitempty"`
	HeartbeatTimeout Duration `json:"heartbeat_timeout,omitempty"`
}

// PipelineStatus is the answer of the query `status` of a pipeline.
type PipelineStatus struct {
	Status string `json:"status"`
	// Stages lists the children in their order; those not started have no id.
	Stages []PipelineStage `json:"stages"`
}

// PipelineStage is one stage of a pipeline.
type PipelineStage struct {
	Stage      string `json:"stage"`
	Status     string `json:"status"`
	WorkflowID string `json:"workflow_id,omitempty"`
	// Shards, Failed, Tokens and Cost are what a stage that ended reported; Began and
	// Ended are RFC 3339 in UTC.
	Shards int     `json:"shards,omitempty"`
	Failed int     `json:"failed,omitempty"`
	Tokens int64   `json:"tokens,omitempty"`
	Cost   float64 `json:"cost,omitempty"`
	Began  string  `json:"began,omitempty"`
	Ended  string  `json:"ended,omitempty"`
}

// Values of every status.
const (
	StatusPending        = "Pending"
	StatusRunning        = "Running"
	StatusPaused         = "Paused"
	StatusNeedsAttention = "NeedsAttention"
	StatusDone           = "Done"
	StatusFailed         = "Failed"
	// StatusCanceled is of what somebody cancelled, as Temporal spells it.
	StatusCanceled = "Canceled"
)
