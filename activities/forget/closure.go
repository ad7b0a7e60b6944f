package forget

import (
	"encoding/json"
	"maps"
	"slices"

	"rpo/schemas"
)

// set is a set of ids.
type set map[string]bool

func (s set) MarshalJSON() ([]byte, error) { return json.Marshal(slices.Sorted(maps.Keys(s))) }

func (s *set) UnmarshalJSON(data []byte) error {
	var ids []string
	if err := json.Unmarshal(data, &ids); err != nil {
		return err
	}
	*s = set{}
	for _, id := range ids {
		(*s)[id] = true
	}
	return nil
}

// closure are the ids of all that goes. Rows are found table by table, in the
// order in which the stages make them: each by ids of the tables before.
type closure struct {
	Profiles    set `json:"profiles"`
	Personas    set `json:"personas"`
	Seeds       set `json:"seeds"`
	Constraints set `json:"constraints"`
	Dialogues   set `json:"dialogues"`
	Turns       set `json:"turns"`
	Responses   set `json:"responses"`
	Pairs       set `json:"pairs"`
	// Rows are all of the above and those of the other tables.
	Rows set `json:"rows"`
}

func newClosure() *closure {
	return &closure{set{}, set{}, set{}, set{}, set{}, set{}, set{}, set{}, set{}}
}

// owners tag entries of the call cache.
func (c *closure) owners() (out []string) {
	for _, s := range []set{c.Profiles, c.Personas, c.Seeds, c.Constraints} {
		out = append(out, slices.Collect(maps.Keys(s))...)
	}
	return out
}

func (c *closure) add(o *closure) {
	for i, s := range o.sets() {
		maps.Copy(c.sets()[i], s)
	}
}

func (c *closure) sets() []set {
	return []set{c.Profiles, c.Personas, c.Seeds, c.Constraints, c.Dialogues, c.Turns, c.Responses, c.Pairs, c.Rows}
}

// tables are all tables in the order of their making. mine says whether a row
// goes, and enters its ids if so; texts are what a person may have written, or what
// was said to one: it must stand nowhere afterwards.
func (w *work) tables() []codec {
	c := w.closure
	mark := func(s set, id string, mine bool) bool {
		if mine {
			s[id], c.Rows[id] = true, true
		}
		return mine
	}
	byTurn := func(turn, id string) bool { return mark(c.Rows, id, c.Turns[turn]) }
	verdict := func(r schemas.Verdict) bool { return byTurn(r.TurnID, r.VerdictID) }
	pair := func(r schemas.Pair) bool {
		return mark(c.Pairs, r.PairID, c.Profiles[r.ProfileID] || c.Turns[r.TurnID])
	}
	return []codec{
		table(schemas.TableSeed, func(r schemas.Seed) bool {
			o := origin{r.Source, r.SourceID}
			return mark(c.Seeds, r.SeedID, c.Seeds[r.SeedID] || w.users[o] || w.origins[o])
		}, func(r schemas.Seed) []string { return append([]string{r.SourceID, r.Text}, r.Queries...) }),
		table(schemas.TablePersona, func(r schemas.Persona) bool {
			return mark(c.Personas, r.PersonaID, c.Personas[r.PersonaID] || slices.Contains(w.request.Personas, r.PersonaID) || w.users[origin{r.Source, r.SourceID}])
		}, func(r schemas.Persona) []string { return append([]string{r.SourceID, r.Description}, r.Traits...) }),
		table(schemas.TableProfile, func(r schemas.Profile) bool {
			mine := mark(c.Profiles, r.ProfileID, c.Profiles[r.ProfileID] || slices.Contains(w.request.Profiles, r.ProfileID) || w.users[origin{r.Source, r.SourceID}])
			for _, constraint := range r.Constraints {
				mark(c.Constraints, constraint.ConstraintID, mine)
			}
			return mine
		}, func(r schemas.Profile) []string { return []string{r.SourceID, r.System} }),
		table(schemas.TableDialogue, func(r schemas.Dialogue) bool {
			return mark(c.Dialogues, r.DialogueID, c.Profiles[r.ProfileID] || c.Personas[r.PersonaID])
		}, nil),
		table(schemas.TableTurn, func(r schemas.Turn) bool {
			mine := mark(c.Turns, r.TurnID, c.Profiles[r.ProfileID] || c.Dialogues[r.DialogueID])
			if mine {
				mark(c.Dialogues, r.DialogueID, true)
			}
			for _, constraint := range r.Constraints {
				mark(c.Constraints, constraint.ConstraintID, c.Profiles[r.ProfileID])
			}
			return mine
		}, func(r schemas.Turn) []string {
			out := []string{r.System, r.Query}
			for _, m := range r.History {
				out = append(out, m.Content)
			}
			return out
		}),
		table(schemas.TableTrigger, func(r schemas.Trigger) bool { return c.Turns[r.TurnID] }, nil),
		table(schemas.TableGolden, func(r schemas.Golden) bool { return mark(c.Responses, r.ResponseID, c.Turns[r.TurnID]) },
			func(r schemas.Golden) []string { return []string{r.Text} }),
		table(schemas.TableGoldenVerdict, verdict, nil),
		table(schemas.TableResponse, func(r schemas.Response) bool { return mark(c.Responses, r.ResponseID, c.Turns[r.TurnID]) },
			func(r schemas.Response) []string { return []string{r.Text} }),
		table(schemas.TableVerdict, verdict, nil),
		table(schemas.TableCalibration, func(r schemas.Calibration) bool { return c.Turns[r.TurnID] }, nil),
		table(schemas.TableOpposite, func(r schemas.Opposite) bool { return mark(c.Rows, r.OppositeID, c.Constraints[r.ConstraintID]) }, nil),
		table(schemas.TablePair, pair, nil),
		table(schemas.TableDPO, pair, nil),
		table(schemas.TableKTO, func(r schemas.Desirability) bool {
			return mark(c.Rows, r.DesirabilityID, c.Profiles[r.ProfileID] || c.Turns[r.TurnID])
		}, nil),
		table(schemas.TableSFT, func(r schemas.Demonstration) bool {
			return mark(c.Rows, r.DemonstrationID, c.Profiles[r.ProfileID] || c.Turns[r.TurnID])
		}, nil),
		table(schemas.TableReference, func(r schemas.Reference) bool { return c.Pairs[r.PairID] }, nil),
		table(schemas.TableEvaluation, func(r schemas.Evaluation) bool {
			return mark(c.Rows, r.EvaluationID, c.Profiles[r.ProfileID] || c.Turns[r.TurnID])
		}, nil),
		// Last, since the needles are known by now: a row that was set aside may hold
		// anything.
		table(schemas.TableQuarantine, func(r schemas.Quarantined) bool {
			return c.Rows[r.RowID] || w.refused(r) || w.needles.in(r.Request) || w.needles.in(r.Reason) || w.needles.in(r.RowID)
		}, nil),
	}
}

// refused reports whether a quarantined line of an import is a user's.
func (w *work) refused(r schemas.Quarantined) bool {
	if r.Stage != "import" {
		return false
	}
	var line struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal([]byte(r.Request), &line) != nil {
		return false
	}
	id := string(line.ID)
	json.Unmarshal(line.ID, &id)
	return slices.ContainsFunc(w.request.Users, func(key string) bool {
		return id != "" && (id == key || len(key) > len(id) && key[len(key)-len(id)-1:] == ":"+id)
	})
}
