package workflows

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"rpo/activities/pair"
	"rpo/activities/refresh"
	"rpo/activities/store"
	"rpo/schemas"
)

const refreshInput = `{"source":"s3://rpo/incoming/","judge_endpoint":"judge","reverse_endpoint":"judge"}`

var newProfiles = schemas.FoundProfiles{New: 12, Manifest: "s3://rpo/imports/new.json",
	Extension: schemas.Extension{Parent: 2, Watermark: "s3://rpo/watermarks/3.json"}}

// refreshed is a world with new profiles in so many shards.
func refreshed(shards int) *world {
	w := newWorld(shards, nil)
	w.found = newProfiles
	return w
}

func (w *world) find(refresh.FindInput) schemas.FoundProfiles { return w.found }

// startedAt starts a run as a schedule does.
func startedAt(at time.Time) func(*testsuite.TestWorkflowEnvironment) {
	return func(env *testsuite.TestWorkflowEnvironment) {
		env.SetStartTime(at)
		if err := env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(attributeScheduledTime.ValueSet(at))); err != nil {
			panic(err)
		}
	}
}

var firstNight = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

func TestARefreshWorksOnTheNewProfilesAndExtendsTheDataset(t *testing.T) {
	w := refreshed(3)
	tr := try(t, w, RefreshDatasetName, object(refreshInput), startedAt(firstNight))
	var got schemas.RefreshResult
	tr.get(&got)
	if got.New != 12 || got.Parent != 2 || got.Version != 3 || got.Pairs != 42 || got.ScheduledTime != "2026-11-23T02:00:00Z" {
		t.Errorf("got %+v", got)
	}
	var stages []string
	for _, s := range got.Stages {
		stages = append(stages, s.Stage)
	}
	if !slices.Equal(stages, refreshStages) {
		t.Errorf("stages %v, want %v", stages, refreshStages)
	}
	from := map[string]string{"sample": newProfiles.Manifest, "judge": "sample", "reverse": "judge", "pair": "reverse"}
	for _, c := range tr.seen.activities {
		switch in := c.args[0].(type) {
		case store.OpenStageInput:
			want := from[in.Stage]
			if !strings.HasPrefix(want, "s3://") {
				want = "s3://rpo/manifests/" + want + ".json"
			}
			if in.Manifest != want {
				t.Errorf("stage %s reads %s, want %s", in.Stage, in.Manifest, want)
			}
		case pair.PublishInput:
			if in.Extends == nil || *in.Extends != newProfiles.Extension {
				t.Errorf("published as an extension %+v, want %+v", in.Extends, newProfiles.Extension)
			}
		}
	}
	if a := tr.seen.attributes[RefreshDatasetName]; a["RpoStatus"] != "Done" || a["RpoDataset"] != "default" {
		t.Errorf("search attributes %v", a)
	}
}

// A job is a hash of the stage's configuration: a time in it would make the same
// new profiles another job every night.
func TestTheScheduledTimeReachesTheResultAndNothingElse(t *testing.T) {
	var inputs [2]string
	for i := range inputs {
		tr := try(t, refreshed(2), RefreshDatasetName, object(refreshInput), startedAt(firstNight.AddDate(0, 0, i)))
		tr.get(&schemas.RefreshResult{})
		for _, c := range tr.seen.activities {
			if !slices.Contains(shardActivities, c.name) {
				inputs[i] += fmt.Sprintf("%s %+v\n", c.name, c.args)
			}
		}
	}
	if strings.Contains(inputs[0], "2026") || len(inputs[0]) != len(inputs[1]) {
		t.Errorf("a time is in\n%s\nor\n%s", inputs[0], inputs[1])
	}
}

func TestARefreshEndsAtOnceWhenNothingIsNew(t *testing.T) {
	w := newWorld(3, nil)
	w.found = schemas.FoundProfiles{Extension: schemas.Extension{Parent: 2, Watermark: "s3://rpo/watermarks/2.json"}, Unchanged: 5}
	tr := try(t, w, RefreshDatasetName, object(refreshInput))
	var got schemas.RefreshResult
	tr.get(&got)
	if want := (schemas.RefreshResult{Dataset: "default", FoundProfiles: w.found, Version: 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(w.calls) != 1 || len(tr.seen.children) != 0 {
		t.Errorf("calls %v and %d stages, want nothing but the look", w.calls, len(tr.seen.children))
	}
}

func TestARefreshChecksItsEndpointsBeforeItSamples(t *testing.T) {
	w := refreshed(2)
	w.fails = map[string]error{describeModel: schemas.Errorf(schemas.InvalidInput, "endpoint policy is not in the configuration")}
	tr := try(t, w, RefreshDatasetName, object(refreshInput))
	if e := tr.failure(); e.Message() != "endpoint policy is not in the configuration" || len(tr.seen.children) != 0 {
		t.Errorf("got %s after %d stages", e.Message(), len(tr.seen.children))
	}
}

func TestOnlyARunThatAScheduleStartedGivesWay(t *testing.T) {
	w := refreshed(3)
	w.failures = map[int]failure{number(1): {forever, invalid}}
	tr := try(t, w, RefreshDatasetName, object(refreshInput), func(env *testsuite.TestWorkflowEnvironment) {
		later(env, 100, func() {
			w.heal()
			if err := env.SignalWorkflowByID("default-test-workflow-id/sample", UpdateRetryFailed, nil); err != nil {
				t.Error(err)
			}
		})
	})
	tr.get(&schemas.RefreshResult{})
}

func TestAStageAtWorkIsNotStoppedWhenItsRunMayGiveWay(t *testing.T) {
	w := refreshed(3)
	w.failures = map[int]failure{number(1): {6, overloaded}}
	tr := try(t, w, RefreshDatasetName, object(`{"source":"s3://rpo/incoming/","park_timeout":"1m"}`), startedAt(firstNight))
	var got schemas.RefreshResult
	tr.get(&got)
	if got.Version != 3 {
		t.Errorf("got %+v", got)
	}
}
