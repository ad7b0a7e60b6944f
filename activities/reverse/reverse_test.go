package reverse_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
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

// asked is what a request holds: its material by name, several refusals in order.
type asked struct {
	constraint, condition, opposite string
	refused, reasons                []string
}

var fence = regexp.MustCompile(`(?s)^<(material-[0-9a-f]{16})>\n(.*)</(material-[0-9a-f]{16})>$`)

func read(t *testing.T, p scripted.Parsed) asked {
	t.Helper()
	var out asked
	m := fence.FindStringSubmatch(p.Last())
	if m == nil || m[1] != m[3] || strings.Contains(m[2], m[1]) || !strings.Contains(p.System(), "<"+m[1]+">") {
		t.Errorf("the material does not stand between its tags: %q", p.Last())
		return out
	}
	for line := range strings.Lines(m[2]) {
		name, quoted, _ := strings.Cut(line, ": ")
		var text string
		if err := json.Unmarshal([]byte(quoted), &text); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		switch name {
		case "constraint":
			out.constraint = text
		case "condition":
			out.condition = text
		case "opposite":
			out.opposite = text
		case "refused":
			out.refused = append(out.refused, text)
		case "reason":
			out.reasons = append(out.reasons, text)
		default:
			t.Errorf("line %q", line)
		}
	}
	return out
}

// finds is a check's reply.
func finds(exclusive, exhaustive, definite bool, reason string) scripted.Reply {
	data, err := json.Marshal(map[string]any{"reason": reason, "exclusive": exclusive, "exhaustive": exhaustive, "definite": definite})
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

// model writes opposites by write and checks them by check; nil approves of all.
func model(t *testing.T, write, check func(asked) scripted.Reply) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		q := read(t, p)
		switch {
		case p.SchemaName == "opposite":
			return write(q)
		case p.SchemaName == "check" && check != nil:
			return check(q)
		case p.SchemaName != "check":
			t.Errorf("a request for %q", p.SchemaName)
		}
		return finds(true, true, true, "")
	}
}

func notSo(q asked) scripted.Reply { return opposite("Do not: " + q.constraint) }

// run reverses shard 0 of the turns; url "" means no endpoint.
func run(t *testing.T, s store.Store, url string, turns ...schemas.Turn) (schemas.CommitRecord, map[string]schemas.Opposite, error) {
	t.Helper()
	var o schemas.ReverseOptions
	if url != "" {
		o.ReverseEndpoint = "reverse"
	}
	return runWith(t, s, steptest.Models{"reverse": url}, o, turns...)
}

func runWith(t *testing.T, s store.Store, models steptest.Models, o schemas.ReverseOptions, turns ...schemas.Turn) (schemas.CommitRecord, map[string]schemas.Opposite, error) {
	t.Helper()
	a := reverse.Activities{Store: s, Models: models}
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
	s, server := store.NewMemory("rpo"), scripted.New(t, model(t, notSo, nil))
	turn := steptest.Turn("shop", free("Be kind."), free("Be short."), free("Be quick."))
	turn.Triggered = turn.Triggered[:2]
	r, got, err := run(t, s, server.URL, turn, turn, turn)
	if err != nil || len(got) != 2 || r.Books.In != 2 || r.Calls != 4 || r.Counts["opposites"] != 2 || r.Counts["irreversible"] != 0 {
		t.Fatalf("opposites %+v, record %+v, %v", got, r, err)
	}
	by := "scripted " + reverse.PromptVersion + " + scripted " + reverse.CheckVersion
	if o := got[turn.Triggered[0]]; o.Text != "Do not: Be kind." || o.Source != schemas.ByModel || o.ReversedBy != by || !o.Rule.IsZero() || o.Irreversible != nil {
		t.Errorf("opposite %+v", o)
	}
}

func TestEqualTextsOfAShardAreAskedOnceAndEqualTextsAnywhereAskTheSame(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	answer := model(t, notSo, nil)
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(p.Body))
		return answer(p)
	})
	first, second := steptest.Turn("first", free("Be kind.")), steptest.Turn("second", free("Be kind."))
	r, got, err := run(t, store.NewMemory("rpo"), server.URL, first, second)
	if err != nil || r.Calls != 2 || r.Books != (schemas.Books{In: 2, OK: 2}) {
		t.Fatalf("record %+v, %v", r, err)
	}
	if x, y := got[first.Triggered[0]], got[second.Triggered[0]]; x.Text != y.Text || x.OppositeID == y.OppositeID {
		t.Errorf("opposites %+v and %+v", x, y)
	}
	if _, _, err := run(t, store.NewMemory("rpo"), server.URL, second); err != nil || len(bodies) != 4 || bodies[0] != bodies[2] || bodies[1] != bodies[3] {
		t.Errorf("requests %q, %v", bodies, err)
	}
	third := steptest.Turn("third", steptest.Constraint{Text: "Be kind.", Trigger: "the user is sad"})
	if _, _, err := run(t, store.NewMemory("rpo"), server.URL, third); err != nil || len(bodies) != 6 || bodies[4] == bodies[0] {
		t.Errorf("another trigger asks the same: %q, %v", bodies, err)
	}
}

func TestAnUnusableReplyIsAskedForAgainAndThenSetAside(t *testing.T) {
	const bad = "Be kind."
	for name, reply := range map[string]scripted.Reply{
		"empty":            opposite("  "),
		"far too long":     opposite(strings.Repeat("unkind ", 100)),
		"no JSON":          scripted.Say("Be unkind."),
		"an unknown field": scripted.Say(`{"opposite": "Be unkind.", "note": ""}`),
	} {
		t.Run(name, func(t *testing.T) {
			var tries, seeds atomic.Int64
			s := store.NewMemory("rpo")
			server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
				return model(t, func(q asked) scripted.Reply {
					if q.constraint != bad {
						return notSo(q)
					}
					if (tries.Add(1) == 1) != (p.Temperature == 0) {
						t.Errorf("a temperature of %v", p.Temperature)
					}
					seeds.Add(p.Seed)
					return reply
				}, nil)(p)
			})
			turn := steptest.Turn("shop", free(bad), free("Be short."))
			r, got, err := run(t, s, server.URL, turn)
			if err != nil || len(got) != 1 || r.Books != (schemas.Books{In: 2, OK: 1, Quarantined: 1}) || r.Calls != 5 {
				t.Fatalf("opposites %+v, record %+v, %v", got, r, err)
			}
			if tries.Load() != 3 || seeds.Load() != 0+1+2 {
				t.Errorf("%d requests", tries.Load())
			}
			q := steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine)
			if q[0].RowID != turn.Triggered[0] || q[0].ErrorType != string(schemas.CorruptData) || !strings.Contains(q[0].Request, bad) {
				t.Errorf("quarantine %+v", q)
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
