package workflows

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"rpo/activities/store"
	"rpo/schemas"
)

// rowsPerShard is what every shard of a world reads.
const rowsPerShard = 10

// world is what the activities of a test see instead of a store and models:
// which shards there are, which are committed, and which of them fail how often.
type world struct {
	shards int
	// failures says how often a shard fails, and with what.
	failures map[int]failure
	// hold is called when an activity of that name begins.
	hold map[string]func()
	// fails makes other activities fail by name, for ever.
	fails map[string]error
	// result changes what a shard's activity returns.
	result func(*schemas.ShardResult)
	// needs, if not nil, are the tokens that each shard takes, paid those that its
	// activities have paid already and need not pay again.
	needs, paid map[int]int64

	mu sync.Mutex
	// committed has the shards of each job that are committed, attempts the calls.
	committed map[string]map[int]bool
	attempts  map[string]map[int]int
	calls     map[string]int
	closed    []store.CloseStageInput
	// given are the failed shards that each closed stage gave up.
	given [][]schemas.ShardFailure
	// logs has the recorded failures and retried the shards worked on again, by round.
	logs    map[string]map[int][]schemas.ShardFailure
	retried map[string][]int
	// found is what a source has that is new.
	found schemas.FoundProfiles
	// gone are the workflows that have ended.
	gone map[string]bool
	// counts, if not nil, are what each closed stage counted.
	counts map[string]int64
	// real are activities that stand in for those of the world.
	real map[string]any
}

type failure struct {
	times int
	err   error
}

const forever = 1 << 30

func newWorld(shards int, failures map[int]failure) *world {
	return &world{shards: shards, failures: failures, committed: map[string]map[int]bool{},
		attempts: map[string]map[int]int{}, calls: map[string]int{},
		logs: map[string]map[int][]schemas.ShardFailure{}, retried: map[string][]int{}}
}

func roundOf(l store.FailureLog) string { return fmt.Sprintf("%s %s %d", l.Job, l.Run, l.Round) }

func (w *world) record(_ context.Context, in store.RecordFailuresInput) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logs[roundOf(in.FailureLog)] == nil {
		w.logs[roundOf(in.FailureLog)] = map[int][]schemas.ShardFailure{}
	}
	w.logs[roundOf(in.FailureLog)][in.Batch] = in.Failures
	return nil
}

func (w *world) logged(l store.FailureLog) (all []schemas.ShardFailure) {
	for number, batch := range w.logs[roundOf(l)] {
		if number < l.Batches {
			all = append(all, batch...)
		}
	}
	slices.SortFunc(all, func(a, b schemas.ShardFailure) int { return a.Shard - b.Shard })
	return all
}

func (w *world) choose(ctx context.Context, in store.SelectFailedInput) (out store.SelectFailedResult, err error) {
	w.mu.Lock()
	var selected []int
	if old := w.retried[roundOf(in.FailureLog)]; in.Retried < len(old) {
		selected = append(selected, old[in.Retried:]...)
	}
	var kept []schemas.ShardFailure
	for _, f := range w.logged(in.FailureLog) {
		if (len(in.Shards) == 0 || slices.Contains(in.Shards, f.Shard)) && (len(in.Types) == 0 || slices.Contains(in.Types, f.ErrorType)) {
			selected = append(selected, f.Shard)
		} else {
			kept = append(kept, f)
		}
	}
	next := in.FailureLog
	next.Round++
	w.retried[roundOf(next)] = selected
	w.mu.Unlock()
	out = store.SelectFailedResult{Selected: len(selected), Kept: len(kept), First: kept[:min(len(kept), in.First)]}
	return out, w.record(ctx, store.RecordFailuresInput{FailureLog: next, Failures: kept})
}

// number is a shard's number: they need be neither contiguous nor from zero.
func number(i int) int { return 3*i + 2 }

func jobOf(stage string) string { return "job-" + stage }

// commit makes shards look as if an earlier run had committed them.
func (w *world) commit(stage string, indices ...int) {
	for _, i := range indices {
		w.set(stage, number(i))
	}
}

func (w *world) set(stage string, shard int) {
	if w.committed[jobOf(stage)] == nil {
		w.committed[jobOf(stage)] = map[int]bool{}
	}
	w.committed[jobOf(stage)][shard] = true
}

// heal ends all failures.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = nil
}

func (w *world) call(name string) error {
	if hold := w.hold[name]; hold != nil {
		hold()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[name]++
	return w.fails[name]
}

// shard is the activity of every stage of shards.
func (w *world) shard(name string, s store.Shard) (schemas.ShardResult, error) {
	if s.Allowance.EstimateOnly {
		return schemas.ShardResult{Shard: s.Number, Estimate: &schemas.Estimate{Calls: 10, PromptTokens: 1000, CompletionTokensMax: 5000, CostMax: 0.5}}, nil
	}
	if err := w.call(name); err != nil {
		return schemas.ShardResult{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := schemas.ShardResult{Shard: s.Number, Books: books()}
	if out.Reused = w.committed[s.Job][s.Number]; out.Reused {
		return out, nil
	}
	if w.attempts[s.Job] == nil {
		w.attempts[s.Job] = map[int]int{}
	}
	w.attempts[s.Job][s.Number]++
	if f := w.failures[s.Number]; w.attempts[s.Job][s.Number] <= f.times {
		return schemas.ShardResult{}, f.err
	}
	if w.needs != nil {
		if err := w.pay(s, &out); err != nil {
			return schemas.ShardResult{}, err
		}
	}
	w.set(s.Stage, s.Number)
	if w.result != nil {
		w.result(&out)
	}
	return out, nil
}

// callTokens is what one call takes: no shard pays less at once.
const callTokens = 10

// pay spends what a shard still needs, as far as its allowance goes.
func (w *world) pay(s store.Shard, out *schemas.ShardResult) error {
	left := w.needs[s.Number] - w.paid[s.Number]
	var spent int64
	for ; left > spent; spent += callTokens {
		if cap := s.Allowance.Tokens; cap != nil && spent+callTokens > *cap {
			w.paid[s.Number] += spent
			return &schemas.Error{Type: schemas.BudgetExceeded, Message: "the next call may take 10 tokens", Spent: schemas.Spending{CompletionTokens: spent}}
		}
	}
	w.paid[s.Number] += spent
	out.Spent.CompletionTokens = spent
	return nil
}

func books() schemas.Books {
	return schemas.Books{In: rowsPerShard, OK: rowsPerShard - 3, Quarantined: 1, Skipped: 2}
}

func (w *world) open(_ context.Context, in store.OpenStageInput) (store.OpenStageResult, error) {
	out := store.OpenStageResult{Job: jobOf(in.Stage), ConfigHash: "hash-" + in.Stage, Shards: w.shards}
	for i := w.shards - 1; i >= 0; i-- {
		if !w.committed[jobOf(in.Stage)][number(i)] {
			out.First, out.FirstRows, out.Rows = number(i), rowsPerShard, out.Rows+rowsPerShard
		}
	}
	return out, w.call(openStage)
}

func (w *world) list(_ context.Context, in store.ListShardsInput) (out store.ListShardsResult, err error) {
	if err := w.call(listShards); err != nil {
		return out, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []int
	if in.Retry != nil {
		all = w.retried[roundOf(*in.Retry)]
	} else {
		for i := range w.shards {
			all = append(all, number(i))
		}
	}
	for _, shard := range all[in.Offset:min(in.Offset+in.Limit, len(all))] {
		if w.committed[in.Job][shard] {
			out.Done++
		} else {
			out.Todo = append(out.Todo, shard)
		}
	}
	return out, nil
}

// close refuses a shard that is neither committed nor given up, as the store does.
func (w *world) close(_ context.Context, in store.CloseStageInput) (schemas.StageResult, error) {
	out := schemas.StageResult{Stage: in.Stage, Job: in.Job, Manifest: "s3://rpo/manifests/" + in.Stage + ".json"}
	if err := w.call(closeStage); err != nil {
		return out, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = append(w.closed, in)
	var failed []schemas.ShardFailure
	if in.Failed != nil {
		failed = w.logged(*in.Failed)
	}
	for i := range w.shards {
		at := slices.IndexFunc(failed, func(f schemas.ShardFailure) bool { return f.Shard == number(i) })
		f := schemas.ShardFailure{Shard: number(i), ErrorType: string(schemas.BudgetExceeded)}
		switch {
		case w.committed[in.Job][number(i)]:
			out.Shards++
			out.Books = out.Books.Add(books())
			continue
		case at >= 0:
			f = failed[at]
		case !in.GaveUp:
			return out, schemas.Errorf(schemas.CorruptData, "shard %d has no commit record", number(i))
		}
		out.FailedShards++
		if len(out.Failed) < in.List {
			out.Failed = append(out.Failed, f)
		}
	}
	w.given = append(w.given, failed)
	out.Counts = map[string]int64{"responses": out.Books.OK * 5, "verdicts": out.Books.OK * 15}
	maps.Copy(out.Counts, w.counts)
	out.Counts = schemas.FewCounts(out.Counts, 32)
	return out, nil
}
