package reverse_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/judge/rules"
	"rpo/activities/reverse"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func free(text string) steptest.Constraint { return steptest.Constraint{Text: text} }

func opposite(text string) scripted.Reply {
	data, err := json.Marshal(map[string]string{"opposite": text})
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

// constraint is the text between the tags of a request.
func constraint(p scripted.Parsed) string {
	_, rest, _ := strings.Cut(p.Last(), ">\n")
	text, _, _ := strings.Cut(rest, "\n</material-")
	return text
}

func notSo(p scripted.Parsed) scripted.Reply { return opposite("Do not: " + constraint(p)) }

// run reverses shard 0 of the turns; url "" means no endpoint.
func run(t *testing.T, s store.Store, url string, turns ...schemas.Turn) (schemas.CommitRecord, map[string]schemas.Opposite, error) {
	t.Helper()
	var o schemas.ReverseOptions
	if url != "" {
		o.ReverseEndpoint = "reverse"
	}
	a := reverse.Activities{Store: s, Models: steptest.Models{"reverse": url}}
	in := reverse.ShardInput{Shard: steptest.Open(t, s, "reverse", steptest.Manifest(t, s, turns), o, 0), ReverseOptions: o}
	var err error
	steptest.Run(t, func(ctx context.Context) { _, err = a.ReverseShard(ctx, in) })
	if err != nil {
		if _, ok, _ := store.Committed(t.Context(), s, in.Job, in.Stage, 0); ok {
			t.Error("a failed shard is committed")
		}
		return schemas.CommitRecord{}, nil, err
	}
	r := steptest.Record(t, s, in.Shard)
	byID := map[string]schemas.Opposite{}
	for _, row := range steptest.Rows[schemas.Opposite](t, s, r, schemas.TableOpposite) {
		byID[row.ConstraintID] = row
	}
	return r, byID, nil
}

func TestARuleIsReversedByConstructionWithoutAModel(t *testing.T) {
	turn := steptest.Turn("shop",
		steptest.Constraint{Text: "Mention tea.", Rule: schemas.Rule{Profile: "rpo", Kind: "contains", Args: `{"text":"tea"}`}},
		steptest.Constraint{Text: "At least 3 words.", Rule: schemas.Rule{Profile: "rpo", Kind: "words", Args: `{"n":3,"relation":"at least"}`}},
		steptest.Constraint{Text: "No comma.", Rule: schemas.Rule{Profile: "ifeval", Kind: "punctuation:no_comma"}},
		steptest.Constraint{Text: "Think.", Rule: schemas.Rule{Profile: "rpo", Kind: "telepathy"}},
	)
	s := store.NewMemory("rpo")
	r, got, err := run(t, s, "", turn)
	if err != nil {
		t.Fatal(err)
	}
	if r.Books != (schemas.Books{In: 4, OK: 3, Quarantined: 1}) || r.Calls != 0 || r.Counts["opposites"] != 3 {
		t.Errorf("record %+v", r)
	}
	for _, c := range turn.Constraints[:3] {
		o := got[c.ConstraintID]
		if o.Source != schemas.ByRule || o.Original != c.Text || o.Text == "" || o.Text == c.Text || o.ReversedBy != rules.Version(c.Rule.Profile) {
			t.Errorf("opposite %+v", o)
		}
		yes, err1 := rules.Parse(c.Rule)
		no, err2 := rules.Parse(o.Rule)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, text := range []string{"tea", "a b", "a b c", "a, b", "tea, with milk"} {
			if yes.Strict(text) == no.Strict(text) {
				t.Errorf("%q follows both or neither of %q and %q", text, c.Text, o.Text)
			}
		}
	}
	if q := steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine); q[0].RowID != turn.Triggered[3] || !strings.Contains(q[0].Reason, "telepathy") {
		t.Errorf("quarantine %+v", q)
	}
}

func TestEachTriggeredConstraintIsReversedOnceHoweverManyTurnsHaveIt(t *testing.T) {
	s, server := store.NewMemory("rpo"), scripted.New(t, notSo)
	turn := steptest.Turn("shop", free("Be kind."), free("Be short."), free("Be quick."))
	turn.Triggered = turn.Triggered[:2]
	r, got, err := run(t, s, server.URL, turn, turn, turn)
	if err != nil || len(got) != 2 || r.Books.In != 2 || r.Calls != 2 {
		t.Fatalf("opposites %+v, record %+v, %v", got, r, err)
	}
	if o := got[turn.Triggered[0]]; o.Text != "Do not: Be kind." || o.Source != schemas.ByModel || o.ReversedBy != "scripted "+reverse.PromptVersion || !o.Rule.IsZero() {
		t.Errorf("opposite %+v", o)
	}
}

func TestATextIsReversedOnceOverAllDataSets(t *testing.T) {
	var calls atomic.Int64
	s := store.NewMemory("rpo")
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		return opposite(fmt.Sprintf("Not %d: %s", calls.Add(1), constraint(p)))
	})
	first := steptest.Turn("first", free("Be kind."))
	_, a, err := run(t, s, server.URL, first)
	if err != nil {
		t.Fatal(err)
	}
	second := steptest.Turn("second", free("Be kind."))
	r, b, err := run(t, s, server.URL, second)
	if err != nil || r.Calls != 0 || r.Books != (schemas.Books{In: 1, OK: 1}) || calls.Load() != 1 {
		t.Fatalf("record %+v, %d calls, %v", r, calls.Load(), err)
	}
	if x, y := a[first.Triggered[0]], b[second.Triggered[0]]; x.Text != y.Text || x.OppositeID == y.OppositeID {
		t.Errorf("opposites %+v and %+v", x, y)
	}
}

func TestTwoRacingAttemptsEndWithTheSameOpposite(t *testing.T) {
	var calls atomic.Int64
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		return opposite(fmt.Sprintf("Not %d: %s", calls.Add(1), constraint(p)))
	})
	s := store.NewMemory("rpo")
	turn := steptest.Turn("shop", free("Be kind."))
	var inner map[string]schemas.Opposite
	raced := false
	// The second attempt runs whole just before the first keeps its reply.
	s.Before = func(operation, key string) error {
		if operation == "put-if-absent" && strings.HasPrefix(key, "cache/") && !raced {
			raced = true
			other := steptest.Turn("other", free("Be kind."))
			_, got, err := run(t, s, server.URL, other)
			inner = map[string]schemas.Opposite{turn.Triggered[0]: got[other.Triggered[0]]}
			return err
		}
		return nil
	}
	_, got, err := run(t, s, server.URL, turn)
	if err != nil || calls.Load() != 2 || !raced {
		t.Fatalf("%d calls, %v", calls.Load(), err)
	}
	if a, b := got[turn.Triggered[0]].Text, inner[turn.Triggered[0]].Text; a != b || a == "" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestAKeptOppositeOfAnotherTextIsNotUsed(t *testing.T) {
	s, server := store.NewMemory("rpo"), scripted.New(t, notSo)
	if _, _, err := run(t, s, server.URL, steptest.Turn("first", free("Be kind."))); err != nil {
		t.Fatal(err)
	}
	keys, err := s.List(t.Context(), "cache/reverse/", "", 0)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := s.Put(t.Context(), keys[0], []byte(`{"constraint": "Be short.", "opposite": "Be long."}`)); err != nil {
		t.Fatal(err)
	}
	_, _, err = run(t, s, server.URL, steptest.Turn("second", free("Be kind.")))
	if schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("error %v", err)
	}
}

func TestAnUnusableReplyIsAskedForAgainAndThenSetAside(t *testing.T) {
	const bad = "Be kind."
	for name, reply := range map[string]scripted.Reply{
		"empty":                 opposite("  "),
		"the constraint itself": opposite(" be KIND. "),
		"far too long":          opposite(strings.Repeat("unkind ", 100)),
		"no JSON":               scripted.Say("Be unkind."),
		"an unknown field":      scripted.Say(`{"opposite": "Be unkind.", "note": ""}`),
	} {
		t.Run(name, func(t *testing.T) {
			var tries, seeds atomic.Int64
			s := store.NewMemory("rpo")
			server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
				if constraint(p) != bad {
					return notSo(p)
				}
				if (tries.Add(1) == 1) != (p.Temperature == 0) {
					t.Errorf("a temperature of %v", p.Temperature)
				}
				seeds.Add(p.Seed)
				return reply
			})
			turn := steptest.Turn("shop", free(bad), free("Be short."))
			r, got, err := run(t, s, server.URL, turn)
			if err != nil || len(got) != 1 || r.Books != (schemas.Books{In: 2, OK: 1, Quarantined: 1}) || r.Calls != 4 {
				t.Fatalf("opposites %+v, record %+v, %v", got, r, err)
			}
			if tries.Load() != 3 || seeds.Load() != 0+1+2 {
				t.Errorf("%d requests", tries.Load())
			}
			q := steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine)
			if q[0].RowID != turn.Triggered[0] || q[0].ErrorType != string(schemas.CorruptData) || !strings.Contains(q[0].Request, bad) {
				t.Errorf("quarantine %+v", q)
			}
			if keys, _ := s.List(t.Context(), "cache/", "", 0); len(keys) != 1 {
				t.Errorf("kept %q", keys)
			}
		})
	}
}

func TestWithoutAnEndpointAFreeConstraintSaysWhatToName(t *testing.T) {
	s := store.NewMemory("rpo")
	r, got, err := run(t, s, "", steptest.Turn("shop", free("Be kind.")))
	if err != nil || len(got) != 0 || r.Books != (schemas.Books{In: 1, Quarantined: 1}) {
		t.Fatalf("opposites %+v, record %+v, %v", got, r, err)
	}
	if q := steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine); !strings.Contains(q[0].Reason, "reverse_endpoint") {
		t.Errorf("quarantine %+v", q)
	}
}

func TestAnEndpointToBlameFailsTheShardNotTheConstraints(t *testing.T) {
	for name, reply := range map[string]scripted.Reply{
		"wrong key":             scripted.Refuse(401, "wrong key"),
		"every request refused": scripted.Refuse(400, "schemas are not supported"),
	} {
		t.Run(name, func(t *testing.T) {
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
			if _, _, err := run(t, store.NewMemory("rpo"), server.URL, steptest.Turn("shop", free("Be kind."), free("Be short."))); err == nil {
				t.Error("no error")
			}
		})
	}
}
