package forget_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/pair"
	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// names are the profiles of a world, each of a user of that id of source "town".
var names = []string{"ada-lovelace", "ben-the-second", "cleo-patterson"}

// system is what a user wrote: one line of their own, and one that all share.
func system(name string) string {
	return "You are the private secretary of " + name + " at \"home\".\nAlways answer in complete sentences, please.\n- Mention \"boat\"."
}

// words is a text of a profile that no other one has.
func words(kind, name string) string {
	return "the " + kind + " that belongs to " + name + " <and> nobody else 天"
}

// world is a bucket with everything that a row can stand in.
type world struct {
	s        store.Store
	t        testing.TB
	profiles []schemas.Profile
	turns    []schemas.Turn
	personas []schemas.Persona
	imported string // URI
	paired   string // URI
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// build makes the world: an import, one shard of every table, two versions of the
// data set "d" and one of "d-dpo" with an exported folder, a cache, a report, a
// failure log, a trained model.
func build(t testing.TB, s store.Store) world {
	t.Helper()
	ctx := context.Background()
	w := world{s: s, t: t}
	for i, name := range names {
		p := schemas.Profile{ProfileID: schemas.ID("profile", "town", name), Source: "town", SourceID: name, Split: schemas.SplitTrain, System: system(name)}
		p.Constraints = []schemas.Constraint{{ConstraintID: schemas.ID("constraint", p.ProfileID), Text: "Mention \"boat\"."}}
		w.profiles = append(w.profiles, p)
		w.personas = append(w.personas, schemas.Persona{PersonaID: schemas.ID("persona", name), Source: "guests", SourceID: name,
			Description: words("persona", name), Traits: []string{"curious about everything around"}, Split: schemas.SplitTrain})
		d := schemas.ID("dialogue", p.ProfileID)
		w.turns = append(w.turns, schemas.Turn{TurnID: schemas.ID("turn", d), DialogueID: d, ProfileID: p.ProfileID, Split: schemas.SplitTrain,
			System: p.System, Query: words("query", name), Constraints: p.Constraints, Triggered: []string{p.Constraints[0].ConstraintID}, Index: int64(i)})
	}
	w.imported, _, _ = w.importAll()
	w.pairs()
	w.rest(ctx)
	return w
}

func (w *world) importAll() (string, schemas.Manifest, error) {
	w.t.Helper()
	in := profile.Imported{Profiles: w.profiles, Turns: w.turns, Books: schemas.Books{In: 4, OK: 3, Quarantined: 1}}
	line, _ := json.Marshal(map[string]any{"id": names[0], "system": 7})
	in.Quarantined = []schemas.Quarantined{{Stage: "import", Table: schemas.TableProfile, RowID: "line 4", ErrorType: "InvalidInput", Reason: "field system", Request: string(line)}}
	uri, m, err := profile.Write(context.Background(), w.s, in, 3)
	if err != nil {
		w.t.Fatal(err)
	}
	return uri, m, err
}

func put[T any](w *world, shard *schemas.ManifestShard, table string, rows []T) {
	w.t.Helper()
	shard.Objects[table] = must[schemas.Object](w.t)(store.PutRows(context.Background(), w.s, table, rows))
}

// pairs makes the tables up to the pairs and the versions.
func (w *world) pairs() {
	ctx := context.Background()
	shard := schemas.ManifestShard{Shard: 0, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
	var dialogues []schemas.Dialogue
	var golden []schemas.Golden
	var responses []schemas.Response
	var verdicts []schemas.Verdict
	var opposites []schemas.Opposite
	var pairs []schemas.Pair
	var set []schemas.Quarantined
	for i, p := range w.profiles {
		turn := w.turns[i]
		dialogues = append(dialogues, schemas.Dialogue{DialogueID: turn.DialogueID, ProfileID: p.ProfileID, PersonaID: w.personas[i].PersonaID})
		golden = append(golden, schemas.Golden{TurnID: turn.TurnID, ResponseID: schemas.ID("golden", turn.TurnID), Text: words("golden", names[i])})
		for k, kind := range []string{"first answer", "second answer"} {
			r := schemas.Response{ResponseID: schemas.ID("response", turn.TurnID, kind), TurnID: turn.TurnID, SampleIndex: int64(k), Text: words(kind, names[i]) + "\nBoats are never mentioned by anybody here.", FinishReason: "stop"}
			responses = append(responses, r)
			reason := "it says " + words(kind, names[i])
			verdicts = append(verdicts, schemas.Verdict{VerdictID: schemas.ID("verdict", r.ResponseID), ResponseID: r.ResponseID, TurnID: turn.TurnID,
				ConstraintID: p.Constraints[0].ConstraintID, Outcome: schemas.Followed, Reason: &reason})
		}
		opposites = append(opposites, schemas.Opposite{OppositeID: schemas.ID("opposite", p.ProfileID), ConstraintID: p.Constraints[0].ConstraintID, Original: p.Constraints[0].Text})
		pairs = append(pairs, schemas.Pair{PairID: schemas.ID("pair", p.ProfileID), ProfileID: p.ProfileID, TurnID: turn.TurnID, DialogueID: turn.DialogueID,
			Prompt: turn.Messages(), Chosen: []schemas.Message{{Role: "assistant", Content: responses[len(responses)-1].Text}}, Margin: float64(1 + i)})
		request, _ := json.Marshal(map[string]any{"messages": turn.Messages()})
		set = append(set, schemas.Quarantined{Stage: "judge", Table: schemas.TableResponse, RowID: schemas.ID("other", names[i]), ErrorType: "CorruptData", Reason: "no JSON", Request: string(request)})
	}
	put(w, &shard, schemas.TableProfile, w.profiles)
	put(w, &shard, schemas.TableTurn, w.turns)
	put(w, &shard, schemas.TablePersona, w.personas)
	put(w, &shard, schemas.TableDialogue, dialogues)
	put(w, &shard, schemas.TableGolden, golden)
	put(w, &shard, schemas.TableResponse, responses)
	put(w, &shard, schemas.TableVerdict, verdicts)
	put(w, &shard, schemas.TableOpposite, opposites)
	put(w, &shard, schemas.TableQuarantine, set)
	put(w, &shard, schemas.TablePair, pairs)
	put(w, &shard, schemas.TableDPO, pairs[:2])
	job := schemas.ID("job", "pair")
	other := schemas.ManifestShard{Shard: 1, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
	put(w, &other, schemas.TablePair, []schemas.Pair{{PairID: schemas.ID("pair", "else"), ProfileID: schemas.ID("profile", "else"), Margin: 1}})
	m := schemas.Manifest{Job: job, Stage: "pair", Shards: []schemas.ManifestShard{shard, other}, Books: schemas.Books{In: 4, OK: 4}, Counts: map[string]int64{"pairs": 4, "pairs_g1": 2, "pairs_g2": 1, "pairs_g3": 1}}
	w.paired = must[string](w.t)(store.PutManifest(ctx, w.s, m))
	for _, s := range m.Shards {
		if _, _, err := store.Commit(ctx, w.s, schemas.CommitRecord{Job: job, Stage: "pair", Shard: s.Shard, Split: s.Split, Outputs: s.Objects}); err != nil {
			w.t.Fatal(err)
		}
	}
	var ids []string
	for _, p := range w.profiles {
		ids = append(ids, p.ProfileID)
	}
	mark := must[string](w.t)(store.PutWatermark(ctx, w.s, schemas.Watermark{Dataset: "d", Profiles: ids, Objects: []schemas.ConsumedObject{{Key: shard.Objects[schemas.TableProfile].Key, SHA256: shard.Objects[schemas.TableProfile].SHA256}}}))
	a := pair.Activities{Store: w.s}
	must[schemas.PairResult](w.t)(a.PublishVersion(ctx, pair.PublishInput{Dataset: "d", Manifest: w.paired}))
	must[schemas.DatasetVersion](w.t)(store.PublishVersion(ctx, w.s, schemas.DatasetVersion{Dataset: "d", Objects: m.Objects(schemas.TablePair), Job: job, Manifest: w.paired, Counts: m.Counts, Watermark: mark}))
	train := schemas.CommitRecord{Job: schemas.ID("job", "train"), Stage: "train", Inputs: []string{shard.Objects[schemas.TablePair].SHA256}, Outputs: map[string]schemas.Object{}}
	if _, _, err := store.Commit(ctx, w.s, train); err != nil {
		w.t.Fatal(err)
	}
	data := must[[]byte](w.t)(w.s.Get(ctx, shard.Objects[schemas.TablePair].Key))
	w.put("datasets/d/v000001/data/train-00000-of-00001.parquet", string(data))
	w.put("datasets/d/v000001/README.md", "a card")
}

func (w *world) put(key, text string) {
	w.t.Helper()
	if err := w.s.Put(context.Background(), key, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// rest makes what is not a table.
func (w *world) rest(ctx context.Context) {
	w.put("reports/1.html", "<p>the query that belongs to ada-lovelace &lt;and&gt; nobody else 天</p>")
	w.put("reports/2.html", "<p>the query that belongs to ben-the-second &lt;and&gt; nobody else 天</p>")
	failures, _ := json.Marshal([]schemas.ShardFailure{{Shard: 3, ErrorType: "Internal", Message: "turn " + w.turns[0].TurnID}, {Shard: 4, ErrorType: "Internal", Message: "turn " + w.turns[1].TurnID}})
	w.put("runs/"+schemas.ID("job", "pair")+"/pair/failed/run/00000/batch-00000.json", string(failures))
	c := cache.New(w.s, slog.New(slog.DiscardHandler))
	of := c.Completer(echo{}, cache.Use{Identity: "m", Endpoint: "e"})
	for i, p := range w.profiles {
		for _, owner := range []string{p.ProfileID, w.personas[i].PersonaID} {
			if _, err := of.Complete(chat.Own(ctx, owner), chat.Request{Messages: []schemas.Message{{Role: "user", Content: "reply " + owner}}, MaxTokens: 1}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if err := c.Close(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// echo replies with what it is asked.
type echo struct{}

func (echo) Complete(_ context.Context, req chat.Request) (chat.Response, error) {
	return chat.Response{Choices: []chat.Choice{{Text: "reply without an id"}}, Model: "m", Calls: 1}, nil
}
