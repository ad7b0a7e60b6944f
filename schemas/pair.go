package schemas

// Pair is one row of the pair table. prompt, chosen and rejected are the
// conversational columns that TRL and others read.
type Pair struct {
	// PairID is the UUIDv5 of ChosenResponseID, RejectedResponseID and the prompt.
	PairID string `parquet:"pair_id"`
	// Prompt is x_{S_i}: the system message with every constraint reversed that
	// the chosen response fails, the golden history and the query.
	Prompt []Message `parquet:"prompt"`
	// Chosen and Rejected are one assistant message each.
	Chosen   []Message `parquet:"chosen"`
	Rejected []Message `parquet:"rejected"`
	// Margin is g: the number of constraints of the prompt that Rejected fails,
	// while Chosen fails none (arXiv 2505.22172, section 3.2).
	Margin     float64 `parquet:"margin"`
	TurnID     string  `parquet:"turn_id"`
	DialogueID string  `parquet:"dialogue_id"`
	ProfileID  string  `parquet:"profile_id"`
	// ChosenResponseID and RejectedResponseID join the response table.
	ChosenResponseID   string `parquet:"chosen_response_id"`
	RejectedResponseID string `parquet:"rejected_response_id"`
	// Reversed lists what was replaced in the system message, in its order.
	Reversed []Reversal `parquet:"reversed"`
	// Differing holds the ids of the Margin constraints on which the two differ.
	Differing []string `parquet:"differing"`
	// Case is the paper's case (1 to 6) that the two responses fall into under
	// the unreversed prompt.
	Case int64 `parquet:"case"`
	// Model sampled both responses; JudgedBy lists what judged them.
	Model    string   `parquet:"model,dict"`
	JudgedBy []string `parquet:"judged_by,dict"`
	// NotApplicable is the policy for constraints that do not apply to a response
	// under which the pair was made: ExcludeNotApplicable or FollowedNotApplicable.
	NotApplicable string `parquet:"not_applicable,dict"`
}

// Reversal is one replaced constraint and where its opposite comes from.
type Reversal struct {
	ConstraintID string `parquet:"constraint_id"`
	OppositeID   string `parquet:"opposite_id"`
	Original     string `parquet:"original"`
	Opposite     string `parquet:"opposite"`
	ReversedBy   string `parquet:"reversed_by"`
}
