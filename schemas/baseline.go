package schemas

// Tables of the baselines' data, made by the pair stage from the same responses,
// under unreversed prompts. Rows of TableDPO are of type Pair: Margin is the score
// gap, the number of constraints that only Chosen follows less those that only
// Rejected follows; Reversed is empty.
const (
	TableDPO = "dpo"
	TableKTO = "kto"
	TableSFT = "sft"
)

// BaselineTables are the tables of the baselines' data.
var BaselineTables = []string{TableDPO, TableKTO, TableSFT}

// DesirableScore is the score from which on KTO calls a response desirable: the
// paper's own threshold, under which a response needs refinement.
const DesirableScore = 0.7

// Desirability is one row of the kto table: a response and whether it is
// desirable. prompt, completion and label are the columns that TRL reads.
type Desirability struct {
	// DesirabilityID is the UUIDv5 of ResponseID.
	DesirabilityID string    `parquet:"desirability_id"`
	Prompt         []Message `parquet:"prompt"`
	// Completion is one assistant message.
	Completion []Message `parquet:"completion"`
	// Label says that Score is at least DesirableScore.
	Label bool `parquet:"label"`
	// Score is the share of the counted constraints that the response follows,
	// 0 to 1. One that is not counted is none of them (see Pair.NotApplicable).
	Score         float64  `parquet:"score"`
	TurnID        string   `parquet:"turn_id"`
	DialogueID    string   `parquet:"dialogue_id"`
	ProfileID     string   `parquet:"profile_id"`
	ResponseID    string   `parquet:"response_id"`
	Model         string   `parquet:"model,dict"`
	JudgedBy      []string `parquet:"judged_by,dict"`
	NotApplicable string   `parquet:"not_applicable,dict"`
}

// Demonstration is one row of the sft table: the best response of a turn, ties by
// response id. prompt and completion are the columns that TRL reads.
type Demonstration struct {
	// DemonstrationID is the UUIDv5 of ResponseID.
	DemonstrationID string    `parquet:"demonstration_id"`
	Prompt          []Message `parquet:"prompt"`
	// Completion is one assistant message.
	Completion []Message `parquet:"completion"`
	// Score is as in Desirability.
	Score         float64  `parquet:"score"`
	TurnID        string   `parquet:"turn_id"`
	DialogueID    string   `parquet:"dialogue_id"`
	ProfileID     string   `parquet:"profile_id"`
	ResponseID    string   `parquet:"response_id"`
	Model         string   `parquet:"model,dict"`
	JudgedBy      []string `parquet:"judged_by,dict"`
	NotApplicable string   `parquet:"not_applicable,dict"`
}

// PublishedBaseline is a version of a baseline's data set.
type PublishedBaseline struct {
	Dataset string `json:"dataset"`
	Version int    `json:"version"`
	Hash    string `json:"hash"`
	Rows    int64  `json:"rows"`
}
