package workflows

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"rpo/schemas"
)

// stagesOfShards are the workflows that run on the engine, with an input each.
var stagesOfShards = map[string]struct{ stage, input string }{
	GenerateProfilesName:   {"profile", `{"manifest":"s3://rpo/m","generate_endpoint":"writer"`},
	BuildDialoguesName:     {"dialogue", `{"manifest":"s3://rpo/m","personas":"s3://rpo/p","responder_endpoint":"writer"`},
	SampleResponsesName:    {"sample", `{"manifest":"s3://rpo/m","endpoint":"policy"`},
	JudgeResponsesName:     {"judge", `{"manifest":"s3://rpo/m"`},
	ReverseConstraintsName: {"reverse", `{"manifest":"s3://rpo/m"`},
	BuildPairsName:         {"pair", `{"manifest":"s3://rpo/m"`},
	EvaluateModelName:      {"evaluate", `{"manifest":"s3://rpo/m","trained_model":"s3://rpo/models/1"`},
}

// inPages shortens the pages for one test.
func inPages(t *testing.T, size int) {
	old := pageSize
	pageSize = size
	t.Cleanup(func() { pageSize = old })
}

var (
	overloaded = schemas.Errorf(schemas.Overloaded, "endpoint policy cannot answer now")
	invalid    = schemas.Errorf(schemas.InvalidInput, "table turn is missing")
)

func TestAStageGivesTheSameResultHoweverOftenItContinues(t *testing.T) {
	scenarios := map[string]struct {
		shards, committed int
		failures          map[int]failure
		fraction          float64
	}{
		"one shard":                {shards: 1},
		"all committed":            {shards: 6, committed: 6},
		"some committed":           {shards: 11, committed: 4},
		"some failing first":       {shards: 9, failures: map[int]failure{number(0): {2, overloaded}, number(5): {7, overloaded}, number(8): {1, overloaded}}},
		"some failing for ever":    {shards: 10, failures: map[int]failure{number(2): {forever, overloaded}, number(9): {forever, invalid}}, fraction: 0.2},
		"all failing":              {shards: 4, failures: map[int]failure{number(0): {forever, invalid}, number(1): {forever, invalid}, number(2): {forever, invalid}, number(3): {forever, invalid}}, fraction: 1},
		"committed and failing":    {shards: 13, committed: 3, failures: map[int]failure{number(3): {3, overloaded}, number(4): {forever, invalid}, number(12): {forever, overloaded}}, fraction: 0.5},
		"29 of 100 may fail, do":   {shards: 100, failures: failing(29, invalid), fraction: 0.29},
		"a committed one may fail": {shards: 5, committed: 5, failures: failing(5, invalid)},
	}
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			for _, inFlight := range []int{1, 3, 8} {
				var want schemas.StageResult
				for i, size := range []int{1000, 1, 2, 3, 5, 7} {
					if size == 1 && s.shards > 20 {
						continue
					}
					inPages(t, size)
					w := newWorld(s.shards, s.failures)
					for shard := range s.committed {
						w.commit("judge", shard)
					}
					tr := try(t, w, JudgeResponsesName, object(`{"manifest":"s3://rpo/m","judge_endpoint":"judge","shards_in_flight":%d,"max_failed_fraction":%g}`, inFlight, s.fraction))
					var got schemas.StageResult
					tr.get(&got)
					if i == 0 {
						want = got
						checkStage(t, w, s.committed, s.failures, got)
					}
					where := fmt.Sprintf("pages of %d, %d in flight", size, inFlight)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: got %+v, want %+v", where, got, want)
					}
					if runs := max(1, (s.shards+size-1)/size); tr.runs != runs {
						t.Errorf("%s: %d runs, want %d", where, tr.runs, runs)
					}
					if most := mostAtOnce(s.shards, s.committed, size, inFlight); tr.seen.most != most {
						t.Errorf("%s: %d activities at once, want %d", where, tr.seen.most, most)
					}
					checkAttempts(t, where, w, s.committed, s.failures)
					if n := w.calls[openStage]; n != 1 {
						t.Errorf("%s: opened %d times", where, n)
					}
					if n := w.calls[describeModel]; n != 1 {
						t.Errorf("%s: asked %d times for the model", where, n)
					}
					if n := w.calls[closeStage]; n != 1 {
						t.Errorf("%s: closed %d times", where, n)
					}
				}
			}
		})
	}
}

func failing(n int, err error) map[int]failure {
	out := map[int]failure{}
	for i := range n {
		out[number(i)] = failure{forever, err}
	}
	return out
}

// mostAtOnce is the number of activities that can be at work at once: no more
// than asked for, and no more than a page has.
func mostAtOnce(shards, committed, size, inFlight int) int {
	most := 0
	for from := 0; from < shards; from += size {
		most = max(most, min(from+size, shards)-max(from, min(committed, from+size)))
	}
	return min(most, inFlight)
}

// mostAttempts is the default of a shard's.
const mostAttempts = 40

// checkAttempts demands that every shard is worked on exactly once, committed
// ones not at all, and failing ones as often as the failure allows.
func checkAttempts(t *testing.T, where string, w *world, committed int, failures map[int]failure) {
	t.Helper()
	for i := range w.shards {
		want := 1
		f, fails := failures[number(i)]
		switch {
		case i < committed:
			want = 0
		case fails && schemas.Retryable(f.err):
			want = min(f.times+1, mostAttempts)
		}
		if got := w.attempts[jobOf("judge")][number(i)]; got != want {
			t.Errorf("%s: shard %d: %d attempts, want %d", where, number(i), got, want)
		}
	}
}

func checkStage(t *testing.T, w *world, committed int, failures map[int]failure, got schemas.StageResult) {
	t.Helper()
	var lost []int
	for i := committed; i < w.shards; i++ {
		if f := failures[number(i)]; f.times == forever {
			lost = append(lost, number(i))
		}
	}
	done := w.shards - len(lost)
	if got.Shards != done || got.Reused != committed {
		t.Errorf("%d shards of which %d reused, want %d and %d", got.Shards, got.Reused, done, committed)
	}
	if want := int64(done * rowsPerShard); got.Books.In != want || !got.Books.Closed() {
		t.Errorf("books %+v, want %d rows in and closed", got.Books, want)
	}
	var listed []int
	for _, f := range w.given[0] {
		listed = append(listed, f.Shard)
		if f.ErrorType != string(schemas.TypeOf(failures[f.Shard].err)) {
			t.Errorf("shard %d: type %s", f.Shard, f.ErrorType)
		}
	}
	if !slices.Equal(listed, lost) {
		t.Errorf("gave up shards %v, want %v", listed, lost)
	}
	if want := min(len(lost), maxFailures); len(got.Failed) != want {
		t.Errorf("the result lists %d failures, want %d", len(got.Failed), want)
	}
}

func TestEveryStageOfShardsRunsOnTheEngine(t *testing.T) {
	for name, s := range stagesOfShards {
		t.Run(name, func(t *testing.T) {
			inPages(t, 2)
			w := newWorld(5, map[int]failure{number(1): {1, overloaded}})
			tr := try(t, w, name, object("%s}", s.input))
			var got schemas.StageResult
			tr.get(&got)
			want := schemas.StageResult{Stage: s.stage, Job: jobOf(s.stage), Manifest: "s3://rpo/manifests/" + s.stage + ".json", Shards: 5,
				Books: schemas.Books{In: 50, OK: 35, Quarantined: 5, Skipped: 10}, Counts: map[string]int64{"responses": 175, "verdicts": 525}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if want := []string{name + " Running", name + " Done"}; !slices.Equal(tr.seen.statuses, want) {
				t.Errorf("statuses %v, want %v", tr.seen.statuses, want)
			}
		})
	}
}

func TestAStageAsksTheModelsAgainOnlyWhenItOpens(t *testing.T) {
	inPages(t, 1)
	w := newWorld(3, nil)
	try(t, w, EvaluateModelName, object(`{"manifest":"s3://rpo/m","trained_model":"m","judge_endpoint":"judge"}`)).get(&schemas.EvaluationResult{})
	if n := w.calls[describeModel]; n != 3 {
		t.Errorf("asked %d times, want once for each of base, trained and judge", n)
	}
	if n := w.calls[compareArms]; n != 1 {
		t.Errorf("compared %d times", n)
	}
}

func TestAShardWhoseBooksDoNotCloseHasFailed(t *testing.T) {
	w := newWorld(3, nil)
	w.result = func(r *schemas.ShardResult) {
		if r.Shard == number(1) {
			r.Books.OK--
		}
	}
	tr := try(t, w, JudgeResponsesName, object(`{"manifest":"m","max_failed_fraction":1}`))
	var got schemas.StageResult
	tr.get(&got)
	if f := w.given[0]; len(f) != 1 || f[0].Shard != number(1) || f[0].ErrorType != string(schemas.Internal) {
		t.Errorf("failed %+v, want shard %d as an internal error", f, number(1))
	}
}

func TestAStageThatCannotOpenFailsWithTheReason(t *testing.T) {
	for _, name := range []string{openStage, listShards, closeStage, describeModel} {
		w := newWorld(3, nil)
		w.fails = map[string]error{name: schemas.Errorf(schemas.NotFound, "bucket of %s is not there", name)}
		tr := try(t, w, SampleResponsesName, object(`{"manifest":"m"}`))
		if e := tr.failure(); e.Type() != string(schemas.NotFound) || e.Message() != "bucket of "+name+" is not there" {
			t.Errorf("%s: got %s: %s", name, e.Type(), e.Message())
		}
		if got := tr.seen.attributes[SampleResponsesName]["RpoStatus"]; got != schemas.StatusFailed {
			t.Errorf("%s: status %v, want Failed", name, got)
		}
		if n := w.calls[name]; n != 1 {
			t.Errorf("%s: %d attempts of what cannot be mended by trying again", name, n)
		}
	}
}

func TestTheStateThatAStageCarriesDecodesStrictly(t *testing.T) {
	carried := schemas.SampleResponsesInput{StageInput: schemas.StageInput{Manifest: "m",
		Progress: &schemas.StageProgress{Job: "j", Shards: 3, Retry: 1, Failed: []schemas.ShardFailure{{Shard: 1}}}}}
	carried.SetDefaults()
	data, err := json.Marshal(carried)
	if err != nil {
		t.Fatal(err)
	}
	var got schemas.SampleResponsesInput
	if err := schemas.DecodeInput(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, carried) {
		t.Errorf("got %+v, want %+v", got, carried)
	}
}
