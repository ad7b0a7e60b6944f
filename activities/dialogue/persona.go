package dialogue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"rpo/activities/chat/prompt"
	"rpo/activities/store"
	"rpo/schemas"
)

const (
	// traitsPerDialogue are those of a persona's that a user is played with
	// (arXiv 2505.22172, section 3.3).
	traitsPerDialogue = 10
	// draws bounds the objects looked at for a persona of the profile's language.
	draws = 4
)

// Part is one dialogue to be played.
type Part struct {
	Profile schemas.Profile
	// Number counts the dialogues of a profile from 0.
	Number  int
	Persona schemas.Persona
	Traits  []string

	seed int64
}

// ID is the dialogue's id.
func (p Part) ID() string {
	return schemas.ID("dialogue", p.Profile.ProfileID, "self-play", strconv.FormatInt(p.seed, 10), strconv.Itoa(p.Number))
}

// draw is a number that depends on the seed, the dialogue and the purpose alone.
func (p Part) draw(purpose string, i int) uint64 {
	sum := sha256.Sum256([]byte(p.ID() + " " + purpose + " " + strconv.Itoa(i)))
	return binary.BigEndian.Uint64(sum[:8])
}

// chinese reports whether the dialogue is played in Chinese.
func (p Part) chinese() bool { return prompt.Chinese(p.Profile.System) }

func (p Part) language() string {
	if p.chinese() {
		return schemas.Chinese
	}
	return schemas.English
}

// Cast gives every dialogue of the profiles a persona and traits, which depend
// on the seed, the profile and the number of the dialogue alone, given the
// personas. A persona of the profile's split and language is preferred; an
// object is drawn by its rows, at most four times, and each that is drawn is
// read once.
func Cast(ctx context.Context, s store.Store, profiles []schemas.Profile, o schemas.DialogueOptions) ([]Part, error) {
	var parts []Part
	for _, p := range profiles {
		for n := range o.DialoguesPerProfile {
			parts = append(parts, Part{Profile: p, Number: n, seed: o.DialogueSeed})
		}
	}
	m, err := personaManifest(ctx, s, o.Personas)
	if err != nil {
		return nil, err
	}
	open := make([]int, len(parts)) // places of parts that lack a persona of their language
	for i := range parts {
		open[i] = i
	}
	for round := 0; round < draws && len(open) > 0; round++ {
		drawn := map[string][]int{}
		objects := map[string]schemas.Object{}
		for _, i := range open {
			object := drawObject(m, parts[i], round)
			objects[object.Key] = object
			drawn[object.Key] = append(drawn[object.Key], i)
		}
		open = nil
		for key, places := range drawn {
			personas, err := store.GetRows[schemas.Persona](ctx, s, objects[key])
			if err != nil {
				return nil, err
			}
			for _, i := range places {
				if !parts[i].choose(personas) {
					open = append(open, i)
				}
			}
		}
	}
	return parts, nil
}

// personaManifest reads a manifest that has at least one persona.
func personaManifest(ctx context.Context, s store.Store, uri string) (schemas.Manifest, error) {
	m, err := store.GetManifest(ctx, s, uri)
	if err != nil {
		return m, schemas.Errorf(schemas.TypeOf(err), "field \"personas\": %w", err)
	}
	if !slices.ContainsFunc(m.Objects(schemas.TablePersona), func(o schemas.Object) bool { return o.Rows > 0 }) {
		return m, schemas.Errorf(schemas.InvalidInput,
			"field \"personas\": manifest %s is of stage %s and has no rows in table %q: generate or import personas first", uri, m.Stage, schemas.TablePersona)
	}
	return m, nil
}

// drawObject draws one of the objects of the profile's split, or of all where it
// has none, each as often as it has rows. m has at least one row.
func drawObject(m schemas.Manifest, p Part, round int) schemas.Object {
	var same, all []schemas.Object
	for _, shard := range m.Shards {
		if o, ok := shard.Objects[schemas.TablePersona]; ok && o.Rows > 0 {
			all = append(all, o)
			if shard.Split == p.Profile.Split {
				same = append(same, o)
			}
		}
	}
	objects := same
	if objects == nil {
		objects = all
	}
	rows := uint64(0)
	for _, o := range objects {
		rows += uint64(o.Rows)
	}
	at := p.draw("object", round) % rows
	for _, o := range objects {
		if at < uint64(o.Rows) {
			return o
		}
		at -= uint64(o.Rows)
	}
	panic("a row beyond the last one")
}

// choose takes one of the personas, and reports whether it has the profile's
// language. Of those that have not, the first draw's stays.
func (p *Part) choose(personas []schemas.Persona) bool {
	language := p.language()
	var same []schemas.Persona
	for _, one := range personas {
		if one.Language == language {
			same = append(same, one)
		}
	}
	if same == nil && p.Persona.PersonaID != "" {
		return false
	}
	from := same
	if from == nil {
		from = personas
	}
	p.Persona = from[p.draw("persona", 0)%uint64(len(from))]
	p.Traits = p.shuffled("traits", p.Persona.Traits)
	p.Traits = p.Traits[:min(traitsPerDialogue, len(p.Traits))]
	return same != nil
}

// shuffled returns the texts in an order that the dialogue decides, the same
// whatever order they came in.
func (p Part) shuffled(purpose string, texts []string) []string {
	rank := func(s string) uint64 { return p.draw(purpose+" "+s, 0) }
	out := slices.Clone(texts)
	slices.SortStableFunc(out, func(a, b string) int {
		if x, y := rank(a), rank(b); x != y {
			if x < y {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return out
}
