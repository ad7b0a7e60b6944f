package store

import (
	"context"
	"fmt"
	"slices"

	"rpo/schemas"
)

// FailureLog names the shards that failed in one round of one run of a stage: the
// list itself lies in the store, so that it may be long. A round ends when a
// person has failed shards worked on again.
type FailureLog struct {
	Job   string `json:"job"`
	Stage string `json:"stage"`
	// Run is the id of the first run of the workflow.
	Run   string `json:"run"`
	Round int    `json:"round"`
	// Batches is how many of the round's batches hold. Others are of a run that was
	// reset to a point before it wrote them.
	Batches int `json:"batches,omitempty"`
}

func (l FailureLog) folder() (string, error) {
	stage, err := stageFolder(l.Job, l.Stage)
	if err != nil {
		return "", err
	}
	if err := checkName("run", l.Run); err != nil {
		return "", err
	}
	return fmt.Sprintf("%sfailed/%s/%05d/", stage, l.Run, l.Round), nil
}

// RecordFailuresInput adds failures to a log. Batch counts from 0, so that a
// retry writes the same object again.
type RecordFailuresInput struct {
	FailureLog
	Batch    int                    `json:"batch"`
	Failures []schemas.ShardFailure `json:"failures"`
}

// RecordFailures writes one batch of a log.
func (a *Activities) RecordFailures(ctx context.Context, in RecordFailuresInput) error {
	folder, err := in.folder()
	if err != nil {
		return err
	}
	return a.putJSON(ctx, batchKey(folder, in.Batch), in.Failures)
}

func batchKey(folder string, number int) string {
	return fmt.Sprintf("%sbatch-%05d.json", folder, number)
}

// SelectFailedInput chooses among the failed shards of a log. An empty list
// chooses all; with both, a shard must be in both.
type SelectFailedInput struct {
	FailureLog
	// Retried is how many of the shards that this round was to work on again it has
	// worked on: the others are worked on in the next.
	Retried int      `json:"retried,omitempty"`
	Shards  []int    `json:"shards,omitempty"`
	Types   []string `json:"types,omitempty"`
	// First is how many of those that are kept to return.
	First int `json:"first"`
}

// SelectFailedResult is the next round: how many shards are to be worked on
// again, and how many stay failed, with the first of these.
type SelectFailedResult struct {
	Selected int                    `json:"selected"`
	Kept     int                    `json:"kept"`
	First    []schemas.ShardFailure `json:"first,omitempty"`
}

// SelectFailed opens the next round of a log: it lists the chosen shards for
// ListShards and carries the others over as the round's batch 0.
func (a *Activities) SelectFailed(ctx context.Context, in SelectFailedInput) (SelectFailedResult, error) {
	failures, err := a.failures(ctx, in.FailureLog)
	if err != nil {
		return SelectFailedResult{}, err
	}
	selected, kept := []int{}, []schemas.ShardFailure{}
	if in.Round > 0 {
		all, err := a.retried(ctx, in.FailureLog)
		if err != nil {
			return SelectFailedResult{}, err
		}
		selected = append(selected, all[min(in.Retried, len(all)):]...)
	}
	for _, f := range failures {
		if (len(in.Shards) == 0 || slices.Contains(in.Shards, f.Shard)) && (len(in.Types) == 0 || slices.Contains(in.Types, f.ErrorType)) {
			selected = append(selected, f.Shard)
		} else {
			kept = append(kept, f)
		}
	}
	next := in.FailureLog
	next.Round++
	folder, err := next.folder()
	if err != nil {
		return SelectFailedResult{}, err
	}
	if err := a.putJSON(ctx, folder+"retry.json", selected); err != nil {
		return SelectFailedResult{}, err
	}
	err = a.RecordFailures(ctx, RecordFailuresInput{FailureLog: next, Failures: kept})
	return SelectFailedResult{Selected: len(selected), Kept: len(kept), First: kept[:min(in.First, len(kept))]}, err
}

// failures reads the batches of a log, by shard.
func (a *Activities) failures(ctx context.Context, l FailureLog) ([]schemas.ShardFailure, error) {
	folder, err := l.folder()
	if err != nil {
		return nil, err
	}
	var all []schemas.ShardFailure
	for number := range l.Batches {
		var batch []schemas.ShardFailure
		if err := a.getJSON(ctx, batchKey(folder, number), &batch); err != nil {
			return nil, err
		}
		all = append(all, batch...)
	}
	slices.SortFunc(all, func(a, b schemas.ShardFailure) int { return a.Shard - b.Shard })
	return all, nil
}

// retried are the shards that a round works on again.
func (a *Activities) retried(ctx context.Context, l FailureLog) (numbers []int, err error) {
	folder, err := l.folder()
	if err != nil {
		return nil, err
	}
	return numbers, a.getJSON(ctx, folder+"retry.json", &numbers)
}

func (a *Activities) putJSON(ctx context.Context, key string, v any) error {
	data, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return a.Store.Put(ctx, key, data)
}

func (a *Activities) getJSON(ctx context.Context, key string, into any) error {
	data, err := a.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	return decodeJSON(a.Store.URI(key), data, into)
}
