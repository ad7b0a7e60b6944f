package store_test

import (
	"fmt"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

func put(t *testing.T, s store.Store, name string, number int, change func(*schemas.ModelVersion)) (bool, error) {
	t.Helper()
	v := schemas.ModelVersion{Name: name, Number: number, Parent: number - 1, Files: map[string]schemas.Object{"model.gguf": {Key: "k", SHA256: fmt.Sprint(number)}}}
	v.Hash = v.Digest()
	if change != nil {
		change(&v)
	}
	return store.PutModel(t.Context(), s, v)
}

func TestAModelIsReadByItsNumberOrTheLatest(t *testing.T) {
	s := store.NewMemory("rpo")
	// What lies beside the versions is none: a training's files, and a stray key.
	for _, key := range []string{"models/tiny/v1.json", "models/tiny/v000001.json.bak", "models/0f1f1de9-8fff-53b7-9e08-39ac28b26081/abc.safetensors"} {
		if err := s.Put(t.Context(), key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 11; n++ {
		if won, err := put(t, s, "tiny", n, nil); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	for name, want := range map[string]int{"tiny": 11, "tiny@latest": 11, "tiny@v3": 3, "tiny@3": 3, "tiny@v000010": 10} {
		if v, err := store.ReadModel(t.Context(), s, name); err != nil || v.Number != want {
			t.Errorf("%s is version %d, %v", name, v.Number, err)
		}
	}
	for name, want := range map[string]schemas.ErrorType{"tiny@v12": schemas.NotFound, "other": schemas.NotFound, "other@latest": schemas.NotFound,
		"tiny@": schemas.InvalidInput, "tiny@v0": schemas.InvalidInput, "tiny@-1": schemas.InvalidInput, "tiny@last": schemas.InvalidInput, "a/b@v1": schemas.InvalidInput, "": schemas.InvalidInput} {
		if _, err := store.ReadModel(t.Context(), s, name); err == nil || schemas.TypeOf(err) != want || !strings.Contains(err.Error(), "model") {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
	if names, err := store.Models(t.Context(), s); err != nil || fmt.Sprint(names) != "[tiny]" {
		t.Errorf("models %v, %v", names, err)
	}
}

func TestANumberIsTakenOnceAndAVersionIsWhatItsHashSays(t *testing.T) {
	s := store.NewMemory("rpo")
	if won, err := put(t, s, "tiny", 1, nil); err != nil || !won {
		t.Fatal(won, err)
	}
	if won, err := put(t, s, "tiny", 1, nil); err != nil || !won {
		t.Errorf("the same bytes again: %v, %v", won, err)
	}
	if won, err := put(t, s, "tiny", 1, func(v *schemas.ModelVersion) { v.Promoted.RunID = "another" }); err != nil || won {
		t.Errorf("a number that is taken: %v, %v", won, err)
	}
	for what, change := range map[string]func(*schemas.ModelVersion){
		"another hash":      func(v *schemas.ModelVersion) { v.Hash = "0" },
		"no hash":           func(v *schemas.ModelVersion) { v.Hash = "" },
		"its own parent":    func(v *schemas.ModelVersion) { v.Parent = v.Number },
		"a path for a name": func(v *schemas.ModelVersion) { v.Name = "../tiny" },
	} {
		if _, err := put(t, s, "tiny", 2, change); err == nil {
			t.Errorf("%s was written", what)
		}
	}
	data, err := s.Get(t.Context(), store.ModelKey("tiny", 1))
	if err == nil {
		err = s.Put(t.Context(), store.ModelKey("tiny", 1), []byte(strings.Replace(string(data), `"sha256":"1"`, `"sha256":"2"`, 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.ReadModel(t.Context(), s, "tiny@v1"); schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("a changed version: %v", err)
	}
}
