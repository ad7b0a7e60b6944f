package schemas

// Families of constraints (arXiv 2505.22172, section 3.1).
const (
	FamilyContent   = "content"
	FamilyFormat    = "format"
	FamilyStyle     = "style"
	FamilyRole      = "role"
	FamilyLogic     = "logic"
	FamilyBehaviour = "behaviour"
)

// Message is one chat message. Role is "system", "user" or "assistant".
type Message struct {
	Role    string `json:"role" parquet:"role"`
	Content string `json:"content" parquet:"content"`
}

// Rule names a deterministic check of a response. The zero Rule means that no
// rule is known and that a judge model decides.
type Rule struct {
	// Profile is the named set of semantics the kind belongs to: "rpo" (ours),
	// "ifeval" (the official checkers) or "multi_if".
	Profile string `json:"profile" parquet:"profile"`
	// Kind is the check's name inside the profile, for example
	// "length_constraints:number_words".
	Kind string `json:"kind" parquet:"kind"`
	// Args is a canonical JSON object (sorted keys, no blanks); "" means {}.
	Args string `json:"args" parquet:"args"`
	// Negated inverts the check for every non-blank response. A blank response
	// passes neither a rule nor its negation.
	Negated bool `json:"negated" parquet:"negated"`
}

// IsZero reports whether no rule is known. A rule that has a profile but no kind
// is a mistake, not the absence of a rule.
func (r Rule) IsZero() bool { return r == Rule{} }

// Constraint is one demand that a system message makes of every response.
type Constraint struct {
	// ConstraintID is the UUIDv5 of the profile's id, the constraint's place in
	// the profile and its text.
	ConstraintID string `json:"constraint_id" parquet:"constraint_id"`
	// Text is the constraint as it stands in the system message, byte for byte.
	Text string `json:"text" parquet:"text"`
	// Family is one of the Family constants.
	Family string `json:"family" parquet:"family"`
	// Rule decides verdicts for free; the zero Rule leaves them to the judge.
	Rule Rule `json:"rule" parquet:"rule"`
	// Trigger is the condition under which the constraint applies, "" if always.
	Trigger string `json:"trigger" parquet:"trigger"`
	// Start and End are the byte offsets of Text in the profile's system message.
	Start int64 `json:"start" parquet:"start"`
	End   int64 `json:"end" parquet:"end"`
	// OppositeOf is the text of the constraint that this one reverses, "" for an
	// original. It makes the opposite of an opposite the original again.
	OppositeOf string `json:"opposite_of,omitempty" parquet:"opposite_of"`
}
