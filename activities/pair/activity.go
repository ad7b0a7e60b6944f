package pair

import (
	"context"
	"slices"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the pair step. Models is used with check_opposites only.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.PairOptions
}

// PairShard builds the pairs of a shard, and the baselines' data if asked for.
// Without check_opposites it makes no calls.
func (a *Activities) PairShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := read(ctx, w)
		if err != nil {
			return err
		}
		var evaluation *Evaluation
		if len(in.Decontaminate) > 0 {
			if evaluation, err = a.evaluation(ctx, in, turns, w); err != nil {
				return err
			}
		}
		var m chat.Model
		var follows Follows
		if in.CheckOpposites {
			var release func()
			if m, release, err = a.Models.Model(ctx, chat.Use{
				Endpoint: in.OppositeJudgeEndpoint, Model: in.OppositeJudgeModel, Generation: in.Generation, Meter: meter}); err != nil {
				return err
			}
			defer release()
			follows = func(ctx context.Context, t schemas.Turn, r schemas.Response, o schemas.Opposite) (string, bool, error) {
				return judge.FollowsOpposite(ctx, m, t, r, o)
			}
		}
		rows, err := Shard(ctx, turns, NewBuilder(in.PairOptions, evaluation), m, meter, follows, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return put(ctx, w, rows, in.Baselines)
	})
	return meter.Result(r, reused, err)
}

func put(ctx context.Context, w *store.Work, rows Rows, baselines bool) error {
	if err := store.PutTable(ctx, w, schemas.TablePair, rows.Pairs); err != nil || !baselines {
		return err
	}
	if err := store.PutTable(ctx, w, schemas.TableDPO, rows.DPO); err != nil {
		return err
	}
	if err := store.PutTable(ctx, w, schemas.TableKTO, rows.KTO); err != nil {
		return err
	}
	return store.PutTable(ctx, w, schemas.TableSFT, rows.SFT)
}

// evaluation reads the evaluation prompts, and the keys of the turns' profiles
// where the manifest still has their table.
func (a *Activities) evaluation(ctx context.Context, in ShardInput, turns []Turn, w *store.Work) (*Evaluation, error) {
	own, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return nil, err
	}
	if _, ok := w.Input.Objects[schemas.TableProfile]; ok {
		profiles, err := store.Table[schemas.Profile](ctx, w, schemas.TableProfile)
		if err != nil {
			return nil, err
		}
		keys := make(map[string]string, len(profiles))
		for _, p := range profiles {
			keys[p.ProfileID] = Key(p)
		}
		for i := range turns {
			turns[i].Key = keys[turns[i].ProfileID]
		}
	}
	return loadEvaluation(ctx, a.Store, in.Decontaminate, own)
}

// read joins the shard's tables by id.
func read(ctx context.Context, w *store.Work) ([]Turn, error) {
	turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
	if err != nil {
		return nil, err
	}
	responses, err := store.Table[schemas.Response](ctx, w, schemas.TableResponse)
	if err != nil {
		return nil, err
	}
	verdicts, err := store.Table[schemas.Verdict](ctx, w, schemas.TableVerdict)
	if err != nil {
		return nil, err
	}
	opposites, err := store.Table[schemas.Opposite](ctx, w, schemas.TableOpposite)
	if err != nil {
		return nil, err
	}
	return join(turns, responses, verdicts, opposites, w), nil
}

// join puts responses to their turns. The books count responses: those without
// complete verdicts and those with the text of an earlier one of their turn are
// skipped here, the others enter the books when their turn is built.
func join(turns []schemas.Turn, responses []schemas.Response, verdicts []schemas.Verdict, opposites []schemas.Opposite, w *store.Work) []Turn {
	byResponse := byResponse(verdicts)
	byConstraint := make(map[string]schemas.Opposite, len(opposites))
	for _, o := range opposites {
		byConstraint[o.ConstraintID] = o
	}
	out := make([]Turn, len(turns))
	at := make(map[string]int, len(turns))
	for i, t := range turns {
		out[i] = Turn{Turn: t, Verdicts: byResponse, Opposites: byConstraint}
		at[t.TurnID] = i
	}
	duplicates := int64(0)
	for _, r := range responses {
		w.Record.Books.In++
		i, ok := at[r.TurnID]
		if !ok || !complete(out[i], byResponse[r.ResponseID]) {
			w.Record.Books.Skipped++
			continue
		}
		if slices.ContainsFunc(out[i].Responses, func(e schemas.Response) bool { return e.Text == r.Text }) {
			w.Record.Books.Skipped++
			duplicates++
			continue
		}
		out[i].Responses = append(out[i].Responses, r)
	}
	w.Count("duplicate_responses", duplicates)
	return out
}

// byResponse groups the verdicts without copying them where those of a response
// stand in a row, as the judge writes them.
func byResponse(verdicts []schemas.Verdict) map[string][]schemas.Verdict {
	out := map[string][]schemas.Verdict{}
	for start := 0; start < len(verdicts); {
		id, end := verdicts[start].ResponseID, start+1
		for end < len(verdicts) && verdicts[end].ResponseID == id {
			end++
		}
		if earlier, ok := out[id]; ok {
			out[id] = append(earlier, verdicts[start:end]...)
		} else {
			// The capacity ends with the run: appending must not write into the next.
			out[id] = verdicts[start:end:end]
		}
		start = end
	}
	return out
}

func complete(t Turn, verdicts []schemas.Verdict) bool {
	for _, id := range t.Triggered {
		found := false
		for _, v := range verdicts {
			if v.ConstraintID == id {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return len(t.Triggered) > 0
}
