//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat/scripted"
	"rpo/activities/report"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// answer is a response that depends on the request and the seed alone and
// follows some of the constraints of profiles().
func answer(p scripted.Parsed, seed int64) string {
	h := fnv.New64a()
	fmt.Fprint(h, p.System(), p.Last(), seed)
	n := h.Sum64()
	words := []string{"stone", "river", "cloud", "lamp", "road", "bread", "river", "wind"}
	var b strings.Builder
	for i := range 2 + n%8 {
		if i > 0 {
			b.WriteString([]string{" ", ", "}[n>>(8+i)%2])
		}
		b.WriteString(words[(n>>(3*i))%uint64(len(words))])
	}
	return b.String() + "."
}

// slowly delays every reply, so that a stage lasts long enough to be killed in.
func slowly(delay time.Duration, h func(scripted.Parsed) scripted.Reply) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		r := h(p)
		r.Delay = delay
		return r
	}
}

// doneQueries notices when a turn of a committed shard is sampled again.
type doneQueries struct {
	mu      sync.Mutex
	queries map[string]bool
	again   int
}

func (d *doneQueries) asked(query string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queries[query] {
		d.again++
	}
}

// commit takes the queries of all committed shards of the sample stage.
func (d *doneQueries) commit(t *testing.T, s store.Store, keys map[string]string) {
	t.Helper()
	queries := map[string]bool{}
	for key := range keys {
		if !strings.Contains(key, "/sample/shard-") {
			continue
		}
		var r schemas.CommitRecord
		data, err := s.Get(t.Context(), key)
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		turns, err := store.GetRows[schemas.Turn](t.Context(), s, r.Outputs[schemas.TableTurn])
		if err != nil {
			t.Fatal(err)
		}
		for _, turn := range turns {
			queries[turn.Query] = true
		}
	}
	if len(queries) == 0 {
		t.Fatal("no committed turn to watch")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries, d.again = queries, 0
}

// forget returns how many were sampled again and stops watching.
func (d *doneQueries) forget() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := d.again
	d.queries = nil
	return again
}

func pipelineInput(manifest string, generation int64) schemas.RunPipelineInput {
	var in schemas.RunPipelineInput
	in.Profiles, in.Generation, in.EvalEndpoint = manifest, generation, "local"
	in.HeartbeatTimeout, in.ShardsInFlight = schemas.Duration(5*time.Second), 2
	in.MaxTokens, in.MaxLength, in.Dataset = 48, 512, "killed"
	in.PairsPerStep, in.PairsPerBatch, in.MaxSteps, in.CheckpointEvery = 8, 8, 12, 2
	in.EvalResponses = 1
	return in
}

func TestAWorkerKilledWhileSamplingAndWhileTrainingLosesNothing(t *testing.T) {
	l := startLocal(t)
	done := &doneQueries{}
	endpoint := scripted.New(t, slowly(60*time.Millisecond, scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
		done.asked(p.Last())
		return answer(p, seed)
	})))
	config := l.config(t, endpoint.URL)
	manifest := l.importProfiles(t, profiles(t, l.dir, 72), "--profiles-per-shard", "8")
	c, s := l.client(t), l.store(t)

	kill := l.worker(t, config)
	run := l.start(t, c, workflows.RunPipelineName, pipelineInput(manifest, 0))
	commits := func(stage string) (n int) {
		keys, err := s.List(t.Context(), "runs/", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if strings.Contains(key, "/"+stage+"/shard-") {
				n++
			}
		}
		return n
	}
	await(t, "the first commit of the sample stage", func() bool { return commits("sample") > 0 })
	kill()
	if n := commits("sample"); n >= 8 {
		t.Fatalf("all %d shards were committed before the kill: make the endpoint slower", n)
	}
	before := snapshot(t, s, "runs/")
	done.commit(t, s, before)

	kill = l.worker(t, config)
	await(t, "a checkpoint", func() bool {
		keys, err := s.List(t.Context(), "checkpoints/", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if strings.Contains(key, "/step-") {
				return true
			}
		}
		return false
	})
	kill()
	if commits("train") != 0 {
		t.Fatal("training had ended before the kill: give it more steps")
	}
	for key, sum := range snapshot(t, s, "runs/") {
		if strings.Contains(key, "/shard-") {
			before[key] = sum
		}
	}

	l.worker(t, config)
	var disturbed, calm schemas.Summary
	if err := run.Get(t.Context(), &disturbed); err != nil {
		t.Fatal(plainFailure(err))
	}
	after := snapshot(t, s, "runs/")
	for key, sum := range before {
		if strings.Contains(key, "/shard-") && after[key] != sum {
			t.Errorf("%s was written again after it was committed", key)
		}
	}
	if again := done.forget(); again > 0 {
		t.Errorf("%d turns of committed shards were sampled again", again)
	}
	checkSteps(t, s, disturbed, 12)

	second := l.start(t, c, workflows.RunPipelineName, pipelineInput(manifest, 1))
	if err := second.Get(t.Context(), &calm); err != nil {
		t.Fatal(plainFailure(err))
	}
	if calm.Stages[0].Job == disturbed.Stages[0].Job || calm.Stages[0].Reused != 0 {
		t.Fatal("a raised generation did not make everything anew")
	}
	if calm.DatasetHash != disturbed.DatasetHash || calm.DatasetVersion != disturbed.DatasetVersion {
		t.Errorf("disturbed run: version %d hash %s; undisturbed run: version %d hash %s",
			disturbed.DatasetVersion, disturbed.DatasetHash, calm.DatasetVersion, calm.DatasetHash)
	}
	for i, stage := range disturbed.Stages {
		if !stage.Books.Closed() || stage.Books != calm.Stages[i].Books {
			t.Errorf("stage %s: books %+v, undisturbed %+v", stage.Stage, stage.Books, calm.Stages[i].Books)
		}
	}
	if disturbed.Dialogues != 128 || disturbed.Responses != 640 {
		t.Errorf("%d dialogues and %d responses, want 128 and 640", disturbed.Dialogues, disturbed.Responses)
	}
	checkPairs(t, s, disturbed)
	key, err := s.Key(disturbed.Card)
	if err != nil {
		t.Fatal(err)
	}
	card, err := s.Get(t.Context(), key)
	if err != nil || !strings.Contains(string(card), "`scripted`") || !strings.Contains(string(card), "rpo/1") {
		t.Errorf("the card does not say who sampled and judged: %v\n%s", err, card)
	}
}

// checkSteps demands each training step once, over all attempts.
func checkSteps(t *testing.T, s store.Store, summary schemas.Summary, steps int) {
	t.Helper()
	r, err := train.Record(t.Context(), s, summary.Model)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Get(t.Context(), r.Outputs["events.jsonl"].Key)
	if err != nil {
		t.Fatal(err)
	}
	var seen []int
	resumed := false
	for line := range strings.Lines(string(data)) {
		var e struct {
			Event string `json:"event"`
			Step  int    `json:"step"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "step" {
			seen = append(seen, e.Step)
		}
		resumed = resumed || e.Event == "resume"
	}
	for i, step := range seen {
		if step != i+1 {
			t.Fatalf("steps are %v, want 1 to %d once each", seen, steps)
		}
	}
	if len(seen) != steps || !resumed {
		t.Errorf("%d steps, resumed %v, want %d steps in a resumed run", len(seen), resumed, steps)
	}
	if _, _, err := report.ReadEvents(strings.NewReader(string(data))); err != nil {
		t.Error(err)
	}
}

// checkPairs reads the published pairs: ids are unique, counts are the summary's.
func checkPairs(t *testing.T, s store.Store, summary schemas.Summary) {
	t.Helper()
	v, ok, err := store.LatestVersion(t.Context(), s, summary.Dataset)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	ids := map[string]bool{}
	byG := map[string]int64{}
	for _, o := range v.Objects {
		pairs, err := store.GetRows[schemas.Pair](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			if ids[p.PairID] {
				t.Fatalf("pair %s stands twice", p.PairID)
			}
			ids[p.PairID] = true
			byG[fmt.Sprint(p.Margin)]++
			if int(p.Margin) != len(p.Differing) || len(p.Chosen) != 1 || len(p.Rejected) != 1 || p.Prompt[0].Role != "system" {
				t.Fatalf("pair %s is malformed: %+v", p.PairID, p)
			}
		}
	}
	if int64(len(ids)) != summary.Pairs || summary.Pairs == 0 || fmt.Sprint(byG) != fmt.Sprint(summary.PairsByG) {
		t.Errorf("%d pairs %v, the summary says %d %v", len(ids), byG, summary.Pairs, summary.PairsByG)
	}
	if v.Hash != summary.DatasetHash || v.Hash != schemas.Hash(v.Objects) {
		t.Errorf("version hash %s, summary %s", v.Hash, summary.DatasetHash)
	}
}
