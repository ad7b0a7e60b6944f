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
}
