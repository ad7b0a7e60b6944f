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

// overlap is how much text, shared with an evaluation prompt, makes a prompt
// contaminated: 13 words in a row, as is usual for English. A word weighs 2 and a
// character of a script without spaces 1, because a Chinese word has two
// characters on average. Thirteen characters are a clause of six or seven words,
// which unrelated prompts share: of 153 SysBench system messages 125 pairs share
// 13 characters, 16 pairs 20, and 13 pairs 26, all of them clauses that were
// copied word for word.
const (
	overlap         = 26
	wordWeight      = 2
	characterWeight = 1
)

// Evaluation is what no training prompt may hold.
type Evaluation struct {
	// texts are normalised prompts, runs hashes of words in a row that weigh overlap.
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
		e.texts[joined(words)] = true
		eachRun(words, func(hash uint64) bool {
			e.runs[hash] = struct{}{}
			return true
		})
	}
}

// AddKey adds the key of a profile, if it has one.
func (e *Evaluation) AddKey(p schemas.Profile) {
	if key := Key(p); key != "" {
		e.keys[key] = true
	}
}

// Holds reports whether a text equals an evaluation prompt, or shares words in a
// row with one that weigh overlap. The headings that every written profile has
// count for neither.
func (e *Evaluation) Holds(text string) bool {
	words := split(text)
	if len(words) == 0 {
		return false
	}
	if e.texts[joined(words)] {
		return true
	}
	found := false
	eachRun(words, func(hash uint64) bool {
		_, found = e.runs[hash]
		return !found
	})
	return found
}

// Key names the prompt that a profile was made from, across the published sets
// that share it: System-IFEval is IFEval, prompt by prompt. It is "" for any other
// source, which is named after a file: two files of one name, whose ids count from
// 1, have nothing in common.
func Key(p schemas.Profile) string {
	switch p.Source {
	case profile.SourceSystemIFEval, profile.SourceIFEval:
		return profile.SourceIFEval + "\x00" + p.SourceID
	}
	return ""
}

// word is a word or a single character, with its weight.
type word struct {
	text   string
	weight int
}

// split returns the words of a text, their case and width folded, without
// headings. A character of a script that is written without spaces is a word.
func split(text string) []word {
	var words []word
	var run strings.Builder
	end := func() {
		if run.Len() > 0 {
			words = append(words, word{run.String(), wordWeight})
			run.Reset()
		}
	}
	for line := range strings.Lines(text) {
		if profile.Heading(strings.TrimSpace(line)) {
			continue
		}
		for _, r := range norm.NFKC.String(line) {
			switch {
			case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
				end()
				words = append(words, word{string(r), characterWeight})
			case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
				run.WriteRune(unicode.ToLower(r))
			default:
				end()
			}
		}
		end()
	}
	return words
}

func joined(words []word) string {
	var out strings.Builder
	for _, w := range words {
		out.WriteString(w.text)
	}
	return out.String()
}

// eachRun calls do with the hash of the shortest run from each word on that
// weighs overlap, until do returns false. What two texts share, if it weighs that
// much, begins with one and the same run in both.
func eachRun(words []word, do func(hash uint64) bool) {
	const factor = 0x9e3779b97f4a7c15 // odd, so that no word is lost
	var powers [overlap/characterWeight + 1]uint64
	powers[0] = 1
	for i := 1; i < len(powers); i++ {
		powers[i] = powers[i-1] * factor
	}
	hashes := make([]uint64, len(words))
	var run uint64
	first, weight := 0, 0
	for i, w := range words {
		h := fnv.New64a()
		h.Write([]byte(w.text))
		hashes[i] = h.Sum64()
		run = run*factor + hashes[i]
		weight += w.weight
		for ; weight >= overlap; first++ {
			if !do(run) {
				return
			}
			run -= hashes[first] * powers[i-first]
			weight -= words[first].weight
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
	return system || t.Key != "" && e.keys[t.Key] || e.Holds(t.Query) || slices.ContainsFunc(t.History, func(m schemas.Message) bool {
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
