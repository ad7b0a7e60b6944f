//go:build endtoend

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// first is the first of two seeds whose plans have most kinds of faults.
const first = 392

func TestRunsWithKilledPartsMakeTheDataOfAnUndisturbedOne(t *testing.T) {
	planned := map[kind]bool{}
	for _, f := range append(planOf(first), planOf(first+1)...) {
		planned[f.kind] = true
	}
	for _, k := range []kind{killWorker, killTemporal, killS3, freezeWorker, loseAnswers, repeatCommits, cutRequests, fillDisk, hangEndpoint, failEndpoint} {
		if !planned[k] {
			t.Errorf("%s is not in the plans of these seeds any more: choose others", k)
		}
	}
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
	cmd := exec.Command(drill, "--bin", bin, "--first", strconv.Itoa(first), "--runs", "2")
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	t.Log(out.String())
	if err != nil || !strings.HasSuffix(out.String(), "\n2 passed, 0 failed\n") {
		t.Errorf("the drill ended with %v", err)
	}
}
