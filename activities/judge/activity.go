package judge

import (
	"context"
	"slices"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the judge step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.JudgeOptions
}

// JudgeShard judges the responses of a shard.
func (a *Activities) JudgeShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		responses, err := store.Table[schemas.Response](ctx, w, schemas.TableResponse)
		if err != nil {
			return err
		}
		p, release, err := Judge(ctx, a.Models, turns, in.JudgeOptions, in.Generation, meter)
		if err != nil {
			return err
		}
		defer release()
		s := sitting{Panel: p, meter: meter, work: w, calibrate: in.Calibrate}
		rows, err := s.judge(ctx, turns, usable(responses, in.KeepTruncated, w))
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		if in.Calibrate {
			if err := store.PutTable(ctx, w, schemas.TableCalibration, s.calibration); err != nil {
				return err
			}
		}
		return store.PutTable(ctx, w, schemas.TableVerdict, rows)
	})
	return meter.Result(r, reused, err)
}

// usable drops, and counts as skipped, responses that repeat another one of their
// turn and, unless they are to be kept, those that were cut off.
func usable(responses []schemas.Response, keepTruncated bool, w *store.Work) []schemas.Response {
	var out []schemas.Response
	for _, r := range responses {
		if r.DuplicateOf == nil && (keepTruncated || r.FinishReason == "stop") {
			out = append(out, r)
			continue
		}
		w.Record.Books.In++
		w.Record.Books.Skipped++
	}
	return out
}

// Shard judges the responses. One whose verdicts cannot be had is set aside whole, so
// that the verdicts of a response are complete or absent.
func Shard(ctx context.Context, p Panel, meter *chat.Meter, turns []schemas.Turn, responses []schemas.Response, w *store.Work) ([]schemas.Verdict, error) {
	s := sitting{Panel: p, meter: meter, work: w}
	return s.judge(ctx, turns, responses)
}

// CalibrateJudge sums the calibration rows of a judge stage's manifest and writes
// the report under reports/, as JSON and as a Markdown page. A manifest without
// that table is InvalidInput, unless it has no shards at all.
func (a *Activities) CalibrateJudge(ctx context.Context, manifest string) (schemas.CalibrationResult, error) {
	m, err := store.GetManifest(ctx, a.Store, manifest)
	if err != nil {
		return schemas.CalibrationResult{}, err
	}
	objects := m.Objects(schemas.TableCalibration)
	if len(objects) == 0 && len(m.Shards) > 0 {
		return schemas.CalibrationResult{}, schemas.Errorf(schemas.InvalidInput,
			"manifest %s has no calibration: judge its responses with \"calibrate\": true", manifest)
	}
	var t tallies
	for _, o := range objects {
		rows, err := store.GetRows[schemas.Calibration](ctx, a.Store, o)
		if err != nil {
			return schemas.CalibrationResult{}, err
		}
		t.add(rows)
	}
	out := schemas.CalibrationResult{Rows: t.rows, Invalid: m.Counts[invalidCount], Families: t.families()}
	name := "reports/calibration-" + m.Job
	out.Report, out.Page = a.Store.URI(name+".json"), a.Store.URI(name+".md")
	data, err := encodeReport(out)
	if err != nil {
		return schemas.CalibrationResult{}, err
	}
	if err := a.Store.Put(ctx, name+".json", data); err != nil {
		return schemas.CalibrationResult{}, err
	}
	return out, a.Store.Put(ctx, name+".md", []byte(page(out)))
}

// byTurn returns the indices of the responses with those of one turn side by side,
// which share the beginning of their prompts, in the order of the turns.
func byTurn(turns []schemas.Turn, responses []schemas.Response) []int {
	place := make(map[string]int, len(turns))
	for i, t := range turns {
		place[t.TurnID] = i
	}
	order := make([]int, len(responses))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return place[responses[a].TurnID] - place[responses[b].TurnID]
	})
	return order
}
