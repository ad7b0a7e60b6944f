package dialogue

import (
	"context"
	"encoding/json"
	"sync"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the dialogue step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard of profiles. Of JudgeOptions self-play uses
// the first judge, which is asked once: no pair is built from its verdicts.
type ShardInput struct {
	store.Shard
	schemas.DialogueOptions
	schemas.JudgeOptions
}

// DialogueShard plays the dialogues of a shard's profiles.
func (a *Activities) DialogueShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		profiles, err := store.Table[schemas.Profile](ctx, w, schemas.TableProfile)
		if err != nil {
			return err
		}
		parts, err := Cast(ctx, a.Store, profiles, in.DialogueOptions)
		if err != nil {
			return err
		}
		players, release, err := a.players(ctx, in, parts, meter)
		if err != nil {
			return err
		}
		defer release()
		if in.Allowance.EstimateOnly {
			return estimate(ctx, players, meter, parts, in.DialogueOptions)
		}
		played, err := Shard(ctx, players, meter, parts, in.DialogueOptions, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		return put(ctx, w, played)
	})
	return meter.Result(r, reused, err)
}

// DescribePersonas returns what identifies the personas of a manifest, which the
// job must depend on: its URI may come to name more of them. A manifest without
// any is an InvalidInput error.
func (a *Activities) DescribePersonas(ctx context.Context, uri string) (string, error) {
	m, err := personaManifest(ctx, a.Store, uri)
	if err != nil {
		return "", err
	}
	var all []string
	for _, shard := range m.Shards {
		if o, ok := shard.Objects[schemas.TablePersona]; ok {
			all = append(all, shard.Split+" "+o.SHA256)
		}
	}
	return schemas.ID("personas", all...), nil
}

// players finds the models; the judge only if one is named and needed.
func (a *Activities) players(ctx context.Context, in ShardInput, parts []Part, meter *chat.Meter) (p Players, release func(), err error) {
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	find := func(into *chat.Model, endpoint, model string) {
		if err != nil {
			return
		}
		m, r, failed := a.Models.Model(ctx, chat.Use{Endpoint: endpoint, Model: model, Generation: in.Generation, Meter: meter})
		if err = failed; err == nil {
			*into, releases = m, append(releases, r)
		}
	}
	find(&p.User, in.UserEndpoint, in.UserModel)
	find(&p.Responder, in.ResponderEndpoint, in.ResponderModel)
	for _, part := range parts {
		if in.JudgeEndpoint != "" && needsJudge(part.Profile) {
			find(&p.Judge, in.JudgeEndpoint, in.JudgeModel)
			break
		}
	}
	if err != nil {
		release()
		return Players{}, nil, err
	}
	return p, release, nil
}

// put writes the tables of the dialogues, in their order.
func put(ctx context.Context, w *store.Work, played []Played) error {
	var all Played
	var dialogues []schemas.Dialogue
	for _, p := range played {
		dialogues = append(dialogues, p.Dialogue)
		all.Turns = append(all.Turns, p.Turns...)
		all.Triggers = append(all.Triggers, p.Triggers...)
		all.Golden = append(all.Golden, p.Golden...)
		all.Verdicts = append(all.Verdicts, p.Verdicts...)
	}
	if err := store.PutTable(ctx, w, schemas.TableDialogue, dialogues); err != nil {
		return err
	}
	if err := store.PutTable(ctx, w, schemas.TableTurn, all.Turns); err != nil {
		return err
	}
	if err := store.PutTable(ctx, w, schemas.TableTrigger, all.Triggers); err != nil {
		return err
	}
	if err := store.PutTable(ctx, w, schemas.TableGolden, all.Golden); err != nil {
		return err
	}
	return store.PutTable(ctx, w, schemas.TableGoldenVerdict, all.Verdicts)
}

// Shard plays all dialogues, several at once, and keeps their order. A dialogue
// whose first turn fails is set aside, one that ends without a turn is skipped.
// Any failure that is not a dialogue's own ends the shard, and so does a model
// that replied to none of several dialogues.
func Shard(ctx context.Context, players Players, meter *chat.Meter, parts []Part, o schemas.DialogueOptions, w *store.Work) ([]Played, error) {
	results := make([]Played, len(parts))
	errs := make([]error, len(parts))
	logs := make([]*callLog, len(parts))
	var mu sync.Mutex
	done := 0
	err := players.Responder.Each(ctx, len(parts), func(ctx context.Context, i int) error {
		logs[i] = &callLog{dialogueID: parts[i].ID(), beat: func() {
			mu.Lock()
			defer mu.Unlock()
			meter.Beat(ctx, done, len(parts))
		}}
		results[i], errs[i] = Play(chat.Own(ctx, parts[i].Profile.ProfileID, parts[i].Persona.PersonaID), logs[i].watch(players), parts[i], o, o.ResponderEndpoint)
		mu.Lock()
		done++
		meter.Beat(ctx, done, len(parts))
		mu.Unlock()
		if errs[i] != nil && !chat.RowError(errs[i]) {
			return errs[i]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := silent(logs, errs); err != nil {
		return nil, err
	}
	var played []Played
	for i, part := range parts {
		w.Record.Books.In++
		if errs[i] != nil {
			request, _ := json.Marshal(map[string]any{
				"profile_id": part.Profile.ProfileID, "number": part.Number, "persona_id": part.Persona.PersonaID,
				"messages": logs[i].last,
			})
			w.Quarantine(schemas.TableDialogue, part.ID(), errs[i], string(request))
			continue
		}
		p := results[i]
		for name, n := range p.Counts {
			w.Count(name, n)
		}
		if len(p.Turns) == 0 {
			w.Record.Books.Skipped++
			w.Count("skipped_"+p.Dialogue.Ended, 1)
		} else {
			w.Record.Books.OK++
			w.Count("dialogues", 1)
			w.Count("turns", int64(len(p.Turns)))
			w.Count("ended_"+p.Dialogue.Ended, 1)
		}
		played = append(played, p)
	}
	return played, nil
}
