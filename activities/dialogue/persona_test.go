package dialogue_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpo/activities/dialogue"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func cast(t *testing.T, s store.Store, personas string, o schemas.DialogueOptions, profiles ...schemas.Profile) []dialogue.Part {
	t.Helper()
	o.Personas, o.ResponderEndpoint = personas, "models"
	o.SetDefaults()
	parts, err := dialogue.Cast(t.Context(), s, profiles, o)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestAPersonaDependsOnSeedProfileAndNumberAlone(t *testing.T) {
	s := store.NewMemory("rpo")
	uri := personaManifest(t, s, personas(schemas.SplitTrain, "en", 7), personas(schemas.SplitTrain, "en", 30), personas(schemas.SplitTrain, "zh", 5))
	many := shops(40)
	all := cast(t, s, uri, schemas.DialogueOptions{DialoguesPerProfile: 2}, many...)
	few := cast(t, s, uri, schemas.DialogueOptions{DialoguesPerProfile: 1}, many[33], many[4])
	if !reflect.DeepEqual(few[0], all[66]) || !reflect.DeepEqual(few[1], all[8]) {
		t.Error("a persona depends on the other profiles")
	}
	other := cast(t, s, uri, schemas.DialogueOptions{DialogueSeed: 1, DialoguesPerProfile: 2}, many...)
	seen, moved := map[string]bool{}, 0
	for i, p := range all {
		seen[p.Persona.PersonaID] = true
		if p.Persona.PersonaID != other[i].Persona.PersonaID {
			moved++
		}
		if p.ID() == other[i].ID() {
			t.Error("two seeds make one dialogue")
		}
		traits := slices.Clone(p.Traits)
		slices.Sort(traits)
		if len(slices.Compact(traits)) != 10 || slices.ContainsFunc(traits, func(x string) bool { return !slices.Contains(p.Persona.Traits, x) }) {
			t.Errorf("traits %q", p.Traits)
		}
	}
	if len(seen) < 20 || moved < 60 {
		t.Errorf("%d personas for 80 dialogues, %d moved with the seed", len(seen), moved)
	}
}

func TestAPersonaOfTheProfilesLanguageAndSplitIsPreferred(t *testing.T) {
	s := store.NewMemory("rpo")
	var chinese []schemas.Profile
	for i := range 20 {
		p := shop(fmt.Sprint("店", i), schemas.SplitEval, "tea")
		p.System = "你是一家茶店，热情地回答顾客的每一个问题。" + p.System
		chinese = append(chinese, p)
	}
	both := slices.Concat(personas(schemas.SplitEval, "en", 4), personas(schemas.SplitEval, "zh", 2))
	uri := personaManifest(t, s, both, personas(schemas.SplitTrain, "zh", 50))
	for _, p := range cast(t, s, uri, schemas.DialogueOptions{}, chinese...) {
		if p.Persona.Language != "zh" || p.Persona.Split != schemas.SplitEval {
			t.Errorf("persona %+v", p.Persona)
		}
	}
	none := personaManifest(t, s, personas(schemas.SplitTrain, "en", 3))
	for _, p := range cast(t, s, none, schemas.DialogueOptions{}, chinese...) {
		if p.Persona.PersonaID == "" || len(p.Traits) != 10 {
			t.Errorf("persona %+v", p.Persona)
		}
	}
}

func TestOnlyTheObjectsThatAreDrawnAreRead(t *testing.T) {
	s := store.NewMemory("rpo")
	var shards [][]schemas.Persona
	for range 30 {
		shards = append(shards, personas(schemas.SplitTrain, "en", 2+len(shards)))
	}
	uri := personaManifest(t, s, shards...)
	reads := 0
	s.Before = func(operation, key string) error {
		if operation == "get" && strings.HasPrefix(key, "data/persona/") {
			reads++
		}
		return nil
	}
	cast(t, s, uri, schemas.DialogueOptions{}, shops(3)...)
	if reads == 0 || reads > 3 {
		t.Errorf("%d objects were read for 3 dialogues", reads)
	}
}

func TestAManifestWithoutPersonasIsRefusedByTheField(t *testing.T) {
	s := store.NewMemory("rpo")
	uri := steptest.Manifest(t, s, steptest.Turns("shop", 1))
	a := dialogue.Activities{Store: s}
	for _, bad := range []string{uri, "s3://rpo/imports/none.json"} {
		if _, err := a.DescribePersonas(t.Context(), bad); err == nil || !strings.Contains(err.Error(), `field "personas"`) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	one := personaManifest(t, s, personas(schemas.SplitTrain, "en", 2))
	two := personaManifest(t, s, personas(schemas.SplitTrain, "en", 3))
	x, err := a.DescribePersonas(t.Context(), one)
	y, err2 := a.DescribePersonas(t.Context(), two)
	if err != nil || err2 != nil || x == y {
		t.Errorf("%q, %q, %v, %v", x, y, err, err2)
	}
}
