package pair

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// overlapWords is how many words in a row, shared with an evaluation prompt, make
// a prompt contaminated.
const overlapWords = 13

// Evaluation is what no training prompt may hold.
type Evaluation struct {
	// texts are normalised prompts, runs hashes of overlapWords words in a row.
	texts map[string]bool
	runs  map[uint64]struct{}
	keys  map[string]bool
}

// NewEvaluation makes an Evaluation that holds nothing yet.
func NewEvaluation() *Evaluation {
	return &Evaluation{texts: map[string]bool{}, runs: map[uint64]struct{}{}, keys: map[string]bool{}}
}

// Add adds the prompts of a turn.
func (e *Evaluation) Add(t schemas.Turn) {
	for _, text := range []string{t.System, t.Query} {
		words := split(text)
		if len(words) == 0 {
			continue
		}
		e.texts[strings.Join(words, "")] = true
		eachRun(words, func(hash uint64) bool {
			e.runs[hash] = struct{}{}
			return true
		})
	}
}

// AddKey adds the key of a profile.
func (e *Evaluation) AddKey(p schemas.Profile) { e.keys[Key(p)] = true }

// Holds reports whether a text equals an evaluation prompt, or shares overlapWords
// words in a row with one.
func (e *Evaluation) Holds(text string) bool {
	words := split(text)
	if len(words) == 0 {
		return false
	}
	if e.texts[strings.Join(words, "")] {
		return true
	}
	found := false
	eachRun(words, func(hash uint64) bool {
		_, found = e.runs[hash]
		return !found
	})
	return found
}

// Key names the prompt that a profile was made from, across the sources that
// share it: System-IFEval is IFEval, prompt by prompt.
func Key(p schemas.Profile) string {
	source := p.Source
	if source == profile.SourceSystemIFEval {
		source = profile.SourceIFEval
	}
	return source + "\x00" + p.SourceID
}

// split returns the words of a text, their case and width folded. A character of
// a script that is written without spaces is a word.
func split(text string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range norm.NFKC.String(text) {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
			end()
			words = append(words, string(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			word.WriteRune(unicode.ToLower(r))
		default:
			end()
		}
	}
	end()
	return words
}

// eachRun calls do with the hash of every overlapWords words in a row until do
// returns false.
func eachRun(words []string, do func(hash uint64) bool) {
	const factor = 0x9e3779b97f4a7c15 // odd, so that no word is lost
	leaving := uint64(1)              // factor to the power of overlapWords
	for range overlapWords {
		leaving *= factor
	}
	hashes := make([]uint64, len(words))
	var run uint64
	for i, w := range words {
		h := fnv.New64a()
		h.Write([]byte(w))
		hashes[i] = h.Sum64()
		run = run*factor + hashes[i]
		if i >= overlapWords {
			run -= hashes[i-overlapWords] * leaving
		}
		if i >= overlapWords-1 && !do(run) {
			return
		}
	}
}

// holdsEvaluation reports whether the profile's key or the turn's unreversed
// prompt is one of evaluation. Of the turns before, only what the user said
// counts.
func (b *Builder) holdsEvaluation(t Turn) bool {
	e := b.evaluation
	if e == nil {
		return false
	}
	system, known := b.systems[t.System]
	if !known {
		system = e.Holds(t.System)
		b.systems[t.System] = system
	}
	return system || e.keys[t.Key] || e.Holds(t.Query) || slices.ContainsFunc(t.History, func(m schemas.Message) bool {
		return m.Role == "user" && e.Holds(m.Content)
	})
}

// loadEvaluation reads the evaluation prompts of imports. own is the manifest that
// the pairs are made from: of the import that it comes from, which is known by its
// objects, only the evaluation split counts.
func loadEvaluation(ctx context.Context, s store.Store, uris []string, own schemas.Manifest) (*Evaluation, error) {
	training := map[string]bool{}
	for _, table := range []string{schemas.TableProfile, schemas.TableTurn} {
		for _, o := range own.Objects(table) {
			training[o.SHA256] = true
		}
	}
	e := NewEvaluation()
	for _, uri := range uris {
		m, err := store.GetManifest(ctx, s, uri)
		if err != nil {
			return nil, schemas.Errorf(schemas.TypeOf(err), "decontaminate: %w", err)
		}
		shared := slices.ContainsFunc(m.Shards, func(shard schemas.ManifestShard) bool {
			return training[shard.Objects[schemas.TableProfile].SHA256] || training[shard.Objects[schemas.TableTurn].SHA256]
		})
		rows := int64(0)
		for _, shard := range m.Shards {
			if shared && shard.Split != schemas.SplitEval {
				continue
			}
			if err := e.addShard(ctx, s, shard); err != nil {
				return nil, schemas.Errorf(schemas.TypeOf(err), "decontaminate with %s: %w", uri, err)
			}
			rows += shard.Objects[schemas.TableTurn].Rows
		}
		if rows == 0 {
			return nil, schemas.Errorf(schemas.InvalidInput,
				"decontaminate: manifest %s has no evaluation prompts: give one that `rpo import` printed for them", uri)
		}
	}
	return e, nil
}

func (e *Evaluation) addShard(ctx context.Context, s store.Store, shard schemas.ManifestShard) error {
	if o, ok := shard.Objects[schemas.TableTurn]; ok {
		turns, err := store.GetRows[schemas.Turn](ctx, s, o)
		if err != nil {
			return err
		}
		for _, t := range turns {
			e.Add(t)
		}
	}
	if o, ok := shard.Objects[schemas.TableProfile]; ok {
		profiles, err := store.GetRows[schemas.Profile](ctx, s, o)
		if err != nil {
			return err
		}
		for _, p := range profiles {
			e.AddKey(p)
		}
	}
	return nil
}
