package schemas

// Opposite is one row of the opposite table: the exact complement of one
// constraint. Every response that the constraint applies to follows one of the
// two and not the other.
type Opposite struct {
	// OppositeID is the UUIDv5 of ConstraintID, Text and ReversedBy.
	OppositeID   string `parquet:"opposite_id"`
	ConstraintID string `parquet:"constraint_id"`
	// Original is the constraint's text.
	Original string `parquet:"original"`
	// Text replaces Original in the system message; "" if the constraint is
	// irreversible.
	Text string `parquet:"text"`
	// Rule is the opposite's rule, zero where the constraint has none.
	Rule Rule `parquet:"rule"`
	// Source is ByRule or ByModel.
	Source string `parquet:"source,dict"`
	// ReversedBy is the rule profile with its version, or the model with the
	// version of its prompt, " + " and the same of the model that checked it.
	ReversedBy string `parquet:"reversed_by,dict"`
	// Irreversible says why no opposite could be found: pairs that need one are not
	// made. Null where there is one.
	Irreversible *string `parquet:"irreversible"`
}
