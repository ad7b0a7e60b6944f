package profile

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"rpo/activities/chat/cache"
	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func TestAKilledShardIsMadeAsIfItHadNeverBeenStarted(t *testing.T) {
	o := schemas.GenerateOptions{GenerateEndpoint: "writer"}
	whole, err := generatedBy(t, honest, fourSeeds()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []int{1, 3, 5} {
		s := store.NewMemory("rpo")
		server := scripted.New(t, honest)
		models := steptest.Models{"writer": server.URL}
		a := Activities{Store: s, Models: models}
		in := shardOf(t, s, o, fourSeeds())
		steptest.Run(t, func(ctx context.Context) {
			ctx, kill := context.WithCancel(ctx)
			go func() {
				server.Await(ctx, func(c scripted.Stats) bool { return c.Requests >= after })
				kill()
			}()
			_, err = a.GenerateShard(ctx, in)
		})
		if err == nil {
			// The calls of so small a shard can all be over before the kill.
			t.Logf("killed after %d requests, too late", after)
		} else if _, ok, _ := store.Committed(t.Context(), s, in.Job, in.Stage, 0); ok {
			t.Fatal("a killed shard is committed")
		}
		again, err := generated(t, s, models, o, fourSeeds()...)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(again.record.Outputs, whole.record.Outputs) || again.record.Books != whole.record.Books {
			t.Errorf("after %d requests: outputs %+v, want %+v", after, again.record.Outputs, whole.record.Outputs)
		}
	}
}

func TestAKilledShardPaysForNoAnsweredCallAgain(t *testing.T) {
	s := store.NewMemory("rpo")
	server := scripted.New(t, honest)
	o := schemas.GenerateOptions{GenerateEndpoint: "writer"}
	in := shardOf(t, s, o, fourSeeds())
	run := func(do func(ctx context.Context) context.Context) (result schemas.ShardResult, err error) {
		// Each run has a cache of its own over the same store, as another worker has.
		models := steptest.Cached{Models: steptest.Models{"writer": server.URL}, Cache: cache.New(s, slog.New(slog.DiscardHandler))}
		a := Activities{Store: s, Models: models}
		steptest.Run(t, func(ctx context.Context) { result, err = a.GenerateShard(do(ctx), in) })
		return result, err
	}
	_, err := run(func(ctx context.Context) context.Context {
		ctx, kill := context.WithCancel(ctx)
		go func() {
			server.Await(ctx, func(c scripted.Stats) bool { return c.Answered >= 3 })
			kill()
		}()
		return ctx
	})
	if err == nil {
		t.Log("killed too late")
	}
	before := server.Stats().Answered
	result, err := run(func(ctx context.Context) context.Context { return ctx })
	if err != nil {
		t.Fatal(err)
	}
	if c := server.Stats(); c.Repeated > c.Abandoned+4 || c.Answered > 7+4 || !result.Reused && result.Spent.Cached < int64(before-4) {
		t.Errorf("counts %+v, %d answered before, spent %+v", c, before, result.Spent)
	}
}

func TestAnEstimateAsksNobody(t *testing.T) {
	server := scripted.New(t, honest)
	s := store.NewMemory("rpo")
	in := shardOf(t, s, schemas.GenerateOptions{GenerateEndpoint: "writer"}, fourSeeds())
	in.Allowance.EstimateOnly = true
	a := Activities{Store: s, Models: steptest.Models{"writer": server.URL}}
	steptest.Run(t, func(ctx context.Context) {
		result, err := a.GenerateShard(ctx, in)
		if err != nil || result.Estimate == nil || result.Estimate.Calls != 4 || server.Stats().Requests != 0 {
			t.Errorf("result %+v, %v", result, err)
		}
	})
}

func TestTheSeedOfTheOptionsGivesOtherSamplesOfTheSameSeeds(t *testing.T) {
	named := func(p scripted.Parsed) scripted.Reply {
		if p.SchemaName != "generate_profile" {
			return honest(p)
		}
		r := aProfile(schemas.English)
		r.Name += strings.Repeat(" I", int(p.Seed%7))
		return say(r)
	}
	server := scripted.New(t, named)
	ids := map[string]bool{}
	for _, n := range []int64{1, 1, 2, 3, 4, 5} {
		out, err := generated(t, store.NewMemory("rpo"), steptest.Models{"writer": server.URL},
			schemas.GenerateOptions{GenerateEndpoint: "writer", GenerateSeed: n}, tea())
		if err != nil {
			t.Fatal(err)
		}
		ids[out.profiles[0].ProfileID] = true
	}
	if len(ids) < 2 || len(ids) > 5 {
		t.Errorf("%d different profiles", len(ids))
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, language := range []string{schemas.English, schemas.Chinese} {
		data, _ := json.Marshal(aProfile(language))
		f.Add(string(data), language == schemas.Chinese)
	}
	f.Add(`{"constraints": [null]}`, false)
	f.Fuzz(func(t *testing.T, reply string, chinese bool) {
		language := schemas.English
		if chinese {
			language = schemas.Chinese
		}
		s, err := parseProfile(reply, language)
		if err != nil {
			return
		}
		if s.constraints, _ = clean(s); len(s.constraints) == 0 {
			return
		}
		system, demands := s.render()
		var in Imported
		in.add("fuzz", draft{sourceID: "a", split: schemas.SplitTrain, system: system, demands: demands}, Options{})
		checkProfile(t, in.Profiles[0])
		checkRendering(t, in.Profiles[0])
		for _, c := range in.Profiles[0].Constraints {
			if strings.ContainsFunc(c.Text, breaks) || c.Text == "" {
				t.Errorf("constraint %q", c.Text)
			}
		}
	})
}

func FuzzParseExtract(f *testing.F) {
	f.Add(`{"constraints": [{"sentence": 2, "quote": "", "family": "role", "trigger": ""}]}`, hotel)
	f.Add(`{"constraints": [{"sentence": 1, "quote": "不要", "family": "role", "trigger": ""}, {"sentence": 2, "quote": "b", "family": "role", "trigger": ""}]}`, "不要说。a b。")
	f.Fuzz(func(t *testing.T, reply, system string) {
		all := units(system)
		last := 0
		for _, u := range all {
			if u.start < last || u.end <= u.start || u.end > len(system) || strings.ContainsFunc(system[u.start:u.end], breaks) {
				t.Fatalf("units %+v", all)
			}
			last = u.end
		}
		demands, err := parseExtract(reply, system, all)
		if err != nil {
			return
		}
		var in Imported
		in.add("fuzz", draft{sourceID: "a", split: schemas.SplitTrain, system: system, demands: demands}, Options{})
		checkProfile(t, in.Profiles[0])
	})
}

func FuzzParseCheck(f *testing.F) {
	f.Add(`{"constraints": [{"id": "c1", "reason": "", "definite": true, "checkable": true, "single_turn": true}, {"id": "c2", "reason": "", "definite": true, "checkable": false, "single_turn": true}], "contradictions": [{"reason": "", "first": "c2", "second": "c1"}]}`)
	f.Add(`{"constraints": [null], "contradictions": [null]}`)
	f.Fuzz(func(t *testing.T, reply string) {
		findings, pairs, err := parseCheck(reply, 2)
		if err != nil {
			return
		}
		if len(findings) != 2 || len(pairs) > 1 || len(pairs) == 1 && pairs[0] != (contradiction{0, 1}) {
			t.Errorf("findings %+v, pairs %+v", findings, pairs)
		}
	})
}

func FuzzParsePersona(f *testing.F) {
	data, _ := json.Marshal(aPersona(schemas.English))
	f.Add(string(data))
	f.Add(`{"traits": [null]}`)
	f.Fuzz(func(t *testing.T, reply string) {
		p, err := parsePersona(reply, schemas.English)
		if err != nil {
			return
		}
		if len(p.Traits) != traits || strings.ContainsFunc(p.Name+p.Description+strings.Join(p.Traits, ""), breaks) {
			t.Errorf("persona %+v", p)
		}
	})
}
