package schemas

// TableCalibration holds what judges say about constraints that rules decide.
const TableCalibration = "calibration"

// Calibration is one row of the calibration table: one judge asked about one
// constraint that has a rule, on one response. It changes no verdict.
type Calibration struct {
	ResponseID   string `parquet:"response_id"`
	TurnID       string `parquet:"turn_id"`
	ConstraintID string `parquet:"constraint_id,dict"`
	Family       string `parquet:"family,dict"`
	// RuleOutcome is Followed or NotFollowed, JudgeOutcome also NotApplicable.
	RuleOutcome  string `parquet:"rule_outcome,dict"`
	JudgeOutcome string `parquet:"judge_outcome,dict"`
	// JudgedBy is the judge model with the version of its prompt.
	JudgedBy string `parquet:"judged_by,dict"`
}

// FamilyCalibration compares one judge with the rules on one family of
// constraints. A rate is null where its denominator is 0.
type FamilyCalibration struct {
	JudgedBy string `json:"judged_by"`
	// Family is a Family constant, "" for all families together.
	Family string `json:"family"`
	// N are the constraints judged: Pass that the rule holds for followed, and Fail
	// for not followed.
	N    int64 `json:"n"`
	Pass int64 `json:"pass"`
	Fail int64 `json:"fail"`
	// NotApplicable are those of N that the judge does not decide: the judge is
	// wrong about them, since a rule always decides.
	NotApplicable int64 `json:"not_applicable"`
	// Accuracy is the share of N on which judge and rule agree.
	Accuracy *float64 `json:"accuracy"`
	// FalsePass is the share of Fail that the judge holds for followed, FalseFail
	// the share of Pass that it holds for not followed.
	FalsePass *float64 `json:"false_pass"`
	FalseFail *float64 `json:"false_fail"`
}

// CalibrationResult is what a judge stage learned about its judges.
type CalibrationResult struct {
	// Report is the URI of this result as JSON, Page that of the same in Markdown.
	Report string `json:"report"`
	Page   string `json:"page"`
	Rows   int64  `json:"rows"`
	// Invalid are the responses a judge gave no valid reply about.
	Invalid  int64               `json:"invalid"`
	Families []FamilyCalibration `json:"families"`
}
