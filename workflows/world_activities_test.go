package workflows

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
