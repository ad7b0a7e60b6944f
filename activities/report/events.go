package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"slices"

	"rpo/schemas"
)

// Step is one optimizer step. A quantity that its event line does not hold, or
// holds as null, is NaN: supervised training has no rewards, for example.
type Step struct {
	Step int `json:"step"`
	// Loss is the mean over the step's pairs, in nats per pair.
	Loss float64 `json:"loss"`
	// RewardAccuracy is the share of the step's pairs whose chosen response has
	// the higher reward, RewardAccuracyMargin the share in which it is higher by
	// more than the pair's target margin.
	RewardAccuracy       float64 `json:"reward_accuracy"`
	RewardAccuracyMargin float64 `json:"reward_accuracy_margin"`
	// RewardChosen and RewardRejected are the mean implicit rewards
	// beta * (log pi - log ref), RewardMargin the mean of their difference.
	RewardChosen   float64 `json:"reward_chosen"`
	RewardRejected float64 `json:"reward_rejected"`
	RewardMargin   float64 `json:"reward_margin"`
	GradNorm       float64 `json:"grad_norm"`
	LearningRate   float64 `json:"learning_rate"`
}

// Eval is one evaluation of the loss on held-out pairs after step Step.
type Eval struct {
	Step           int     `json:"step"`
	Loss           float64 `json:"loss"`
	RewardAccuracy float64 `json:"reward_accuracy"`
	Pairs          int64   `json:"pairs"`
}

// maxEventLine bounds one event line, which is some hundred bytes long.
const maxEventLine = 1 << 20

// line holds every field of the event lines that are read here.
type line struct {
	Event string `json:"event"`
	Step  *int   `json:"step"`
	Pairs int64  `json:"pairs"`

	Loss                 *float64 `json:"loss"`
	RewardAccuracy       *float64 `json:"reward_accuracy"`
	RewardAccuracyMargin *float64 `json:"reward_accuracy_margin"`
	RewardChosen         *float64 `json:"reward_chosen"`
	RewardRejected       *float64 `json:"reward_rejected"`
	RewardMargin         *float64 `json:"reward_margin"`
	GradNorm             *float64 `json:"grad_norm"`
	LearningRate         *float64 `json:"learning_rate"`
}

// ReadEvents reads the trainer's event lines, one JSON object a line, and
// returns the "step" and "eval" events ordered by step. Other events and blank
// lines are ignored. A trainer that resumes from a checkpoint repeats steps: of
// the events with the same step the last one counts. A line that is not such an
// object is CorruptData and named by its number, counted from 1.
func ReadEvents(r io.Reader) (steps []Step, evals []Eval, err error) {
	byStep, evalByStep := map[int]Step{}, map[int]Eval{}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxEventLine)
	number := 0
	for scanner.Scan() {
		number++
		raw := bytes.TrimSpace(scanner.Bytes())
		if len(raw) == 0 {
			continue
		}
		// The type is read first, so that fields of unknown events may have any type.
		var kind struct {
			Event *string `json:"event"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, nil, schemas.Errorf(schemas.CorruptData, "read training events: line %d is not an event object: %w", number, err)
		}
		if kind.Event == nil {
			return nil, nil, schemas.Errorf(schemas.CorruptData, "read training events: line %d has no \"event\"", number)
		}
		if *kind.Event != "step" && *kind.Event != "eval" {
			continue
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, nil, schemas.Errorf(schemas.CorruptData, "read training events: line %d: %w", number, err)
		}
		if l.Step == nil || *l.Step < 0 {
			return nil, nil, schemas.Errorf(schemas.CorruptData, "read training events: line %d: the %s event has no step number of 0 or more", number, l.Event)
		}
		if l.Event == "eval" {
			evalByStep[*l.Step] = Eval{Step: *l.Step, Loss: orNaN(l.Loss), RewardAccuracy: orNaN(l.RewardAccuracy), Pairs: l.Pairs}
			continue
		}
		byStep[*l.Step] = Step{
			Step: *l.Step, Loss: orNaN(l.Loss),
			RewardAccuracy: orNaN(l.RewardAccuracy), RewardAccuracyMargin: orNaN(l.RewardAccuracyMargin),
			RewardChosen: orNaN(l.RewardChosen), RewardRejected: orNaN(l.RewardRejected), RewardMargin: orNaN(l.RewardMargin),
			GradNorm: orNaN(l.GradNorm), LearningRate: orNaN(l.LearningRate),
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, nil, schemas.Errorf(schemas.CorruptData, "read training events: line %d is longer than %d bytes", number+1, maxEventLine)
		}
		return nil, nil, schemas.Errorf(schemas.Internal, "read training events after line %d: %w", number, err)
	}
	for _, s := range slices.Sorted(maps.Keys(byStep)) {
		steps = append(steps, byStep[s])
	}
	for _, s := range slices.Sorted(maps.Keys(evalByStep)) {
		evals = append(evals, evalByStep[s])
	}
	return steps, evals, nil
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
