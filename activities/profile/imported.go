package profile

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// Sources of the formats with a published name.
const (
	SourceSystemIFEval = "system_ifeval"
	SourceIFEval       = "ifeval"
)

// importStage is the stage of the manifest and of quarantined rows.
const importStage = "import"

// Imported is what one file gave. Its books count lines: In were read, OK became
// profiles.
type Imported struct {
	Profiles    []schemas.Profile
	Turns       []schemas.Turn
	Quarantined []schemas.Quarantined
	Books       schemas.Books
}

// Options are the choices of an import.
type Options struct {
	// EvalFraction is the share of profiles, 0 to 1, that are held out for
	// evaluation where the file does not say. The combination of constraints
	// decides, so that equal ones always fall on the same side.
	EvalFraction float64
}

func (o Options) validate() error {
	if !(o.EvalFraction >= 0 && o.EvalFraction <= 1) {
		return schemas.Errorf(schemas.InvalidInput, "import: the evaluation fraction must be from 0 to 1, it is %v", o.EvalFraction)
	}
	return nil
}

// split draws by the combination of constraints, so that profiles with the same
// one never stand on both sides.
func (o Options) split(constraints []schemas.Constraint) string {
	var demands []string
	for _, c := range constraints {
		if c.Rule.IsZero() {
			demands = append(demands, c.Text)
		} else {
			demands = append(demands, strings.Join([]string{c.Rule.Profile, c.Rule.Kind, c.Rule.Args, strconv.FormatBool(c.Rule.Negated)}, "\x00"))
		}
	}
	slices.Sort(demands)
	sum := sha256.Sum256([]byte(strings.Join(demands, "\x01")))
	if float64(binary.BigEndian.Uint64(sum[:8])>>11)/(1<<53) < o.EvalFraction {
		return schemas.SplitEval
	}
	return schemas.SplitTrain
}

// draft is one profile before it has ids.
type draft struct {
	sourceID, split, system string
	// demands are ordered by start and do not overlap.
	demands   []demand
	dialogues [][]exchange
}

type demand struct {
	span
	family, trigger string
	rule            schemas.Rule
}

// exchange is one turn. triggered are places in draft.demands; nil means all.
type exchange struct {
	query, answer string
	triggered     []int
}

func profileID(source, sourceID, system string) string {
	return schemas.ID(schemas.TableProfile, source, sourceID, system)
}

// add gives a draft its ids and appends its rows.
func (in *Imported) add(source string, d draft, o Options) {
	p := schemas.Profile{
		ProfileID: profileID(source, d.sourceID, d.system),
		Source:    source,
		SourceID:  d.sourceID,
		Split:     d.split,
		System:    d.system,
	}
	for i, c := range d.demands {
		text := d.system[c.start:c.end]
		p.Constraints = append(p.Constraints, schemas.Constraint{
			ConstraintID: schemas.ID("constraint", p.ProfileID, strconv.Itoa(i), text),
			Text:         text,
			Family:       c.family,
			Rule:         c.rule,
			Trigger:      c.trigger,
			Start:        int64(c.start),
			End:          int64(c.end),
		})
	}
	if p.Split == "" {
		p.Split = o.split(p.Constraints)
	}
	in.Profiles = append(in.Profiles, p)
	in.Books.OK++
	for i, dialogue := range d.dialogues {
		in.addDialogue(p, schemas.ID("dialogue", p.ProfileID, strconv.Itoa(i)), dialogue)
	}
}

func (in *Imported) addDialogue(p schemas.Profile, id string, dialogue []exchange) {
	var history []schemas.Message
	// before stands for all that was said before a turn, so that a dialogue that
	// was changed in its source has other ids from the change on.
	before := ""
	for i, e := range dialogue {
		t := schemas.Turn{
			TurnID:      schemas.ID(schemas.TableTurn, id, strconv.Itoa(i), before, e.query),
			DialogueID:  id,
			ProfileID:   p.ProfileID,
			Split:       p.Split,
			Index:       int64(i),
			System:      p.System,
			History:     history[:len(history):len(history)],
			Query:       e.query,
			Constraints: p.Constraints,
		}
		for place, c := range p.Constraints {
			if e.triggers(place) {
				t.Triggered = append(t.Triggered, c.ConstraintID)
			}
		}
		in.Turns = append(in.Turns, t)
		before = schemas.ID("exchange", t.TurnID, e.answer)
		history = append(history,
			schemas.Message{Role: "user", Content: e.query},
			schemas.Message{Role: "assistant", Content: e.answer})
	}
}

func (e exchange) triggers(place int) bool {
	if e.triggered == nil {
		return true
	}
	for _, i := range e.triggered {
		if i == place {
			return true
		}
	}
	return false
}

// setAside books a row that cannot be used.
func (in *Imported) setAside(rowID, reason string, row []byte) {
	in.Books.Quarantined++
	in.Quarantined = append(in.Quarantined, schemas.Quarantined{
		Stage:     importStage,
		Table:     schemas.TableProfile,
		RowID:     rowID,
		ErrorType: string(schemas.InvalidInput),
		Reason:    reason,
		Request:   string(row),
	})
}
