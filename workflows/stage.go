package workflows

import (
	"cmp"
	"fmt"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/store"
	"rpo/schemas"
)

// pageSize bounds the shards that one run works on: beyond it the stage goes on
// as a new run, so that a history stays small enough to load. Tests shorten it.
var pageSize = 500

// stage is one stage workflow: which activity works on the shards of which
// split, and what determines its output.
type stage struct {
	name     string
	activity string
	queue    string
	split    string
	// needs are the tables that the activity reads.
	needs []string
	// config finds whatever the output depends on beside the input, the identity
	// of models among it. It is asked once, when the stage opens.
	config func() (any, error)
	// callsPerRow, if not 0, says that the activity calls models, and how many
	// calls each one stands for that an estimate sees.
	callsPerRow int64
	// identities, if not nil, is where config notes the models' identities.
	identities map[string]string
	// endpoint, if not nil, replaces the endpoint and model that input names.
	endpoint func(endpoint, model string)
	// input wraps a shard into the activity's input.
	input func(store.Shard) any
	// again makes the error that continues the workflow with this progress.
	again func(*schemas.StageProgress) error
	// then, if not nil, is what is left to do when all shards are done.
	then func(schemas.StageResult) error
}

// run works through the shards of in.Manifest with ShardsInFlight activities at
// once. Failed shards are data; when they are too many the stage parks and waits
// for a decision. It ends with closed books or an error, never in between.
func (s stage) run(ctx workflow.Context, in schemas.StageInput) (schemas.StageResult, error) {
	r := &stageRun{stage: s, in: in, log: workflow.GetLogger(ctx), status: schemas.StatusRunning, firstRun: workflow.GetInfo(ctx).FirstRunID}
	if in.Progress != nil {
		r.p = *in.Progress
	}
	if r.p.Began.IsZero() {
		r.p.Began = workflow.Now(ctx)
	}
	r.caps = in.BudgetOptions
	if r.p.Raised != nil {
		r.caps = *r.p.Raised
	}
	if err := r.handle(ctx); err != nil {
		return schemas.StageResult{}, err
	}
	out, err := r.shards(ctx)
	if err == nil && s.then != nil {
		err = r.insist(ctx, "finish stage "+s.name, func() error { return s.then(out) })
	}
	if workflow.IsContinueAsNewError(err) {
		return out, err
	}
	r.status, r.made = ended(err), out.Manifest
	if publishErr := r.publish(ctx); err == nil {
		err = publishErr
	}
	return out, err
}

// shards works until every shard is committed or given up.
func (r *stageRun) shards(ctx workflow.Context) (schemas.StageResult, error) {
	if r.p.Job == "" {
		if err := r.open(ctx); err != nil {
			return schemas.StageResult{}, err
		}
	}
	if err := r.publish(ctx); err != nil {
		return schemas.StageResult{}, err
	}
	for {
		if err := r.page(ctx); err != nil {
			return schemas.StageResult{}, err
		}
		if r.p.Next < r.p.Shards || r.p.RetryNext < r.p.Retry {
			return schemas.StageResult{}, r.again(ctx)
		}
		retry, err := r.settle(ctx)
		if err != nil {
			return schemas.StageResult{}, err
		}
		if !retry {
			break
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return schemas.StageResult{}, r.again(ctx)
		}
	}
	return r.close(ctx)
}

// stageRun is the state of one run of a stage.
type stageRun struct {
	stage
	in  schemas.StageInput
	log log.Logger
	p   schemas.StageProgress
	// firstRun names the workflow over all its continuations.
	firstRun string
	// status is one of the Status constants.
	status string
	// decision is what a person told a parked stage, and retry how; reason is why
	// it is parked.
	decision, reason string
	retry            schemas.RetryFailed
	// holding says that it needs attention since it cannot go on at all.
	holding bool
	// ends is when the stage will end as far as could be told when it was last shown,
	// made the manifest of a stage that ended.
	ends, made string
	// unrecorded are failures that the log does not hold yet.
	unrecorded []schemas.ShardFailure
	// shown is what the search attributes say.
	shown attributes
	budget
}

func (r *stageRun) open(ctx workflow.Context) error {
	var config any
	err := r.insist(ctx, "look at the models", func() (err error) {
		config, err = r.config()
		return err
	})
	if err != nil {
		return err
	}
	var opened store.OpenStageResult
	err = r.keep(ctx, "open stage "+r.name, openStage, store.OpenStageInput{
		Stage: r.name, Manifest: r.in.Manifest, Split: r.split, Needs: r.needs, Config: config, Generation: r.in.Generation,
	}, &opened)
	if err != nil {
		return err
	}
	r.p.Job, r.p.ConfigHash, r.p.Shards, r.p.Identities = opened.Job, opened.ConfigHash, opened.Shards, r.identities
	return r.estimate(ctx, opened)
}

// page works on the next page of the shards that are retried, or else of those
// that were never started.
func (r *stageRun) page(ctx workflow.Context) error {
	in := store.ListShardsInput{Job: r.p.Job, Stage: r.name, Manifest: r.in.Manifest, Split: r.split, Offset: r.p.Next, Limit: pageSize}
	what, next, all := "shards", &r.p.Next, r.p.Shards
	if r.p.RetryNext < r.p.Retry {
		round := r.failures()
		in.Retry, in.Offset = &round, r.p.RetryNext
		what, next, all = "failed shards", &r.p.RetryNext, r.p.Retry
	}
	if *next < all {
		var page store.ListShardsResult
		err := r.keep(ctx, fmt.Sprintf("list %s from %d", what, *next), listShards, in, &page)
		if err != nil {
			return err
		}
		*next = min(*next+pageSize, all)
		r.p.Done += page.Done
		r.p.Reused += page.Done
		if err := r.work(ctx, page.Todo); err != nil {
			return err
		}
	}
	return r.record(ctx)
}

// work runs one activity per shard until none is left. Whenever the budget is
// reached, or everything fails, it parks and goes on as a person decides.
func (r *stageRun) work(ctx workflow.Context, todo []int) error {
	for len(todo) > 0 && !r.p.GaveUp {
		left, err := r.spend(ctx, todo)
		if err != nil {
			return err
		}
		switch todo = left; {
		case len(todo) == 0:
		case r.p.Paused:
			err = r.rest(ctx)
		case r.failing():
			err = r.giveOver(ctx)
		default:
			err = r.overBudget(ctx, len(todo))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rest waits while the stage is paused.
func (r *stageRun) rest(ctx workflow.Context) error {
	r.status = schemas.StatusPaused
	if err := r.publish(ctx); err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return !r.p.Paused }); err != nil {
		return err
	}
	r.status = schemas.StatusRunning
	return r.publish(ctx)
}

// spend works on shards, ShardsInFlight at once, until none is left or the budget
// is reached, and returns those that are left.
func (r *stageRun) spend(ctx workflow.Context, todo []int) (left []int, err error) {
	selector := workflow.NewSelector(ctx)
	r.begin(ctx)
	defer r.pause(ctx)
	// Not a loop variable: the callbacks must see the one and only counter.
	inFlight := 0
	for len(todo) > 0 || inFlight > 0 {
		for len(todo) > 0 && inFlight < r.slots && ctx.Err() == nil && !r.reached(ctx) && !r.failing() && !r.p.Paused {
			shard := todo[0]
			todo = todo[1:]
			l := r.lease(ctx, inFlight, len(todo)+1)
			inFlight++
			selector.AddFuture(r.start(ctx, shard, l.Allowance), func(f workflow.Future) {
				inFlight--
				r.release(l)
				if ctx.Err() == nil && !r.finish(ctx, shard, f, l) {
					todo = append(todo, shard)
				}
			})
		}
		if inFlight == 0 {
			break
		}
		selector.Select(ctx)
		if err := r.publish(ctx); err != nil {
			return nil, err
		}
	}
	return todo, ctx.Err()
}

func (r *stageRun) start(ctx workflow.Context, shard int, allowance schemas.Allowance) workflow.Future {
	summary := fmt.Sprintf("%s shard %d of %d", r.name, shard, r.p.Shards)
	o := r.in.RunOptions
	o.HeartbeatTimeout = cmp.Or(r.p.HeartbeatTimeout, o.HeartbeatTimeout)
	return workflow.ExecuteActivity(withShard(ctx, r.queue, summary, o), r.activity, r.input(r.shard(shard, allowance)))
}

func (r *stageRun) shard(number int, allowance schemas.Allowance) store.Shard {
	allowance.Identities = r.p.Identities
	return store.Shard{
		Job: r.p.Job, Stage: r.name, ConfigHash: r.p.ConfigHash, Manifest: r.in.Manifest, Number: number,
		Generation: r.in.Generation, Allowance: allowance,
	}
}

// finish takes the result of a shard's work. ended is false if the shard is to be
// worked on again, since its lease was too small.
func (r *stageRun) finish(ctx workflow.Context, shard int, f workflow.Future, l lease) (ended bool) {
	var done schemas.ShardResult
	err := f.Get(ctx, &done)
	if err != nil {
		r.p.Spent = r.p.Spent.Add(spentOf(err))
	} else {
		r.p.Spent = r.p.Spent.Add(done.Spent)
	}
	errorType, message := failureOf(err)
	switch {
	case errorType == string(schemas.BudgetExceeded) && l.capped():
		r.starved(l, message)
		return false
	case err != nil:
		r.log.Warn("shard failed", "stage", r.name, "shard", shard, "type", errorType, "error", message)
		r.fail(shard, errorType, message)
	case !done.Books.Closed():
		r.fail(shard, string(schemas.Internal), fmt.Sprintf("the books do not close: %+v", done.Books))
	default:
		r.p.Streak = 0
		r.p.Done++
		if done.Reused {
			r.p.Reused++
		}
	}
	return true
}

func (r *stageRun) close(ctx workflow.Context) (schemas.StageResult, error) {
	var out schemas.StageResult
	in := store.CloseStageInput{Job: r.p.Job, Stage: r.name, Manifest: r.in.Manifest, Split: r.split, GaveUp: r.p.GaveUp, List: maxFailures}
	if r.p.FailedShards > 0 {
		round := r.failures()
		in.Failed = &round
	}
	if err := r.keep(ctx, "close stage "+r.name, closeStage, in, &out); err != nil {
		return out, err
	}
	out.Reused = r.p.Reused
	if !out.Books.Closed() {
		return out, ApplicationError(schemas.Errorf(schemas.Internal, "stage %s: the books do not close: %+v", r.name, out.Books))
	}
	return out, nil
}

// again continues as a new run once no handler is at work.
func (r *stageRun) again(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return r.stage.again(&r.p)
}
