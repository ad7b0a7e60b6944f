package schemas

// TableSeed is the table of what profiles and personas are generated from.
const TableSeed = "seed"

// Kinds of seeds.
const (
	// SeedProfile is a short description of an assistant, to be expanded.
	SeedProfile = "profile"
	// SeedPersona is a short description of a user, to be expanded.
	SeedPersona = "persona"
	// SeedSystem is a system prompt whose constraints are to be found.
	SeedSystem = "system"
)

// Languages that profiles are generated in.
const (
	English = "en"
	Chinese = "zh"
)

// Seed is one row of the seed table.
type Seed struct {
	// SeedID is the UUIDv5 of the source's name, the source's own id, Kind and Text.
	SeedID string `parquet:"seed_id"`
	// Source names where the seed comes from, SourceID is unique inside it.
	Source   string `parquet:"source,dict"`
	SourceID string `parquet:"source_id"`
	// Kind is one of the Seed constants.
	Kind string `parquet:"kind,dict"`
	// Text is the description or, byte for byte, the system prompt.
	Text string `parquet:"text"`
	// Language is English or Chinese.
	Language string `parquet:"language,dict"`
	// Split is SplitTrain or SplitEval.
	Split string `parquet:"split,dict"`
	// Queries are the first queries of dialogues with the profile; often empty.
	Queries []string `parquet:"queries"`
}
