//go:build endtoend

package main

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
	"rpo/workflows"
)

// trainingRows writes a manifest with the tables of all losses: six rows of each
// of six profiles, and one that is longer than any other.
func trainingRows(t *testing.T, s store.Store) string {
	t.Helper()
	var pairs []schemas.Pair
	var desirable []schemas.Desirability
	var best []schemas.Demonstration
	says := func(text string) []schemas.Message { return []schemas.Message{{Role: "assistant", Content: text}} }
	for i := range 37 {
		id, profile := fmt.Sprintf("row-%02d", i), fmt.Sprintf("profile-%d", i%6)
		prompt := []schemas.Message{{Role: "system", Content: `You are guide 7. Mention "river".`}, {Role: "user", Content: fmt.Sprintf("What about town %d?", i/2)}}
		if i%3 == 0 { // a turn with a history
			prompt = append(prompt, says("a stone")[0], schemas.Message{Role: "user", Content: "And the hill?"})
		}
		good, bad := says(fmt.Sprintf("a river and %d stones", i)), says("cloud lamp")
		if i == 36 {
			good = says(strings.Repeat("river stone ", 200))
		}
		pairs = append(pairs, schemas.Pair{PairID: id, ProfileID: profile, Prompt: prompt, Chosen: good, Rejected: bad, Margin: float64(1 + i%3)})
		desirable = append(desirable, schemas.Desirability{DesirabilityID: id, ProfileID: profile, Prompt: prompt, Completion: good, Label: i%2 == 0})
		best = append(best, schemas.Demonstration{DemonstrationID: id, ProfileID: profile, Prompt: prompt, Completion: good})
	}
	objects := map[string]schemas.Object{}
	put := func(table string, o schemas.Object, err error) {
		if err != nil {
			t.Fatal(err)
		}
		objects[table] = o
	}
	for _, table := range []string{schemas.TablePair, schemas.TableDPO} {
		o, err := store.PutRows(t.Context(), s, table, pairs)
		put(table, o, err)
	}
	o, err := store.PutRows(t.Context(), s, schemas.TableKTO, desirable)
	put(schemas.TableKTO, o, err)
	o, err = store.PutRows(t.Context(), s, schemas.TableSFT, best)
	put(schemas.TableSFT, o, err)
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: schemas.ID("job", "rows"), Stage: "pair",
		Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: objects}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// training runs the reference pass and the training of one input.
type training struct {
	*local
	client client.Client
	runs   int
}

func (r *training) stage(t *testing.T, name string, in map[string]any, out any) {
	t.Helper()
	r.runs++
	run, err := r.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: fmt.Sprintf("%s-%d", name, r.runs), TaskQueue: workflows.QueueWorkflows}, name, in)
	if err == nil {
		err = run.Get(t.Context(), out)
	}
	if err != nil {
		t.Fatalf("%s of %v: %v", name, in, err)
	}
}

func (r *training) train(t *testing.T, manifest string, more map[string]any) (out schemas.TrainResult) {
	t.Helper()
	in := map[string]any{"manifest": manifest, "max_length": 128, "max_steps": 2, "pairs_per_step": 8, "pairs_per_batch": 4, "lora_rank": 4,
		"learning_rate": 0.01, "checkpoint_every": 100, "held_out_fraction": 0.3}
	for key, value := range more {
		in[key] = value
	}
	var reference schemas.StageResult
	r.stage(t, workflows.ComputeReferenceName, in, &reference)
	if in["loss"] != "sft" && (reference.Books != schemas.Books{In: 37, OK: 36, Skipped: 1}) {
		t.Errorf("reference of %v: %+v", more, reference)
	}
	in["manifest"] = reference.Manifest
	in["policy_endpoint"] = "local"
	r.stage(t, workflows.TrainModelName, in, &out)
	return out
}

func TestEveryLossTrainsOnItsTableAndAPromotedModelIsWhereTheNextRunStarts(t *testing.T) {
	l := startLocal(t)
	s := l.store(t)
	l.worker(t, l.config(t, "http://127.0.0.1:1/v1"))
	r := &training{local: l, client: l.client(t)}
	manifest := trainingRows(t, s)

	// An untrained policy has a known loss: the mean of softplus(gamma g), ln 2, or
	// for kto 1/2, since no reward differs from any other.
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	least, most := softplus(0.05), softplus(0.15)
	trained := map[string]schemas.TrainResult{}
	for loss, bounds := range map[string][2]float64{
		"rpo": {least, most}, "dpo": {math.Ln2 - 1e-4, math.Ln2 + 1e-4}, "kto": {0.45, 0.55}, "sft": {1, 20},
	} {
		out := r.train(t, manifest, map[string]any{"loss": loss})
		trained[loss] = out
		if out.LossFirst < bounds[0] || out.LossFirst > bounds[1] || out.TrainSteps != 2 {
			t.Errorf("%s begins at loss %v and takes %d steps, want between %v", loss, out.LossFirst, out.TrainSteps, bounds)
		}
		if out.DroppedLong != 1 || out.PairsHeldOut == 0 || out.PairsHeldOut%6 != 0 || (out.Books != schemas.Books{In: 37, OK: 36, Skipped: 1}) {
			t.Errorf("%s: %d held out, %d dropped, books %+v", loss, out.PairsHeldOut, out.DroppedLong, out.Books)
		}
		if out.PromptsCompared != 6 {
			t.Errorf("%s: the prompts of %d rows were compared with llama.cpp's", loss, out.PromptsCompared)
		}
		if out.Plan == nil || out.Plan.Pairs != 37 || out.Plan.Device != "CPU" || out.Plan.Hours == nil || out.Plan.TotalGB <= 0 || out.Plan.TotalGB > out.Plan.LimitGB {
			t.Errorf("%s: plan %+v", loss, out.Plan)
		}
		record, err := train.Record(t.Context(), s, out.Model)
		if err != nil {
			t.Fatal(err)
		}
		from, err := train.ReadRecord(t.Context(), s, record)
		if table := map[string]string{"rpo": "pair"}[loss]; err != nil || from.Table != loss && from.Table != table {
			t.Errorf("%s was trained on table %s, %v", loss, from.Table, err)
		}
		for what, uri := range map[string]string{"events": out.Events, "metrics": out.Metrics} {
			key, err := s.Key(uri)
			if err == nil {
				_, err = s.Get(t.Context(), key)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", loss, what, err)
			}
		}
		folder, err := s.Key(out.TensorBoard + "x")
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := s.List(t.Context(), strings.TrimSuffix(folder, "x")+"events.out.tfevents.", "", 0); err != nil || len(keys) != 1 {
			t.Errorf("%s: TensorBoard's files are %v, %v", loss, keys, err)
		}
	}

	// A version is promoted, and a run starts from it: its reference is the merged
	// policy, so the first loss is an untrained policy's again.
	t.Logf("plan of rpo: %+v, %v hours", trained["rpo"].Plan, *trained["rpo"].Plan.Hours)
	record, err := train.Record(t.Context(), s, trained["rpo"].Model)
	if err != nil {
		t.Fatal(err)
	}
	v := schemas.ModelVersion{Name: "guide", Number: 1, Record: trained["rpo"].Model, Files: map[string]schemas.Object{}}
	for path, o := range record.Outputs {
		if strings.HasPrefix(path, "adapter/") {
			v.Files[path] = o
		}
	}
	if v.Training, err = train.ReadRecord(t.Context(), s, record); err != nil {
		t.Fatal(err)
	}
	v.Hash = v.Digest()
	if _, err := store.PutModel(t.Context(), s, v); err != nil {
		t.Fatal(err)
	}
	next := r.train(t, manifest, map[string]any{"loss": "rpo", "init": "guide@latest"})
	if next.Init != "guide@v1" || next.Job == trained["rpo"].Job || next.LossFirst < least || next.LossFirst > most {
		t.Errorf("the run from the promoted version: init %s, job %s, first loss %v", next.Init, next.Job, next.LossFirst)
	}
	if record, err = train.Record(t.Context(), s, next.Model); err != nil {
		t.Fatal(err)
	}
	if from, err := train.ReadRecord(t.Context(), s, record); err != nil || from.Init != "guide@v1" || from.Base != v.Training.Base {
		t.Errorf("its record says %+v, %v", from, err)
	}
	again := r.train(t, manifest, map[string]any{"loss": "rpo", "init": "guide@v1", "pairs_per_batch": 2, "preset": "rpo-paper-8b", "layout": "pairs", "epochs": 3,
		"gamma": 0.05, "precision": "float32", "lora_alpha": 8})
	if again.Reused != 1 || again.Job != next.Job {
		t.Errorf("the same run in other words is job %s, not %s", again.Job, next.Job)
	}
}
