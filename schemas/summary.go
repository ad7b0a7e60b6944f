package schemas

// Summary is the result of RunPipeline and what `rpo quickstart --json` prints.
// Field names are public: add, never rename.
type Summary struct {
	// Dialogues, Responses and Verdicts count rows of the training split.
	Dialogues int64 `json:"dialogues"`
	Responses int64 `json:"responses"`
	Verdicts  int64 `json:"verdicts"`
	// Quarantined counts the rows set aside, import included.
	Quarantined int64 `json:"quarantined"`
	// Pairs counts training pairs, PairsByG the same by margin g ("1", "2", ...).
	Pairs    int64            `json:"pairs"`
	PairsByG map[string]int64 `json:"pairs_by_g"`
	// TrainSteps counts optimizer steps. LossFirst and LossLast are the losses of
	// the first and the last one, in nats per pair.
	TrainSteps int64   `json:"train_steps"`
	LossFirst  float64 `json:"loss_first"`
	LossLast   float64 `json:"loss_last"`
	// RewardAccuracy is the share of held-out pairs whose chosen response has the
	// higher reward after training; null if no pair was held out.
	RewardAccuracy *float64 `json:"reward_accuracy"`
	// BaseSatisfaction and TrainedSatisfaction are the shares of followed
	// constraints on held-out profiles, over EvalVerdicts verdicts of each arm.
	BaseSatisfaction    float64 `json:"base_satisfaction"`
	TrainedSatisfaction float64 `json:"trained_satisfaction"`
	EvalVerdicts        int64   `json:"eval_verdicts"`
	// Difference is trained minus base; DifferenceCI95 its 95 % interval, with
	// profiles as the independent units.
	Difference     float64              `json:"difference"`
	DifferenceCI95 [2]float64           `json:"difference_ci95"`
	EvalProfiles   int64                `json:"eval_profiles"`
	Families       []FamilySatisfaction `json:"families"`
	// DatasetHash and DatasetVersion name the published version of Dataset.
	Dataset        string `json:"dataset"`
	DatasetHash    string `json:"dataset_hash"`
	DatasetVersion int    `json:"dataset_version"`
	// Report is where the HTML report lies, Card the dataset card, Model the
	// trained model's record.
	Report string `json:"report"`
	Card   string `json:"card"`
	Model  string `json:"model"`
	// Stages are the results of the stages in their order.
	Stages []StageResult `json:"stages"`
	// Promotion is what became of the trained model, null if none was asked for.
	Promotion *Promotion `json:"promotion,omitempty"`
}

// FamilySatisfaction is the share of followed constraints of one family.
type FamilySatisfaction struct {
	Family  string  `json:"family"`
	Base    float64 `json:"base"`
	Trained float64 `json:"trained"`
	// Verdicts counts the verdicts of each arm.
	Verdicts int64 `json:"verdicts"`
}

// StageResult is the result of every stage workflow.
type StageResult struct {
	Stage string `json:"stage"`
	Job   string `json:"job"`
	// Manifest is the URI of what the stage made.
	Manifest string `json:"manifest"`
	Shards   int    `json:"shards"`
	// Reused counts the shards that an earlier run had committed.
	Reused int `json:"reused"`
	// FailedShards counts the shards that were given up, Failed lists the first.
	FailedShards int              `json:"failed_shards,omitempty"`
	Failed       []ShardFailure   `json:"failed,omitempty"`
	Books        Books            `json:"books"`
	Counts       map[string]int64 `json:"counts,omitempty"`
	// Spending sums what the commits used.
	Spending
}

// ShardFailure says why a shard has no commit record.
type ShardFailure struct {
	Shard     int    `json:"shard"`
	ErrorType string `json:"error_type"`
	Message   string `json:"message"`
}
