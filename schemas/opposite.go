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
	// Text replaces Original in the system message.
	Text string `parquet:"text"`
	// Rule is the opposite's rule, zero where the constraint has none.
	Rule Rule `parquet:"rule"`
	// Source is ByRule or ByModel.
	Source string `parquet:"source,dict"`
	// ReversedBy is the rule profile with its version, or the model with the
	// version of its prompt.
	ReversedBy string `parquet:"reversed_by,dict"`
}
