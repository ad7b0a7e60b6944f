package dialogue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/dialogue"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func shops(n int) []schemas.Profile {
	out := make([]schemas.Profile, n)
	for i := range out {
		out[i] = shop(fmt.Sprintf("shop%d", i), schemas.SplitTrain, "tea", "milk:asked for milk", "sugar", "ice")
	}
	return out
}

// lively needs edits now and then, and depends on profile and seed.
func lively(t *testing.T) *world {
	w := newWorld(t)
	w.respond = func(turn, i int) string {
		return []string{"tea milk", "tea", "milk ice", "sugar", "tea sugar"}[i] + fmt.Sprint(" ", turn)
	}
	w.edit = func(response string, broken []string) string { return response + " " + broken[0] }
	w.trigger = func(trigger, query string) string {
		if len(query)%2 == 0 {
			return schemas.TriggerUnmet
		}
		return schemas.TriggerByResponse
	}
	return w
}

func TestARetryAfterACrashMakesTheSameRows(t *testing.T) {
	profiles := shops(5)
	undisturbed := store.NewMemory("rpo")
	first, err := run(t, undisturbed, scripted.New(t, lively(t).serve).URL, options(t, undisturbed), profiles...)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.turns) != 25 || first.record.Counts["refined"] == 0 {
		t.Fatalf("%d turns, counts %v", len(first.turns), first.record.Counts)
	}
	for _, at := range []int64{1, 7, 40, 150} {
		t.Run(fmt.Sprintf("in call %d", at), func(t *testing.T) {
			s := store.NewMemory("rpo")
			o := options(t, s)
			var calls atomic.Int64
			w := lively(t)
			w.fault = func(scripted.Parsed) *scripted.Reply {
				if calls.Add(1) == at {
					r := scripted.Refuse(401, "the key was changed")
					return &r
				}
				return nil
			}
			url := scripted.New(t, w.serve).URL
			crashed, err := run(t, s, url, o, profiles...)
			if err == nil {
				t.Fatal("nothing crashed")
			}
			if _, ok, _ := store.Committed(t.Context(), s, crashed.shard.Job, crashed.shard.Stage, 0); ok {
				t.Fatal("the crashed attempt left a commit")
			}
			again, err := run(t, s, url, o, profiles...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(again.record.Outputs, first.record.Outputs) || !reflect.DeepEqual(again.record.Counts, first.record.Counts) {
				t.Errorf("outputs differ: %+v and %+v", again.record, first.record)
			}
		})
	}
}

func TestADialogueWhoseFirstTurnFailsIsSetAsideWithItsRequest(t *testing.T) {
	faults := map[string]func(p scripted.Parsed) *scripted.Reply{
		"the user model talks nonsense": func(p scripted.Parsed) *scripted.Reply { return refuse(p, "query", scripted.Say("hello")) },
		"the rubric is incomplete": func(p scripted.Parsed) *scripted.Reply {
			return refuse(p, "triggers", scripted.Say(`{"triggers": []}`))
		},
		"the responder refuses":     func(p scripted.Parsed) *scripted.Reply { return refuse(p, "", scripted.Refuse(400, "too long")) },
		"no verdicts can be had":    func(p scripted.Parsed) *scripted.Reply { return refuse(p, "verdicts", scripted.Say("all followed")) },
		"the critic talks nonsense": func(p scripted.Parsed) *scripted.Reply { return refuse(p, "edit", scripted.Say(`{"response": " "}`)) },
	}
	profiles := shops(4)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			w := lively(t)
			w.query = func(turn, refused int) string { return subjects[turn] }
			w.fault = func(p scripted.Parsed) *scripted.Reply {
				if strings.Contains(string(p.Body), "shop2") || strings.Contains(string(p.Body), "unlucky") {
					return fault(p)
				}
				return nil
			}
			inner := w.serve
			serve := func(p scripted.Parsed) scripted.Reply {
				r := inner(p)
				// What the judge sees of the unlucky shop names it.
				if p.SchemaName == "query" && strings.Contains(p.Last(), "shop2") && len(r.Texts) > 0 {
					r.Texts[0] = strings.Replace(r.Texts[0], "?", ", unlucky me?", 1)
				}
				return r
			}
			s := store.NewMemory("rpo")
			r, err := run(t, s, scripted.New(t, serve).URL, options(t, s), profiles...)
			if err != nil {
				t.Fatal(err)
			}
			if r.record.Books != (schemas.Books{In: 4, OK: 3, Quarantined: 1}) || len(r.dialogues) != 3 || len(r.turns) != 15 {
				t.Fatalf("books %+v, %d dialogues, %d turns", r.record.Books, len(r.dialogues), len(r.turns))
			}
			q := r.quarantine[0]
			var request struct {
				ProfileID string            `json:"profile_id"`
				Messages  []schemas.Message `json:"messages"`
			}
			if err := json.Unmarshal([]byte(q.Request), &request); err != nil || request.ProfileID != profiles[2].ProfileID || len(request.Messages) != 2 {
				t.Errorf("request %s, %v", q.Request, err)
			}
			if q.Table != schemas.TableDialogue || len(q.Reason) > 1000 || slices.ContainsFunc(r.dialogues, func(d schemas.Dialogue) bool { return d.DialogueID == q.RowID }) {
				t.Errorf("quarantine %+v", q)
			}
		})
	}
}

func refuse(p scripted.Parsed, name string, r scripted.Reply) *scripted.Reply {
	if p.SchemaName == name {
		return &r
	}
	return nil
}

func TestAFailureOfALaterTurnEndsTheDialogueWithTheTurnsBefore(t *testing.T) {
	w := newWorld(t)
	w.fault = func(p scripted.Parsed) *scripted.Reply {
		if len(p.Messages) > 4 {
			return refuse(p, "", scripted.Refuse(400, "the prompt is longer than the context"))
		}
		return nil
	}
	r := played(t, w, nil, shops(2)...)
	d := r.dialogues[0]
	if len(r.turns) != 4 || d.Ended != schemas.EndedError || d.Detail == nil || !strings.Contains(*d.Detail, "longer than the context") || r.record.Counts["ended_error"] != 2 {
		t.Errorf("%d turns, %+v, counts %v", len(r.turns), d, r.record.Counts)
	}
}

func TestAShardFailsWhenAModelIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		role      string
		reply     scripted.Reply
		retryable bool
	}{
		"the key is wrong":             {"query", scripted.Refuse(401, "wrong key"), false},
		"the user refuses everything":  {"query", scripted.Refuse(400, "unsupported schema"), false},
		"the judge refuses everything": {"triggers", scripted.Refuse(400, "unsupported schema"), false},
		"the responder refuses all":    {"", scripted.Refuse(400, "unsupported temperature"), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fault = func(p scripted.Parsed) *scripted.Reply { return refuse(p, c.role, c.reply) }
			s := store.NewMemory("rpo")
			r, err := run(t, s, scripted.New(t, w.serve).URL, options(t, s), shops(3)...)
			if err == nil || !strings.Contains(err.Error(), c.reply.Message) || schemas.Retryable(err) != c.retryable {
				t.Errorf("error %v", err)
			}
			if _, ok, _ := store.Committed(t.Context(), s, r.shard.Job, r.shard.Stage, 0); ok {
				t.Error("the failed shard is committed")
			}
		})
	}
}

func TestAShardWithoutTheJudgeItNeedsNamesTheField(t *testing.T) {
	s := store.NewMemory("rpo")
	o := options(t, s)
	o.ResponderEndpoint, o.UserEndpoint = "models", "models"
	uri := manifest(t, s, schemas.TableProfile, func(p schemas.Profile) string { return p.Split }, shops(2))
	a := dialogue.Activities{Store: s, Models: steptest.Models{"models": scripted.New(t, newWorld(t).serve).URL}}
	in := dialogue.ShardInput{Shard: store.Shard{Job: schemas.ID("job"), Stage: "dialogue", Manifest: uri}, DialogueOptions: o}
	var err error
	runActivity(t, a, in, &err)
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "judge_endpoint") {
		t.Errorf("error %v", err)
	}
}

func TestTheSplitOfTheProfileIsCarriedToItsTurns(t *testing.T) {
	w := newWorld(t)
	r := played(t, w, func(o *schemas.DialogueOptions) { o.DialoguesPerProfile = 3 }, shop("held out", schemas.SplitEval, "tea"))
	if r.record.Split != schemas.SplitEval || len(r.turns) != 15 || r.record.Books != (schemas.Books{In: 3, OK: 3}) {
		t.Errorf("split %q, %d turns", r.record.Split, len(r.turns))
	}
	ids := map[string]bool{}
	for _, turn := range r.turns {
		if ids[turn.TurnID] = true; turn.Split != schemas.SplitEval {
			t.Errorf("turn %+v", turn)
		}
	}
	for i, d := range r.dialogues {
		if d.Split != schemas.SplitEval || d.Number != int64(i) {
			t.Errorf("dialogue %+v", d)
		}
	}
	if len(ids) != 15 {
		t.Errorf("%d ids", len(ids))
	}
}

// down is an endpoint that cannot answer now.
type down struct{ steptest.Models }

func (d down) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	m, release, err := d.Models.Model(ctx, use)
	m.Completer = d
	return m, release, err
}

func (down) Complete(context.Context, chat.Request) (chat.Response, error) {
	return chat.Response{}, &schemas.Error{Type: schemas.Overloaded, Message: "queue is full", RetryAfter: time.Minute}
}

func TestAnEndpointThatIsDownEndsTheShardUntilLater(t *testing.T) {
	s := store.NewMemory("rpo")
	uri := manifest(t, s, schemas.TableProfile, func(p schemas.Profile) string { return p.Split }, shops(2))
	a := dialogue.Activities{Store: s, Models: down{steptest.Models{"models": "http://127.0.0.1:1/v1"}}}
	in := dialogue.ShardInput{
		Shard:           store.Shard{Job: schemas.ID("job"), Stage: "dialogue", Manifest: uri},
		DialogueOptions: options(t, s), JudgeOptions: schemas.JudgeOptions{JudgeEndpoint: "models"},
	}
	var err error
	runActivity(t, a, in, &err)
	if e, ok := errors.AsType[*schemas.Error](err); !ok || !schemas.Retryable(err) || e.RetryAfter != time.Minute {
		t.Errorf("error %v", err)
	}
}
