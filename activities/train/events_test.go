package train

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestAFollowerReadsWholeLinesOnce(t *testing.T) {
	f := &follower{path: filepath.Join(t.TempDir(), "events.jsonl")}
	want := func(done, total int, loss float64, checkpoints ...string) {
		t.Helper()
		b := f.Progress()
		if b.Done != done || b.Total != total || loss != 0 && (b.Loss == nil || *b.Loss != loss) || !slices.Equal(f.checkpoints, checkpoints) {
			t.Errorf("progress %+v with checkpoints %v, want %d of %d, loss %v, %v", b, f.checkpoints, done, total, loss, checkpoints)
		}
	}
	want(0, 0, 0) // no file yet
	appendTo(t, f.path, `{"event": "start", "total_steps": 9}`+"\n"+`{"event": "step", "step": 1, "lo`)
	want(0, 9, 0)
	appendTo(t, f.path, `ss": 0.75}`+"\n")
	want(1, 9, 0.75)
	appendTo(t, f.path, "no JSON\n"+`{"event": "eval", "step": 4, "loss": 0.1}`+"\n"+`{"event": "checkpoint", "step": 2, "path": "/a"}`+"\n")
	want(1, 9, 0.75, "/a")
	f.checkpoints = nil
	want(1, 9, 0.75)
}

func TestAFollowerReadsAFileThatWasCutFromItsStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	f := &follower{path: path}
	kept := `{"event": "step", "step": 1, "loss": 0.7}` + "\n"
	appendTo(t, path, kept+`{"event": "step", "step": 2, "loss": 0.6}`+"\n")
	if b := f.Progress(); b.Done != 2 {
		t.Fatalf("progress %+v", b)
	}
	// The trainer replaces the file, which is longer than before when it is looked
	// at the next time.
	appendTo(t, path+".tmp", kept+`{"event": "resume", "step": 1, "path": "a long enough path to be longer"}`+"\n"+
		`{"event": "checkpoint", "step": 2, "path": "/new"}`+"\n"+`{"event": "step", "step": 2, "loss": 0.5}`+"\n")
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
	if b := f.Progress(); b.Done != 2 || *b.Loss != 0.5 || !slices.Equal(f.checkpoints, []string{"/new"}) {
		t.Errorf("progress %+v with loss %v, checkpoints %v", b, *b.Loss, f.checkpoints)
	}
	if err := os.WriteFile(path, []byte(kept), 0o644); err != nil {
		t.Fatal(err)
	}
	if b := f.Progress(); b.Done != 1 {
		t.Errorf("progress of a shortened file %+v", b)
	}
}
