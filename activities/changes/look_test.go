package changes_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"rpo/activities/changes"
	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/judge/rules"
	"rpo/activities/pair"
	"rpo/activities/reverse"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// cached answers from a cache alone.
type cached struct {
	steptest.Models
	cache *cache.Cache
}

func (m cached) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	if err := m.cache.Open(ctx, "scripted"); err != nil {
		return chat.Model{}, nil, err
	}
	c := m.cache.Completer(changes.NotCached{}, cache.Use{Identity: "scripted", Endpoint: use.Endpoint, Generation: use.Generation})
	return chat.Model{Completer: c, Name: "scripted", AtOnce: 4}, func() {}, nil
}

// constraints are one that a rule decides and one that a model judges.
var constraints = func() []steptest.Constraint {
	const text = "Mention \"boat\"."
	rule, _ := rules.Recognise(text)
	return []steptest.Constraint{{Text: text, Rule: rule}, {Text: "Sound like an old sailor."}}
}()

// world is a run of all steps, and what it was made with.
type world struct {
	s        *store.Memory
	cache    *cache.Cache
	manifest string // of the pairs
	job      string
	in       *schemas.RunPipelineInput
	calls    func() int
}

// build plays a whole run against a scripted model.
func build(t *testing.T) world {
	t.Helper()
	w := world{s: store.NewMemory("rpo")}
	w.cache = cache.New(w.s, slog.New(slog.DiscardHandler))
	var served atomic.Int64
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		served.Add(1)
		return answer(p)
	})
	w.calls = func() int { return int(served.Load()) }
	models := steptest.Cached{Models: steptest.Models{"policy": server.URL}, Cache: w.cache}
	w.in = &schemas.RunPipelineInput{}
	w.in.SampleOptions = schemas.SampleOptions{Endpoint: "policy", Responses: 3}
	w.in.JudgeOptions = schemas.JudgeOptions{JudgeEndpoint: "policy"}
	w.in.ReverseOptions = schemas.ReverseOptions{ReverseEndpoint: "policy"}
	w.in.SampleOptions.SetDefaults()
	w.in.JudgeOptions.SetDefaults()
	w.in.ReverseOptions.SetDefaults()
	w.in.PairOptions.SetDefaults()
	manifest := steptest.Manifest(t, w.s, steptest.Turns("ann", 5, constraints...), steptest.Turns("bob", 5, constraints...))
	steptest.Run(t, func(ctx context.Context) {
		for _, stage := range []struct {
			name string
			do   func(store.Shard) (schemas.ShardResult, error)
		}{
			{"sample", func(shard store.Shard) (schemas.ShardResult, error) {
				return (&sample.Activities{Store: w.s, Models: models}).SampleShard(ctx, sample.ShardInput{Shard: shard, SampleOptions: w.in.SampleOptions})
			}},
			{"judge", func(shard store.Shard) (schemas.ShardResult, error) {
				return (&judge.Activities{Store: w.s, Models: models}).JudgeShard(ctx, judge.ShardInput{Shard: shard, JudgeOptions: w.in.JudgeOptions})
			}},
			{"reverse", func(shard store.Shard) (schemas.ShardResult, error) {
				return (&reverse.Activities{Store: w.s, Models: models}).ReverseShard(ctx, reverse.ShardInput{Shard: shard, ReverseOptions: w.in.ReverseOptions})
			}},
			{"pair", func(shard store.Shard) (schemas.ShardResult, error) {
				return (&pair.Activities{Store: w.s}).PairShard(ctx, pair.ShardInput{Shard: shard, PairOptions: w.in.PairOptions})
			}},
		} {
			var shard store.Shard
			for number := range 2 {
				shard = steptest.Open(t, w.s, stage.name, manifest, nil, number)
				if _, err := stage.do(shard); err != nil {
					t.Fatalf("%s: %v", stage.name, err)
				}
			}
			manifest = steptest.Close(t, w.s, shard).Manifest
			w.job = shard.Job
		}
	})
	w.manifest = manifest
	return w
}

func (w world) look(t *testing.T, o changes.Options) (changes.Report, map[string]changes.Step) {
	t.Helper()
	before := w.calls()
	keys, _ := w.s.List(t.Context(), "", "", 0)
	r, err := changes.Look(t.Context(), w.s, w.manifest, o)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := w.s.List(t.Context(), "", "", 0); len(after) != len(keys) || w.calls() != before {
		t.Errorf("looking made %d calls and %d objects", w.calls()-before, len(after)-len(keys))
	}
	steps := map[string]changes.Step{}
	for _, s := range r.Steps {
		steps[s.Step] = s
		if s.Rows != s.Same+s.Changed+s.Unknown {
			t.Errorf("the books of %s do not close: %+v", s.Step, s)
		}
	}
	return r, steps
}

func (w world) full() changes.Options {
	return changes.Options{Input: w.in, Models: cached{cache: cache.New(w.s, slog.New(slog.DiscardHandler))}}
}

func TestTheSameCodeChangesNothingAndMakesNoCall(t *testing.T) {
	w := build(t)
	r, steps := w.look(t, w.full())
	for step, rows := range map[string]int64{"responses": 30, "rules": 30, "verdicts": 30, "reversal": 10, "opposites": 10} {
		if s := steps[step]; s.Same != rows || s.Rows != rows {
			t.Errorf("%s: %+v", step, s)
		}
	}
	if s := steps["pairs"]; s.Same == 0 || s.Changed+s.Unknown != 0 {
		t.Errorf("pairs: %+v", s)
	}
	if r.Turns != 10 || r.All != 10 || len(r.Raise) != 1 || !strings.Contains(r.Raise[0], "no generation") || len(r.Jobs) != 4 {
		t.Errorf("%+v", r)
	}
	for _, m := range r.Made {
		if m.Now != "" {
			t.Errorf("made %+v", m)
		}
	}
	if r, _ := w.look(t, changes.Options{Turns: 3, Input: w.in}); r.Turns != 3 {
		t.Errorf("sampled %d turns", r.Turns)
	}
}

// rewrite changes the rows of a table as if other code had made them.
func rewrite[T any](t *testing.T, w *world, table string, change func(*T)) {
	t.Helper()
	m, err := store.GetManifest(t.Context(), w.s, w.manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range m.Shards {
		rows, err := store.GetRows[T](t.Context(), w.s, shard.Objects[table])
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			change(&rows[i])
		}
		if shard.Objects[table], err = store.PutRows(t.Context(), w.s, table, rows); err != nil {
			t.Fatal(err)
		}
	}
	if w.manifest, err = store.PutManifest(t.Context(), w.s, m); err != nil {
		t.Fatal(err)
	}
}

func TestRowsThatOtherCodeMadeAreCountedWithExamplesAndTheGenerationToRaise(t *testing.T) {
	w := build(t)
	n := 0
	rewrite(t, &w, schemas.TableVerdict, func(v *schemas.Verdict) {
		if v.Source == schemas.ByRule {
			if n++; n%3 == 0 {
				v.Outcome = map[string]string{schemas.Followed: schemas.NotFollowed, schemas.NotFollowed: schemas.Followed}[v.Outcome]
			}
			return
		}
		v.JudgedBy = "scripted judge/1"
	})
	rewrite(t, &w, schemas.TableOpposite, func(o *schemas.Opposite) {
		if o.Source == schemas.ByRule {
			o.Text += " At most."
		}
	})
	r, steps := w.look(t, w.full())
	if s := steps["rules"]; s.Changed != 10 || s.Same != 20 || len(s.Examples) != 3 || s.Examples[0].Was == s.Examples[0].Now {
		t.Errorf("rules: %+v", s)
	}
	if s := steps["reversal"]; s.Changed != 10 {
		t.Errorf("reversal: %+v", s)
	}
	if s := steps["pairs"]; s.Changed == 0 {
		t.Errorf("pairs: %+v", s)
	}
	raise := strings.Join(r.Raise, "\n")
	for _, want := range []string{"ReverseConstraints with \"generation\": 1", "BuildPairs with \"generation\": 1", "JudgeResponses: the new version"} {
		if !strings.Contains(raise, want) {
			t.Errorf("advice lacks %q: %s", want, raise)
		}
	}
	old := false
	for _, m := range r.Made {
		old = old || m.By == "scripted judge/1" && m.Now == "scripted "+judge.PromptVersion
	}
	if !old {
		t.Errorf("made %+v", r.Made)
	}
}

func TestRowsWhoseReplyIsNotCachedAreUnknown(t *testing.T) {
	w := build(t)
	keys, _ := w.s.List(t.Context(), "cache/", "", 0)
	for _, key := range keys {
		if err := w.s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	r, steps := w.look(t, w.full())
	for _, step := range []string{"responses", "verdicts", "opposites"} {
		if s := steps[step]; s.Unknown != s.Rows || s.Rows == 0 || s.Why != "not in the call cache" {
			t.Errorf("%s: %+v", step, s)
		}
	}
	if s := steps["rules"]; s.Same != 30 {
		t.Errorf("rules: %+v", s)
	}
	if !strings.Contains(strings.Join(r.Raise, ""), "no sampled row that could be compared") {
		t.Errorf("advice: %v", r.Raise)
	}
	_, steps = w.look(t, changes.Options{})
	if s := steps["pairs"]; s.Unknown != s.Rows || !strings.Contains(s.Why, "--input") {
		t.Errorf("without an input: %+v", s)
	}
}

func TestEveryReplyOfARunIsTaggedWithWhomItIsAbout(t *testing.T) {
	w := build(t)
	var owners []string
	for _, name := range []string{"ann", "bob"} {
		for _, turn := range steptest.Turns(name, 5, constraints...) {
			owners = append(owners, turn.ProfileID)
			for _, c := range turn.Constraints {
				owners = append(owners, c.ConstraintID) // of an opposite
			}
		}
	}
	all, some := cache.NewOwners(owners), cache.NewOwners(owners[:3])
	replies, known, few := 0, 0, 0
	if err := cache.Walk(t.Context(), w.s, func(_ string, e cache.Entry) {
		replies++
		if all.Own(e) {
			known++
		}
		if some.Own(e) {
			few++
		}
	}, func(key string) { t.Error(key) }); err != nil {
		t.Fatal(err)
	}
	if replies == 0 || known != replies || few == 0 || few == replies {
		t.Errorf("of %d replies %d are tagged, %d with the first profile", replies, known, few)
	}
}

func TestAManifestWithoutTurnsIsRefused(t *testing.T) {
	s := store.NewMemory("rpo")
	uri, err := store.PutManifest(t.Context(), s, schemas.Manifest{Job: "j", Stage: "profile"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changes.Look(t.Context(), s, uri, changes.Options{}); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("got %v", err)
	}
}

// answer plays policy, judge, writer of opposites and checker.
func answer(p scripted.Parsed) scripted.Reply {
	switch p.SchemaName {
	case "check":
		return scripted.Say(`{"reason": "", "exclusive": true, "exhaustive": true, "definite": true}`)
	case "":
		return scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
			return []string{"A boat it is.", "Aye, the boat, matey.", "Nothing of the kind."}[seed%3]
		})(p)
	}
	if !strings.Contains(p.Last(), "<response-") {
		return scripted.Say(`{"opposite": "Never sound like an old sailor."}`)
	}
	verdict := schemas.NotFollowed
	if strings.Contains(p.Last(), "matey") {
		verdict = schemas.Followed
	}
	_, rest, _ := strings.Cut(p.Last(), "\n<constraints-")
	list, _, _ := strings.Cut(rest, "\n</constraints-")
	var verdicts []string
	for line := range strings.Lines(list) {
		if id, _, ok := strings.Cut(line, ": \""); ok {
			verdicts = append(verdicts, fmt.Sprintf(`{"id": %q, "reason": "so", "verdict": %q}`, id, verdict))
		}
	}
	return scripted.Say(`{"verdicts": [` + strings.Join(verdicts, ",") + `]}`)
}
