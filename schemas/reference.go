package schemas

// Reference is one row of the reference table: the log-probability of one
// response under the policy that training starts from. The trainer writes it.
type Reference struct {
	// PairID is the id of the row, of whatever table it is.
	PairID string `parquet:"pair_id"`
	// Role is "chosen" or "rejected"; of kto "completion" or "mismatched" (the same
	// prompt with the completion of another).
	Role string `parquet:"role"`
	// Key is the sha256 of the prompt's and the response's token ids, the weights
	// digest and the tokenizer digest: equal keys have equal values.
	Key string `parquet:"key"`
	// LogProb is the fp32 sum of the response's token log-probabilities in nats,
	// its end-of-turn token included; null where Error is set.
	LogProb *float64 `parquet:"logprob"`
	// Tokens counts the response's tokens.
	Tokens int64 `parquet:"tokens"`
	// Error says why there is no value ("too_long"); null if there is one.
	Error *string `parquet:"error"`
}

// ReferenceOf names the reference table of a table of rows: each baseline's is
// beside that of the pairs.
func ReferenceOf(table string) string {
	if table == TablePair {
		return TableReference
	}
	return TableReference + "_" + table
}
