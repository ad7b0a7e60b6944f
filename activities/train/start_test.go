package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// promote makes a version of model "shop" of the job's base.
func (j *job) promote(t *testing.T, number int, files map[string]string, change func(*schemas.ModelVersion)) {
	t.Helper()
	digest, err := j.node.Identity(t.Context(), "base")
	if err != nil {
		t.Fatal(err)
	}
	v := schemas.ModelVersion{Name: "shop", Number: number, Files: map[string]schemas.Object{}}
	v.Training.Base = schemas.ModelBase{Name: "base", Digest: digest}
	for name, text := range files {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if v.Files[name], err = j.store.PutFile(t.Context(), "models/x/"+schemas.ID("file", text), path); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(&v)
	}
	v.Hash = v.Digest()
	if _, err := store.PutModel(t.Context(), j.store, v); err != nil {
		t.Fatal(err)
	}
}

var adapterFiles = map[string]string{"adapter/adapter_config.json": "{}", "adapter/adapter_model.safetensors": "low rank", "merged/model.safetensors": "all"}

func TestTheLatestVersionIsSettledByName(t *testing.T) {
	j := newJob(t, "")
	a := &Activities{Store: j.store, Node: j.node}
	j.promote(t, 1, adapterFiles, nil)
	for init, want := range map[string]string{"base": "base", "": "", "shop@v1": "shop@v1", "shop@latest": "shop@v1"} {
		if got, err := a.ResolveInit(t.Context(), init); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", init, got, err, want)
		}
	}
	if _, err := a.ResolveInit(t.Context(), "shop@v2"); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := a.ResolveInit(t.Context(), "store@latest"); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("a model that is not there: %v", err)
	}
}

func TestARunFromAPromotedVersionGetsItsAdapterAndAnotherIdentity(t *testing.T) {
	j := newJob(t, `cp "$last" RUNS.json; `+finish)
	data, err := os.ReadFile(j.node.Python)
	if err == nil {
		err = os.WriteFile(j.node.Python, []byte(strings.ReplaceAll(string(data), "RUNS", j.runs)), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	j.promote(t, 1, adapterFiles, nil)
	other := map[string]string{"adapter/adapter_config.json": "{}", "adapter/adapter_model.safetensors": "another"}
	j.promote(t, 2, other, nil)
	a := &Activities{Store: j.store, Node: j.node}
	identities := map[string]bool{}
	for _, init := range []string{"base", "shop@v1", "shop@v2"} {
		base, err := a.DescribeBase(t.Context(), DescribeBaseInput{Model: "base", Init: init})
		if err != nil {
			t.Fatal(err)
		}
		identities[base.Identity] = true
	}
	if len(identities) != 3 {
		t.Errorf("three starts have %d identities", len(identities))
	}
	dir, err := Adapter(t.Context(), j.store, j.node, schemas.TrainOptions{BaseModel: "base", Init: "shop@v1"}, filepath.Join(t.TempDir(), "init"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "adapter_model.safetensors")); err != nil || string(data) != "low rank" {
		t.Errorf("the adapter is %q, %v", data, err)
	}
	j.in.Init = "shop@v1"
	out, err := j.train(t)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(j.runs + ".json"); err != nil || !strings.Contains(string(data), `"adapter": "`+j.node.WorkDir) {
		t.Errorf("the trainer is told %s, %v", data, err)
	}
	r, err := Record(t.Context(), j.store, out.Model)
	if err != nil {
		t.Fatal(err)
	}
	if from, err := ReadRecord(t.Context(), j.store, r); err != nil || from.Init != "shop@v1" {
		t.Errorf("the record says %+v, %v", from, err)
	}
}

func TestAVersionThatDoesNotFitIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		files  map[string]string
		change func(*schemas.ModelVersion)
		kind   schemas.ErrorType
		says   string
	}{
		"another base":    {adapterFiles, func(v *schemas.ModelVersion) { v.Training.Base.Digest = strings.Repeat("0", 64) }, schemas.InvalidInput, "name the base that it belongs to"},
		"trained whole":   {map[string]string{"merged/model.safetensors": "all"}, nil, schemas.InvalidInput, "give it as base_model"},
		"outside the way": {map[string]string{"adapter/../../x": "all"}, nil, schemas.CorruptData, "outside its folder"},
	} {
		j := newJob(t, "")
		j.promote(t, 1, tt.files, tt.change)
		_, err := Adapter(t.Context(), j.store, j.node, schemas.TrainOptions{BaseModel: "base", Init: "shop@v1"}, t.TempDir())
		if schemas.TypeOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
