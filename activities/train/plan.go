package train

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// coreFlops is what a CPU core is assumed to do in float32, in operations a
// second, as peak times efficiency: an order of magnitude, for predicted hours.
const coreFlops = 20e9

// knownGPUs are those whose peak the trainer's planner knows, by a part of their
// names. Of others it predicts memory, but no time.
var knownGPUs = []string{"A100", "H100", "H200", "B200"}

// PlanInput is a training to be planned.
type PlanInput struct {
	// Manifest lists the rows; "" plans with lengths that max_length allows.
	Manifest string `json:"manifest,omitempty"`
	schemas.TrainOptions
}

// planned is what rpo_trainer.plan prints.
type planned struct {
	Fits         bool               `json:"fits"`
	MemoryGB     map[string]float64 `json:"memory_gb"`
	TotalGB      float64            `json:"total_gb"`
	GPUGB        float64            `json:"gpu_gb"`
	Tokens       int                `json:"tokens_per_batch"`
	Largest      int                `json:"largest_tokens_per_batch"`
	TokensPer    float64            `json:"tokens_per_pair"`
	CheckpointGB float64            `json:"checkpoint_gb"`
	Hours        float64            `json:"predicted_hours"`
	Efficiency   float64            `json:"efficiency_assumed"`
}

// PlanTraining predicts what a training takes on this node. One that cannot fit
// is an OutOfMemory error with the numbers and the mend, which nothing retries.
func (a *Activities) PlanTraining(ctx context.Context, in PlanInput) (schemas.TrainPlan, error) {
	model, err := a.Node.Folder(in.BaseModel)
	if err != nil {
		return schemas.TrainPlan{}, err
	}
	mean, err := a.lengths(ctx, in)
	if err != nil {
		return schemas.TrainPlan{}, err
	}
	d, err := a.Node.device(ctx, in.Processes)
	if err != nil {
		return schemas.TrainPlan{}, err
	}
	dir, err := os.MkdirTemp(a.Node.WorkDir, "plan-")
	if err != nil {
		return schemas.TrainPlan{}, schemas.Errorf(schemas.Internal, "make work folder: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "train.json")
	c := a.Node.settings(in.TrainOptions)
	if c.Shard == 0 { // all of a node, which the planner does not know of
		c.Shard = in.Processes
	}
	if err := WriteConfig(file, c); err != nil {
		return schemas.TrainPlan{}, err
	}
	said, err := a.Node.Ask(ctx, "rpo_trainer.plan", "--model", model, "--config", file,
		"--gpus", strconv.Itoa(in.Ranks()), "--gpu", d.name, "--memory-gb", number(d.memory/1e9),
		"--tflops", number(d.peak/1e12), "--efficiency", number(d.efficiency), "--pairs", strconv.FormatInt(visits(in.TrainOptions, mean.rows), 10),
		"--prompt-tokens", strconv.Itoa(mean.prompt), "--response-tokens", strconv.Itoa(mean.response), "--responses", strconv.Itoa(mean.responses))
	var p planned
	if decodeErr := json.Unmarshal(said, &p); decodeErr != nil {
		return schemas.TrainPlan{}, cmp.Or(err, error(schemas.Errorf(schemas.Internal, "plan: the planner printed no document: %w", decodeErr)))
	}
	out := schemas.TrainPlan{
		Device: d.name, Processes: in.Ranks(), MemoryGB: p.MemoryGB, TotalGB: p.TotalGB, LimitGB: p.GPUGB,
		TokensPerBatch: p.Tokens, LargestTokensPerBatch: p.Largest, Pairs: mean.rows, TokensPerPair: p.TokensPer,
		CheckpointGB: p.CheckpointGB, Efficiency: p.Efficiency,
	}
	if !p.Fits {
		return out, tooLarge(in.TrainOptions, out)
	}
	if d.timed {
		out.Hours = &p.Hours
		if a.Node.PricePerHour > 0 {
			cost := math.Round(p.Hours*float64(in.Ranks())*a.Node.PricePerHour*100) / 100
			out.Cost = &cost
		}
	}
	return out, err
}

// visits are the rows that one of the epochs would go through, were all of them to
// take no more than max_steps.
func visits(o schemas.TrainOptions, rows int64) int64 {
	if o.MaxSteps == 0 {
		return rows
	}
	return min(rows, int64(math.Ceil(float64(o.MaxSteps)*float64(o.PairsPerStep)/float64(o.Epochs))))
}

// smallestBudget is the token budget below which no pair of use goes through.
const smallestBudget = 256

// tooLarge is the refusal of a run that cannot fit, with its numbers.
func tooLarge(o schemas.TrainOptions, p schemas.TrainPlan) error {
	var parts []string
	for name, gb := range p.MemoryGB {
		if gb >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, gb))
		}
	}
	slices.Sort(parts)
	mend := fmt.Sprintf("no budget of tokens fits: use a smaller base_model, lora instead of full_fine_tuning, or more processes with a larger shard (now %d of %d)",
		max(1, o.Shard), p.Processes)
	if p.LargestTokensPerBatch >= smallestBudget {
		mend = fmt.Sprintf("set tokens_per_batch to at most %d", p.LargestTokensPerBatch)
	}
	return schemas.Errorf(schemas.OutOfMemory, "plan of %s: a process on %s would need %.1f GB of %.1f GB (%s) for %d tokens at a time: %s",
		o.BaseModel, p.Device, p.TotalGB, p.LimitGB, strings.Join(parts, ", "), p.TokensPerBatch, mend)
}

// lengths are the means of a training's rows, in tokens.
type lengths struct {
	rows                        int64
	prompt, response, responses int
}

// lengths looks at the rows of one object.
func (a *Activities) lengths(ctx context.Context, in PlanInput) (lengths, error) {
	l := lengths{prompt: min(1000, in.MaxLength*2/3), response: min(350, in.MaxLength/3), responses: 5}
	if in.Manifest == "" {
		return l, nil
	}
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return l, err
	}
	name := Table(in.Loss, m)
	var largest schemas.Object
	for _, o := range m.Objects(name) {
		l.rows += o.Rows
		if o.Rows > largest.Rows {
			largest = o
		}
	}
	if largest.Rows == 0 {
		return l, nil
	}
	switch name {
	case schemas.TableKTO:
		err = measure(ctx, a.Store, largest, &l, func(r schemas.Desirability) ([]schemas.Message, [][]schemas.Message) {
			return r.Prompt, [][]schemas.Message{r.Completion}
		})
	case schemas.TableSFT:
		err = measure(ctx, a.Store, largest, &l, func(r schemas.Demonstration) ([]schemas.Message, [][]schemas.Message) {
			return r.Prompt, [][]schemas.Message{r.Completion}
		})
	default:
		err = measure(ctx, a.Store, largest, &l, func(r schemas.Pair) ([]schemas.Message, [][]schemas.Message) {
			return r.Prompt, [][]schemas.Message{r.Chosen, r.Rejected}
		})
	}
	return l, err
}

// measure takes the means of an object's rows. The planner counts two responses
// to a row: one alone counts as two of half its length.
func measure[T any](ctx context.Context, s store.Store, o schemas.Object, l *lengths, parts func(T) ([]schemas.Message, [][]schemas.Message)) error {
	rows, err := store.GetRows[T](ctx, s, o)
	if err != nil || len(rows) == 0 {
		return err
	}
	var prompt, response float64
	prompts := map[string]bool{}
	for _, row := range rows {
		p, responses := parts(row)
		prompt += tokensOf(p)
		for _, r := range responses {
			response += tokensOf(r) / 2
		}
		prompts[schemas.ID("prompt", fmt.Sprint(p))] = true
	}
	n := float64(len(rows))
	l.prompt, l.response = max(1, int(prompt/n)), max(1, int(response/n))
	l.responses = 1 + max(1, int(math.Round(n/float64(len(prompts)))))
	return nil
}

// tokensOf estimates tokens: four ASCII characters make one, any other is one,
// and a message has a few around it.
func tokensOf(messages []schemas.Message) (tokens float64) {
	for _, m := range messages {
		tokens += 5
		for _, r := range m.Content {
			if r < 0x80 {
				tokens += 0.25
			} else {
				tokens++
			}
		}
	}
	return tokens
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
