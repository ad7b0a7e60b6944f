package schemas

// Outcomes of judging one constraint on one response.
const (
	Followed      = "followed"
	NotFollowed   = "not_followed"
	NotApplicable = "not_applicable"
)

// Sources of a verdict or of an opposite.
const (
	ByRule  = "rule"
	ByModel = "model"
)

// Verdict is one row of the verdict table: one constraint judged on one response.
type Verdict struct {
	// VerdictID is the UUIDv5 of ResponseID, ConstraintID and JudgedBy.
	VerdictID    string `parquet:"verdict_id"`
	ResponseID   string `parquet:"response_id"`
	TurnID       string `parquet:"turn_id"`
	ConstraintID string `parquet:"constraint_id,dict"`
	Family       string `parquet:"family,dict"`
	// Outcome is Followed, NotFollowed or NotApplicable, from the strict verdict.
	Outcome string `parquet:"outcome,dict"`
	// Loose is the rule's loose verdict, for reports only; null from a judge model.
	Loose *bool `parquet:"loose"`
	// Source is ByRule or ByModel.
	Source string `parquet:"source,dict"`
	// JudgedBy is the rule profile with its version ("ifeval/1"), or the judge
	// model with the version of its prompt ("gpt-4o judge/1").
	JudgedBy string `parquet:"judged_by,dict"`
	// Reason is the judge model's; null from a rule.
	Reason *string `parquet:"reason"`
}
