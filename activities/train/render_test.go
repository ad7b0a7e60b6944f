package train

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

// renderer renders every prompt to its number of messages.
type renderer struct {
	through string
	err     error
	got     [][]schemas.Message
}

func (r *renderer) Render(_ context.Context, endpoint string, prompts [][]schemas.Message) (ids [][]int, through string, err error) {
	r.got = prompts
	for _, p := range prompts {
		ids = append(ids, []int{len(p)})
	}
	return ids, r.through, r.err
}

// rows writes pairs with prompts of 1, 3 and 5 messages.
func (j *job) rows(t *testing.T) {
	t.Helper()
	var pairs []schemas.Pair
	for i := range 30 {
		var prompt []schemas.Message
		for m := range 1 + 2*(i%3) {
			prompt = append(prompt, schemas.Message{Role: []string{"user", "assistant"}[m%2], Content: strings.Repeat("x", 1+i/2)})
		}
		pairs = append(pairs, schemas.Pair{PairID: fmt.Sprintf("%02d", i), Prompt: prompt})
	}
	o, err := store.PutRows(t.Context(), j.store, schemas.TablePair, pairs)
	if err == nil {
		j.in.Manifest, err = store.PutManifest(t.Context(), j.store, schemas.Manifest{Job: j.in.Job, Stage: "reference", Shards: []schemas.ManifestShard{{
			Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TablePair: o}}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPromptsOfEveryShapeAreCompared(t *testing.T) {
	j := newJob(t, "")
	j.rows(t)
	args := j.saying(t, `{"prompts": 6, "difference": null}`, "0")
	r := &renderer{through: "/tokenize"}
	j.in.PolicyEndpoint = "vllm"
	got, err := (&Activities{Store: j.store, Node: j.node, Endpoints: r}).CheckRendering(t.Context(), RenderingInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions})
	if err != nil || got != (Rendering{Prompts: 6, Through: "/tokenize"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	var shapes []int
	for _, p := range r.got {
		shapes = append(shapes, len(p))
	}
	if !slices.Equal(shapes, []int{5, 5, 3, 3, 1, 1}) {
		t.Errorf("prompts of %v messages are compared", shapes)
	}
	if longest := len(r.got[0][0].Content); longest != 15 {
		t.Errorf("the first prompt has messages of %d bytes, not the longest", longest)
	}
	if data := awaitFile(t, args); !strings.Contains(data, "-m rpo_trainer.render --model "+j.node.Models["base"]) {
		t.Errorf("the trainer is asked %s", data)
	}
}

func TestADifferenceInRenderingStopsTheRun(t *testing.T) {
	j := newJob(t, "")
	j.rows(t)
	j.saying(t, `{"prompts": 6, "difference": "there the endpoint has \"23 Nov 2026\", the trainer \"26 Jul 2024\""}`, "0")
	j.in.PolicyEndpoint = "vllm"
	a := &Activities{Store: j.store, Node: j.node, Endpoints: &renderer{through: "/tokenize"}}
	_, err := a.CheckRendering(t.Context(), RenderingInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions})
	if schemas.TypeOf(err) != schemas.InvalidInput {
		t.Fatalf("%v of type %s", err, schemas.TypeOf(err))
	}
	for _, part := range []string{`endpoint "vllm"`, "/tokenize", "23 Nov 2026", "26 Jul 2024", "policy_endpoint to none"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestAnEndpointThatOffersNoRenderingIsNoError(t *testing.T) {
	j := newJob(t, "")
	j.rows(t)
	j.in.PolicyEndpoint = "hosted"
	in := RenderingInput{Manifest: j.in.Manifest, TrainOptions: j.in.TrainOptions}
	if got, err := (&Activities{Store: j.store, Node: j.node, Endpoints: &renderer{}}).CheckRendering(t.Context(), in); err != nil || got != (Rendering{}) {
		t.Errorf("%+v, %v", got, err)
	}
	down := &renderer{err: schemas.Errorf(schemas.Overloaded, "no connection")}
	if _, err := (&Activities{Store: j.store, Node: j.node, Endpoints: down}).CheckRendering(t.Context(), in); schemas.TypeOf(err) != schemas.Overloaded {
		t.Errorf("an endpoint that is down: %v", err)
	}
}
