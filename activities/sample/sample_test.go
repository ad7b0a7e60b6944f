package sample_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// answer depends on the prompt and the seed alone.
var answer = scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
	return fmt.Sprintf("answer %d to %s", seed, p.Last())
})

func options(n int) schemas.SampleOptions {
	o := schemas.SampleOptions{Endpoint: "policy", Responses: n}
	o.SetDefaults()
	return o
}

// run samples shard 0 of a manifest.
func run(t *testing.T, s store.Store, url, manifest string, o schemas.SampleOptions) (store.Shard, schemas.ShardResult, error) {
	t.Helper()
	a := sample.Activities{Store: s, Models: steptest.Models{"policy": url}}
	in := sample.ShardInput{Shard: steptest.Open(t, s, "sample", manifest, o, 0), SampleOptions: o}
	var r schemas.ShardResult
	var err error
	steptest.Run(t, func(ctx context.Context) { r, err = a.SampleShard(ctx, in) })
	return in.Shard, r, err
}

func responses(t *testing.T, s store.Store, shard store.Shard) []schemas.Response {
	return steptest.Rows[schemas.Response](t, s, steptest.Record(t, s, shard), schemas.TableResponse)
}

func TestEveryTurnGetsNResponsesInTheOrderOfTheTurns(t *testing.T) {
	s, server := store.NewMemory("rpo"), scripted.New(t, answer)
	turns := steptest.Turns("shop", 7)
	shard, r, err := run(t, s, server.URL, steptest.Manifest(t, s, turns), options(5))
	if err != nil || r.Books != (schemas.Books{In: 7, OK: 7}) {
		t.Fatalf("%+v, %v", r, err)
	}
	rows := responses(t, s, shard)
	if len(rows) != 35 {
		t.Fatalf("got %d rows", len(rows))
	}
	ids := map[string]bool{}
	for i, row := range rows {
		turn := turns[i/5]
		if row.TurnID != turn.TurnID || row.SampleIndex != int64(i%5) || row.FinishReason != "stop" || row.DuplicateOf != nil {
			t.Errorf("row %d: %+v", i, row)
		}
		if want := fmt.Sprintf("answer %d to %s", row.Seed+row.SampleIndex, turn.Query); row.Text != want {
			t.Errorf("row %d: text %q, want %q", i, row.Text, want)
		}
		ids[row.ResponseID] = true
	}
	if len(ids) != len(rows) {
		t.Errorf("%d ids for %d rows", len(ids), len(rows))
	}
	if c := steptest.Record(t, s, shard); c.Calls != 7 || c.CompletionTokens == 0 || c.Counts["responses"] != 35 {
		t.Errorf("record %+v", c)
	}
}

func TestASeedDependsOnTheOptionsSeedAndTheTurnAlone(t *testing.T) {
	a, b := steptest.Turn("a"), steptest.Turn("b")
	o := options(5)
	seed := sample.Request(a, o, "m").Seed
	longer := a
	longer.Query, longer.System = "Another query", "Another system"
	more := o
	more.Responses, more.Temperature, more.MaxTokens = 9, 0.3, 7
	if sample.Request(longer, more, "other").Seed != seed {
		t.Error("the seed depends on more than the turn's id")
	}
	if sample.Request(b, o, "m").Seed == seed {
		t.Error("two turns have one seed")
	}
	o.Seed = 1
	if sample.Request(a, o, "m").Seed == seed {
		t.Error("the options' seed has no effect")
	}
}

func TestARepeatedTextIsMarkedAsDuplicateOfTheFirst(t *testing.T) {
	s := store.NewMemory("rpo")
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply { return scripted.Say("a", "b", "a", "a", "b") })
	shard, _, err := run(t, s, server.URL, steptest.Manifest(t, s, steptest.Turns("shop", 1)), options(5))
	if err != nil {
		t.Fatal(err)
	}
	rows := responses(t, s, shard)
	for i, first := range []int{-1, -1, 0, 0, 1} {
		switch got := rows[i].DuplicateOf; {
		case first < 0 && got != nil, first >= 0 && (got == nil || *got != rows[first].ResponseID):
			t.Errorf("row %d: duplicate of %v, want that of row %d", i, got, first)
		}
	}
}

func TestATextCutAtTheTokenLimitKeepsItsFinishReason(t *testing.T) {
	s := store.NewMemory("rpo")
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		r := answer(p)
		r.Finish = "length"
		return r
	})
	o := options(1)
	o.MaxTokens = 1
	shard, _, err := run(t, s, server.URL, steptest.Manifest(t, s, steptest.Turns("shop", 1)), o)
	if err != nil {
		t.Fatal(err)
	}
	if rows := responses(t, s, shard); rows[0].FinishReason != "length" {
		t.Errorf("got %+v", rows[0])
	}
}

func TestARetryAfterACrashMakesTheSameRows(t *testing.T) {
	turns := steptest.Turns("shop", 12)
	undisturbed, server := store.NewMemory("rpo"), scripted.New(t, answer)
	shard, _, err := run(t, undisturbed, server.URL, steptest.Manifest(t, undisturbed, turns), options(3))
	if err != nil {
		t.Fatal(err)
	}
	want := steptest.Record(t, undisturbed, shard).Outputs

	crashes := map[string]func(*store.Memory){
		"before its rows are written":     func(m *store.Memory) { m.Before = once("put", "data/response/") },
		"before its commit":               func(m *store.Memory) { m.Before = once("put-if-absent", "runs/") },
		"after its rows were written":     func(m *store.Memory) { m.After = once("put", "data/response/") },
		"while it looks at what it wrote": func(m *store.Memory) { m.Before = once("head", "data/response/") },
	}
	for when, crash := range crashes {
		t.Run(when, func(t *testing.T) {
			s := store.NewMemory("rpo")
			manifest := steptest.Manifest(t, s, turns)
			crash(s)
			shard, _, err := run(t, s, server.URL, manifest, options(3))
			if err == nil {
				t.Fatal("nothing crashed")
			}
			if _, ok, _ := store.Committed(t.Context(), s, shard.Job, shard.Stage, 0); ok {
				t.Fatal("the crashed attempt left a commit")
			}
			if _, _, err := run(t, s, server.URL, manifest, options(3)); err != nil {
				t.Fatal(err)
			}
			if got := steptest.Record(t, s, shard).Outputs; !reflect.DeepEqual(got, want) {
				t.Errorf("outputs %+v, want %+v", got, want)
			}
		})
	}
	t.Run("in the middle of its calls", func(t *testing.T) {
		s := store.NewMemory("rpo")
		manifest := steptest.Manifest(t, s, turns)
		var calls atomic.Int64
		broken := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
			if calls.Add(1) == 6 {
				return scripted.Refuse(401, "the key was changed")
			}
			return answer(p)
		})
		if _, _, err := run(t, s, broken.URL, manifest, options(3)); err == nil {
			t.Fatal("nothing crashed")
		}
		shard, _, err := run(t, s, broken.URL, manifest, options(3))
		if err != nil {
			t.Fatal(err)
		}
		if got := steptest.Record(t, s, shard).Outputs; !reflect.DeepEqual(got, want) {
			t.Errorf("outputs %+v, want %+v", got, want)
		}
	})
}

// once fails the first operation on a key with a prefix.
func once(operation, prefix string) func(string, string) error {
	var done atomic.Bool
	return func(o, key string) error {
		if o == operation && strings.HasPrefix(key, prefix) && done.CompareAndSwap(false, true) {
			return schemas.Errorf(schemas.Overloaded, "connection reset")
		}
		return nil
	}
}

func TestARefusedRowIsSetAsideWithItsRequest(t *testing.T) {
	s := store.NewMemory("rpo")
	turns := steptest.Turns("shop", 5)
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if p.Last() == turns[2].Query {
			return scripted.Refuse(400, "the prompt is too long")
		}
		return answer(p)
	})
	shard, r, err := run(t, s, server.URL, steptest.Manifest(t, s, turns), options(2))
	if err != nil || r.Books != (schemas.Books{In: 5, OK: 4, Quarantined: 1}) {
		t.Fatalf("%+v, %v", r, err)
	}
	q := steptest.Rows[schemas.Quarantined](t, s, steptest.Record(t, s, shard), schemas.TableQuarantine)
	if len(q) != 1 || q[0].RowID != turns[2].TurnID || q[0].ErrorType != string(schemas.InvalidInput) ||
		!strings.Contains(q[0].Reason, "the prompt is too long") || !strings.Contains(q[0].Request, turns[2].Query) {
		t.Errorf("quarantine %+v", q)
	}
	if slices.ContainsFunc(responses(t, s, shard), func(r schemas.Response) bool { return r.TurnID == turns[2].TurnID }) {
		t.Error("the refused turn has responses")
	}
}

func TestAShardFailsAndWritesNothingWhenTheEndpointIsToBlame(t *testing.T) {
	for name, reply := range map[string]scripted.Reply{
		"every row is refused": scripted.Refuse(400, "unsupported"),
		"the key is wrong":     scripted.Refuse(401, "wrong key"),
		"the model is unknown": scripted.Refuse(404, "no such model"),
	} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory("rpo")
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
			shard, _, err := run(t, s, server.URL, steptest.Manifest(t, s, steptest.Turns("shop", 3)), options(2))
			if err == nil || !strings.Contains(err.Error(), reply.Message) || schemas.Retryable(err) {
				t.Errorf("error %v", err)
			}
			if _, ok, _ := store.Committed(t.Context(), s, shard.Job, shard.Stage, 0); ok {
				t.Error("the failed shard is committed")
			}
		})
	}
}
