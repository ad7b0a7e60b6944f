package profile

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the generate step.
type Activities struct {
	Store  store.Store
	Models chat.Models
}

// ShardInput is the work on one shard of seeds.
type ShardInput struct {
	store.Shard
	schemas.GenerateOptions
}

// GenerateShard makes the profiles, first turns and personas of a shard's seeds.
// All three tables are written, empty where no seed gives a row.
func (a *Activities) GenerateShard(ctx context.Context, in ShardInput) (schemas.ShardResult, error) {
	meter := chat.NewMeter(ctx, in.Allowance)
	in.SetDefaults()
	r, reused, err := store.RunShard(ctx, a.Store, in.Shard, func(ctx context.Context, w *store.Work) error {
		seeds, err := store.Table[schemas.Seed](ctx, w, schemas.TableSeed)
		if err != nil {
			return err
		}
		write, release, err := a.Models.Model(ctx, chat.Use{
			Endpoint: in.GenerateEndpoint, Model: in.GenerateModel, Generation: in.Generation, Meter: meter})
		if err != nil {
			return err
		}
		defer release()
		check := write
		if in.CheckEndpoint != in.GenerateEndpoint || in.CheckModel != in.GenerateModel {
			if check, release, err = a.Models.Model(ctx, chat.Use{
				Endpoint: in.CheckEndpoint, Model: in.CheckModel, Generation: in.Generation, Meter: meter}); err != nil {
				return err
			}
			defer release()
		}
		rows, err := generate(ctx, write, check, in.GenerateSeed, meter, seeds, w)
		if err != nil {
			return err
		}
		w.Record.Spending = meter.Spent()
		if err := store.PutTable(ctx, w, schemas.TableProfile, rows.Profiles); err != nil {
			return err
		}
		if err := store.PutTable(ctx, w, schemas.TableTurn, rows.Turns); err != nil {
			return err
		}
		return store.PutTable(ctx, w, schemas.TablePersona, rows.personas)
	})
	return meter.Result(r, reused, err)
}

// made is what seeds gave, in their order.
type made struct {
	Imported
	personas []schemas.Persona
}

// generate works through the seeds. The checking model's calls are made in the
// slots of the writing one: a seed has one call under way at a time.
func generate(ctx context.Context, write, check chat.Model, seed int64, meter *chat.Meter, seeds []schemas.Seed, w *store.Work) (made, error) {
	makers := make([]*maker, len(seeds))
	results := make([]made, len(seeds))
	failures := make([]error, len(seeds))
	var mu sync.Mutex
	done := 0
	err := write.Each(ctx, len(seeds), func(ctx context.Context, i int) error {
		k := &maker{write: write, check: check, seed: seed}
		result, err := k.make(chat.Own(ctx, seeds[i].SeedID), seeds[i])
		mu.Lock()
		defer mu.Unlock()
		done++
		meter.Beat(ctx, done, len(seeds))
		if err != nil && !chat.RowError(err) {
			return err
		}
		makers[i], results[i], failures[i] = k, result, err
		return nil
	})
	if err != nil {
		return made{}, err
	}
	if err := blamed(makers, failures); err != nil {
		return made{}, err
	}
	var out made
	w.Record.Books.In = int64(len(seeds))
	for i, s := range seeds {
		if err := failures[i]; err != nil {
			request, _ := json.Marshal(struct {
				Seed     schemas.Seed
				Messages []schemas.Message
			}{s, makers[i].last.Messages})
			w.Quarantine(schemas.TableSeed, s.SeedID, schemas.Errorf(schemas.TypeOf(err), "seed %q: %w", clipped(s.SourceID), err), string(request))
			continue
		}
		w.Record.Books.OK++
		out.Profiles = append(out.Profiles, results[i].Profiles...)
		out.Turns = append(out.Turns, results[i].Turns...)
		out.personas = append(out.personas, results[i].personas...)
	}
	w.Count("profiles", int64(len(out.Profiles)))
	w.Count("turns", int64(len(out.Turns)))
	w.Count("personas", int64(len(out.personas)))
	for _, p := range out.Profiles {
		for _, c := range p.Constraints {
			w.Count("constraints", 1)
			if !c.Rule.IsZero() {
				w.Count("constraints_with_rule", 1)
			}
		}
	}
	return out, nil
}

// blamed returns the failure of a shard whose models are to blame: one of them
// was asked and replied to nobody.
func blamed(makers []*maker, failures []error) error {
	for _, silent := range []func(*maker) (asked, replied bool){
		func(k *maker) (bool, bool) { return k.last.Messages != nil, k.wrote },
		func(k *maker) (bool, bool) { return k.checks > 0, k.checked },
	} {
		first := slices.IndexFunc(makers, func(k *maker) bool { asked, _ := silent(k); return asked })
		if first < 0 || slices.ContainsFunc(makers, func(k *maker) bool { _, replied := silent(k); return replied }) {
			continue
		}
		return failures[first]
	}
	return nil
}

// make turns one seed into its rows.
func (k *maker) make(ctx context.Context, s schemas.Seed) (made, error) {
	d := draft{sourceID: s.SourceID, split: s.Split}
	var by string
	switch s.Kind {
	case schemas.SeedPersona:
		p, err := k.persona(ctx, s)
		return made{personas: []schemas.Persona{p}}, err
	case schemas.SeedSystem:
		demands, err := k.extract(ctx, s)
		if err != nil {
			return made{}, err
		}
		d.system, d.demands, by = s.Text, demands, ExtractPromptVersion
	case schemas.SeedProfile:
		written, err := k.expand(ctx, s)
		if err != nil {
			return made{}, err
		}
		d.system, d.demands = written.render()
		by = ProfilePromptVersion
	default:
		return made{}, schemas.Errorf(schemas.InvalidInput, "kind %q is not one of profile, persona, system", clipped(s.Kind))
	}
	for _, query := range s.Queries {
		d.dialogues = append(d.dialogues, []exchange{{query: query}})
	}
	var out made
	out.add(s.Source, d, Options{})
	out.Profiles[0].MadeBy = k.write.Name + " " + by + ", " + k.check.Name + " " + CheckPromptVersion
	return out, nil
}
