package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"rpo/schemas"
)

// payloads calls do for every payload in a message.
func payloads(m protoreflect.Message, do func(*commonpb.Payload)) {
	if p, ok := m.Interface().(*commonpb.Payload); ok {
		do(p)
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					payloads(v.Message(), do)
				}
				return true
			})
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				payloads(v.List().Get(i).Message(), do)
			}
		default:
			payloads(v.Message(), do)
		}
		return true
	})
}

func TestNoPayloadOfARecordedHistoryExceedsItsLimit(t *testing.T) {
	most, number := 0, 0
	for _, path := range recorded(t) {
		for _, e := range readHistory(t, path).Events {
			payloads(e.ProtoReflect(), func(p *commonpb.Payload) {
				size := proto.Size(p)
				if most, number = max(most, size), number+1; size > maxPayload {
					t.Errorf("%s: event %d, %s: a payload of %d bytes: %.200s", path, e.EventId, e.EventType, size, p.GetData())
				}
			})
			// The server's limit of a summary.
			if n := proto.Size(e.GetUserMetadata().GetSummary()); n > 400 {
				t.Errorf("%s: event %d: a summary of %d bytes", path, e.EventId, n)
			}
		}
	}
	if number < 500 {
		t.Errorf("only %d payloads were weighed", number)
	}
	t.Logf("%d payloads, the heaviest of %d bytes", number, most)
}

// worst is a world of 501 shards with numbers of seven digits, of which 400 fail
// with messages that JSON writes at six bytes a character, and of stages that
// count 60 kinds of rows.
func worst() *world {
	w := newWorld(501, nil)
	w.failures = map[int]failure{}
	for i := range 400 {
		w.failures[number(i)] = failure{forever, schemas.Errorf(schemas.InvalidInput, "%s", strings.Repeat("\x01<&>", 400))}
	}
	w.counts = map[string]int64{}
	for i := range 60 {
		w.counts[fmt.Sprintf("quarantined_because_of_some_long_reason_%02d", i)] = 1 << 40
	}
	return w
}

func TestNoPayloadOfTheWorstStageExceedsItsLimit(t *testing.T) {
	many := make([]int, 500)
	for i := range many {
		many[i] = number(i)
	}
	long := strings.Repeat("m", 120)
	for name := range stagesOfShards {
		t.Run(name, func(t *testing.T) {
			inPages(t, 500)
			w := worst()
			in := strings.Replace(string(fullInput(t, name)), `"max_failed_fraction":0.5`, `"max_failed_fraction":0,"budget_tokens":1000000000000,"budget_cost":123456.789,"budget_time":"100h"`, 1)
			script := []cue{
				{update: UpdateRetryFailed, how: schemas.RetryFailed{Endpoint: long, Model: long, HeartbeatTimeout: schemas.Duration(time.Minute), Shards: many, ErrorTypes: []string{"InvalidInput", "Overloaded", "Internal"}}},
				{update: UpdateRaiseBudget, how: schemas.BudgetOptions{BudgetTokens: 1e15, BudgetCost: 1e9, BudgetTime: schemas.Duration(1000 * time.Hour)}},
				{update: UpdateRetryFailed, how: schemas.RetryFailed{Shards: many}},
			}
			if name == BuildPairsName { // it calls no one model
				script[0].how = schemas.RetryFailed{Shards: many}
			}
			tr := try(t, w, name, json.RawMessage(in), func(env *testsuite.TestWorkflowEnvironment) {
				env.SetContinueAsNewSuggested(true)
				for hour := range 60 {
					later(env, hour+1, func() {
						s := statusOf(t, env)
						if data, err := json.Marshal(s); err != nil || len(data) > maxPayload {
							t.Errorf("the status weighs %d bytes, %v", len(data), err)
						}
						if s.Status != schemas.StatusNeedsAttention {
							return
						}
						next := cue{update: UpdateSkipFailed}
						if len(script) > 0 {
							next, script = script[0], script[1:]
						}
						env.UpdateWorkflow(next.update, fmt.Sprint(hour), &decisions{}, next.how)
					})
				}
			})
			tr.get(&schemas.StageResult{})
			if checkWeight(t, tr); len(script) > 0 {
				t.Errorf("%d cues were never asked for", len(script))
			}
		})
	}
}

func TestNoPayloadOfTheWorstPipelineExceedsItsLimit(t *testing.T) {
	for _, name := range []string{RunPipelineName, RefreshDatasetName} {
		w := worst()
		w.found = newProfiles
		tr := try(t, w, name, json.RawMessage(strings.Replace(string(fullInput(t, name)), `"max_failed_fraction":0.5`, `"max_failed_fraction":0.9`, 1)))
		tr.get(&json.RawMessage{})
		checkWeight(t, tr)
	}
}
