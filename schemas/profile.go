package schemas

// Splits of a data set. A split is a property of the profile. Where a file does
// not say, import draws it by the combination of constraints, so that none stands
// on both sides.
const (
	SplitTrain = "train"
	SplitEval  = "eval"
)

// Profile is one row of the profile table: a system message with the spans of
// its constraints.
type Profile struct {
	// ProfileID is the UUIDv5 of the source's name, the source's own id and System.
	ProfileID string `parquet:"profile_id"`
	// Source names where the profile comes from, for example "system_ifeval".
	Source string `parquet:"source,dict"`
	// SourceID is the id that the source gives it, unique inside the source.
	SourceID string `parquet:"source_id"`
	// Split is SplitTrain or SplitEval.
	Split string `parquet:"split,dict"`
	// System is the system message, byte for byte. Rendering replaces the spans
	// of reversed constraints and touches no other byte.
	System string `parquet:"system"`
	// Constraints are ordered by Start and do not overlap; there is at least one.
	Constraints []Constraint `parquet:"constraints"`
	// MadeBy names the model and the prompt that wrote the constraints or found
	// them, "" for a profile that was imported with them.
	MadeBy string `parquet:"made_by,dict"`
}
