//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"rpo/activities/pool"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// node writes the configuration of a worker that is a node of the default pool.
func (l *local) node(t *testing.T, config, host string) string {
	t.Helper()
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	c["work_dir"] = filepath.Join(l.dir, host)
	c["pool"] = map[string]any{"host": host, "register_every": "1s"}
	return writeJSON(t, l.dir, host+".json", c)
}

// somePairs stores pairs of profiles as the pair stage does.
func somePairs(t *testing.T, s store.Store, profiles, each int) (manifest string) {
	t.Helper()
	var rows []schemas.Pair
	for p := range profiles {
		for i := range each {
			rows = append(rows, schemas.Pair{
				PairID: schemas.ID("pair", fmt.Sprint(p, i)), ProfileID: fmt.Sprint("profile-", p), TurnID: fmt.Sprint("turn-", p, i), DialogueID: fmt.Sprint("dialogue-", p),
				Prompt:   []schemas.Message{{Role: "system", Content: fmt.Sprintf("You are guide %d. Mention \"river\".", p)}, {Role: "user", Content: fmt.Sprintf("What about town %d?", i)}},
				Chosen:   []schemas.Message{{Role: "assistant", Content: "The river, the stone and the road" + strings.Repeat(" again", i%5)}},
				Rejected: []schemas.Message{{Role: "assistant", Content: "A lamp and bread" + strings.Repeat(" too", p%4)}},
				Margin:   float64(1 + i%3), Case: 6, Model: "scripted",
			})
		}
	}
	o, err := store.PutRows(t.Context(), s, schemas.TablePair, rows)
	if err != nil {
		t.Fatal(err)
	}
	books := schemas.Books{In: o.Rows, OK: o.Rows}
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: schemas.ID("job", t.Name()), Stage: "pair", Books: books,
		Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: o}}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestTwoHostsTrainAsOneAndSurviveTheDeathOfOne(t *testing.T) {
	l := startLocal(t)
	c, s := l.client(t), l.store(t)
	config := l.config(t, "http://127.0.0.1:1")
	l.worker(t, config)
	l.worker(t, l.node(t, config, "one"), "--queues", "rpo-gpu")
	two := l.node(t, config, "two")
	kill := l.worker(t, two, "--queues", "rpo-gpu")

	pairs := somePairs(t, s, 10, 6)
	var options schemas.TrainOptions
	options.Nodes, options.MaxLength, options.PairsPerStep, options.PairsPerBatch = 2, 512, 12, 6
	options.MaxSteps, options.CheckpointEvery = 12, 3
	var values schemas.StageResult
	in := schemas.ComputeReferenceInput{StageInput: schemas.StageInput{Manifest: pairs}, TrainOptions: options}
	in.HeartbeatTimeout = schemas.Duration(4e9)
	if err := l.start(t, c, workflows.ComputeReferenceName, in).Get(t.Context(), &values); err != nil {
		t.Fatal(plainFailure(err))
	}
	if values.Books.OK != 60 {
		t.Errorf("reference values of %+v", values.Books)
	}

	run := l.start(t, c, workflows.TrainModelName, trainInput(values.Manifest, options, 0))
	var job string
	await(t, "a checkpoint of both hosts", func() bool {
		keys, err := s.List(t.Context(), "checkpoints/", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			parts := strings.Split(key, "/")
			if len(parts) == 3 && strings.HasPrefix(parts[2], "step-") {
				job = parts[1]
				return true
			}
		}
		return false
	})
	kill()
	if done, err := s.Exists(t.Context(), train.RecordKey(job)); err != nil || done {
		t.Fatalf("training had ended before the kill: %v", err)
	}
	l.worker(t, two, "--queues", "rpo-gpu")
	var together schemas.TrainResult
	if err := run.Get(t.Context(), &together); err != nil {
		t.Fatal(plainFailure(err))
	}
	checkSteps(t, s, schemas.Summary{Model: together.Model}, 12)
	if keys, err := s.List(t.Context(), "checkpoints/"+job+"/attempts/", "", 0); err != nil || len(keys) < 2 {
		t.Errorf("attempts %v, %v, want two or, on a slow machine, more", keys, err)
	}
	awaitFreePool(t, c, 2)

	// One host with two processes makes the same model.
	options.Nodes, options.Processes = 0, 2
	alone := client.StartWorkflowOptions{ID: "alone", TaskQueue: workflows.QueueWorkflows}
	other, err := c.ExecuteWorkflow(t.Context(), alone, workflows.TrainModelName, trainInput(values.Manifest, options, 1))
	if err != nil {
		t.Fatal(err)
	}
	var one schemas.TrainResult
	if err := other.Get(t.Context(), &one); err != nil {
		t.Fatal(plainFailure(err))
	}
	if one.Job == together.Job || one.LossFirst != together.LossFirst || one.LossLast != together.LossLast || *one.RewardAccuracy != *together.RewardAccuracy {
		t.Errorf("two hosts: %+v\none host: %+v", together, one)
	}
	var adapters []string
	for _, model := range []string{together.Model, one.Model} {
		r, err := train.Record(t.Context(), s, model)
		if err != nil {
			t.Fatal(err)
		}
		adapters = append(adapters, r.Outputs["adapter/adapter_model.safetensors"].SHA256)
	}
	if adapters[0] != adapters[1] || adapters[0] == "" {
		t.Errorf("adapters %v differ", adapters)
	}
}

func trainInput(manifest string, o schemas.TrainOptions, generation int64) schemas.TrainModelInput {
	in := schemas.TrainModelInput{StageInput: schemas.StageInput{Manifest: manifest}, TrainOptions: o}
	in.Generation, in.HeartbeatTimeout = generation, schemas.Duration(4e9)
	return in
}

// awaitFreePool waits until all nodes of the default pool are free.
func awaitFreePool(t *testing.T, c client.Client, nodes int) {
	t.Helper()
	await(t, "a pool with all nodes free", func() bool {
		v, err := c.QueryWorkflow(t.Context(), pool.WorkflowID(schemas.DefaultPool), "", workflows.QueryStatus)
		if err != nil {
			return false
		}
		var s schemas.PoolStatus
		if err := v.Get(&s); err != nil {
			t.Fatal(err)
		}
		return s.Free == nodes && len(s.Nodes) == nodes && len(s.Waiting) == 0
	})
}
