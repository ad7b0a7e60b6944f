package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

const committed = "../profiles.jsonl"

var everyKind = strings.Split(allKinds, ",")

func committedBundle(t *testing.T) []bundled {
	t.Helper()
	bundle, err := readBundle(committed)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestNoEvaluationCombinationOccursInTraining(t *testing.T) {
	train := map[string]bool{}
	evals := 0
	for _, p := range committedBundle(t) {
		if p.Split == schemas.SplitTrain {
			train[p.combination()] = true
		}
	}
	for _, p := range committedBundle(t) {
		if p.Split != schemas.SplitEval {
			continue
		}
		evals++
		if train[p.combination()] {
			t.Errorf("profile %s has the constraints of a training profile", p.ID)
		}
	}
	if evals < 200 || len(train) < 400 {
		t.Errorf("%d training and %d evaluation profiles", len(train), evals)
	}
}

func TestCommittedProfilesAreWhatTheCommandWrites(t *testing.T) {
	path := t.TempDir() + "/profiles.jsonl"
	if err := run([]string{"profiles", "-out", path}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("profiles.jsonl differs from what make.sh writes; run it")
	}
}

func TestEveryConstraintStandsOnceInItsSystemMessage(t *testing.T) {
	ids := map[string]bool{}
	for _, p := range committedBundle(t) {
		if ids[p.ID] {
			t.Errorf("id %s occurs twice", p.ID)
		}
		ids[p.ID] = true
		if len(p.Queries) == 0 || len(p.Constraints) < 4 || len(p.Constraints) > 6 {
			t.Errorf("%s has %d queries and %d constraints", p.ID, len(p.Queries), len(p.Constraints))
		}
		at := 0
		for _, c := range p.Constraints {
			i := strings.Index(p.System[at:], c.Text)
			if i < 0 {
				t.Fatalf("%s: %q is not in the system message after the constraints before it", p.ID, c.Text)
			}
			at += i + len(c.Text)
			if strings.Count(p.System, c.Text) != 1 {
				t.Errorf("%s: %q stands more than once", p.ID, c.Text)
			}
			phrased := false
			for v := range rules.Phrasings(c.rule()) {
				text, _ := rules.Describe(c.rule(), v)
				phrased = phrased || text == c.Text
			}
			if !phrased {
				t.Errorf("%s: %q is no phrasing of its rule", p.ID, c.Text)
			}
		}
	}
}

// Reversal keeps prompts satisfiable only if every combination of verdicts has
// an answer.
func TestEveryCombinationOfVerdictsHasAnAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 60 {
		task, err := newTask(r, everyKind, 2+r.IntN(6), 0)
		if err != nil {
			t.Fatal(err)
		}
		for bits := range 1 << len(task.demands) {
			want := make([]bool, len(task.demands))
			for i := range want {
				want[i] = bits>>i&1 == 1
			}
			text, err := answer(r, task.demands, want, task.topic, false)
			if err != nil {
				t.Fatal(err)
			}
			if !verdictsAre(task.demands, want, text) {
				t.Fatalf("%q does not have the verdicts %v", text, want)
			}
		}
	}
}

func TestEqualSeedsWriteEqualText(t *testing.T) {
	threeHundred := settings{seed: 3, count: 300, kinds: everyKind, least: 2, most: 7, follow: 0.7}
	first, err := newText(threeHundred)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newText(threeHundred)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Error("two runs differ")
	}
	for _, x := range first {
		if len(x.Prompt) != 2 || x.Prompt[0].Role != "system" || x.Prompt[1].Role != "user" || len(x.Chosen) != 1 {
			t.Fatalf("%+v is no conversation", x)
		}
	}
}

func TestTextLeavesOutTheNamedCombinations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	first, err := newTask(r, everyKind, 2+r.IntN(6), 0)
	if err != nil {
		t.Fatal(err)
	}
	one := settings{seed: 3, count: 1, kinds: everyKind, least: 2, most: 7, follow: 0.7}
	kept, err := newText(one)
	if err != nil {
		t.Fatal(err)
	}
	if kept[0].Prompt[0].Content != first.system {
		t.Fatalf("the first example is %q, want %q", kept[0].Prompt[0].Content, first.system)
	}
	one.leaveOut = map[string]bool{first.combination(): true}
	other, err := newText(one)
	if err != nil {
		t.Fatal(err)
	}
	if other[0].Prompt[0].Content == first.system {
		t.Error("a combination to leave out was written")
	}
}

func TestWordsAreUnambiguous(t *testing.T) {
	var all []string
	for _, list := range [][]string{nouns, adjectives, verbs, prepositions, adverbs, determiners, connectors, openers} {
		for _, w := range list {
			all = append(all, strings.ToLower(w))
		}
	}
	targets := slices.Concat(nouns, adjectives)
	for i, a := range all {
		for j, b := range all {
			if i != j && a == b {
				t.Errorf("%q stands in two lists", a)
			}
			if i != j && slices.Contains(targets, a) && strings.Contains(b, a) {
				t.Errorf("an answer with %q would mention %q", b, a)
			}
		}
	}
}
