package profile

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func tea() schemas.Seed { return fourSeeds()[0] }

// writes plays a writing model that always replies so, and an honest check.
func writes(reply scripted.Reply) func(scripted.Parsed) scripted.Reply {
	return func(p scripted.Parsed) scripted.Reply {
		if p.SchemaName == "check_profile" {
			return say(allGood(p))
		}
		return reply
	}
}

func TestAReplyThatIsNoProfileIsAskedForAgainAndThenSetAside(t *testing.T) {
	with := func(change func(*profileReply)) scripted.Reply {
		r := aProfile(schemas.English)
		change(&r)
		return say(r)
	}
	for name, c := range map[string]struct {
		reply scripted.Reply
		want  string
	}{
		"no JSON":               {scripted.Say("Here is the profile."), "malformed JSON"},
		"two values":            {scripted.Say("{}{}"), "more than one JSON value"},
		"an unknown field":      {scripted.Say(`{"name": "a", "note": "b"}`), "unknown field"},
		"no name":               {with(func(r *profileReply) { r.Name = " \n" }), "the name has 0 characters"},
		"a long name":           {with(func(r *profileReply) { r.Name = strings.Repeat("x", 81) }), "the name has 81 characters"},
		"a name without a word": {with(func(r *profileReply) { r.Name = "..." }), "the name has no letters"},
		"a control character":   {with(func(r *profileReply) { r.Name = "a\u0000b" }), "control character"},
		"a short description":   {with(func(r *profileReply) { r.Description = "A tea shop." }), "must have at least 100"},
		"the other language":    {with(func(r *profileReply) { r.Description = aProfile(schemas.Chinese).Description }), "not in the language"},
		"no skills":             {with(func(r *profileReply) { r.Skills = nil }), "0 skills"},
		"a blank skill":         {with(func(r *profileReply) { r.Skills[0] = "" }), "the skill has 0 characters"},
		"five constraints":      {with(func(r *profileReply) { r.Constraints = r.Constraints[:5] }), "5 constraints"},
		"too many constraints":  {with(func(r *profileReply) { r.Constraints = append(r.Constraints, r.Constraints...) }), "16 constraints"},
		"an unknown family":     {with(func(r *profileReply) { r.Constraints[3].Family = "tone" }), `family "tone"`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := generatedBy(t, func(p scripted.Parsed) scripted.Reply {
				if p.SchemaName == "generate_profile" {
					return c.reply
				}
				return honest(p)
			}, tea(), fourSeeds()[1])
			if err != nil || out.record.Books != (schemas.Books{In: 2, OK: 1, Quarantined: 1}) || out.record.Calls != 4 || len(out.profiles) != 0 {
				t.Fatalf("record %+v, %v", out.record, err)
			}
			q := out.quarantined[0]
			if q.Table != schemas.TableSeed || q.RowID != tea().SeedID || q.ErrorType != string(schemas.CorruptData) ||
				!strings.Contains(q.Reason, c.want) || !strings.Contains(q.Request, "counter assistant") || !strings.Contains(q.Request, "material-") {
				t.Errorf("quarantine %+v", q)
			}
		})
	}
}

// TestAConstraintOfNoUseIsDroppedAndTheRestStay puts one more constraint beside
// the eight good ones.
func TestAConstraintOfNoUseIsDroppedAndTheRestStay(t *testing.T) {
	for name, c := range map[string]struct{ text, trigger, problem string }{
		"a permission":            {"You may add a joke.", "", permits},
		"room":                    {"Try to be brief: at most 3 lines.", "", leavesRoom},
		"no measure":              {"Use an appropriate greeting.", "", vague},
		"other turns":             {"Do not repeat your previous answer.", "", manyTurns},
		"other turns in trigger":  {"Name one more tea.", "when the user liked your last answer", manyTurns},
		"no text":                 {"Include a photo of the tea.", "", notText},
		"the other language":      {"不要使用表情符号。", "", "not in the language"},
		"a repetition":            {"Never use any emojis.", "", "says the same as"},
		"equal rules":             {"Limit your answer to at most 119 words.", "", "follows from"},
		"a weaker rule":           {"Answer in at most 200 words.", "", "follows from"},
		"a contradiction by rule": {"Answer in at least 150 words.", "", "contradicts"},
		"a contradiction in case": {"Answer in more than 300 words.", "when the user asks for a story", "contradicts"},
		"a copy in the skills":    {"Explains brewing.", "", "stands in the name, the description or the skills"},
		"control characters":      {"Name the\u0000 tea.", "", "control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			r := aProfile(schemas.English)
			r.Skills[1] = "Explains brewing. And more"
			added := r.Constraints[0]
			added.Text, added.Trigger, added.Family = c.text, c.trigger, schemas.FamilyStyle
			r.Constraints = append(r.Constraints, added)
			data, _ := json.Marshal(r)
			s, err := parseProfile(string(data), schemas.English)
			if err != nil {
				t.Fatal(err)
			}
			kept, problems := clean(s)
			if len(kept) != 8 || len(problems) != 1 || !strings.Contains(problems[0], c.problem) {
				t.Errorf("%d kept, problems %q", len(kept), problems)
			}
		})
	}
}

func TestOfARuleAndAWeakerOneTheWeakerGoesWhereverItStands(t *testing.T) {
	s := sheet{language: schemas.English}
	for _, text := range []string{"Answer in at most 200 words.", "Answer in fewer than 120 words.", "Do not use emojis."} {
		s.constraints = append(s.constraints, compose(text, "", schemas.FamilyFormat, schemas.English))
	}
	kept, problems := clean(s)
	if len(kept) != 2 || kept[0].text != "Answer in fewer than 120 words." || len(problems) != 1 || !strings.Contains(problems[0], "200") {
		t.Errorf("kept %+v, problems %q", kept, problems)
	}
	// Two conditions may never meet, so neither rule says anything of the other.
	s.constraints = []written{
		compose("Answer in fewer than 20 words.", "when the user greets", schemas.FamilyFormat, schemas.English),
		compose("Answer in more than 50 words.", "when the user asks for a story", schemas.FamilyFormat, schemas.English),
	}
	if kept, problems := clean(s); len(kept) != 2 {
		t.Errorf("problems %q", problems)
	}
}

func TestTheSecondCallDropsWhatItFindsFaultWithAndTheLaterOfAContradiction(t *testing.T) {
	out, err := generatedBy(t, func(p scripted.Parsed) scripted.Reply {
		if p.SchemaName != "check_profile" {
			return honest(p)
		}
		if p.Temperature != 0 || !strings.Contains(material(p), "c4: Call yourself \"the counter\".\n") {
			t.Errorf("request %+v", p.Messages)
		}
		r := allGood(p)
		r.Constraints[1].Definite = false  // has a rule, which knows better
		r.Constraints[6].Checkable = false // has none
		r.Contradictions = []pairEntry{{"They clash.", "c5", "c3"}, {"No.", "c3", "c7"}}
		return say(r)
	}, tea())
	if err != nil || len(out.profiles) != 1 {
		t.Fatal(out.quarantined, err)
	}
	var got []string
	for _, c := range out.profiles[0].Constraints {
		got = append(got, c.Text)
	}
	all := strings.Join(got, "\n")
	if len(got) != 6 || !strings.Contains(all, "emojis") || strings.Contains(all, "full name") ||
		!strings.Contains(all, "water temperature") || strings.Contains(all, "give the reason") {
		t.Errorf("constraints %q", got)
	}
}

func TestAnIncompleteCheckIsAskedForAgainAndThenTheSeedIsSetAside(t *testing.T) {
	with := func(change func(*checkReply)) func(scripted.Parsed) scripted.Reply {
		return func(p scripted.Parsed) scripted.Reply {
			r := allGood(p)
			change(&r)
			return say(r)
		}
	}
	for name, check := range map[string]func(scripted.Parsed) scripted.Reply{
		"an id is missing":    with(func(r *checkReply) { r.Constraints = r.Constraints[1:] }),
		"an id stands twice":  with(func(r *checkReply) { r.Constraints[1].ID = "c1" }),
		"an unknown id":       with(func(r *checkReply) { r.Constraints[0].ID = "c99" }),
		"a pair with itself":  with(func(r *checkReply) { r.Contradictions = []pairEntry{{"", "c1", "c1"}} }),
		"a pair with a stray": with(func(r *checkReply) { r.Contradictions = []pairEntry{{"", "c1", "c0"}} }),
		"no contradictions":   with(func(r *checkReply) { r.Contradictions = nil }),
		"an answer is missing": func(scripted.Parsed) scripted.Reply {
			return scripted.Say(`{"constraints": [{"id": "c1", "reason": "", "definite": true}], "contradictions": []}`)
		},
		"everything is refused": func(scripted.Parsed) scripted.Reply { return scripted.Say("All constraints are fine.") },
	} {
		t.Run(name, func(t *testing.T) {
			out, err := generatedBy(t, func(p scripted.Parsed) scripted.Reply {
				if p.SchemaName == "check_profile" {
					return check(p)
				}
				return honest(p)
			}, tea())
			if err != nil || out.record.Books != (schemas.Books{In: 1, Quarantined: 1}) || out.record.Calls != 4 {
				t.Errorf("record %+v, %v", out.record, err)
			}
		})
	}
}

func TestAProfileWithTooFewConstraintsIsWrittenAgainWithTheReasonsAtMostThreeTimes(t *testing.T) {
	for _, c := range []struct {
		badAttempts int32
		want        schemas.Books
		calls       int64
	}{{0, schemas.Books{In: 1, OK: 1}, 2}, {3, schemas.Books{In: 1, OK: 1}, 5}, {4, schemas.Books{In: 1, Quarantined: 1}, 4}} {
		var tries atomic.Int32
		var mu sync.Mutex
		seeds := map[int64]bool{}
		out, err := generatedBy(t, func(p scripted.Parsed) scripted.Reply {
			if p.SchemaName == "check_profile" {
				return say(allGood(p))
			}
			mu.Lock()
			seeds[p.Seed] = true
			mu.Unlock()
			n := tries.Add(1)
			if p.Temperature != 1 || (n > 1) != strings.Contains(material(p), "faults of an earlier attempt") ||
				(n > 1) != strings.Contains(material(p), `- "You may add joke 2." permits instead of demanding`) {
				t.Errorf("attempt %d asks %q", n, material(p))
			}
			r := aProfile(schemas.English)
			if n <= c.badAttempts {
				for i := range 3 {
					r.Constraints[i].Text, r.Constraints[i].Trigger = "You may add joke "+string(rune('0'+i))+".", ""
				}
			}
			return say(r)
		}, tea())
		if err != nil || out.record.Books != c.want || out.record.Calls != c.calls || len(seeds) != int(min(c.badAttempts+1, 4)) {
			t.Errorf("%d bad attempts: record %+v, seeds %v, %v", c.badAttempts, out.record, seeds, err)
		}
		if c.want.Quarantined > 0 {
			if q := out.quarantined[0]; !strings.Contains(q.Reason, "has 5 constraints of use") || !strings.Contains(q.Reason, permits) || !strings.Contains(q.Request, "faults of an earlier attempt") {
				t.Errorf("quarantine %+v", q)
			}
		}
	}
}

func TestAReplyThatIsNoPersonaIsRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no name":              func(r map[string]any) { r["name"] = "" },
		"a short description":  func(r map[string]any) { r["description"] = "A man." },
		"no background":        func(r map[string]any) { delete(r, "background") },
		"nine distinct traits": func(r map[string]any) { r["traits"] = append([]string{"Impatient!"}, r["traits"].([]string)[:10]...) },
		"a long trait":         func(r map[string]any) { r["traits"].([]string)[0] = strings.Repeat("x ", 50) },
		"the other language": func(r map[string]any) {
			for key, value := range aPersona(schemas.Chinese) {
				r[key] = value
			}
		},
		"many traits": func(r map[string]any) { r["traits"] = append(r["traits"].([]string), r["traits"].([]string)...) },
	} {
		r := aPersona(schemas.English)
		change(r)
		data, _ := json.Marshal(r)
		if p, err := parsePersona(string(data), schemas.English); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestAModelToBlameFailsTheShardNotTheSeeds(t *testing.T) {
	for name, handler := range map[string]func(scripted.Parsed) scripted.Reply{
		"wrong key":             func(scripted.Parsed) scripted.Reply { return scripted.Refuse(401, "wrong key") },
		"every request refused": func(scripted.Parsed) scripted.Reply { return scripted.Refuse(400, "schemas are not supported") },
		"every check is refused": func(p scripted.Parsed) scripted.Reply {
			if p.SchemaName == "check_profile" {
				return scripted.Refuse(400, "too long")
			}
			return honest(p)
		},
	} {
		if out, err := generatedBy(t, handler, tea(), fourSeeds()[2]); err == nil {
			t.Errorf("%s: record %+v", name, out.record)
		}
	}
}

func TestTheCheckIsMadeByTheModelThatIsNamedForIt(t *testing.T) {
	only := func(checks bool) func(scripted.Parsed) scripted.Reply {
		return func(p scripted.Parsed) scripted.Reply {
			if (p.SchemaName == "check_profile") != checks {
				t.Errorf("schema %s", p.SchemaName)
			}
			return honest(p)
		}
	}
	writer, checker := scripted.New(t, only(false)), scripted.New(t, only(true))
	out, err := generated(t, store.NewMemory("rpo"), steptest.Models{"writer": writer.URL, "checker": checker.URL},
		schemas.GenerateOptions{GenerateEndpoint: "writer", CheckEndpoint: "checker", CheckModel: "careful"}, fourSeeds()...)
	if err != nil || len(out.profiles) != 3 || out.profiles[0].MadeBy != "scripted profile/1, careful check/1" || out.record.Calls != 7 {
		t.Errorf("record %+v, %v", out.record, err)
	}
}
