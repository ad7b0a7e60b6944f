package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// promoted makes the next version of a model whose files hold their own paths.
func promoted(t *testing.T, s store.Store, name string, number int, paths ...string) schemas.ModelVersion {
	t.Helper()
	v := schemas.ModelVersion{Name: name, Number: number, Parent: number - 1, Files: map[string]schemas.Object{},
		Training: schemas.TrainingRecord{Job: schemas.ID("job", name), Base: schemas.ModelBase{Name: "base"}, Recipe: schemas.TrainOptions{Loss: "rpo"}}}
	for _, path := range paths {
		key := "models/job/" + strings.ReplaceAll(path, "/", "-")
		if err := s.Put(t.Context(), key, []byte(path)); err != nil {
			t.Fatal(err)
		}
		size, sum, err := s.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		v.Files[path] = schemas.Object{Key: key, SHA256: sum, Bytes: size}
	}
	v.Hash = v.Digest()
	if won, err := store.PutModel(t.Context(), s, v); err != nil || !won {
		t.Fatal(won, err)
	}
	return v
}

func TestAnExportedModelIsAFolderOfItsFiles(t *testing.T) {
	s := store.NewMemory("rpo")
	v := promoted(t, s, "tiny", 1, "adapter/adapter_model.safetensors", "merged/model.safetensors", "merged/config.json", "model.gguf")
	for part, want := range map[string][]string{
		"":        {"adapter/adapter_model.safetensors", "merged/model.safetensors", "merged/config.json", "model.gguf"},
		"adapter": {"adapter_model.safetensors"},
		"merged":  {"model.safetensors", "config.json"},
		"gguf":    {"model.gguf"},
	} {
		dir := t.TempDir()
		if n, _, err := writeModel(t.Context(), s, v, part, dir); err != nil || n != len(want) {
			t.Errorf("part %q: %d files, %v", part, n, err)
		}
		for _, path := range want {
			if data, err := os.ReadFile(filepath.Join(dir, path)); err != nil || !strings.HasSuffix(string(data), path) {
				t.Errorf("part %q: %s holds %q, %v", part, path, data, err)
			}
		}
	}
	if _, _, err := writeModel(t.Context(), s, promoted(t, s, "full", 1, "model.gguf"), "adapter", t.TempDir()); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("a part that is not there: %v", err)
	}
	if _, _, err := writeModel(t.Context(), s, promoted(t, s, "evil", 1, "../out"), "", t.TempDir()); schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("a path out of the folder: %v", err)
	}
}

func TestModelsAreListedWithAllTheirVersionsAndTheOneInUse(t *testing.T) {
	s := store.NewMemory("rpo")
	promoted(t, s, "b", 1, "model.gguf")
	promoted(t, s, "a", 1, "model.gguf")
	promoted(t, s, "a", 2, "merged/x")
	got, err := listedModels(t.Context(), s)
	if err != nil || len(got) != 2 || got[0].Model != "a" || got[0].Current != 2 || len(got[0].Versions) != 2 || got[1].Current != 1 || got[0].Versions[0].Loss != "rpo" {
		t.Errorf("got %+v, %v", got, err)
	}
}
