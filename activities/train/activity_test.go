package train

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"rpo/activities/store"
	"rpo/schemas"
)

// job is a training job on a store in memory, whose "Python" is a shell script
// with the trainer's manners: it gets torchrun's arguments and writes to out_dir.
type job struct {
	store *store.Memory
	node  Node
	in    Input
	runs  string // a file with a line a run
}

const script = `#!/bin/sh
for last; do :; done
out="$(dirname "$last")/out"
echo run >> RUNS
mkdir -p "$out/merged" "$out/adapter"
echo weights > "$out/merged/model.safetensors"
echo adapter > "$out/adapter/adapter_model.safetensors"
echo gguf > "$out/model.gguf"
echo 'rpo_train_loss 0.5' > "$out/metrics.prom"
mkdir -p "$out/tensorboard"
echo board > "$out/tensorboard/events.out.tfevents.1.rpo"
`

// finish ends the script as a trainer that has a result.
const finish = `echo '{"event": "start", "total_steps": 2}' > "$out/events.jsonl"
echo '{"status": "done", "train_steps": 2, "loss_first": 0.77, "loss_last": 0.5, "reward_accuracy": 0.75, "pairs_train": 2, "pairs_held_out": 1, "dropped_long": 1}' > "$out/result.json"
`

func newJob(t *testing.T, rest string) *job {
	t.Helper()
	dir := t.TempDir()
	j := &job{store: store.NewMemory("b"), runs: filepath.Join(dir, "runs")}
	python := filepath.Join(dir, "python")
	if err := os.WriteFile(python, []byte(strings.ReplaceAll(script, "RUNS", j.runs)+rest), 0o755); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(model, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	j.node = Node{Python: python, PackageDir: dir, WorkDir: filepath.Join(dir, "work"), Device: "cpu", Models: map[string]string{"base": model}}
	pairs, err := store.PutRows(t.Context(), j.store, schemas.TablePair, []schemas.Pair{{PairID: "a"}, {PairID: "b"}, {PairID: "c"}, {PairID: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := store.PutRows(t.Context(), j.store, schemas.TableReference, []schemas.Reference{{PairID: "a", Role: "chosen"}})
	if err != nil {
		t.Fatal(err)
	}
	j.in = Input{Job: schemas.ID("job", "test"), ConfigHash: "c"}
	j.in.TrainOptions.SetDefaults()
	j.in.Manifest, err = store.PutManifest(t.Context(), j.store, schemas.Manifest{Job: j.in.Job, Stage: "reference", Shards: []schemas.ManifestShard{{
		Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: pairs, schemas.TableReference: reference}}}})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// train runs the activity once.
func (j *job) train(t *testing.T) (out schemas.TrainResult, err error) {
	t.Helper()
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	a := &Activities{Store: j.store, Node: j.node}
	env.RegisterActivity(a)
	value, err := env.ExecuteActivity(a.TrainPolicy, j.in)
	if err == nil {
		err = value.Get(&out)
	}
	return out, err
}

func (j *job) ran() int {
	data, _ := os.ReadFile(j.runs)
	return strings.Count(string(data), "run")
}

func TestATrainedModelIsCommittedOnce(t *testing.T) {
	j := newJob(t, finish)
	first, err := j.train(t)
	if err != nil {
		t.Fatal(err)
	}
	if first.Books != (schemas.Books{In: 4, OK: 3, Skipped: 1}) || first.TrainSteps != 2 || first.LossFirst != 0.77 || *first.RewardAccuracy != 0.75 || first.Reused != 0 {
		t.Errorf("result %+v", first)
	}
	r, err := Record(t.Context(), j.store, first.Model)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"merged/model.safetensors": "weights\n", "adapter/adapter_model.safetensors": "adapter\n", "model.gguf": "gguf\n"} {
		if data, err := j.store.Get(t.Context(), r.Outputs[name].Key); err != nil || string(data) != want {
			t.Errorf("%s is %q, %v", name, data, err)
		}
	}
	made, err := ReadRecord(t.Context(), j.store, r)
	if want := schemas.Hash([]schemas.Object{pairsOf(t, j)}); err != nil || made.Base.Name != "base" || len(made.Base.Digest) != 64 || made.Table != schemas.TablePair ||
		made.DataHash != want || made.Recipe.Gamma != 0.05 || made.Recipe.PairsPerBatch != 0 || made.Steps != 2 || made.LossLast != 0.5 {
		t.Errorf("the record of the training is %+v, %v", made, err)
	}
	for uri, want := range map[string]string{first.Events: "total_steps", first.Metrics: "rpo_train_loss 0.5", first.TensorBoard + "events.out.tfevents.1.rpo": "board"} {
		key, err := j.store.Key(uri)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := j.store.Get(t.Context(), key); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s is %q, %v", uri, data, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(j.node.WorkDir, stage)); len(entries) > 0 {
		t.Errorf("the work folder of a committed job is left: %v", entries)
	}
	second, err := j.train(t)
	if err == nil && (second.Events != first.Events || second.Metrics != first.Metrics || second.TensorBoard != first.TensorBoard) {
		t.Errorf("the second time the files are %+v", second)
	}
	if err != nil || second.Reused != 1 || second.Model != first.Model || second.TrainSteps != 2 || j.ran() != 1 {
		t.Errorf("the second time %+v, %v, after %d runs", second, err, j.ran())
	}
}

func pairsOf(t *testing.T, j *job) schemas.Object {
	t.Helper()
	m, err := store.GetManifest(t.Context(), j.store, j.in.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	return m.Objects(schemas.TablePair)[0]
}

func TestATrainerThatLosesRowsCommitsNothing(t *testing.T) {
	j := newJob(t, strings.Replace(finish, `"dropped_long": 1`, `"dropped_long": 0`, 1))
	if _, err := j.train(t); err == nil || !strings.Contains(err.Error(), "of 4 rows the trainer accounts for 3") {
		t.Errorf("error %v", err)
	}
	if _, ok, err := store.Committed(t.Context(), j.store, j.in.Job, stage, 0); ok || err != nil {
		t.Errorf("it is committed, %v", err)
	}
}

func TestTheTrainersConfigurationSaysWhatTheInputSays(t *testing.T) {
	j := newJob(t, `cp "$last" RUNS.json; `+finish)
	python, err := os.ReadFile(j.node.Python)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(j.node.Python, []byte(strings.ReplaceAll(string(python), "RUNS", j.runs)), 0o755); err != nil {
		t.Fatal(err)
	}
	j.in.Loss, j.in.LoraRank, j.in.LoraAlpha, j.in.TrainSeed, j.in.MaxLength = "sft", 4, 9, 1<<40, 77
	if _, err := j.train(t); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(j.runs + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	if c.Loss != "sft" || *c.Lora != (lora{4, 9}) || c.Seed != 1<<40 || c.MaxTokens != 77 || c.DType != "float32" || c.Device != "cpu" {
		t.Errorf("configuration %+v", c)
	}
	if len(c.Data) != 1 || len(c.Reference) != 0 || c.Reference == nil || !filepath.IsAbs(c.ModelDir) {
		t.Errorf("data %v, reference %v (want an empty list for sft), model %s", c.Data, c.Reference, c.ModelDir)
	}
}

func TestABaselineTrainsOnItsOwnTableWhereThereIsOne(t *testing.T) {
	with := func(tables ...string) schemas.Manifest {
		objects := map[string]schemas.Object{}
		for _, name := range tables {
			objects[name] = schemas.Object{Key: name}
		}
		return schemas.Manifest{Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: objects}}}
	}
	all := with(schemas.TablePair, schemas.TableDPO, schemas.TableKTO, schemas.TableSFT)
	for _, tt := range []struct {
		loss     string
		manifest schemas.Manifest
		want     string
	}{
		{"rpo", all, schemas.TablePair}, {"dpo", all, schemas.TableDPO}, {"kto", all, schemas.TableKTO}, {"sft", all, schemas.TableSFT},
		{"dpo", with(schemas.TablePair), schemas.TablePair}, {"sft", with(schemas.TablePair), schemas.TablePair},
		{"kto", with(schemas.TablePair), schemas.TableKTO},
	} {
		if got := Table(tt.loss, tt.manifest); got != tt.want {
			t.Errorf("loss %s trains on table %s, want %s", tt.loss, got, tt.want)
		}
	}
	j := newJob(t, finish)
	j.in.Loss = "kto"
	if _, err := j.train(t); err == nil || !strings.Contains(err.Error(), "with baselines") {
		t.Errorf("kto without its table: %v", err)
	}
}

func TestATrainersFailureIsToldInItsOwnWords(t *testing.T) {
	for _, tt := range []struct {
		rest, says string
	}{
		{`echo '{"status": "invalid", "reason": "step 3: loss is not finite"}' > "$out/result.json"; exit 78`, "train: step 3: loss is not finite"},
		{`echo '{"status": "out_of_memory", "reason": "tried to allocate 9 GiB"}' > "$out/result.json"; exit 77`, "train: tried to allocate 9 GiB: lower pairs_per_batch"},
		{`echo '{"status": "stopped", "train_steps": 4}' > "$out/result.json"`, "training stopped at step 4"},
		{`echo "Traceback: oops"; exit 1`, "Traceback: oops"},
		{`exit 0`, "the trainer left no result"},
		{`echo '{"status": ' > "$out/result.json"`, "the trainer left no result"},
	} {
		j := newJob(t, tt.rest+"\n")
		_, err := j.train(t)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %s", tt.rest, err, tt.says)
		}
		if _, ok, err := store.Committed(t.Context(), j.store, j.in.Job, stage, 0); ok || err != nil {
			t.Errorf("%s: a failed training is committed, %v", tt.rest, err)
		}
	}
}

func TestAnEarlierAttemptsResultIsNotTakenForThisOnes(t *testing.T) {
	j := newJob(t, "exit 0\n")
	out := filepath.Join(j.node.WorkDir, stage, j.in.Job, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"STOP", "result.json"} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(`{"status": "done"}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.train(t); err == nil || !strings.Contains(err.Error(), "left no result") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "STOP")); !os.IsNotExist(err) {
		t.Error("the stop file of an earlier attempt is still there")
	}
}

func TestAStatusOfTheTrainerBecomesAFailureOfItsType(t *testing.T) {
	for status, want := range map[string]schemas.ErrorType{
		"stopped": schemas.Overloaded, "invalid": schemas.InvalidInput, "out_of_memory": schemas.OutOfMemory, "failed": schemas.Internal, "": schemas.Internal,
	} {
		err := statusError(result{Status: status, Reason: "why", TrainSteps: 3}, "/dir")
		if err == nil || schemas.TypeOf(err) != want {
			t.Errorf("status %q gives %v of type %s, want %s", status, err, schemas.TypeOf(err), want)
		}
	}
	if err := statusError(result{Status: "done"}, "/dir"); err != nil {
		t.Error(err)
	}
}

func TestAJobsFolderHasOneHolderAtATime(t *testing.T) {
	n := Node{WorkDir: t.TempDir()}
	dir, release, err := n.Claim(stage, "a")
	if err != nil || !filepath.IsAbs(dir) {
		t.Fatal(dir, err)
	}
	_, _, err = n.Claim(stage, "a")
	if schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "job a is still being worked on") {
		t.Errorf("a second holder gets %v", err)
	}
	_, other, err := n.Claim(stage, "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	release()
	_, release, err = n.Claim(stage, "a")
	if err != nil {
		t.Fatalf("after its release: %v", err)
	}
	release()
}

func TestAModelFolderIsFoundOrItsMendNamed(t *testing.T) {
	empty := t.TempDir()
	n := Node{Models: map[string]string{"empty": empty}}
	if _, err := n.Folder("lama"); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"base_model"`) || !strings.Contains(err.Error(), `"lama"`) {
		t.Errorf("unknown model: %v", err)
	}
	if _, err := n.Folder("empty"); schemas.TypeOf(err) != schemas.NotFound || !strings.Contains(err.Error(), "Hugging Face folder") {
		t.Errorf("empty folder: %v", err)
	}
}

func TestABaseModelIsWhatItsFilesHold(t *testing.T) {
	j := newJob(t, "")
	a := &Activities{Node: j.node}
	describe := func() string {
		t.Helper()
		base, err := a.DescribeBase(t.Context(), DescribeBaseInput{Model: "base"})
		if err != nil || base.Precision != "float32" {
			t.Fatal(base, err)
		}
		return base.Identity
	}
	before := describe()
	dir := j.node.Models["base"]
	for _, name := range []string{"model.safetensors", "tokenizer.json", "chat_template.jinja"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		after := describe()
		if after == before {
			t.Errorf("the identity does not depend on %s", name)
		}
		before = after
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if describe() != before {
		t.Error("the identity depends on a file that no program reads")
	}
}

func TestFetchedObjectsAreVerifiedAndKept(t *testing.T) {
	s, dir := store.NewMemory("b"), t.TempDir()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := s.PutFile(t.Context(), "a/x.parquet", path)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := Fetch(t.Context(), s, []schemas.Object{o}, dir)
	if err != nil || len(paths) != 1 || filepath.Ext(paths[0]) != ".parquet" {
		t.Fatal(paths, err)
	}
	s.Before = func(string, string) error { return errors.New("asked for what is there") }
	if again, err := Fetch(t.Context(), s, []schemas.Object{o}, dir); err != nil || again[0] != paths[0] {
		t.Errorf("%v, %v", again, err)
	}
	s.Before = nil
	o.SHA256 = strings.Repeat("0", 64)
	if _, err := Fetch(t.Context(), s, []schemas.Object{o}, dir); schemas.TypeOf(err) != schemas.CorruptData {
		t.Errorf("an object that is not what its record says gives %v", err)
	}
}
