package sample

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the sample step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard.
type ShardInput struct {
	store.Shard
	schemas.SampleOptions
}

// SampleShard samples the responses of a shard's turns.
func (a *Activities) SampleShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		turns, err := store.Table[schemas.Turn](ctx, w, schemas.TableTurn)
		if err != nil {
			return err
		}
		m, release, err := a.Models.Model(ctx, chat.Use{Endpoint: in.Endpoint, Model: in.Model, Generation: in.Generation, Meter: meter})
		if err != nil {
			return err
		}
		defer release()
		rows, err := Shard(ctx, m, meter, turns, in.SampleOptions, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return store.PutTable(ctx, w, schemas.TableResponse, rows)
	})
	return meter.Result(r, reused, err)
}

// Shard samples all turns, the turns of a dialogue one after the other and as many
// dialogues at once as the model allows, and keeps the order of the turns in its
// rows. A turn whose request the endpoint refuses for good is set aside; any other
// failure ends the shard.
func Shard(ctx context.Context, m chat.Model, meter *chat.Meter, turns []schemas.Turn, o schemas.SampleOptions, w *store.Work) ([]schemas.Response, error) {
	type answer struct {
		request  chat.Request
		response chat.Response
		err      error
	}
	answers := make([]answer, len(turns))
	var done sync.Mutex
	count := 0
	dialogues := Dialogues(turns)
	err := m.Each(ctx, len(dialogues), func(ctx context.Context, d int) error {
		for _, i := range dialogues[d] {
			req := Request(turns[i], o, m.Name)
			resp, err := m.Complete(chat.Own(ctx, turns[i].ProfileID), req)
			answers[i] = answer{req, resp, err}
			done.Lock()
			count++
			meter.Beat(ctx, count, len(turns))
			done.Unlock()
			if err != nil && !chat.RowError(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(turns) > 1 && !slices.ContainsFunc(answers, func(a answer) bool { return a.err == nil }) {
		// Not one of several rows got through: that is the endpoint's fault, not
		// the rows'. A single row may be refused for what it is.
		return nil, answers[0].err
	}
	var rows []schemas.Response
	for i, t := range turns {
		w.Record.Books.In++
		if err := answers[i].err; err != nil {
			request, _ := json.Marshal(answers[i].request.Messages)
			w.Quarantine(schemas.TableTurn, t.TurnID, err, string(request))
			continue
		}
		w.Record.Books.OK++
		rows = append(rows, Rows(t, o, answers[i].request, m.Name, answers[i].response.Choices)...)
	}
	w.Count("responses", int64(len(rows)))
	return rows, nil
}
