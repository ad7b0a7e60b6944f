package schemas

// Response is one row of the response table: one sampled answer to a turn.
type Response struct {
	// ResponseID is the UUIDv5 of TurnID, Model, SampleIndex, Seed, the sampling
	// parameters and Text.
	ResponseID string `parquet:"response_id"`
	TurnID     string `parquet:"turn_id"`
	// SampleIndex counts the samples of a turn from 0.
	SampleIndex int64  `parquet:"sample_index"`
	Text        string `parquet:"text"`
	// FinishReason is the server's: "stop", or "length" for a truncated answer,
	// which never enters a pair.
	FinishReason string `parquet:"finish_reason,dict"`
	// DuplicateOf is the id of the first response of the turn with the same text;
	// null if this is the first.
	DuplicateOf *string `parquet:"duplicate_of"`
	// Endpoint is the endpoint's name in the worker's configuration, Model the
	// model that it was asked for.
	Endpoint string `parquet:"endpoint,dict"`
	Model    string `parquet:"model,dict"`
	// Temperature, TopP and Seed are the sampling parameters that were sent.
	Temperature float64 `parquet:"temperature"`
	TopP        float64 `parquet:"top_p"`
	Seed        int64   `parquet:"seed"`
}
