package main

import (
	"slices"
	"testing"

	"rpo/schemas"
	"rpo/workflows"
)

func dummySeeding() *seeding {
	s := &seeding{endpoint: "policy", judge: "judge", eval: "local", base: "base", made: map[string]made{},
		seeds: "s3://rpo/imports/a.json", profiles: "s3://rpo/imports/b.json", personas: "s3://rpo/imports/c.json", source: "s3://rpo/examples/incoming/"}
	for _, e := range exampleRuns {
		s.made[e.workflow] = made{Manifest: "s3://rpo/runs/" + e.workflow + "/manifest.json", Model: "s3://rpo/runs/model.json"}
	}
	return s
}

func TestEveryWorkflowHasAnExampleRunWhoseInputDecodes(t *testing.T) {
	var seeded []string
	for _, e := range exampleRuns {
		if _, err := e.document(dummySeeding()); err != nil {
			t.Errorf("%s: %v", e.workflow, err)
		}
		for _, name := range e.after {
			if !slices.Contains(seeded, name) {
				t.Errorf("%s takes what %s makes, which comes later", e.workflow, name)
			}
		}
		if slices.Contains(seeded, e.workflow) {
			t.Errorf("%s has two examples", e.workflow)
		}
		seeded = append(seeded, e.workflow)
	}
	for name := range workflows.Inputs() {
		if !slices.Contains(seeded, name) {
			t.Errorf("rpo seed makes no example of %s", name)
		}
	}
}

func TestAnExampleBringsThoseThatItNeeds(t *testing.T) {
	chosen, err := chooseExamples([]string{workflows.BuildPairsName, workflows.GenerateProfilesName})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range chosen {
		got = append(got, e.workflow)
	}
	want := []string{workflows.GenerateProfilesName, workflows.SampleResponsesName, workflows.JudgeResponsesName, workflows.ReverseConstraintsName, workflows.BuildPairsName}
	if !slices.Equal(got, want) {
		t.Errorf("chose %v, want %v", got, want)
	}
	if all, err := chooseExamples(nil); err != nil || len(all) != len(exampleRuns) {
		t.Errorf("chose %d of %d, %v", len(all), len(exampleRuns), err)
	}
	if _, err := chooseExamples([]string{"RunAway"}); schemas.TypeOf(err) != usageError {
		t.Errorf("an unknown workflow: %v", err)
	}
}
