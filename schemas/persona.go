package schemas

// TablePersona is the table of simulated users.
const TablePersona = "persona"

// Persona is one row of the persona table: a user that self-play simulates
// (arXiv 2505.22172, section 3.2).
type Persona struct {
	// PersonaID is the UUIDv5 of the source's name, the source's own id, Name,
	// Description and Traits.
	PersonaID string `parquet:"persona_id"`
	Source    string `parquet:"source,dict"`
	SourceID  string `parquet:"source_id"`
	// Name is one line, Description one paragraph without line breaks: who the
	// user is and what brings them here.
	Name        string `parquet:"name"`
	Description string `parquet:"description"`
	// Traits are ten distinct short phrases.
	Traits []string `parquet:"traits"`
	// Language is English or Chinese.
	Language string `parquet:"language,dict"`
	// Split is SplitTrain or SplitEval.
	Split string `parquet:"split,dict"`
	// MadeBy names the model and the prompt that wrote the row.
	MadeBy string `parquet:"made_by,dict"`
}
