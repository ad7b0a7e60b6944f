package workflows

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/sdk/activity"

	"rpo/activities/chat"
	"rpo/activities/dialogue"
	"rpo/activities/evaluate"
	"rpo/activities/experiment"
	"rpo/activities/judge"
	"rpo/activities/pair"
	nodepool "rpo/activities/pool"
	"rpo/activities/profile"
	"rpo/activities/promote"
	"rpo/activities/reference"
	"rpo/activities/refresh"
	"rpo/activities/report"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/train"
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

// activities are all activities by name, with the signatures of the real ones.
func (w *world) activities() map[string]any {
	return map[string]any{
		openStage:  w.open,
		listShards: w.list,
		closeStage: w.close,
		recordFailures: func(ctx context.Context, in store.RecordFailuresInput) error {
			if err := w.call(recordFailures); err != nil {
				return err
			}
			return w.record(ctx, in)
		},
		selectFailed: w.choose,
		generateShard: func(_ context.Context, in profile.ShardInput) (schemas.ShardResult, error) {
			return w.shard(generateShard, in.Shard)
		},
		dialogueShard: func(_ context.Context, in dialogue.ShardInput) (schemas.ShardResult, error) {
			return w.shard(dialogueShard, in.Shard)
		},
		describePersonas: func(_ context.Context, uri string) (string, error) {
			return "personas of " + uri, w.call(describePersonas)
		},
		calibrateJudge: func(_ context.Context, manifest string) (schemas.CalibrationResult, error) {
			out := schemas.CalibrationResult{Report: "s3://rpo/reports/calibration.json", Page: "s3://rpo/reports/calibration.md", Rows: 40}
			for _, family := range []string{"", schemas.FamilyContent} {
				share := 0.9
				out.Families = append(out.Families, schemas.FamilyCalibration{JudgedBy: "judge judge/3", Family: family, N: 40, Accuracy: &share})
			}
			return out, w.call(calibrateJudge)
		},
		sampleShard: func(_ context.Context, in sample.ShardInput) (schemas.ShardResult, error) {
			return w.shard(sampleShard, in.Shard)
		},
		judgeShard: func(_ context.Context, in judge.ShardInput) (schemas.ShardResult, error) {
			return w.shard(judgeShard, in.Shard)
		},
		reverseShard: func(_ context.Context, in reverse.ShardInput) (schemas.ShardResult, error) {
			return w.shard(reverseShard, in.Shard)
		},
		pairShard: func(_ context.Context, in pair.ShardInput) (schemas.ShardResult, error) {
			return w.shard(pairShard, in.Shard)
		},
		evaluateShard: func(_ context.Context, in evaluate.ShardInput) (schemas.ShardResult, error) {
			return w.shard(evaluateShard, in.Shard)
		},
		describeModel: func(_ context.Context, in chat.DescribeModelInput) (string, error) {
			if in.Evaluates != "" && in.Endpoint == "unrelated" {
				return "", ApplicationError(schemas.Errorf(schemas.InvalidInput, "field \"eval_endpoint\": another model"))
			}
			return "identity of " + in.Endpoint + " " + in.Model, w.call(describeModel)
		},
		describeBase: func(context.Context, train.DescribeBaseInput) (train.Base, error) {
			return train.Base{Identity: "weights", Precision: "float32"}, w.call(describeBase)
		},
		resolveInit: func(_ context.Context, init string) (string, error) {
			return strings.Replace(init, "@latest", "@v3", 1), w.call(resolveInit)
		},
		planTraining: func(_ context.Context, in train.PlanInput) (schemas.TrainPlan, error) {
			hours, cost := 1.5, 3.0
			return schemas.TrainPlan{Device: "NVIDIA H100", Processes: in.Ranks(), MemoryGB: map[string]float64{"weights": 16.06, "activations": 30, "gathered": 0},
				TotalGB: 46.06, LimitGB: 85.9, TokensPerBatch: 8192, LargestTokensPerBatch: 20000, Pairs: 38, TokensPerPair: 900.4,
				CheckpointGB: 0.25, Hours: &hours, Efficiency: 0.4, Cost: &cost}, w.call(planTraining)
		},
		checkRendering: func(_ context.Context, in train.RenderingInput) (train.Rendering, error) {
			if in.PolicyEndpoint == "silent" {
				return train.Rendering{}, w.call(checkRendering)
			}
			return train.Rendering{Prompts: 6, Through: "/tokenize"}, w.call(checkRendering)
		},
		publishVersion: func(_ context.Context, in pair.PublishInput) (schemas.PairResult, error) {
			return schemas.PairResult{Dataset: in.Dataset, Version: 3, Hash: fmt.Sprintf("%064d", 7), Pairs: 42,
				PairsByG: map[string]int64{"1": 12, "2": 20, "3": 10}}, w.call(publishVersion)
		},
		findNewProfiles: func(_ context.Context, in refresh.FindInput) (schemas.FoundProfiles, error) {
			return w.find(in), w.call(findNewProfiles)
		},
		openExperiment: func(_ context.Context, in experiment.OpenInput) (experiment.Opened, error) {
			return w.openExperiment(in), w.call(openExperiment)
		},
		tabulateArms: func(_ context.Context, in experiment.TableInput) (schemas.ExperimentResult, error) {
			return w.tabulate(in), w.call(tabulateArms)
		},
		promoteModel: func(_ context.Context, in promote.Input) (schemas.PromoteResult, error) {
			return w.promote(in), w.call(promoteModel)
		},
		referencePairs: func(_ context.Context, in reference.Input) (schemas.StageResult, error) {
			return w.process("reference", in.Job), w.call(referencePairs)
		},
		trainPolicy: func(_ context.Context, in train.Input) (schemas.TrainResult, error) {
			accuracy := 0.75
			return schemas.TrainResult{StageResult: w.process("train", in.Job), Model: "s3://rpo/models/1", TrainSteps: 12,
				LossFirst: 0.77096, LossLast: 0.5, RewardAccuracy: &accuracy, PairsTrain: 38, PairsHeldOut: 4}, w.call(trainPolicy)
		},
		openGang: func(_ context.Context, in train.OpenGangInput) (train.Place, error) {
			return train.Place{Attempt: 1, Master: in.Address, Port: 29500}, w.call(openGang)
		},
		requestNodes: func(_ context.Context, in nodepool.LeaseInput) error { return w.call(requestNodes) },
		returnNodes:  func(_ context.Context, in nodepool.ReleaseInput) error { return w.call(returnNodes) },
		findGoneHolders: func(_ context.Context, in nodepool.FindGoneInput) (gone []schemas.ReleaseNodes, err error) {
			for _, h := range in.Holders {
				if w.gone[h.Holder] {
					gone = append(gone, h)
				}
			}
			return gone, w.call(findGoneHolders)
		},
		compareArms: func(context.Context, string) (schemas.EvaluationResult, error) {
			out := schemas.EvaluationResult{Base: 0.61, Trained: 0.84, Verdicts: 300, Profiles: 24, Difference: 0.23, CI95: [2]float64{0.18, 0.28}}
			for i := range 25 {
				out.Families = append(out.Families, schemas.FamilySatisfaction{Family: fmt.Sprintf("family-%02d", i), Base: 0.612345678, Trained: 0.84234567, Verdicts: 12})
			}
			return out, w.call(compareArms)
		},
		writeReport: func(_ context.Context, in report.WriteInput) (report.Written, error) {
			return report.Written{Report: "s3://rpo/reports/" + in.WorkflowID, Card: "s3://rpo/card", ImportQuarantined: 5}, w.call(writeReport)
		},
	}
}

// process is the result of a stage that is one process.
func (w *world) process(stage, job string) schemas.StageResult {
	return schemas.StageResult{Stage: stage, Job: job, Manifest: "s3://rpo/manifests/" + stage + ".json", Shards: 1,
		Books: schemas.Books{In: 42, OK: 40, Quarantined: 1, Skipped: 1}}
}

type activityRegistry interface {
	RegisterActivityWithOptions(a any, o activity.RegisterOptions)
}

// register registers the world's activities. What they return becomes Temporal's
// error by the rule of the worker's interceptor.
func (w *world) register(r activityRegistry) {
	all := w.activities()
	maps.Copy(all, w.real)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r.RegisterActivityWithOptions(translated(all[name]), activity.RegisterOptions{Name: name})
	}
}
