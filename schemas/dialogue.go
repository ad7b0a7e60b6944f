package schemas

// Tables of self-play, beside TableTurn.
const (
	TableDialogue      = "dialogue"
	TableTrigger       = "trigger"
	TableGolden        = "golden"
	TableGoldenVerdict = "golden_verdict" // rows of Verdict
)

// DialogueOptions say how dialogues are played (arXiv 2505.22172, section 3.3).
type DialogueOptions struct {
	// Personas is the URI of a manifest with the table of personas. Required.
	Personas string `json:"personas,omitempty"`
	// UserEndpoint plays the user, ResponderEndpoint answers and edits its own
	// answers; both are names in the worker's configuration. One is required, and
	// is the other's default together with its model.
	UserEndpoint      string `json:"user_endpoint,omitempty"`
	UserModel         string `json:"user_model,omitempty"`
	ResponderEndpoint string `json:"responder_endpoint,omitempty"`
	ResponderModel    string `json:"responder_model,omitempty"`
	// MaxTurns bounds a dialogue. Default 5.
	MaxTurns int `json:"max_turns,omitempty"`
	// DialoguesPerProfile, each with a persona drawn for it. Default 1.
	DialoguesPerProfile int `json:"dialogues_per_profile,omitempty"`
	// Candidates are the responses a turn of which the best is kept. Default 5.
	Candidates int `json:"candidates,omitempty"`
	// Threshold is the share of applicable triggered constraints that the best
	// response must follow. Default 0.7.
	Threshold float64 `json:"threshold,omitempty"`
	// RefineRounds bounds the edits of a response under the threshold. Default 3,
	// which is also the most.
	RefineRounds int `json:"refine_rounds,omitempty"`
	// DialogueMaxTokens bounds a response. Default 1024.
	DialogueMaxTokens int `json:"dialogue_max_tokens,omitempty"`
	// DialogueSeed changes personas, traits and samples.
	DialogueSeed int64 `json:"dialogue_seed,omitempty"`
}

func (o *DialogueOptions) SetDefaults() {
	if o.UserEndpoint == "" {
		o.UserEndpoint = o.ResponderEndpoint
		setDefault(&o.UserModel, o.ResponderModel)
	}
	if o.ResponderEndpoint == "" {
		o.ResponderEndpoint = o.UserEndpoint
		setDefault(&o.ResponderModel, o.UserModel)
	}
	setDefault(&o.MaxTurns, 5)
	setDefault(&o.DialoguesPerProfile, 1)
	setDefault(&o.Candidates, 5)
	setDefault(&o.Threshold, 0.7)
	setDefault(&o.RefineRounds, 3)
	setDefault(&o.DialogueMaxTokens, 1024)
}

func (o DialogueOptions) Validate() error {
	switch {
	case o.Personas == "":
		return require("personas", o.Personas)
	case o.ResponderEndpoint == "":
		return invalid("responder_endpoint", "is required, unless user_endpoint is given: a name in the worker's configuration")
	case o.MaxTurns < 1 || o.MaxTurns > 20:
		return invalid("max_turns", "%d is not between 1 and 20", o.MaxTurns)
	case o.DialoguesPerProfile < 1 || o.DialoguesPerProfile > 1000:
		return invalid("dialogues_per_profile", "%d is not between 1 and 1000", o.DialoguesPerProfile)
	case o.Candidates < 1 || o.Candidates > 128:
		return invalid("candidates", "%d is not between 1 and 128", o.Candidates)
	case !(o.Threshold > 0 && o.Threshold <= 1):
		return invalid("threshold", "%v is not above 0 and at most 1", o.Threshold)
	case o.RefineRounds < 1 || o.RefineRounds > 3:
		return invalid("refine_rounds", "%d is not between 1 and 3", o.RefineRounds)
	case o.DialogueMaxTokens < 1:
		return invalid("dialogue_max_tokens", "%d is not positive", o.DialogueMaxTokens)
	}
	return nil
}

// Reasons why a dialogue ended.
const (
	// EndedTurns: it has all its turns.
	EndedTurns = "turns"
	// EndedRepeats: the user's next queries all repeated earlier ones.
	EndedRepeats = "repeats"
	// EndedUntriggered: the user's next queries triggered no constraint, or
	// repeated earlier ones.
	EndedUntriggered = "untriggered"
	// EndedTruncated: every response to the next query was blank or cut off.
	EndedTruncated = "truncated"
	// EndedThreshold: even the refined response to the next query was under the
	// threshold.
	EndedThreshold = "threshold"
	// EndedError: the next turn failed; Detail says how. A dialogue whose first
	// turn fails is set aside instead.
	EndedError = "error"
)

// Dialogue is one row of the dialogue table: who talked, and why it ended. A
// dialogue without turns was skipped.
type Dialogue struct {
	// DialogueID is the UUIDv5 of ProfileID, the seed and Number.
	DialogueID string `parquet:"dialogue_id"`
	ProfileID  string `parquet:"profile_id"`
	// Number counts the dialogues of a profile from 0.
	Number    int64  `parquet:"number"`
	Split     string `parquet:"split,dict"`
	PersonaID string `parquet:"persona_id"`
	// Traits are those of the persona's that the user was played with.
	Traits []string `parquet:"traits"`
	// Language is that of the prompts: "en" or "zh".
	Language string `parquet:"language,dict"`
	Turns    int64  `parquet:"turns"`
	// Ended is one of the Ended constants; Detail says more of an error, and is
	// null otherwise.
	Ended  string  `parquet:"ended,dict"`
	Detail *string `parquet:"detail"`
	// UserModel and ResponderModel are the models, each with the versions of its
	// prompts.
	UserModel      string `parquet:"user_model,dict"`
	ResponderModel string `parquet:"responder_model,dict"`
}

// What a constraint's place among a turn's triggered ones rests on.
const (
	// TriggerAlways: the constraint has no trigger.
	TriggerAlways = "always"
	// TriggerByQuery: the query meets the trigger.
	TriggerByQuery = "query"
	// TriggerByResponse: it depends on what the response says.
	TriggerByResponse = "response"
	// TriggerUnmet: it depends on the query alone, which does not meet it.
	TriggerUnmet = "unmet"
)

// Trigger is one row of the trigger table: whether a turn's query triggers one
// constraint. Every constraint of the profile has one row a turn.
type Trigger struct {
	TurnID       string `parquet:"turn_id"`
	ConstraintID string `parquet:"constraint_id,dict"`
	// Triggered is false for TriggerUnmet alone.
	Triggered bool `parquet:"triggered"`
	// Basis is one of the Trigger constants.
	Basis string `parquet:"basis,dict"`
	// Reason is the judge model's; null for TriggerAlways.
	Reason *string `parquet:"reason"`
	// JudgedBy is the judge model with the version of its prompt, or
	// "construction" for TriggerAlways.
	JudgedBy string `parquet:"judged_by,dict"`
}

// Golden is one row of the golden table: the best response to a turn, which is
// the history of the turns after it.
type Golden struct {
	TurnID string `parquet:"turn_id"`
	// ResponseID is the UUIDv5 of TurnID, Model, Rounds, SampleIndex and Text.
	ResponseID string `parquet:"response_id"`
	Text       string `parquet:"text"`
	// Share is Followed over the sum of Followed and NotFollowed, the counts of
	// its verdicts; 1 if none of the triggered constraints applies.
	Share       float64 `parquet:"share"`
	Followed    int64   `parquet:"followed"`
	NotFollowed int64   `parquet:"not_followed"`
	// Rounds are the edits that were asked for, 0 if the sampled one was good
	// enough. FirstShare is the share before them.
	Rounds     int64   `parquet:"rounds"`
	FirstShare float64 `parquet:"first_share"`
	// SampleIndex is the candidate that this is, or was edited from.
	SampleIndex int64 `parquet:"sample_index"`
	// Candidates are the samples that were whole and told apart.
	Candidates int64  `parquet:"candidates"`
	Endpoint   string `parquet:"endpoint,dict"`
	Model      string `parquet:"model,dict"`
}
