package train

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// saying makes the job's Python print a document and end with a status, and
// returns the file that gets its arguments.
func (j *job) saying(t *testing.T, document string, status string) (args string) {
	t.Helper()
	args = filepath.Join(t.TempDir(), "args")
	script := "#!/bin/sh\necho \"$@\" > " + args + "\ncat <<'END'\n" + document + "\nEND\necho told >&2\nexit " + status + "\n"
	if err := os.WriteFile(j.node.Python, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(j.node.WorkDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return args
}

const fitting = `{"fits": true, "memory_gb": {"weights": 1.5, "activations": 0.25}, "total_gb": 1.75, "gpu_gb": 8, "tokens_per_batch": 640,
"largest_tokens_per_batch": 4096, "tokens_per_pair": 320.5, "checkpoint_gb": 0.01, "predicted_hours": 2.5, "efficiency_assumed": 0.4}`

func TestAPlanSaysWhatTheTrainersPlannerSays(t *testing.T) {
	j := newJob(t, "")
	j.node.PricePerHour = 2
	args := j.saying(t, fitting, "0")
	j.in.Processes, j.in.Nodes = 2, 3
	p, err := (&Activities{Store: j.store, Node: j.node}).PlanTraining(t.Context(), PlanInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions})
	if err != nil {
		t.Fatal(err)
	}
	if p.Device != "CPU" || p.Processes != 6 || p.TotalGB != 1.75 || p.LimitGB != 8 || p.LargestTokensPerBatch != 4096 || p.Pairs != 4 || *p.Hours != 2.5 || *p.Cost != 30 {
		t.Errorf("plan %+v", p)
	}
	data, err := os.ReadFile(args)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"-m rpo_trainer.plan --model " + j.node.Models["base"], "--gpus 6", "--gpu CPU", "--pairs 4", "--responses 5"} {
		if !strings.Contains(string(data), part) {
			t.Errorf("the planner gets %s, want %s in it", data, part)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(j.node.WorkDir, "plan-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPlanCountsTheStepsThatAreTaken(t *testing.T) {
	for _, tt := range []struct {
		steps, pairs, epochs int
		want                 int64
	}{{0, 64, 3, 1000}, {10, 64, 1, 640}, {10, 64, 3, 214}, {1000, 64, 3, 1000}} {
		o := schemas.TrainOptions{MaxSteps: tt.steps, PairsPerStep: tt.pairs, Epochs: tt.epochs}
		if got := visits(o, 1000); got != tt.want {
			t.Errorf("%+v: %d rows an epoch", tt, got)
		}
	}
}

func TestARunThatCannotFitIsRefusedWithItsNumbersAndTheMend(t *testing.T) {
	for largest, mend := range map[string]string{"4096": "set tokens_per_batch to at most 4096", "12": "more processes with a larger shard (now 1 of 1)"} {
		j := newJob(t, "")
		document := strings.NewReplacer(`"fits": true`, `"fits": false`, `"total_gb": 1.75`, `"total_gb": 93.1`, `"gpu_gb": 8`, `"gpu_gb": 80`, "4096", largest).Replace(fitting)
		j.saying(t, document, "78")
		_, err := (&Activities{Store: j.store, Node: j.node}).PlanTraining(t.Context(), PlanInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions})
		if schemas.TypeOf(err) != schemas.OutOfMemory || schemas.Retryable(err) {
			t.Fatalf("%v of type %s", err, schemas.TypeOf(err))
		}
		for _, part := range []string{"93.1 GB of 80.0 GB", "activations 0.2, weights 1.5", "640 tokens", mend} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
}

func TestAPlannerThatFailsIsToldInItsOwnWords(t *testing.T) {
	for status, want := range map[string]schemas.ErrorType{"78": schemas.InvalidInput, "1": schemas.Internal, "0": schemas.Internal} {
		j := newJob(t, "")
		j.saying(t, "no document", status)
		_, err := (&Activities{Store: j.store, Node: j.node}).PlanTraining(t.Context(), PlanInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions})
		if schemas.TypeOf(err) != want || status != "0" && !strings.Contains(err.Error(), "told") {
			t.Errorf("status %s: %v of type %s, want %s", status, err, schemas.TypeOf(err), want)
		}
	}
}

func TestLengthsAreMeasuredOnTheRowsOfTheLoss(t *testing.T) {
	s := store.NewMemory("b")
	text := func(n int) []schemas.Message {
		return []schemas.Message{{Role: "user", Content: strings.Repeat("abcd", n-5)}}
	}
	objects := map[string]schemas.Object{}
	o, err := store.PutRows(t.Context(), s, schemas.TablePair, []schemas.Pair{
		{PairID: "a", Prompt: text(100), Chosen: text(20), Rejected: text(40)},
		{PairID: "b", Prompt: text(100), Chosen: text(20), Rejected: text(40)},
		{PairID: "c", Prompt: text(200), Chosen: text(20), Rejected: text(40)},
		{PairID: "d", Prompt: text(200), Chosen: text(20), Rejected: text(40)},
	})
	if err != nil {
		t.Fatal(err)
	}
	objects[schemas.TablePair] = o
	if objects[schemas.TableKTO], err = store.PutRows(t.Context(), s, schemas.TableKTO, []schemas.Desirability{
		{DesirabilityID: "a", Prompt: []schemas.Message{{Role: "user", Content: strings.Repeat("世", 95)}}, Completion: text(60)},
	}); err != nil {
		t.Fatal(err)
	}
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: "j", Stage: "pair", Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: objects}}})
	if err != nil {
		t.Fatal(err)
	}
	a := &Activities{Store: s}
	for loss, want := range map[string]lengths{"rpo": {4, 150, 30, 3}, "kto": {1, 100, 30, 2}} {
		in := PlanInput{Manifest: uri}
		in.Loss, in.MaxLength = loss, 4096
		if got, err := a.lengths(t.Context(), in); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", loss, got, err, want)
		}
	}
}

func TestAGPUIsTheSmallestOfTheNode(t *testing.T) {
	d, err := gpu("NVIDIA H100 80GB HBM3, 81559\nNVIDIA H100 80GB HBM3, 40000\n", 2)
	if err != nil || d.name != "NVIDIA H100 80GB HBM3" || d.memory != 40000<<20 || !d.timed {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = gpu("NVIDIA L40S, 46068\n", 1); err != nil || d.timed || d.peak <= 0 {
		t.Errorf("a GPU of an unknown peak is %+v, %v: want no time predicted", d, err)
	}
	if _, err = gpu("NVIDIA L40S, 46068\n", 2); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"processes": 2, but the node has 1 GPUs`) {
		t.Errorf("more processes than GPUs: %v", err)
	}
	for _, list := range []string{"", "No devices were found", "H100, many"} {
		if _, err := gpu(list, 1); err == nil {
			t.Errorf("%q is taken for a list of GPUs", list)
		}
	}
}

func TestTheMemoryOfACPUIsTheMachinesOrTheControlGroups(t *testing.T) {
	files := func(limit string) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			switch {
			case path == "/proc/meminfo":
				return []byte("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), nil
			case path == "/sys/fs/cgroup/memory.max" && limit != "":
				return []byte(limit), nil
			}
			return nil, os.ErrNotExist
		}
	}
	for limit, want := range map[string]float64{"": 24576000 << 10, "max\n": 24576000 << 10, "1073741824\n": 1 << 30, "9223372036854771712\n": 24576000 << 10} {
		if got, err := hostMemory(files(limit)); err != nil || got != want {
			t.Errorf("with limit %q: %v, %v, want %v", limit, got, err, want)
		}
	}
	if _, err := hostMemory(func(string) ([]byte, error) { return nil, errors.New("no") }); err == nil {
		t.Error("no memory is found without /proc/meminfo")
	}
}
