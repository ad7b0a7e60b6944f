package judge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// question is what a judge finds in a request, read from its structure alone.
type question struct {
	response    string
	constraints []string // "c1: text"
}

var (
	heading = regexp.MustCompile(`^<(material-[0-9a-f]{16})>\n`)
	ending  = regexp.MustCompile(`\n</(response-[0-9a-f]{16})>$`)
)

func readQuestion(p scripted.Parsed) (question, error) {
	user := p.Last()
	m, own := heading.FindStringSubmatch(user), ending.FindStringSubmatch(user)
	if m == nil || own == nil {
		return question{}, fmt.Errorf("the parts do not stand between their tags: %q", user)
	}
	tag := m[1]
	for _, heading := range []string{"</" + tag + ">\n", "<constraints-" + tag + ">\n", "</constraints-" + tag + ">\n", "<" + own[1] + ">\n", "\n</" + own[1] + ">"} {
		if n := strings.Count(user, heading); n != 1 {
			return question{}, fmt.Errorf("%q stands %d times", heading, n)
		}
	}
	if !strings.Contains(p.System(), "<"+tag+">") {
		return question{}, fmt.Errorf("the system message does not name the tag")
	}
	_, rest, _ := strings.Cut(user, "<constraints-"+tag+">\n")
	list, rest, _ := strings.Cut(rest, "</constraints-"+tag+">\n<"+own[1]+">\n")
	q := question{response: strings.TrimSuffix(rest, "\n</"+own[1]+">")}
	for line := range strings.Lines(list) {
		id, quoted, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		var text string
		if err := json.Unmarshal([]byte(quoted), &text); !ok || err != nil {
			return question{}, fmt.Errorf("constraint line %q: %v", line, err)
		}
		q.constraints = append(q.constraints, id+": "+text)
	}
	return q, nil
}

type entry struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Verdict string `json:"verdict"`
}

func reply(entries []entry) scripted.Reply {
	data, err := json.Marshal(map[string]any{"verdicts": entries})
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

// honest judges "Say X." by whether X stands in the response, and holds "If X,
// say Y." for not applicable unless X does.
func honest(q question) []entry {
	var out []entry
	for _, line := range q.constraints {
		id, text, _ := strings.Cut(line, ": ")
		e := entry{ID: id, Reason: "because", Verdict: schemas.NotFollowed}
		condition, demand, conditional := strings.Cut(strings.TrimSuffix(text, "."), ", say ")
		if !conditional {
			demand = strings.TrimPrefix(condition, "Say ")
		}
		switch {
		case conditional && !strings.Contains(q.response, strings.TrimPrefix(condition, "If ")):
			e.Verdict = schemas.NotApplicable
		case strings.Contains(q.response, demand):
			e.Verdict = schemas.Followed
		}
		out = append(out, e)
	}
	return out
}

// honestly is the handler of an honest judge.
func honestly(t *testing.T) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		q, err := readQuestion(p)
		if err != nil {
			t.Error(err)
		}
		return reply(honest(q))
	}
}

// answers makes one stop-terminated response per text.
func answers(turn schemas.Turn, texts ...string) []schemas.Response {
	var out []schemas.Response
	for i, text := range texts {
		out = append(out, schemas.Response{
			ResponseID: schemas.ID("response", turn.TurnID, fmt.Sprint(i)), TurnID: turn.TurnID,
			SampleIndex: int64(i), Text: text, FinishReason: "stop", Model: "policy",
		})
	}
	return out
}

// sampled writes the manifest of a sample stage with one shard of these rows.
func sampled(t *testing.T, s store.Store, turns []schemas.Turn, responses []schemas.Response) string {
	t.Helper()
	objects := map[string]schemas.Object{}
	var err1, err2 error
	objects[schemas.TableTurn], err1 = store.PutRows(t.Context(), s, schemas.TableTurn, turns)
	objects[schemas.TableResponse], err2 = store.PutRows(t.Context(), s, schemas.TableResponse, responses)
	manifest, err := store.PutManifest(t.Context(), s, schemas.Manifest{
		Job: "job", Stage: "sample", Shards: []schemas.ManifestShard{{Split: schemas.SplitTrain, Objects: objects}},
	})
	if err1 != nil || err2 != nil || err != nil {
		t.Fatal(err1, err2, err)
	}
	return manifest
}

// run judges one shard with these rows; url "" means no judge endpoint.
func run(t *testing.T, s store.Store, url string, turns []schemas.Turn, responses []schemas.Response) (store.Shard, error) {
	t.Helper()
	manifest := sampled(t, s, turns, responses)
	var o schemas.JudgeOptions
	if url != "" {
		o.JudgeEndpoint = "judge"
	}
	return runWith(t, s, steptest.Models{"judge": url}, o, manifest)
}

func runWith(t *testing.T, s store.Store, models chat.Models, o schemas.JudgeOptions, manifest string) (store.Shard, error) {
	t.Helper()
	o.SetDefaults()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	a := judge.Activities{Store: s, Models: models}
	in := judge.ShardInput{Shard: steptest.Open(t, s, "judge", manifest, o, 0), JudgeOptions: o}
	var err error
	steptest.Run(t, func(ctx context.Context) { _, err = a.JudgeShard(ctx, in) })
	return in.Shard, err
}

// oneAtATime gives models that are called once at a time.
type oneAtATime struct{ chat.Models }

func (o oneAtATime) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	m, release, err := o.Models.Model(ctx, use)
	m.AtOnce = 1
	return m, release, err
}

// judged returns the outcomes per response id, in the order of the rows.
func judged(t *testing.T, s store.Store, shard store.Shard) (map[string][]string, schemas.CommitRecord) {
	t.Helper()
	r := steptest.Record(t, s, shard)
	out := map[string][]string{}
	for _, v := range steptest.Rows[schemas.Verdict](t, s, r, schemas.TableVerdict) {
		out[v.ResponseID] = append(out[v.ResponseID], v.Outcome)
	}
	return out, r
}

func quarantine(t *testing.T, s store.Store, r schemas.CommitRecord) []schemas.Quarantined {
	return steptest.Rows[schemas.Quarantined](t, s, r, schemas.TableQuarantine)
}

func word(text string) steptest.Constraint {
	return steptest.Constraint{Text: "Mention " + text + ".", Rule: schemas.Rule{Profile: "rpo", Kind: "contains", Args: fmt.Sprintf(`{"text":%q}`, text)}}
}

func TestRulesJudgeWithoutAModelAndTheModelJudgesTheRest(t *testing.T) {
	s, server := store.NewMemory("rpo"), scripted.New(t, honestly(t))
	turn := steptest.Turn("shop", word("tea"), steptest.Constraint{Text: "Say milk."}, steptest.Constraint{Text: "If cold, say ice."})
	responses := answers(turn, "tea and milk", "milk, cold", "tea, cold ice")
	shard, err := run(t, s, server.URL, []schemas.Turn{turn}, responses)
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	for i, want := range [][]string{
		{schemas.Followed, schemas.Followed, schemas.NotApplicable},
		{schemas.NotFollowed, schemas.Followed, schemas.NotFollowed},
		{schemas.Followed, schemas.NotFollowed, schemas.Followed},
	} {
		if !slices.Equal(got[responses[i].ResponseID], want) {
			t.Errorf("response %d: %q, want %q", i, got[responses[i].ResponseID], want)
		}
	}
	if r.Books != (schemas.Books{In: 3, OK: 3}) || r.Calls != 3 || r.Counts["verdicts"] != 9 || r.PromptTokens == 0 {
		t.Errorf("record %+v", r)
	}
	for _, v := range steptest.Rows[schemas.Verdict](t, s, r, schemas.TableVerdict) {
		rule := v.ConstraintID == turn.Triggered[0]
		if rule && (v.Source != schemas.ByRule || v.JudgedBy != "rpo/1" || v.Loose == nil || v.Reason != nil) ||
			!rule && (v.Source != schemas.ByModel || v.JudgedBy != "scripted "+judge.PromptVersion || v.Loose != nil || v.Reason == nil || *v.Reason != "because") {
			t.Errorf("verdict %+v", v)
		}
	}
}

func TestUntriggeredConstraintsAreNotJudged(t *testing.T) {
	s := store.NewMemory("rpo")
	turn := steptest.Turn("shop", word("tea"), word("milk"))
	turn.Triggered = turn.Triggered[1:]
	responses := answers(turn, "milk")
	shard, err := run(t, s, "", []schemas.Turn{turn}, responses)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := judged(t, s, shard); !slices.Equal(got[responses[0].ResponseID], []string{schemas.Followed}) {
		t.Errorf("got %q", got)
	}
}

func TestCutAndRepeatedResponsesAreSkipped(t *testing.T) {
	s := store.NewMemory("rpo")
	turn := steptest.Turn("shop", word("tea"))
	responses := answers(turn, "tea", "tea", "tea and")
	responses[1].DuplicateOf = &responses[0].ResponseID
	responses[2].FinishReason = "length"
	shard, err := run(t, s, "", []schemas.Turn{turn}, responses)
	if err != nil {
		t.Fatal(err)
	}
	if got, r := judged(t, s, shard); len(got) != 1 || r.Books != (schemas.Books{In: 3, OK: 1, Skipped: 2}) {
		t.Errorf("got %q, books %+v", got, r.Books)
	}
}

func TestARuleThatIsNotKnownSetsTheResponseAsideAndNeverAsksTheJudge(t *testing.T) {
	for name, rule := range map[string]schemas.Rule{
		"kind":      {Profile: "rpo", Kind: "telepathy"},
		"profile":   {Profile: "none", Kind: "contains", Args: `{"text":"a"}`},
		"arguments": {Profile: "rpo", Kind: "contains", Args: `{"txet":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, server := store.NewMemory("rpo"), scripted.New(t, honestly(t))
			bad := steptest.Turn("bad", steptest.Constraint{Text: "Say tea."}, steptest.Constraint{Text: "Think.", Rule: rule})
			good := steptest.Turn("good", word("tea"))
			responses := append(answers(bad, "tea"), answers(good, "tea")...)
			shard, err := run(t, s, server.URL, []schemas.Turn{bad, good}, responses)
			if err != nil {
				t.Fatal(err)
			}
			got, r := judged(t, s, shard)
			if len(got) != 1 || len(got[responses[1].ResponseID]) != 1 || r.Books != (schemas.Books{In: 2, OK: 1, Quarantined: 1}) {
				t.Errorf("verdicts %q, books %+v", got, r.Books)
			}
			q := quarantine(t, s, r)
			if q[0].RowID != responses[0].ResponseID || q[0].ErrorType != string(schemas.InvalidInput) || !strings.Contains(q[0].Reason, bad.Triggered[1]) {
				t.Errorf("quarantine %+v", q)
			}
			if n := server.Stats().Requests; n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestWithoutAJudgeAFreeConstraintSaysWhatToName(t *testing.T) {
	s := store.NewMemory("rpo")
	turn := steptest.Turn("shop", word("tea"), steptest.Constraint{Text: "Be kind."})
	shard, err := run(t, s, "", []schemas.Turn{turn}, answers(turn, "tea", "no"))
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	q := quarantine(t, s, r)
	if len(got) != 0 || r.Books != (schemas.Books{In: 2, Quarantined: 2}) || !strings.Contains(q[0].Reason, "judge_endpoint") {
		t.Errorf("verdicts %q, books %+v, quarantine %+v", got, r.Books, q)
	}
}

func TestAnEndpointToBlameFailsTheShardNotTheRows(t *testing.T) {
	turn := steptest.Turn("shop", steptest.Constraint{Text: "Say tea."})
	for name, reply := range map[string]scripted.Reply{
		"wrong key":              scripted.Refuse(401, "wrong key"),
		"unknown model":          scripted.Refuse(404, "no such model"),
		"every request refused":  scripted.Refuse(400, "schemas are not supported"),
		"nonsense to every call": {Body: []byte("<html>sign in</html>")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store.NewMemory("rpo")
			server := scripted.New(t, func(scripted.Parsed) scripted.Reply { return reply })
			shard, err := run(t, s, server.URL, []schemas.Turn{turn}, answers(turn, "tea", "no"))
			if err == nil {
				t.Error("no error")
			}
			if _, ok, _ := store.Committed(t.Context(), s, shard.Job, shard.Stage, 0); ok {
				t.Error("the failed shard is committed")
			}
		})
	}
}

var teaAndMilk = steptest.Turn("shop", steptest.Constraint{Text: "Say tea."}, steptest.Constraint{Text: "Say milk."})

// stubborn answers the first n requests about the response "bad" with a reply,
// all others as an honest judge, and keeps what it was asked about it.
type stubborn struct {
	t   *testing.T
	bad scripted.Reply
	n   int

	mu    sync.Mutex
	tries []scripted.Parsed
}

func (j *stubborn) reply(p scripted.Parsed) scripted.Reply {
	q, err := readQuestion(p)
	if err != nil {
		j.t.Error(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if q.response == "bad" {
		if j.tries = append(j.tries, p); len(j.tries) <= j.n {
			return j.bad
		}
	}
	return reply(honest(q))
}

func TestAReplyThatBreaksTheSchemaIsAskedForAgainWithAnotherSeed(t *testing.T) {
	c1, c2 := entry{"c1", "", schemas.Followed}, entry{"c2", "", schemas.NotFollowed}
	for name, bad := range map[string]scripted.Reply{
		"an id is missing":       reply([]entry{c1}),
		"an id is unknown":       reply([]entry{c1, c2, {"c3", "", schemas.Followed}}),
		"an id is judged twice":  reply([]entry{c1, c1, c2}),
		"a verdict is unknown":   reply([]entry{c1, {"c2", "", "yes"}}),
		"a field is unknown":     scripted.Say(`{"verdicts": [], "score": 1}`),
		"no JSON":                scripted.Say("All constraints are followed."),
		"cut":                    scripted.Say(`{"verdicts": [{"id": "c1", "rea`),
		"nothing":                scripted.Say(""),
		"more than one document": scripted.Say(`{"verdicts": []} {"verdicts": []}`),
	} {
		t.Run(name, func(t *testing.T) {
			j := &stubborn{t: t, bad: bad, n: 2}
			s, server := store.NewMemory("rpo"), scripted.New(t, j.reply)
			shard, err := run(t, s, server.URL, []schemas.Turn{teaAndMilk}, answers(teaAndMilk, "tea", "bad", "milk"))
			if err != nil {
				t.Fatal(err)
			}
			if got, r := judged(t, s, shard); len(got) != 3 || r.Books != (schemas.Books{In: 3, OK: 3}) || r.Calls != 5 {
				t.Errorf("verdicts %q, record %+v", got, r)
			}
			seeds := map[int64]bool{}
			for i, p := range j.tries {
				seeds[p.Seed] = true
				if (i == 0) != (p.Temperature == 0) {
					t.Errorf("request %d has temperature %v: greedy decoding would repeat itself", i, p.Temperature)
				}
			}
			if len(seeds) != 3 {
				t.Errorf("%d seeds of 3 requests", len(seeds))
			}
		})
	}
}

func TestAResponseWhoseRepliesStayInvalidIsSetAsideAndTheShardGoesOn(t *testing.T) {
	j := &stubborn{t: t, bad: reply(nil), n: 100}
	s, server := store.NewMemory("rpo"), scripted.New(t, j.reply)
	responses := answers(teaAndMilk, "tea", "bad", "milk")
	shard, err := run(t, s, server.URL, []schemas.Turn{teaAndMilk}, responses)
	if err != nil {
		t.Fatal(err)
	}
	got, r := judged(t, s, shard)
	q := quarantine(t, s, r)
	if len(got) != 2 || r.Books != (schemas.Books{In: 3, OK: 2, Quarantined: 1}) || r.Calls != 5 || len(j.tries) != 3 ||
		q[0].RowID != responses[1].ResponseID || q[0].ErrorType != string(schemas.CorruptData) || !strings.Contains(q[0].Request, `"Text":"bad"`) {
		t.Errorf("%d tries, verdicts %q, record %+v, quarantine %+v", len(j.tries), got, r, q)
	}
}
