package dialogue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/dialogue"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// world plays all roles; what it says depends on the request alone. A response
// is the words of the constraints that it follows: "Say tea." is followed by a
// text with the word tea.
type world struct {
	t *testing.T
	// query gives the query of a turn, refused counts those refused before.
	query func(turn, refused int) string
	// respond gives candidate i's words.
	respond func(turn, i int) string
	// edit gives the critic's words.
	edit func(response string, broken []string) string
	// trigger decides a constraint by its trigger.
	trigger func(trigger, query string) string
	// fault, if not nil, replaces replies.
	fault func(p scripted.Parsed) *scripted.Reply
	// see, if not nil, sees the material of every request that has some.
	see func(name string, p scripted.Parsed, parts []part)
}

// part is a text under its heading, as a model finds it in a request.
type part struct{ heading, text string }

// readParts reads a request's material by its structure alone.
func readParts(t *testing.T, p scripted.Parsed) []part {
	last := p.Last()
	nonce, rest, ok := strings.Cut(strings.TrimPrefix(last, "<"), ">\n")
	body, after, closed := strings.Cut(rest, "</"+nonce+">")
	if !ok || !closed || after != "" || !strings.HasPrefix(nonce, "material-") || !strings.Contains(p.System(), "<"+nonce+">") {
		t.Errorf("request %s has no whole fence: %q", p.SchemaName, last)
		return nil
	}
	var out []part
	for _, s := range strings.Split(body, "["+nonce+" ")[1:] {
		heading, text, _ := strings.Cut(s, "]\n")
		out = append(out, part{heading, strings.TrimSuffix(text, "\n\n")})
	}
	return out
}

func textsOf(parts []part, prefix string) []string {
	var out []string
	for _, p := range parts {
		if strings.HasPrefix(p.heading, prefix) {
			out = append(out, p.text)
		}
	}
	return out
}

// subjects are the queries of a peaceful user.
var subjects = []string{
	"Which green leaves suit a rainy morning?", "How long should I let it brew?", "My sister hates bitter drinks, any idea?",
	"Tell me where the cups were made.", "Is there something against a sore throat?", "Do you ship abroad before Friday?",
}

func newWorld(t *testing.T) *world {
	return &world{
		t:       t,
		query:   func(turn, refused int) string { return subjects[turn] },
		respond: func(turn, i int) string { return "tea milk sugar" },
		edit:    func(response string, broken []string) string { return response + " " + strings.Join(broken, " ") },
		trigger: func(string, string) string { return schemas.TriggerByQuery },
	}
}

func (w *world) serve(p scripted.Parsed) scripted.Reply {
	if w.fault != nil {
		if r := w.fault(p); r != nil {
			return *r
		}
	}
	switch p.SchemaName {
	case "query":
		parts := w.parts("query", p)
		turn := len(textsOf(parts, "earlier message of the user"))
		return say(map[string]any{"query": w.query(turn, len(textsOf(parts, "refused message")))})
	case "triggers":
		parts := w.parts("triggers", p)
		query := textsOf(parts, "latest message of the user")[0]
		var out []map[string]string
		for _, one := range parts {
			if id, ok := strings.CutPrefix(one.heading, "trigger of "); ok {
				out = append(out, map[string]string{"id": id, "reason": "because of " + query, "trigger": w.trigger(one.text, query)})
			}
		}
		slices.Reverse(out) // the order says nothing
		return say(map[string]any{"triggers": out})
	case "edit":
		parts := w.parts("edit", p)
		return say(map[string]any{"response": w.edit(textsOf(parts, "response to edit")[0], words(textsOf(parts, "broken constraint")))})
	case "":
		turn := (len(p.Messages) - 2) / 2
		texts := make([]string, p.N)
		for i := range texts {
			texts[i] = w.respond(turn, i)
		}
		return scripted.Say(texts...)
	default:
		return w.judge(p)
	}
}

func (w *world) parts(name string, p scripted.Parsed) []part {
	parts := readParts(w.t, p)
	if w.see != nil {
		w.see(name, p, parts)
	}
	return parts
}

var judgedText = regexp.MustCompile(`(?s)\n<(response-[0-9a-f]{16})>\n(.*)\n</(response-[0-9a-f]{16})>$`)

// judge reads the judge step's request: constraints one a line, then the response.
func (w *world) judge(p scripted.Parsed) scripted.Reply {
	m := judgedText.FindStringSubmatch(p.Last())
	if m == nil || m[1] != m[3] || strings.Contains(m[2], m[1]) {
		w.t.Errorf("what is judged has no fence of its own: %q", p.Last())
		return scripted.Refuse(400, "no fence")
	}
	response := m[2]
	nonce, _, _ := strings.Cut(strings.TrimPrefix(p.Last(), "<"), ">\n")
	_, list, _ := strings.Cut(p.Last(), "\n<constraints-"+nonce+">\n")
	list, _, _ = strings.Cut(list, "\n</constraints-"+nonce+">")
	var out []map[string]string
	for line := range strings.SplitSeq(list, "\n") {
		id, text, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		v := schemas.NotFollowed
		switch said := strings.Fields(response); {
		case slices.Contains(said, words([]string{text})[0]):
			v = schemas.Followed
		case slices.Contains(said, "silence"):
			v = schemas.NotApplicable
		}
		out = append(out, map[string]string{"id": id, "reason": "it says " + response, "verdict": v})
	}
	return say(map[string]any{"verdicts": out})
}

// words are those that constraints of the form "Say tea." ask for.
func words(constraints []string) []string {
	var out []string
	for _, c := range constraints {
		c = strings.Trim(c, `"`)
		out = append(out, strings.TrimSuffix(c[strings.LastIndex(c, " ")+1:], "."))
	}
	return out
}

func say(v any) scripted.Reply {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

// shop is a profile whose constraints are "Say tea." and so on; a trigger stands
// behind a colon, as in "tea:the user asks for tea".
func shop(name, split string, constraints ...string) schemas.Profile {
	var list []steptest.Constraint
	for _, c := range constraints {
		word, trigger, _ := strings.Cut(c, ":")
		list = append(list, steptest.Constraint{Text: "Say " + word + ".", Trigger: trigger})
	}
	t := steptest.Turn(name, list...)
	return schemas.Profile{ProfileID: t.ProfileID, Source: "test", SourceID: name, Split: split, System: t.System, Constraints: t.Constraints}
}

func personas(split, language string, n int) []schemas.Persona {
	out := make([]schemas.Persona, n)
	for i := range out {
		name := fmt.Sprintf("%s %s %d", split, language, i)
		out[i] = schemas.Persona{
			PersonaID: schemas.ID("persona", name), Source: "test", SourceID: name, Name: name,
			Description: "Collects cups.", Language: language, Split: split,
		}
		for k := range 12 {
			out[i].Traits = append(out[i].Traits, fmt.Sprintf("trait %d of %s", k, name))
		}
	}
	return out
}

// manifest writes one shard per list of rows, which have one split.
func manifest[T any](t *testing.T, s store.Store, table string, split func(T) string, shards ...[]T) string {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("import"), Stage: "import"}
	for i, rows := range shards {
		o, err := store.PutRows(context.Background(), s, table, rows)
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: i, Split: split(rows[0]), Objects: map[string]schemas.Object{table: o}})
	}
	uri, err := store.PutManifest(context.Background(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func personaManifest(t *testing.T, s store.Store, shards ...[]schemas.Persona) string {
	return manifest(t, s, schemas.TablePersona, func(p schemas.Persona) string { return p.Split }, shards...)
}

// options are the defaults with personas of two splits.
func options(t *testing.T, s store.Store) schemas.DialogueOptions {
	o := schemas.DialogueOptions{
		Personas:          personaManifest(t, s, personas(schemas.SplitTrain, schemas.English, 3), personas(schemas.SplitEval, schemas.English, 2)),
		ResponderEndpoint: "models",
	}
	o.SetDefaults()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// result is what a shard left.
type result struct {
	shard      store.Shard
	record     schemas.CommitRecord
	dialogues  []schemas.Dialogue
	turns      []schemas.Turn
	triggers   []schemas.Trigger
	golden     []schemas.Golden
	verdicts   []schemas.Verdict
	quarantine []schemas.Quarantined
}

// run plays the profiles, which have one split, as a shard.
func run(t *testing.T, s store.Store, url string, o schemas.DialogueOptions, profiles ...schemas.Profile) (result, error) {
	t.Helper()
	uri := manifest(t, s, schemas.TableProfile, func(p schemas.Profile) string { return p.Split }, profiles)
	a := dialogue.Activities{Store: s, Models: steptest.Models{"models": url}}
	shard := store.Shard{Job: schemas.ID("job", fmt.Sprint(o), uri), Stage: "dialogue", Manifest: uri}
	in := dialogue.ShardInput{Shard: shard, DialogueOptions: o, JudgeOptions: schemas.JudgeOptions{JudgeEndpoint: "models"}}
	var err error
	steptest.Run(t, func(ctx context.Context) { _, err = a.DialogueShard(ctx, in) })
	if err != nil {
		return result{shard: shard}, err
	}
	r := result{shard: shard, record: steptest.Record(t, s, shard)}
	r.dialogues = steptest.Rows[schemas.Dialogue](t, s, r.record, schemas.TableDialogue)
	r.turns = steptest.Rows[schemas.Turn](t, s, r.record, schemas.TableTurn)
	r.triggers = steptest.Rows[schemas.Trigger](t, s, r.record, schemas.TableTrigger)
	r.golden = steptest.Rows[schemas.Golden](t, s, r.record, schemas.TableGolden)
	r.verdicts = steptest.Rows[schemas.Verdict](t, s, r.record, schemas.TableGoldenVerdict)
	r.quarantine = steptest.Rows[schemas.Quarantined](t, s, r.record, schemas.TableQuarantine)
	return r, nil
}

// played runs a world over the profiles and demands that it works.
func played(t *testing.T, w *world, change func(*schemas.DialogueOptions), profiles ...schemas.Profile) result {
	t.Helper()
	s := store.NewMemory("rpo")
	o := options(t, s)
	if change != nil {
		change(&o)
	}
	r, err := run(t, s, scripted.New(t, w.serve).URL, o, profiles...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func runActivity(t *testing.T, a dialogue.Activities, in dialogue.ShardInput, err *error) {
	t.Helper()
	steptest.Run(t, func(ctx context.Context) { _, *err = a.DialogueShard(ctx, in) })
}
