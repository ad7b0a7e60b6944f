package workflows

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"go.temporal.io/sdk/testsuite"

	"rpo/schemas"
)

// maxPayload is what a payload may weigh: histories stay small and the web UI
// shows them whole.
const maxPayload = 8 << 10

// nasty is a long message of what JSON writes with the most bytes.
var nasty = schemas.Errorf(schemas.BudgetExceeded, "%s", strings.Repeat(`the reply "<|im_start|>" & 'ü\n' of `, 40))

func longest(n int) map[int]failure {
	out := map[int]failure{}
	for i := range n {
		out[number(25*i)] = failure{forever, nasty}
	}
	return out
}

// fullInput sets every field that a person may make long.
func fullInput(t *testing.T, name string) json.RawMessage {
	t.Helper()
	long := func(s string) string { return s + strings.Repeat("x", 120-len(s)) }
	fields := map[string]any{
		"profiles": long("s3://rpo/manifests/"), "source": long("s3://rpo/manifests/") + "/", "manifest": long("s3://rpo/manifests/"), "trained_model": long("s3://rpo/jobs/"),
		"endpoint": long("policy"), "model": long("s3://rpo/jobs/"), "judge_endpoint": long("judge"), "judge_model": long("model"),
		"reverse_endpoint": long("judge"), "reverse_model": long("model"), "eval_endpoint": long("trained"), "base_model": long("base"),
		"generate_endpoint": long("writer"), "generate_model": long("model"), "personas": long("s3://rpo/manifests/"),
		"user_endpoint": long("writer"), "responder_endpoint": long("writer"), "second_judge_endpoint": long("second"),
		"init": strings.Repeat("m", 64) + "@latest", "dataset": strings.Repeat("d", 64), "promote": strings.Repeat("p", 64), "gates": schemas.Gates{MinGain: 0.512345, MinCILow: 0.0123456, MinVerdicts: 123456, MinProfiles: 12345, MaxMalformed: 0.0123456, BeatCurrent: true, MinCILowOverCurrent: 0.0123456}, "shards_in_flight": 50, "max_failed_fraction": 0.5, "seed": 1 << 40, "train_seed": 1 << 40,
	}
	for field := range fields {
		if !knows(name, field) {
			delete(fields, field)
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNoPayloadOfAPipelineExceedsItsLimit(t *testing.T) {
	w := newWorld(500, longest(maxFailures))
	tr := try(t, w, RunPipelineName, fullInput(t, RunPipelineName))
	var got schemas.Summary
	tr.get(&got)
	checkWeight(t, tr)
	if n := len(got.Stages[0].Failed); n != maxSummaryFailures {
		t.Errorf("the summary lists %d failures, want %d", n, maxSummaryFailures)
	}
}

func TestNoPayloadOfARefreshExceedsItsLimit(t *testing.T) {
	w := newWorld(500, longest(maxFailures))
	w.found = newProfiles
	long := strings.Repeat("<", 120)
	w.found.Refused, w.found.RefusedFirst = 3, []schemas.RefusedObject{{Key: long, Reason: long}, {Key: long, Reason: long}, {Key: long, Reason: long}}
	tr := try(t, w, RefreshDatasetName, fullInput(t, RefreshDatasetName))
	tr.get(&schemas.RefreshResult{})
	checkWeight(t, tr)
}

func TestNoPayloadOfAContinuedAndParkedStageExceedsItsLimit(t *testing.T) {
	for name := range stagesOfShards {
		t.Run(name, func(t *testing.T) {
			inPages(t, 500)
			w := newWorld(501, longest(maxFailures))
			in := strings.Replace(string(fullInput(t, name)), `"max_failed_fraction":0.5`, `"max_failed_fraction":0`, 1)
			decision := UpdateRetryFailed
			tr := try(t, w, name, json.RawMessage(in), func(env *testsuite.TestWorkflowEnvironment) {
				later(env, 1, func() {
					env.SetContinueAsNewSuggested(true)
					env.UpdateWorkflow(decision, "", &decisions{})
					decision = UpdateSkipFailed
				})
			})
			tr.get(&schemas.StageResult{})
			if tr.runs != 3 {
				t.Errorf("%d runs, want 3: of two pages and of what is retried", tr.runs)
			}
			checkWeight(t, tr)
		})
	}
}

func checkWeight(t *testing.T, tr *trial) {
	t.Helper()
	if n := len(tr.seen.heaviest); n > maxPayload {
		t.Errorf("a payload weighs %d bytes, more than %d: %.600s", n, maxPayload, tr.seen.heaviest)
	}
	if tr.seen.payloads < 1000 {
		t.Errorf("only %d payloads were weighed", tr.seen.payloads)
	}
	t.Logf("%d payloads, the heaviest of %d bytes", tr.seen.payloads, len(tr.seen.heaviest))
}

func TestAFailedShardAddsLittleOnceItsMessageIsNotListed(t *testing.T) {
	weight := func(failed int) int {
		w := newWorld(500, failing(failed, nasty))
		tr := try(t, w, BuildPairsName, object(`{"manifest":"m","max_failed_fraction":1,"shards_in_flight":100}`))
		tr.get(&schemas.PairResult{})
		return len(tr.seen.heaviest)
	}
	few, many := weight(maxFailures), weight(maxFailures+300)
	if each := (many - few) / 300; each > 64 {
		t.Errorf("each unlisted failure adds %d bytes, want at most 64", each)
	}
}

func TestMessagesAreClippedByWhatTheyWeighAsJSON(t *testing.T) {
	for _, message := range []string{
		"", "short", strings.Repeat("a", 200), strings.Repeat("a", 5000), strings.Repeat("<", 300), strings.Repeat(`"`, 300),
		strings.Repeat("ü", 300), strings.Repeat("\u2028", 300), strings.Repeat("漢", 300), strings.Repeat("\x00", 300),
		strings.Repeat("\xff", 300), strings.Repeat("a\xffb", 300), strings.Repeat("🙂", 300), strings.Repeat("\n", 300), strings.Repeat("\x7f", 300),
	} {
		got := clip(message)
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 200+len(`"…"`) || !utf8.ValidString(got) {
			t.Errorf("%.20q: clipped to %d bytes of JSON", message, len(data))
		}
		kept := strings.TrimSuffix(got, "…")
		if !strings.HasPrefix(strings.ToValidUTF8(message, ""), kept) {
			t.Errorf("%.20q: became %.20q", message, got)
		}
		if len(message) <= 40 && got != message {
			t.Errorf("%q: became %q", message, got)
		}
	}
}
