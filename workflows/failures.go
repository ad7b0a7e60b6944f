package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/schemas"
)

// maxFailures bounds the failed shards that a payload lists.
const maxFailures = 20

// failures names the log of this round.
func (r *stageRun) failures() store.FailureLog {
	return store.FailureLog{Job: r.p.Job, Stage: r.name, Run: r.firstRun, Round: r.p.Round, Batches: r.p.Batches}
}

// fail notes a failed shard. The first ones by number are kept for people to
// see, in their place, so that nothing depends on which shard failed first.
func (r *stageRun) fail(shard int, errorType, message string) {
	f := schemas.ShardFailure{Shard: shard, ErrorType: errorType, Message: clip(message)}
	r.p.Streak++
	r.p.FailedShards++
	r.unrecorded = append(r.unrecorded, f)
	i, _ := slices.BinarySearchFunc(r.p.Failed, shard, func(f schemas.ShardFailure, shard int) int { return cmp.Compare(f.Shard, shard) })
	r.p.Failed = slices.Insert(r.p.Failed, i, f)
	r.p.Failed = r.p.Failed[:min(len(r.p.Failed), maxFailures)]
}

// record writes failures to the log, in batches that fit a payload.
func (r *stageRun) record(ctx workflow.Context) error {
	for batch := range slices.Chunk(r.unrecorded, maxFailures) {
		err := r.keep(ctx, fmt.Sprintf("record %d failed shards", len(batch)), recordFailures,
			store.RecordFailuresInput{FailureLog: r.failures(), Batch: r.p.Batches, Failures: batch}, nil)
		if err != nil {
			return err
		}
		r.p.Batches++
	}
	r.unrecorded = nil
	return nil
}

// failing reports whether so many shards failed in a row, too many to be allowed,
// that working on the next ones would only fail again.
func (r *stageRun) failing() bool {
	return r.p.Streak >= max(10, 2*r.in.ShardsInFlight) && r.tooMany()
}

func (r *stageRun) tooMany() bool {
	// The quotient, unlike the product, is exactly what "0.29" of 100 means.
	return float64(r.p.FailedShards)/float64(r.p.Shards) > r.in.MaxFailedFraction
}

// giveOver parks a stage whose shards all fail, before it has tried all of them.
func (r *stageRun) giveOver(ctx workflow.Context) error {
	n := r.p.Streak
	r.p.Streak = 0
	_, err := r.decide(ctx, fmt.Sprintf("the last %d shards all failed", n))
	return err
}

// settle decides about failed shards when all were tried: go on if they are few,
// else park until a person does. again says that some are to be worked on again.
func (r *stageRun) settle(ctx workflow.Context) (again bool, err error) {
	for r.tooMany() && !r.p.GaveUp {
		skip, err := r.decide(ctx, fmt.Sprintf("%d of %d shards failed", r.p.FailedShards, r.p.Shards))
		if err != nil || skip {
			return false, err
		}
		if r.p.Retry > 0 {
			return true, nil
		}
		// None of the failed shards is what was asked for.
	}
	return false, nil
}

// decide parks and does what a person decides. skip says to go on without the
// failed shards.
func (r *stageRun) decide(ctx workflow.Context, reason string) (skip bool, err error) {
	if err := r.record(ctx); err != nil {
		return false, err
	}
	// A budget reached at the same moment is found again when work goes on; here it
	// would refuse the very retry that is waited for.
	r.exhausted = ""
	decision, err := r.park(ctx, reason)
	if err != nil {
		return false, err
	}
	switch decision {
	case UpdateRetryFailed:
		return false, r.selectFailed(ctx)
	case UpdateStop:
		first := r.p.Failed[0]
		return false, ApplicationError(schemas.Errorf(schemas.ErrorType(first.ErrorType), "stage %s stopped with %d of %d shards failed, the first, %d: %s",
			r.name, r.p.FailedShards, r.p.Shards, first.Shard, first.Message))
	}
	return true, nil // skip_failed
}

// selectFailed opens a round with the failed shards that are to be worked on
// again.
func (r *stageRun) selectFailed(ctx workflow.Context) error {
	retry := r.retry
	r.retry = schemas.RetryFailed{}
	if retry.Endpoint != "" {
		r.endpoint(retry.Endpoint, retry.Model)
		r.p.Endpoint, r.p.Model = retry.Endpoint, retry.Model
	}
	r.p.HeartbeatTimeout = cmp.Or(retry.HeartbeatTimeout, r.p.HeartbeatTimeout)
	var out store.SelectFailedResult
	err := r.keep(ctx, "select failed shards", selectFailed, store.SelectFailedInput{
		FailureLog: r.failures(), Retried: r.p.RetryNext, Shards: retry.Shards, Types: retry.ErrorTypes, First: maxFailures,
	}, &out)
	if err != nil {
		return err
	}
	r.p.Streak = 0
	r.p.Round++
	r.p.Batches = 1
	r.p.Retry, r.p.RetryNext = out.Selected, 0
	r.p.FailedShards, r.p.Failed = out.Kept, out.First
	return r.publish(ctx)
}

// park waits until a person decides and returns the update's name.
func (r *stageRun) park(ctx workflow.Context, reason string) (decision string, err error) {
	r.status, r.reason = schemas.StatusNeedsAttention, reason
	if err := r.publish(ctx); err != nil {
		return "", err
	}
	if err := workflow.Await(ctx, func() bool { return r.decision != "" }); err != nil {
		return "", err
	}
	decision = r.decision
	r.decision, r.reason, r.status = "", "", schemas.StatusRunning
	return decision, nil
}

// clip shortens a message so that maxFailures of them fit a payload. It counts
// bytes as JSON writes them, which is up to six for one.
func clip(message string) string {
	const limit = 200
	message = strings.ToValidUTF8(message, "")
	size := 0
	for i, r := range message {
		switch {
		case r < ' ' || strings.ContainsRune("<>&\u2028\u2029", r):
			size += len(`\u0000`)
		case r == '"' || r == '\\':
			size += 2
		default:
			size += utf8.RuneLen(r)
		}
		if size > limit {
			return message[:i] + "…"
		}
	}
	return message
}
