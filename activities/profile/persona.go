package profile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rpo/schemas"
)

// Bounds of a written persona, lengths in characters.
const (
	traits           = 10
	mostTraits       = 16
	longestTrait     = 80
	shortestPart     = 30
	longestPart      = 1000
	shortestTraitLen = 2
)

func personaSchema() map[string]any {
	return objectSchema(map[string]any{
		"name": textSchema(), "description": textSchema(), "background": textSchema(), "traits": listSchema(textSchema(), traits, mostTraits),
	}, "name", "description", "background", "traits")
}

// persona writes the persona of a description.
func (k *maker) persona(ctx context.Context, seed schemas.Seed) (p schemas.Persona, err error) {
	err = k.writes(ctx, question{
		prompt: "persona", language: seed.Language,
		material:    []part{{text: seed.Text}},
		temperature: 1, seed: k.seedOf(seed, 0), maxTokens: profileTokens,
		schema: personaSchema(),
	}, func(reply string) (err error) {
		p, err = parsePersona(reply, seed.Language)
		return err
	})
	p.Source, p.SourceID, p.Language, p.Split = seed.Source, seed.SourceID, seed.Language, seed.Split
	p.MadeBy = k.write.Name + " " + PersonaPromptVersion
	p.PersonaID = schemas.ID(schemas.TablePersona, append([]string{p.Source, p.SourceID, p.Name, p.Description}, p.Traits...)...)
	return p, err
}

// parsePersona reads a reply: ten distinct traits of those given, and background
// and description in one paragraph.
func parsePersona(reply, language string) (p schemas.Persona, err error) {
	var r struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Background  string   `json:"background"`
		Traits      []string `json:"traits"`
	}
	if err := schemas.DecodeStrict([]byte(reply), &r); err != nil {
		return p, err
	}
	if p.Name, err = readLine("name", r.Name, 1, longestName); err != nil {
		return p, err
	}
	description, err := readLine("description", r.Description, shortestPart, longestPart)
	if err != nil {
		return p, err
	}
	background, err := readLine("background", r.Background, shortestPart, longestPart)
	if err != nil {
		return p, err
	}
	if p.Description = description + " " + background; languageOf(p.Description) != language {
		return p, fmt.Errorf("the description is not in the language %q", language)
	}
	if len(r.Traits) > mostTraits {
		return p, fmt.Errorf("%d traits, must be at most %d", len(r.Traits), mostTraits)
	}
	var kept []gist
	for _, text := range r.Traits {
		trait, err := readLine("trait", unlisted(text), shortestTraitLen, longestTrait)
		if err != nil {
			return p, err
		}
		trait = strings.TrimRight(trait, ".。;；,，")
		g := gistOf(trait, language)
		if slices.ContainsFunc(kept, func(other gist) bool { return alike(other, g) }) {
			continue
		}
		kept = append(kept, g)
		if p.Traits = append(p.Traits, trait); len(p.Traits) == traits {
			return p, nil
		}
	}
	return p, fmt.Errorf("%d distinct traits, must be %d", len(p.Traits), traits)
}
