package schemas

// TrainPlan is what the trainer predicts of a run before anything is loaded, from
// the model's config.json and the number and length of the rows. Lengths are
// estimated from a part of the text (four ASCII characters a token, one of any
// other), so tokens, hours and cost are estimates. The trainer checks the true
// lengths against the GPU's memory before it reads weights.
type TrainPlan struct {
	// Device is the GPU's name, or "CPU".
	Device string `json:"device"`
	// Processes are the ranks of the run, each with a GPU or a share of the memory.
	Processes int `json:"processes"`
	// MemoryGB is what one process needs at most, by class, TotalGB their sum and
	// LimitGB what it has, in 1e9 bytes.
	MemoryGB map[string]float64 `json:"memory_gb"`
	TotalGB  float64            `json:"total_gb"`
	LimitGB  float64            `json:"limit_gb"`
	// TokensPerBatch is what one process is expected to hold at once, and
	// LargestTokensPerBatch the most that fits.
	TokensPerBatch        int `json:"tokens_per_batch"`
	LargestTokensPerBatch int `json:"largest_tokens_per_batch"`
	// Pairs counts the rows, TokensPerPair is the mean.
	Pairs         int64   `json:"pairs"`
	TokensPerPair float64 `json:"tokens_per_pair"`
	CheckpointGB  float64 `json:"checkpoint_gb"`
	// Hours of training and of a reference pass at Efficiency, an assumed share of
	// the device's peak; null for a device whose peak nobody stated. Cost is Hours
	// times the processes times the worker's price_per_hour; null without one.
	Hours      *float64 `json:"hours"`
	Efficiency float64  `json:"efficiency"`
	Cost       *float64 `json:"cost"`
}
