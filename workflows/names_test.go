package workflows

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"rpo/activities/chat"
	"rpo/activities/dialogue"
	"rpo/activities/evaluate"
	"rpo/activities/experiment"
	"rpo/activities/judge"
	"rpo/activities/pair"
	nodepool "rpo/activities/pool"
	"rpo/activities/profile"
	"rpo/activities/promote"
	"rpo/activities/reference"
	"rpo/activities/refresh"
	"rpo/activities/report"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/train"
)

// real are the structs whose methods a worker registers.
var real = []any{&store.Activities{}, &chat.Activities{}, &profile.Activities{}, &dialogue.Activities{}, &sample.Activities{}, &judge.Activities{}, &reverse.Activities{},
	&pair.Activities{}, &reference.Activities{}, &train.Activities{}, &evaluate.Activities{}, &refresh.Activities{}, &promote.Activities{}, &experiment.Activities{}, &report.Activities{}, &nodepool.Activities{}}

// methods are the activities of the real structs by name, without their receivers.
func methods() map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, a := range real {
		v := reflect.ValueOf(a)
		for m := range v.Type().Methods() {
			out[m.Name] = v.MethodByName(m.Name).Type()
		}
	}
	return out
}

// constants are the values of the string constants of names.go whose names begin
// so, or in lower case.
func constants(t *testing.T, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.ValueSpec)
		if !ok || len(s.Values) != 1 {
			return true
		}
		name := s.Names[0].Name
		if v, ok := s.Values[0].(*ast.BasicLit); ok && (prefix == "" && !ast.IsExported(name) || prefix != "" && strings.HasPrefix(name, prefix)) {
			out = append(out, strings.Trim(v.Value, `"`))
		}
		return true
	})
	slices.Sort(out)
	return out
}

func TestEveryActivityNameIsAMethodThatAWorkerRegisters(t *testing.T) {
	named, known := constants(t, ""), methods()
	if have := slices.Sorted(maps.Keys(known)); !slices.Equal(named, have) {
		t.Errorf("names   %v\nmethods %v", named, have)
	}
	source, err := os.ReadFile("../workers/rpo/worker.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range real {
		if name := strings.TrimPrefix(reflect.TypeOf(a).String(), "*"); !strings.Contains(string(source), "&"+name+"{") {
			t.Errorf("the worker does not register %s", name)
		}
	}
}

func TestTheActivitiesOfTheseTestsHaveTheRealSignatures(t *testing.T) {
	known, ours := methods(), newWorld(1, nil).activities()
	if a, b := slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(ours)); !slices.Equal(a, b) {
		t.Fatalf("real %v, of these tests %v", a, b)
	}
	for name, f := range ours {
		if got := reflect.TypeOf(f); got != known[name] {
			t.Errorf("%s: %v, want %v", name, got, known[name])
		}
	}
}

func TestWorkflowsPassActivitiesWhatTheyTakeAndCallAllOfThem(t *testing.T) {
	known := methods()
	var calls []activityCall
	note := func(tr *trial) {
		if tr.err != nil {
			t.Fatal(tr.err)
		}
		calls = append(calls, tr.seen.activities...)
	}
	note(try(t, newWorld(2, nil), RunPipelineName, object(pipelineInput)))
	note(try(t, newWorld(2, nil), RefreshDatasetName, object(refreshInput)))
	note(try(t, newWorld(1, nil), PromoteModelName, object(promoteInput)))
	note(try(t, newWorld(1, nil), RunExperimentName, object(experimentInput)))
	note(try(t, newWorld(1, nil), TrainModelName, object(`{"manifest":"m","init":"shop@latest","policy_endpoint":"policy"}`)))
	for _, name := range []string{GenerateProfilesName, BuildDialoguesName} {
		note(try(t, newWorld(2, nil), name, object("%s}", stagesOfShards[name].input)))
	}
	w := newWorld(2, map[int]failure{number(1): {1, invalid}})
	note(try(t, w, JudgeResponsesName, object(`{"manifest":"m","judge_endpoint":"judge","calibrate":true}`), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 1, func() { env.UpdateWorkflow(UpdateRetryFailed, "", &decisions{}) })
	}))
	idle := try(t, newWorld(1, nil), ManageNodePoolName, object(`{}`), endsPool(ManageNodePoolName), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(SignalLeaseNodes, object(`{"holder":"h","want":1}`)) }, time.Second)
	})
	calls = append(calls, idle.seen.activities...)
	gang := newGang(func(context.Context, train.Place) error { return nil })
	calls = append(calls, gang.try(t, twoNodes).seen.activities...)
	called := map[string]bool{}
	for _, c := range calls {
		called[c.name] = true
		m := known[c.name]
		if m == nil {
			t.Errorf("%s is no activity", c.name)
			continue
		}
		if len(c.args) != m.NumIn()-1 || reflect.TypeOf(c.args[0]) != m.In(1) {
			t.Errorf("%s is called with %T, takes %v", c.name, c.args[0], m.In(1))
		}
	}
	for name := range known {
		if !called[name] {
			t.Errorf("no workflow calls %s", name)
		}
	}
}

func TestThePublicNamesAreTheDocumentedOnes(t *testing.T) {
	for prefix, want := range map[string][]string{
		"Queue":  {"rpo", "rpo-gpu", "rpo-io", "rpo-llm"},
		"Query":  {"status"},
		"Update": {"drain", "evict", "pause", "raise_budget", "release", "resume", "retry_failed", "skip_failed", "stop", "undrain"},
		"Signal": {"lease_nodes", "node_leaves", "nodes_leased", "register_node", "release_nodes"},
	} {
		if got := constants(t, prefix); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", prefix, got, want)
		}
	}
	want := []string{"BuildDialogues", "BuildPairs", "ComputeReference", "EvaluateModel", "GenerateProfiles", "JudgeResponses", "ManageNodePool", "PromoteModel", "RefreshDataset", "ReverseConstraints", "RunExperiment", "RunPipeline", "SampleResponses", "TrainModel"}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("workflows %v, want %v", got, want)
	}
}

// declared finds search attributes and their types in a source file.
func declared(t *testing.T, pattern, file string, into map[string]string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
		name, kind := m[1], m[2]
		if strings.HasPrefix(kind, "Rpo") {
			name, kind = kind, name
		}
		if _, doubled := into[name]; doubled {
			t.Errorf("%s is declared twice", name)
		}
		kind = strings.NewReplacer("int64", "int", "float64", "double", "time", "datetime", "_", "").Replace(strings.ToLower(kind))
		into[name] = kind
	}
}

func TestTheSearchAttributesFitIntoASQLDatabase(t *testing.T) {
	ours, local := map[string]string{}, map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			declared(t, `NewSearchAttributeKey(\w+)\("(Rpo\w+)"\)`, file, ours)
		}
	}
	declared(t, `"(Rpo\w+)":\s+enumspb\.INDEXED_VALUE_TYPE_(\w+)`, "../infra/local/database.go", local)
	if !maps.Equal(ours, local) || len(ours) < 9 {
		t.Errorf("workflows set %v, a local server registers %v", ours, local)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for name, kind := range ours {
		count[kind]++
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("the README does not name %s", name)
		}
	}
	for kind, n := range count {
		if most := map[string]int{"keyword": 10, "int": 3, "double": 3, "bool": 3, "datetime": 3, "text": 3, "keywordlist": 3}[kind]; n > most {
			t.Errorf("%d attributes of type %s, a SQL database takes %d", n, kind, most)
		}
	}
}
