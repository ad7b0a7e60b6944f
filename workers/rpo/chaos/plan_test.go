package main

import (
	"reflect"
	"testing"
)

func TestASeedAlwaysHasTheSamePlanAndEveryKindOfFaultComes(t *testing.T) {
	seen := map[kind]int{}
	plans := map[string]bool{}
	for seed := range uint64(50) {
		faults := planOf(seed)
		if again := planOf(seed); !reflect.DeepEqual(faults, again) {
			t.Fatalf("seed %d: %v, then %v", seed, faults, again)
		}
		if len(faults) < 3 || len(faults) > 6 {
			t.Errorf("seed %d: %d faults", seed, len(faults))
		}
		text := ""
		for _, f := range faults {
			seen[f.kind]++
			text += f.String() + "\n"
			if f.stage == "pair" && f.on == onCall {
				t.Errorf("seed %d: %s: pairs are made without calls", seed, f)
			}
			if f.n < 1 || (f.on == onCommit || f.on == onCommitted) && f.n > shards {
				t.Errorf("seed %d: %s: its moment cannot come", seed, f)
			}
		}
		if plans[text] {
			t.Errorf("seed %d has another one's plan", seed)
		}
		plans[text] = true
	}
	for _, k := range kinds {
		if seen[k] < 3 {
			t.Errorf("%s comes %d times in 50 runs", k, seen[k])
		}
	}
}

func TestTheDirectorStrikesOnceAtTheCountedEventOfTheStage(t *testing.T) {
	f := fault{kind: killS3, stage: "judge", on: onCall, n: 2}
	var struck []int
	d := newDirector([]fault{f}, func(got fault, worker int, _ unit) {
		if got != f {
			t.Errorf("struck %v", got)
		}
		struck = append(struck, worker)
	})
	d.on(onCall, 1, unit{}) // before the first stage
	d.begin("sample")
	d.on(onCall, 2, unit{})
	d.on(onCall, 3, unit{})
	d.begin("judge")
	d.on(onCall, 4, unit{})
	d.on(onRequest, 5, unit{})
	if len(d.left()) != 1 {
		t.Error("the fault is not left before its moment")
	}
	d.on(onCall, 6, unit{})
	d.begin("judge") // started again
	d.on(onCall, 7, unit{})
	d.on(onCall, 8, unit{})
	if !reflect.DeepEqual(struck, []int{6}) || len(d.left()) != 0 {
		t.Errorf("struck at workers %v, left %v", struck, d.left())
	}
}
