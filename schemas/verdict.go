package schemas

// Outcomes of judging one constraint on one response.
const (
	Followed      = "followed"
	NotFollowed   = "not_followed"
	NotApplicable = "not_applicable"
	// Abstained: the votes disagree. The constraint is neither reversed nor counted.
	Abstained = "abstained"
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
	// Outcome is one of the outcomes above, from a rule its strict verdict. It is
	// stored as it was given: whether what is not applicable counts as followed, as
	// in the paper, or not at all, is the pair stage's option not_applicable.
	Outcome string `parquet:"outcome,dict"`
	// Loose is the rule's loose verdict, for reports only; null from a judge model.
	Loose *bool `parquet:"loose"`
	// Source is ByRule or ByModel.
	Source string `parquet:"source,dict"`
	// JudgedBy is the rule profile with its version ("ifeval/1"), or the judge
	// model with the version of its prompt ("gpt-4o judge/1"), two of them joined
	// by " + ".
	JudgedBy string `parquet:"judged_by,dict"`
	// Reason is the judge model's, of its first vote, or how the votes stand where it
	// is Abstained; null from a rule.
	Reason *string `parquet:"reason"`
	// Votes are those that Outcome comes from, empty where only one was cast.
	Votes []Vote `parquet:"votes"`
}

// Vote is one judge model's one answer about a constraint on a response.
type Vote struct {
	JudgedBy string `parquet:"judged_by"`
	// Outcome is Followed, NotFollowed or NotApplicable.
	Outcome string `parquet:"outcome"`
	Reason  string `parquet:"reason"`
}

// Agreement is the share of votes for the most frequent outcome, 1 where only one
// was cast.
func (v Verdict) Agreement() float64 {
	if len(v.Votes) == 0 {
		return 1
	}
	most, of := 0, map[string]int{}
	for _, vote := range v.Votes {
		of[vote.Outcome]++
		most = max(most, of[vote.Outcome])
	}
	return float64(most) / float64(len(v.Votes))
}
