package report

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"rpo/schemas"
)

func TestEventsAreReadInTheOrderOfStepsAndTheLastOfAStepCounts(t *testing.T) {
	steps, evals, err := ReadEvents(strings.NewReader(strings.Join([]string{
		`{"event":"start","step":"not a number","loss":[]}`,
		`{"event":"eval","step":0,"loss":0.7,"reward_accuracy":0.5,"pairs":12}`,
		`{"event":"step","step":1,"loss":0.70,"reward_accuracy":0.4,"reward_accuracy_margin":0.2,"reward_chosen":1,"reward_rejected":-1,"reward_margin":2,"grad_norm":3,"learning_rate":1e-4,"by_g":{"1":0.3}}`,
		`{"event":"step","step":2,"loss":0.60}`, "",
		`{"event":"step","step":3,"loss":0.50}`,
		`{"event":"step","step":2,"loss":0.61,"reward_chosen":null}`,
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Step{1, 0.7, 0.4, 0.2, 1, -1, 2, 3, 1e-4}); len(steps) != 3 || steps[0] != want {
		t.Fatalf("steps %+v, want %+v first of 3", steps, want)
	}
	if steps[1].Step != 2 || steps[1].Loss != 0.61 || steps[2].Step != 3 {
		t.Errorf("steps %+v", steps[1:])
	}
	if !math.IsNaN(steps[1].RewardChosen) || !math.IsNaN(steps[1].GradNorm) {
		t.Errorf("a missing quantity is %v and %v, want NaN", steps[1].RewardChosen, steps[1].GradNorm)
	}
	if want := (Eval{0, 0.7, 0.5, 12}); len(evals) != 1 || evals[0] != want {
		t.Errorf("evaluations %+v, want %+v", evals, want)
	}
}

func TestAMalformedLineIsNamedByItsNumber(t *testing.T) {
	const good = `{"event":"step","step":1,"loss":1}` + "\n"
	for name, bad := range map[string]string{
		"torn":            `{"event":"step","st`,
		"no object":       `3`,
		"null":            `null`,
		"no event":        `{"step":1}`,
		"NaN":             `{"event":"step","step":1,"loss":NaN}`,
		"no step":         `{"event":"step","loss":1}`,
		"a negative step": `{"event":"eval","step":-1}`,
		"a text as loss":  `{"event":"step","step":1,"loss":"1"}`,
		"a fraction":      `{"event":"step","step":1.5,"loss":1}`,
		"two objects":     `{"event":"step","step":1} {}`,
		"too long":        `{"event":"` + strings.Repeat("x", maxEventLine) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ReadEvents(strings.NewReader(good + "\n" + bad + "\n" + good))
			if schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), "line 3") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAFailingReaderIsNotCalledCorrupt(t *testing.T) {
	broken := errors.New("broken pipe")
	if _, _, err := ReadEvents(iotest.ErrReader(broken)); !errors.Is(err, broken) || schemas.TypeOf(err) != schemas.Internal {
		t.Errorf("error %v", err)
	}
}
