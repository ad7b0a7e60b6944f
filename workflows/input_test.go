package workflows

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// required is a valid input of every workflow with nothing but what is required.
var required = map[string]map[string]any{
	RunPipelineName:        {"profiles": "s3://rpo/profiles"},
	GenerateProfilesName:   {"manifest": "s3://rpo/m", "generate_endpoint": "writer"},
	BuildDialoguesName:     {"manifest": "s3://rpo/m", "personas": "s3://rpo/p", "responder_endpoint": "writer"},
	SampleResponsesName:    {"manifest": "s3://rpo/m"},
	JudgeResponsesName:     {"manifest": "s3://rpo/m"},
	ReverseConstraintsName: {"manifest": "s3://rpo/m"},
	BuildPairsName:         {"manifest": "s3://rpo/m"},
	ComputeReferenceName:   {"manifest": "s3://rpo/m"},
	TrainModelName:         {"manifest": "s3://rpo/m"},
	EvaluateModelName:      {"manifest": "s3://rpo/m", "trained_model": "s3://rpo/models/1"},
	RefreshDatasetName:     {"source": "s3://rpo/profiles/"},
	ManageNodePoolName:     {},
	RunExperimentName:      {"manifest": "s3://rpo/m", "profiles": "s3://rpo/profiles", "arms": []any{map[string]any{"name": "a"}}},
	PromoteModelName:       {"name": "tiny", "model": "s3://rpo/model", "evaluation": "s3://rpo/evaluation"},
}

func names() []string { return slices.Sorted(maps.Keys(Inputs())) }

// with is the required input with one field set.
func with(t *testing.T, name, field string, value any) json.RawMessage {
	t.Helper()
	in := maps.Clone(required[name])
	in[field] = value
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBadInputIsRefusedAtOnceByEveryWorkflow(t *testing.T) {
	type bad struct {
		input json.RawMessage
		says  []string
	}
	for _, name := range names() {
		if name == ManageNodePoolName {
			continue // it needs no input and has none of a run's options
		}
		cases := map[string]bad{
			"an unknown field": {with(t, name, "unheard_of", 3), []string{`unknown field "unheard_of"`, "known fields are"}},
			"an array":         {json.RawMessage(`["s3://rpo/m"]`), []string{"array"}},
			"a string":         {json.RawMessage(`"s3://rpo/m"`), []string{"string"}},
			"two values":       {json.RawMessage(`{} {}`), []string{"more than one"}},
			"malformed JSON":   {json.RawMessage(`{"manifest": }`), []string{"malformed JSON at byte"}},
			"no input":         {nil, []string{"is required"}},
			"nothing":          {json.RawMessage(``), []string{"is required"}},
			"null":             {json.RawMessage(`null`), []string{"is required"}},
			"an empty object":  {json.RawMessage(`{}`), []string{"is required"}},
		}
		if knows(name, "shards_in_flight") {
			maps.Copy(cases, map[string]bad{
				"a misspelt field":        {with(t, name, "shards_in_flihgt", 3), []string{`unknown field "shards_in_flihgt"`, "shards_in_flight"}},
				"a wrong type":            {with(t, name, "shards_in_flight", "four"), []string{`"shards_in_flight"`, "string"}},
				"a number for a duration": {with(t, name, "heartbeat_timeout", 30), []string{`such as "30m"`}},
				"an empty duration":       {with(t, name, "heartbeat_timeout", ""), []string{`such as "30m"`}},
				"a tiny duration":         {with(t, name, "heartbeat_timeout", "1ms"), []string{`field "heartbeat_timeout"`, "1s"}},
				"too many in flight":      {with(t, name, "shards_in_flight", 501), []string{`field "shards_in_flight"`, "501", "500"}},
				"negative in flight":      {with(t, name, "shards_in_flight", -1), []string{`field "shards_in_flight"`, "-1"}},
				"a fraction above 1":      {with(t, name, "max_failed_fraction", 1.5), []string{`field "max_failed_fraction"`, "1.5"}},
				"a fractional generation": {with(t, name, "generation", 0.5), []string{`"generation"`, "number"}},
			})
		}
		for field := range required[name] {
			in := maps.Clone(required[name])
			delete(in, field)
			data, _ := json.Marshal(in)
			cases["no "+field] = bad{data, []string{fmt.Sprintf("field %q", field), "is required"}}
			if _, ok := required[name][field].(string); !ok {
				continue
			}
			cases["empty "+field] = bad{with(t, name, field, ""), []string{fmt.Sprintf("field %q", field), "is required"}}
			cases[field+" as a list"] = bad{with(t, name, field, []string{"s3://rpo/m"}), []string{fmt.Sprintf("%q", field), "array"}}
		}
		for field, values := range badValues {
			if !knows(name, field) {
				continue
			}
			for _, value := range values {
				cases[fmt.Sprintf("%s %v", field, value)] = bad{with(t, name, field, value), []string{fmt.Sprintf("field %q", field)}}
			}
		}
		for what, c := range cases {
			w := newWorld(3, nil)
			var input any = verbatim(c.input)
			if c.input == nil {
				input = nothing{}
			}
			tr := try(t, w, name, input)
			e := tr.failure()
			if e.Type() != string(schemas.InvalidInput) || !e.NonRetryable() {
				t.Errorf("%s of %s: got %s, non-retryable %v", name, what, e.Type(), e.NonRetryable())
			}
			for _, part := range c.says {
				if !strings.Contains(e.Message(), part) {
					t.Errorf("%s of %s says %q, want it to name %q", name, what, e.Message(), part)
				}
			}
			if len(e.Message()) > 1024 {
				t.Errorf("%s of %s: %d bytes of message", name, what, len(e.Message()))
			}
			if len(w.calls) != 0 || len(tr.seen.activities) != 0 {
				t.Errorf("%s of %s started activities", name, what)
			}
		}
	}
}

// badValues are values outside the range of fields that some workflows have.
var badValues = map[string][]any{
	"responses":          {-1, 129},
	"temperature":        {-0.1, 2.5},
	"top_p":              {-1, 1.5},
	"max_tokens":         {-1},
	"dataset":            {"a/b", "..", "-a", "_a", strings.Repeat("x", 65)},
	"min_margin":         {-1},
	"loss":               {"ppo"},
	"budget_tokens":      {-1},
	"budget_cost":        {-0.5},
	"budget_time":        {"-1h"},
	"judge_votes":        {-1, 10},
	"max_pairs_per_turn": {-1},
	"max_length_ratio":   {0.5, -2},
	"near_duplicate":     {1.5, -1},
	"not_applicable":     {"maybe"},
	"threshold":          {-1, 1.5},
	"refine_rounds":      {-1, 4},
	"max_turns":          {-1, 21},
	"candidates":         {-1, 129},
	"margin_scale":       {"log"},
	"beta":               {-0.1},
	"gamma":              {-1},
	"learning_rate":      {-1},
	"epochs":             {-1},
	"max_steps":          {-1},
	"held_out_fraction":  {1, -0.5},
	"precision":          {"float16"},
	"processes":          {-1},
	"eval_responses":     {-1, 129},
	"source":             {"profiles", "s3://rpo/profiles", "/profiles/"},
	"eval_fraction":      {-0.1, 1},
	"park_timeout":       {"1s", "-1h"},
}

// knows says whether a workflow has a field, by asking for its complaint.
func knows(name, field string) bool {
	in := Inputs()[name]
	err := schemas.DecodeStrict([]byte(fmt.Sprintf(`{%q: null}`, field)), in)
	return err == nil
}

// verbatim is a payload of exactly these bytes.
func verbatim(data []byte) converter.RawValue {
	return converter.NewRawValue(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data})
}

// registered notes names of workflows.
type registered struct {
	worker.WorkflowRegistry
	names []string
}

func (r *registered) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	r.names = append(r.names, o.Name)
}

func TestTheRequiredFieldsAloneAreAnInputOfEveryWorkflow(t *testing.T) {
	for _, name := range names() {
		data, err := json.Marshal(required[name])
		if err != nil {
			t.Fatal(err)
		}
		tr := try(t, newWorld(2, nil), name, json.RawMessage(data), endsPool(name))
		if tr.err != nil && !temporal.IsCanceledError(tr.err) {
			t.Errorf("%s: %v", name, tr.err)
		}
	}
}

func TestEveryWorkflowIsRegisteredWithAnInput(t *testing.T) {
	r := &registered{}
	Register(r)
	slices.Sort(r.names)
	if !slices.Equal(r.names, names()) {
		t.Errorf("registered %v, inputs of %v", r.names, names())
	}
	for _, name := range names() {
		if required[name] == nil {
			t.Errorf("%s has no required field in this test", name)
		}
	}
}
