package schemas

// Turn is one row of the dialogue turn table: a user query together with all
// that is needed to answer and to judge it.
type Turn struct {
	// TurnID is the UUIDv5 of DialogueID, Index, an id of all that was said before
	// ("" at Index 0) and Query. So equal ids have equal prompts.
	TurnID string `parquet:"turn_id"`
	// DialogueID is the UUIDv5 of ProfileID and the dialogue's place in the source;
	// of self-play, of ProfileID, the seed and the dialogue's number.
	DialogueID string `parquet:"dialogue_id"`
	ProfileID  string `parquet:"profile_id"`
	// Split is the profile's split.
	Split string `parquet:"split,dict"`
	// Index counts the turns of a dialogue from 0.
	Index int64 `parquet:"index"`
	// System is the profile's system message with its original constraints.
	System string `parquet:"system"`
	// History is the golden history: alternating user and assistant messages of
	// the turns before, empty at Index 0. It holds no system message.
	History []Message `parquet:"history"`
	// Query is the user's message of this turn. It is "" where the instruction
	// has no system message and System is the user's message itself (IFEval).
	Query string `parquet:"query"`
	// Constraints are all constraints of the profile, ordered by Start.
	Constraints []Constraint `parquet:"constraints"`
	// Triggered holds the ids of the constraints that this turn's query triggers:
	// only these are judged and can be reversed.
	Triggered []string `parquet:"triggered"`
}

// TriggeredConstraints returns the turn's triggered constraints in the order of
// the system message.
func (t Turn) TriggeredConstraints() []Constraint {
	on := make(map[string]bool, len(t.Triggered))
	for _, id := range t.Triggered {
		on[id] = true
	}
	var out []Constraint
	for _, c := range t.Constraints {
		if on[c.ConstraintID] {
			out = append(out, c)
		}
	}
	return out
}

// Messages renders the prompt of the turn.
func (t Turn) Messages() []Message {
	if t.Query == "" {
		return []Message{{Role: "user", Content: t.System}}
	}
	out := make([]Message, 0, len(t.History)+2)
	out = append(out, Message{Role: "system", Content: t.System})
	out = append(out, t.History...)
	return append(out, Message{Role: "user", Content: t.Query})
}
