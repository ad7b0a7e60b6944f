//go:build endtoend

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.temporal.io/sdk/client"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// toPairs runs the stages from turns to pairs and returns their results.
func toPairs(t *testing.T, c client.Client, in schemas.RunPipelineInput) (out []schemas.StageResult, paired schemas.PairResult) {
	t.Helper()
	uri := in.Profiles
	for _, name := range []string{workflows.SampleResponsesName, workflows.JudgeResponsesName, workflows.ReverseConstraintsName, workflows.BuildPairsName} {
		of := schemas.StageInput{Manifest: uri, RunOptions: in.RunOptions}
		input := map[string]any{
			workflows.SampleResponsesName:    schemas.SampleResponsesInput{StageInput: of, SampleOptions: in.SampleOptions},
			workflows.JudgeResponsesName:     schemas.JudgeResponsesInput{StageInput: of, JudgeOptions: in.JudgeOptions},
			workflows.ReverseConstraintsName: schemas.ReverseConstraintsInput{StageInput: of, ReverseOptions: in.ReverseOptions},
			workflows.BuildPairsName:         schemas.BuildPairsInput{StageInput: of, PairOptions: in.PairOptions},
		}[name]
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.QueueWorkflows}, name, input)
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Get(t.Context(), &paired); err != nil {
			t.Fatal(plainFailure(err))
		}
		out, uri = append(out, paired.StageResult), paired.Manifest
	}
	return out, paired
}

// pairIDs are the rows of a data set's version.
func pairIDs(t *testing.T, s store.Store, dataset string, number int) (out []string) {
	t.Helper()
	v, err := store.Version(t.Context(), s, dataset, number)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range v.Objects {
		pairs, err := store.GetRows[schemas.Pair](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			out = append(out, p.PairID)
		}
	}
	slices.Sort(out)
	return out
}

func TestRowsThatWereSetAsideComeBackAsANewVersionByOneCommand(t *testing.T) {
	l := startLocal(t)
	var mended atomic.Bool
	var calls atomic.Int64
	endpoint := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		calls.Add(1)
		if strings.Contains(p.Last(), "hill") && !mended.Load() {
			return scripted.Refuse(http.StatusBadRequest, "hills are not allowed")
		}
		return scripted.PerChoice(answer)(p)
	})
	manifest := l.importProfiles(t, profiles(t, l.dir, 36), "--profiles-per-shard", "8")
	l.worker(t, l.config(t, endpoint.URL))
	c, s := l.client(t), l.store(t)
	text := fmt.Sprintf(`{"profiles": %q, "endpoint": "policy", "responses": 4, "max_tokens": 48, "dataset": "town", "baselines": true}`, manifest)
	input := writeFile(t, l.dir, "run.json", text)
	var in schemas.RunPipelineInput
	if err := schemas.DecodeInput([]byte(text), &in); err != nil {
		t.Fatal(err)
	}
	stages, first := toPairs(t, c, in)
	sampled := stages[0]
	// A turn in two asks about hills, of the 32 profiles for training.
	if sampled.Books.Quarantined != 32 || first.Version != 1 {
		t.Fatalf("sampling %+v, pairs %+v", sampled.Books, first)
	}

	out, errOut, status := l.rpo(t, "quarantine", "list", sampled.Job, "--since", "1h")
	var list struct {
		Stage, Job string
		Rows       int
		Books      schemas.Books
		Groups     []quarantineGroup
	}
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil {
		t.Fatalf("list ended with %d, %v: %s%s", status, err, out, errOut)
	}
	if len(list.Groups) != 1 || list.Rows != 32 || list.Books != sampled.Books {
		t.Fatalf("list: %s", out)
	}
	if g := list.Groups[0]; g.Rows != 32 || g.Stage != "sample" || g.Table != schemas.TableTurn || g.ErrorType != "InvalidInput" || g.Oldest == nil || g.Newest.Before(*g.Oldest) || !strings.Contains(strings.Join(g.Reasons, "\n"), "hills are not allowed") {
		t.Errorf("list: %s", out)
	}
	if out, _, status := l.rpo(t, "quarantine", "list", sampled.Manifest, "--since", "1ns"); status != 0 || !strings.Contains(out, `"rows": 0`) {
		t.Errorf("rows set aside within a nanosecond: %d, %s", status, out)
	}

	lines, errOut, status := l.rpo(t, "quarantine", "export", sampled.Manifest)
	if status != 0 || strings.Count(lines, "\n") != 32 {
		t.Fatalf("export ended with %d: %s", status, errOut)
	}
	ids, turns, err := readQuarantine("export", strings.NewReader(lines))
	if err != nil || len(ids) != 32 || len(turns) != 32 {
		t.Fatalf("%d rows with %d turns, %v", len(ids), len(turns), err)
	}
	one, _, _ := bytes.Cut([]byte(lines), []byte("\n"))
	single := writeFile(t, l.dir, "one.jsonl", strings.Replace(string(one), "And what about hill", "And what about the valley", 1)+"\n")
	out, errOut, status = l.rpo(t, "quarantine", "requeue", sampled.Manifest, single)
	if status != 0 || !strings.Contains(out, `"workflow": "SampleResponses"`) || !strings.Contains(out, `"rows": 1`) {
		t.Errorf("one mended row: %d, %s%s", status, out, errOut)
	}

	mended.Store(true)
	before := calls.Load()
	out, errOut, status = l.rpo(t, "quarantine", "requeue", sampled.Job, "--error-type", "InvalidInput", "--input", input)
	if status != 0 {
		t.Fatalf("requeue ended with %d: %s", status, errOut)
	}
	// The requeued turns are asked once, and no other is asked again.
	if made := calls.Load() - before; made > 32*4+4 {
		t.Errorf("requeueing took %d calls", made)
	}
	var versions []schemas.DatasetVersion
	if err := json.Unmarshal([]byte(out), &versions); err != nil || len(versions) != 4 || versions[0].Dataset != "town" || versions[0].Number != 2 || versions[0].Parent != 1 {
		t.Fatalf("requeue printed %s, %v", out, err)
	}
	if merged, err := store.GetManifest(t.Context(), s, versions[0].Manifest); err != nil || !merged.Books.Closed() {
		t.Errorf("merged manifest: %+v, %v", merged.Books, err)
	}
	again, errOut, status := l.rpo(t, "quarantine", "requeue", sampled.Job, "--error-type", "InvalidInput", "--input", input)
	if status != 0 || again != out {
		t.Errorf("repeated it ended with %d and printed %s%s", status, again, errOut)
	}

	// A run that nothing disturbed makes the same pairs.
	in.Dataset, in.Generation = "whole", 50
	_, whole := toPairs(t, c, in)
	want := pairIDs(t, s, "whole", whole.Version)
	if got := pairIDs(t, s, "town", 2); !slices.Equal(got, want) || len(pairIDs(t, s, "town", 1)) >= len(got) {
		t.Errorf("%d pairs came back to make %d, an undisturbed run makes %d", len(got)-len(pairIDs(t, s, "town", 1)), len(got), len(want))
	}
	t.Logf("%d pairs in version 1, %d in version 2", first.Pairs, len(want))
	t.Run("and the data sets are listed, shown, pinned and exported", func(t *testing.T) { l.datasets(t, versions[0]) })
}

// datasets looks at the data set "town", whose version 2 is given.
func (l *local) datasets(t *testing.T, v schemas.DatasetVersion) {
	ok := func(args ...string) string {
		t.Helper()
		out, errOut, status := l.rpo(t, append([]string{"dataset"}, args...)...)
		if status != 0 {
			t.Fatalf("dataset %v ended with %d: %s", args, status, errOut)
		}
		return out
	}
	list := func() (out map[string]listedDataset) {
		t.Helper()
		var all []listedDataset
		if err := json.Unmarshal([]byte(ok("list")), &all); err != nil {
			t.Fatal(err)
		}
		out = map[string]listedDataset{}
		for _, d := range all {
			out[d.Dataset] = d
		}
		return out
	}
	ok("pin", "town", "v000001", "--reason", "the paper's run")
	all := list()
	if len(all) != 12 || len(all["town"].Versions) != 2 || all["town-sft"].Table != schemas.TableSFT || all["town-requeued"].Table != schemas.TablePair {
		t.Fatalf("data sets: %+v", all)
	}
	if v := all["town"].Versions; !v[0].Pinned || v[0].PinReason != "the paper's run" || v[1].Pinned || v[1].Parent != 1 || v[1].Rows <= v[0].Rows {
		t.Errorf("versions: %+v", v)
	}
	ok("unpin", "town", "1")
	if list()["town"].Versions[0].Pinned {
		t.Error("version 1 is still pinned")
	}
	if out := ok("show", "town", "--version", "2"); !strings.Contains(out, v.Hash) || !strings.Contains(out, v.Manifest) || strings.Count(out, ".parquet") != len(v.Objects) {
		t.Errorf("show: %s", out)
	}
	dir := filepath.Join(l.dir, "export")
	ok("export", "town", "--to", dir)
	script := `import glob, sys, pyarrow.parquet as pq; print(sum(pq.read_table(f, columns=["prompt", "margin"]).num_rows for f in glob.glob(sys.argv[1] + "/data/*.parquet")))`
	counted, err := exec.Command(filepath.Join(l.root, ".venv/bin/python"), "-c", script, dir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(counted)) != fmt.Sprint(list()["town"].Versions[1].Rows) {
		t.Errorf("pyarrow reads %s rows, %v", counted, err)
	}
	for _, name := range []string{"town-dpo", "town-kto", "town-sft"} {
		ok("export", name, "--format", "jsonl", "--to", filepath.Join(l.dir, name))
	}
	if _, errOut, status := l.rpo(t, "dataset", "export", "town", "--to", dir); status != 1 || !strings.Contains(errOut, "not empty") {
		t.Errorf("a second export into one folder ended with %d: %s", status, errOut)
	}
	if _, errOut, status := l.rpo(t, "dataset", "pin", "town", "9"); status != 1 || !strings.Contains(errOut, "no version 9") {
		t.Errorf("pinning a version that does not exist ended with %d: %s", status, errOut)
	}
}
