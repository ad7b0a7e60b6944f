//go:build endtoend

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDisturbedRunsMakeTheDataOfAnUndisturbedOne plays a few runs of the drill,
// with a killed worker, Temporal and S3 server, a lost answer and a full disk
// among their faults.
func TestDisturbedRunsMakeTheDataOfAnUndisturbedOne(t *testing.T) {
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"rpo", "rpo-local"} {
		if _, err := os.Stat(filepath.Join(bin, program)); err != nil {
			t.Fatalf("%v: run make build", err)
		}
	}
	drill := filepath.Join(t.TempDir(), "chaos")
	if out, err := exec.Command("go", "build", "-o", drill, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var out bytes.Buffer
	cmd := exec.Command(drill, "--bin", bin, "--first", "1", "--runs", "2")
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	t.Log(out.String())
	if err != nil || !strings.HasSuffix(out.String(), "\n2 passed, 0 failed\n") {
		t.Errorf("the drill ended with %v", err)
	}
}
