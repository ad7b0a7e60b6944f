package train

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// checkpoint writes a local checkpoint with the events up to it.
func checkpoint(t *testing.T, out, step, weights string) string {
	t.Helper()
	dir := filepath.Join(out, "checkpoints", step)
	for path, text := range map[string]string{
		filepath.Join(dir, "adapter.safetensors"): weights, filepath.Join(dir, "state.json"): `{"step": "` + step + `"}`,
		filepath.Join(out, eventsFile): "up to " + step + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// restored brings the newest checkpoint to a new machine and returns its name
// and weights, "" for none.
func restored(t *testing.T, s store.Store, job string) (step, weights string) {
	t.Helper()
	out := t.TempDir()
	if err := os.Mkdir(filepath.Join(out, "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := restoreCheckpoint(t.Context(), s, job, out); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(out, "checkpoints"))
	if err != nil || len(entries) > 1 {
		t.Fatal(entries, err)
	}
	if len(entries) == 0 {
		return "", ""
	}
	step = entries[0].Name()
	data, err := os.ReadFile(filepath.Join(out, "checkpoints", step, "adapter.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := os.ReadFile(filepath.Join(out, eventsFile))
	if err != nil || string(events) != "up to "+step+"\n" {
		t.Errorf("events %q, %v", events, err)
	}
	return step, string(data)
}

func TestTheNewestCheckpointOfAJobIsRestored(t *testing.T) {
	s, out := store.NewMemory("b"), t.TempDir()
	if step, _ := restored(t, s, "job"); step != "" {
		t.Errorf("%s came out of an empty store", step)
	}
	for _, step := range []string{"step-000020", "step-000100", "step-000050"} {
		if err := saveCheckpoint(t.Context(), s, "job", checkpoint(t, out, step, "weights of "+step)); err != nil {
			t.Fatal(err)
		}
	}
	if err := saveCheckpoint(t.Context(), s, "other", checkpoint(t, out, "step-000900", "foreign")); err != nil {
		t.Fatal(err)
	}
	if step, weights := restored(t, s, "job"); step != "step-000100" || weights != "weights of step-000100" {
		t.Errorf("restored %s with %q", step, weights)
	}
}

func TestALocalCheckpointThatIsAsNewIsKept(t *testing.T) {
	s, out := store.NewMemory("b"), t.TempDir()
	if err := saveCheckpoint(t.Context(), s, "job", checkpoint(t, out, "step-000020", "stored")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"step-000020", "step-000030"} {
		local := t.TempDir()
		dir := checkpoint(t, local, step, "local")
		if err := restoreCheckpoint(t.Context(), s, "job", local); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(dir, "adapter.safetensors"))
		if entries, _ := os.ReadDir(filepath.Dir(dir)); string(data) != "local" || len(entries) != 1 {
			t.Errorf("%s was replaced by %q; %d checkpoints", step, data, len(entries))
		}
	}
}

func TestAnInterruptedUploadIsInvisible(t *testing.T) {
	for fails := 1; fails < 5; fails++ {
		s, out := store.NewMemory("b"), t.TempDir()
		if err := saveCheckpoint(t.Context(), s, "job", checkpoint(t, out, "step-000010", "first")); err != nil {
			t.Fatal(err)
		}
		puts := 0
		s.Before = func(operation, _ string) error {
			if operation != "put" {
				return nil
			}
			if puts++; puts >= fails {
				return schemas.Errorf(schemas.Overloaded, "no connection")
			}
			return nil
		}
		err := saveCheckpoint(t.Context(), s, "job", checkpoint(t, out, "step-000020", "second"))
		if err == nil {
			t.Fatalf("an upload whose put %d fails succeeds", fails)
		}
		s.Before = nil
		if step, weights := restored(t, s, "job"); step != "step-000010" || weights != "first" {
			t.Errorf("put %d failed: restored %s with %q", fails, step, weights)
		}
	}
}

func TestACheckpointThatTheTrainerHasRemovedIsPassedOver(t *testing.T) {
	s := store.NewMemory("b")
	if err := saveCheckpoint(t.Context(), s, "job", filepath.Join(t.TempDir(), "checkpoints", "step-000010")); err != nil {
		t.Error(err)
	}
	if step, _ := restored(t, s, "job"); step != "" {
		t.Errorf("restored %s", step)
	}
}

func TestACheckpointRecordMayNotNameAFileOutsideItsFolder(t *testing.T) {
	for _, name := range []string{"../evil", "/etc/evil", "..", ".", "", "a/b"} {
		s, out := store.NewMemory("b"), t.TempDir()
		if err := s.Put(t.Context(), "data", []byte("x")); err != nil {
			t.Fatal(err)
		}
		o := schemas.Object{Key: "data", SHA256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", Bytes: 1}
		record, err := json.Marshal(checkpointRecord{Step: "step-000010", Files: map[string]schemas.Object{name: o}, Events: o})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), checkpointFolder("job")+"step-000010.json", record); err != nil {
			t.Fatal(err)
		}
		err = restoreCheckpoint(t.Context(), s, "job", filepath.Join(out, "inner"))
		if schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), "outside its folder") {
			t.Errorf("file %q gives %v", name, err)
		}
		if found, _ := filepath.Glob(filepath.Join(out, "*")); len(found) > 0 {
			t.Errorf("file %q: %v was written", name, found)
		}
	}
}

func TestASaveThatIsGivenUpSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := saveCheckpoint(ctx, store.NewMemory("b"), "job", checkpoint(t, t.TempDir(), "step-000010", "x"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
