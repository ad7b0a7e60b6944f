package profile

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"rpo/activities/store"
	"rpo/schemas"
)

// Bounds of a seed in characters: its text must fit a prompt.
const (
	longestSeedDescription = 8000
	longestSystem          = 32000
	longestQuery           = 8000
)

// ReadSeeds reads what profiles and personas are generated from, one JSON object
// a line:
//
//	{"id": "…", "description": "…", "kind": "profile" or "persona",
//	 "language": "en" or "zh", "split": "train" or "eval", "queries": ["…"]}
//	{"id": "…", "system": "…", "language": "…", "split": "…", "queries": ["…"]}
//
// A description is of an assistant (kind "profile", the default) or of a user
// (kind "persona", which has no queries); a system prompt is of an assistant
// whose constraints are to be found. The language is told from the text where the
// line does not say, and the split drawn by the seed's id. source names the
// collection.
func ReadSeeds(r io.Reader, source string, o Options) ([]schemas.Seed, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := checkName("the source", source); err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "import: %w", err)
	}
	lines, err := readLines(r)
	if err != nil {
		return nil, err
	}
	var seeds []schemas.Seed
	seen := map[string]int{}
	for _, l := range lines {
		s, err := decodeSeed(l.json)
		if err != nil {
			return nil, atLine(l.number, err)
		}
		if first, doubled := seen[s.SourceID]; doubled {
			return nil, atLine(l.number, fmt.Errorf("id %q is that of line %d: ids must be unique", clipped(s.SourceID), first))
		}
		seen[s.SourceID] = l.number
		s.Source = source
		s.SeedID = schemas.ID(schemas.TableSeed, s.Source, s.SourceID, s.Kind, s.Text)
		if s.Split == "" {
			s.Split = o.seedSplit(s.SeedID)
		}
		seeds = append(seeds, s)
	}
	return seeds, nil
}

func (o Options) seedSplit(id string) string {
	sum := sha256.Sum256([]byte(id))
	if float64(binary.BigEndian.Uint64(sum[:8])>>11)/(1<<53) < o.EvalFraction {
		return schemas.SplitEval
	}
	return schemas.SplitTrain
}

func decodeSeed(data []byte) (s schemas.Seed, err error) {
	row, err := decodeObject(data, "", "id", "description", "system", "kind", "language", "split", "queries", "constraints")
	if err != nil {
		return s, err
	}
	if row.has("constraints") {
		return s, errors.New("field constraints: a file of seeds has none; put profiles with constraints in a file of their own")
	}
	if s.SourceID, err = row.text("id"); err != nil {
		return s, err
	}
	if err := checkName("field id", s.SourceID); err != nil {
		return s, err
	}
	if err := readSeed(row, &s); err != nil {
		return s, fmt.Errorf("id %q: %w", clipped(s.SourceID), err)
	}
	return s, nil
}

func readSeed(row object, s *schemas.Seed) (err error) {
	if row.has("description") == row.has("system") {
		return errors.New("give either description or system")
	}
	field, longest := "description", longestSeedDescription
	s.Kind = schemas.SeedProfile
	kinds := []string{schemas.SeedProfile, schemas.SeedPersona}
	if row.has("system") {
		field, longest = "system", longestSystem
		s.Kind = schemas.SeedSystem
		kinds = []string{schemas.SeedSystem}
	}
	if s.Text, err = row.text(field); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(s.Text); n > longest {
		return fmt.Errorf("field %s has %d characters, at most %d fit a prompt: shorten it", field, n, longest)
	}
	if err := row.choose("kind", &s.Kind, kinds...); err != nil {
		return err
	}
	s.Language = languageOf(s.Text)
	if err := row.choose("language", &s.Language, schemas.English, schemas.Chinese); err != nil {
		return err
	}
	if err := row.choose("split", &s.Split, schemas.SplitTrain, schemas.SplitEval); err != nil {
		return err
	}
	if !row.has("queries") {
		return nil
	}
	if s.Kind == schemas.SeedPersona {
		return errors.New("field queries: a persona has none; give them to a profile")
	}
	if err := row.read("queries", "a list of texts", &s.Queries); err != nil {
		return err
	}
	for i, q := range s.Queries {
		if strings.TrimSpace(q) == "" || utf8.RuneCountInString(q) > longestQuery {
			return fmt.Errorf("field queries[%d] is blank or has more than %d characters", i, longestQuery)
		}
	}
	return nil
}

// choose reads an optional field that has one of a few values.
func (o object) choose(name string, into *string, values ...string) error {
	if !o.has(name) {
		return nil
	}
	s, err := o.text(name)
	if err != nil {
		return err
	}
	if !slices.Contains(values, s) {
		return fmt.Errorf("field %s must be %s, it is %q", o.at(name), strings.Join(values, " or "), clipped(s))
	}
	*into = s
	return nil
}

// WriteSeeds stores seeds as Write stores profiles: shards of at most
// seedsPerShard, the train split before the eval split, no shard of both.
func WriteSeeds(ctx context.Context, s store.Store, seeds []schemas.Seed, seedsPerShard int) (manifestURI string, m schemas.Manifest, err error) {
	if seedsPerShard < 1 {
		return "", m, schemas.Errorf(schemas.InvalidInput, "import: seeds per shard must be at least 1, it is %d", seedsPerShard)
	}
	n := int64(len(seeds))
	m = schemas.Manifest{Stage: importStage, Books: schemas.Books{In: n, OK: n}, Counts: map[string]int64{}}
	var objects []schemas.Object
	for _, split := range []string{schemas.SplitTrain, schemas.SplitEval} {
		rows := slices.DeleteFunc(slices.Clone(seeds), func(s schemas.Seed) bool { return s.Split != split })
		m.Counts[split+"_seeds"] = int64(len(rows))
		for part := range slices.Chunk(rows, seedsPerShard) {
			shard := schemas.ManifestShard{Shard: len(m.Shards), Split: split, Objects: map[string]schemas.Object{}}
			if err := put(ctx, s, &shard, &objects, schemas.TableSeed, part); err != nil {
				return "", schemas.Manifest{}, err
			}
			m.Shards = append(m.Shards, shard)
		}
	}
	m.Job = schemas.ID(importStage, strconv.Itoa(seedsPerShard), schemas.Hash(objects))
	manifestURI, err = store.PutManifest(ctx, s, m)
	if err != nil {
		return "", schemas.Manifest{}, err
	}
	return manifestURI, m, nil
}
