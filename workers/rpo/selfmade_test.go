//go:build endtoend

package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/store"
	"rpo/schemas"
	"rpo/workflows"
)

// everybody plays every role of the method: what it says depends on the request
// alone. Its profiles have constraints with and without rules and triggers.
func everybody(p scripted.Parsed) scripted.Reply {
	h := fnv.New64a()
	h.Write(p.Body)
	n := h.Sum64()
	switch p.SchemaName {
	case "":
		return scripted.PerChoice(answer)(p)
	case "generate_profile":
		return saying(map[string]any{
			"name":        "Guide",
			"description": "A patient guide to the town and its hills, who knows every lane, every bakery and every bench beside the river, and tells visitors where to go.",
			"skills":      []string{"Describe walks.", "Recommend bakeries."},
			"constraints": []map[string]string{
				{"text": "Mention the river.", "family": "content", "trigger": ""},
				{"text": "Write at least 4 words.", "family": "format", "trigger": ""},
				{"text": "Do not use commas.", "family": "format", "trigger": ""},
				{"text": "Name one bakery of the old town.", "family": "content", "trigger": "the visitor mentions bread"},
				{"text": "Speak as a guide who was born in the town.", "family": "role", "trigger": ""},
				{"text": "Give the reason for every recommendation.", "family": "logic", "trigger": ""},
				{"text": "Refuse to speak about politics.", "family": "behaviour", "trigger": "the visitor asks about politics"},
			},
		})
	case "persona":
		var traits []string
		for i := range 10 {
			traits = append(traits, []string{"calm", "curious", "frugal", "hurried", "proud", "shy", "loud", "kind", "strict", "merry"}[i]+" in the morning")
		}
		return saying(map[string]any{"name": "Ada", "description": "A retired teacher who spends a week in the hills.", "background": "She walks every day and bakes bread at home.", "traits": traits})
	case "query":
		topics := []string{"bread", "benches", "lanterns", "bridges", "politics", "museums", "gardens"}
		return saying(map[string]any{"query": fmt.Sprintf("%s %s near place %d?", []string{"Where are", "Could you show me", "What about the", "Any good"}[n%4], topics[n/4%7], n%997)})
	}
	return saying(filled(p, n))
}

// filled answers a schema with an object per id, chosen by n.
func filled(p scripted.Parsed, n uint64) any {
	var schema struct {
		Properties map[string]struct {
			Type  string
			Items struct {
				Properties map[string]struct {
					Type string
					Enum []string
				}
			}
		}
	}
	json.Unmarshal(p.Schema, &schema)
	out := map[string]any{}
	for name, list := range schema.Properties {
		switch {
		case name == "opposite":
			out[name] = opposite(p)
		case name == "contradictions":
			out[name] = []any{}
		case list.Type == "boolean":
			out[name] = true
		case list.Type == "string":
			out[name] = "stone river bread cloud lamp"
		default:
			var items []map[string]any
			for i, id := range list.Items.Properties["id"].Enum {
				item := map[string]any{}
				for field, of := range list.Items.Properties {
					switch {
					case field == "id":
						item[field] = id
					case of.Type == "boolean":
						item[field] = true
					case len(of.Enum) > 0:
						item[field] = of.Enum[(n>>i)%2]
					default:
						item[field] = "It is so."
					}
				}
				items = append(items, item)
			}
			out[name] = items
		}
	}
	return out
}

var opposites = map[string]string{
	"Mention the river.":                         "Do not mention the river.",
	"Name one bakery of the old town.":           "Name any number of bakeries of the old town other than one.",
	"Speak as a guide who was born in the town.": "Speak as somebody other than a guide who was born in the town.",
	"Give the reason for every recommendation.":  "Leave out the reason for at least one recommendation.",
	"Refuse to speak about politics.":            "Agree to speak about politics.",
}

var quoted = regexp.MustCompile(`(?m)^\w+: (".*")$`)

// opposite reverses the demand in the constraint that a request is about and
// keeps the condition before it.
func opposite(p scripted.Parsed) string {
	var text string
	if m := quoted.FindStringSubmatch(p.Last()); m == nil || json.Unmarshal([]byte(m[1]), &text) != nil {
		return ""
	}
	for demand, reversed := range opposites {
		// The first letter depends on what stands before it.
		if at := strings.Index(text, demand[1:]); at > 0 {
			first := reversed[:1]
			if text[at-1:at] == strings.ToLower(demand[:1]) {
				first = strings.ToLower(first)
			}
			return text[:at-1] + first + reversed[1:]
		}
	}
	return ""
}

func saying(v any) scripted.Reply {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

func TestDescriptionsBecomePairsThroughProfilesAndSelfPlay(t *testing.T) {
	l := startLocal(t)
	endpoint := scripted.New(t, everybody)
	c, s := l.client(t), l.store(t)
	l.worker(t, l.config(t, endpoint.URL))
	var seeds strings.Builder
	for i := range 12 {
		split := schemas.SplitTrain
		if i%4 == 3 {
			split = schemas.SplitEval
		}
		fmt.Fprintf(&seeds, `{"id":"guide-%d","description":"A guide to town number %d and its hills.","split":%q}`+"\n", i, i, split)
	}
	fmt.Fprintln(&seeds, `{"id":"visitor","kind":"persona","description":"A retired teacher on holiday.","split":"train"}`)
	manifest := l.importProfiles(t, writeFile(t, filepath.Clean(l.dir), "seeds.jsonl", seeds.String()))
	stage := func(name string, input map[string]any) (out schemas.StageResult) {
		t.Helper()
		input["manifest"] = manifest
		if err := l.start(t, c, name, input).Get(t.Context(), &out); err != nil {
			t.Fatalf("%s: %v", name, plainFailure(err))
		}
		if !out.Books.Closed() || out.Books.OK == 0 || out.Books.Quarantined > 0 || out.FailedShards > 0 {
			t.Fatalf("%s ended with %+v", name, out)
		}
		manifest = out.Manifest
		return out
	}
	made := stage(workflows.GenerateProfilesName, map[string]any{"generate_endpoint": "policy"})
	if made.Books.OK != 13 || made.Counts["profiles"] != 12 || made.Counts["personas"] != 1 {
		t.Fatalf("made %+v", made)
	}
	played := stage(workflows.BuildDialoguesName, map[string]any{"personas": manifest, "user_endpoint": "policy", "judge_endpoint": "policy", "max_turns": 3, "threshold": 0.2})
	if played.Books.In != 12 || played.Counts["turns"] < 12 {
		t.Fatalf("played %+v", played)
	}
	stage(workflows.SampleResponsesName, map[string]any{"max_tokens": 64})
	stage(workflows.JudgeResponsesName, map[string]any{"judge_endpoint": "policy", "judge_votes": 2, "calibrate": true})
	stage(workflows.ReverseConstraintsName, map[string]any{"reverse_endpoint": "policy"})
	var paired schemas.PairResult
	if err := l.start(t, c, workflows.BuildPairsName, map[string]any{"manifest": manifest, "dataset": "selfmade", "baselines": true,
		"check_opposites": true, "opposite_judge_endpoint": "policy", "max_pairs_per_turn": 6}).Get(t.Context(), &paired); err != nil {
		t.Fatal(plainFailure(err))
	}
	if paired.Pairs == 0 || !paired.Books.Closed() || len(paired.Baselines) != 3 {
		t.Errorf("paired %+v", paired)
	}
	m, err := store.GetManifest(t.Context(), s, paired.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	histories := 0
	for _, o := range m.Objects(schemas.TablePair) {
		pairs, err := store.GetRows[schemas.Pair](t.Context(), s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			if len(p.Prompt) > 2 {
				histories++
			}
			if len(p.Differing) != int(p.Margin) || p.Margin < 1 {
				t.Errorf("pair %s has margin %v and differs in %v", p.PairID, p.Margin, p.Differing)
			}
		}
	}
	if histories == 0 {
		t.Error("no pair has a history from self-play")
	}
}
