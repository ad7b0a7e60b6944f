package schemas

// Arms of an evaluation.
const (
	ArmBase    = "base"
	ArmTrained = "trained"
)

// Evaluation is one row of the evaluation table: one verdict on a held-out turn.
type Evaluation struct {
	// EvaluationID is the UUIDv5 of Arm, ResponseID and ConstraintID.
	EvaluationID string `parquet:"evaluation_id"`
	// Arm is ArmBase or ArmTrained.
	Arm          string `parquet:"arm,dict"`
	Model        string `parquet:"model,dict"`
	ProfileID    string `parquet:"profile_id"`
	TurnID       string `parquet:"turn_id"`
	ResponseID   string `parquet:"response_id"`
	ConstraintID string `parquet:"constraint_id"`
	Family       string `parquet:"family,dict"`
	Outcome      string `parquet:"outcome,dict"`
	JudgedBy     string `parquet:"judged_by,dict"`
}
