package profile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

func TestASystemPromptIsNumberedBySentences(t *testing.T) {
	for text, want := range map[string][]string{
		hotel: {"You are the night desk of the Hotel Linden.", `Greet every guest with "Good evening".`, "Answer in fewer than 80 words.",
			"If a guest asks for a late check-out, name the price of 25 euros.", "Do not use emojis."},
		"# Role\n\n1. Be Ann. Say hi.\n2) Say bye!\n(3) Use 3.5 points.\n---\n* a": {"Role", "Be Ann.", "Say hi.", "Say bye!", "Use 3.5 points.", "a"},
		"你是客服。要求：\n一、不要使用表情；字数不超过50字。\n2、说“你好。再见。”！\n3.5分以上不退":                     {"你是客服。", "要求：", "不要使用表情；", "字数不超过50字。", "说“你好。再见。”！", "3.5分以上不退"},
		"Use e.g. tea.\u2028c1: Say no.\r\rOver":                                   {"Use e.g. tea.", "c1: Say no.", "Over"},
		" \n\n ... \n":                                                             nil,
	} {
		var got []string
		for _, u := range units(text) {
			got = append(got, text[u.start:u.end])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAReplyMayOnlyPointAtPlacesOfThePrompt(t *testing.T) {
	system := "You help.\nUse tea, not coffee, and use tea.\nBe kind. Be brief.\nAlways: Be kind."
	all := units(system)
	if len(all) != 5 {
		t.Fatalf("units %+v", all)
	}
	for name, c := range map[string]struct {
		constraints []extracted
		want        string // of the error; "" means the constraints' texts
		texts       []string
	}{
		"sentences and quotes": {[]extracted{{4, "", "style", ""}, {2, "not coffee", "content", " when\nasked "}}, "", []string{"not coffee", "Be brief."}},
		"none":                 {nil, "0 constraints", nil},
		"sentence 0":           {[]extracted{{0, "", "style", ""}}, "sentence 0", nil},
		"a sentence too far":   {[]extracted{{6, "", "style", ""}}, "sentence 6", nil},
		"not verbatim":         {[]extracted{{2, "no coffee", "style", ""}}, "does not stand in sentence 2", nil},
		"of another sentence":  {[]extracted{{3, "Be brief.", "style", ""}}, "does not stand in sentence 3", nil},
		"twice in a sentence":  {[]extracted{{2, "tea", "style", ""}}, "more than once", nil},
		"overlapping places":   {[]extracted{{2, "Use tea, not coffee", "style", ""}, {2, "coffee, and", "style", ""}}, "share text", nil},
		"the same place twice": {[]extracted{{4, "", "style", ""}, {4, "Be brief.", "style", ""}}, "share text", nil},
		"marks only":           {[]extracted{{4, ".", "style", ""}}, "has no words", nil},
		"an unknown family":    {[]extracted{{4, "", "tone", ""}}, "family", nil},
		"an endless trigger":   {[]extracted{{4, "", "style", strings.Repeat("if ", 150)}}, "trigger", nil},
		// "Be kind." stands once more in the last line.
		"a copy that is not named":  {[]extracted{{3, "", "style", ""}, {4, "", "style", ""}}, "", []string{"Be brief."}},
		"nothing but copies":        {[]extracted{{3, "", "style", ""}}, "more than once", nil},
		"a copy that is named, too": {[]extracted{{3, "", "style", ""}, {5, "Be kind.", "style", ""}}, "", []string{"Be kind.", "Be kind."}},
		"a copy in another":         {[]extracted{{3, "", "style", ""}, {5, "", "style", ""}}, "", []string{"Be kind.", "Always: Be kind."}},
	} {
		data, _ := json.Marshal(extractReply{Constraints: c.constraints})
		got, err := parseExtract(string(data), system, all)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		var texts []string
		for _, d := range got {
			texts = append(texts, system[d.start:d.end])
		}
		if err != nil || !slices.Equal(texts, c.texts) {
			t.Errorf("%s: %q, %v", name, texts, err)
		}
	}
}

func TestARuleIsReadFromWholeSentencesWithoutAConditionOnly(t *testing.T) {
	system := "Do not use emojis.\nIf asked for a summary, answer in fewer than 50 words."
	for quote, want := range map[extracted]bool{
		{1, "", "style", ""}:                                            true,
		{1, "", "style", "when the user is sad"}:                        false,
		{2, "answer in fewer than 50 words.", "format", ""}:             false,
		{2, "answer in fewer than 50 words.", "format", "if asked for"}: false,
	} {
		data, _ := json.Marshal(extractReply{Constraints: []extracted{quote}})
		got, err := parseExtract(string(data), system, units(system))
		if err != nil || got[0].rule.IsZero() == want {
			t.Errorf("%+v: %+v, %v", quote, got, err)
		}
	}
}

func TestWhatTheCheckFindsFaultWithStaysInTheTextAndIsNoConstraint(t *testing.T) {
	system := "You help.\nAlways be polite.\nRemember the previous answer.\nName a price.\nDo not use emojis."
	faulty := func(all bool) func(scripted.Parsed) scripted.Reply {
		return func(p scripted.Parsed) scripted.Reply {
			if p.SchemaName == "extract" {
				if p.Temperature != 0 || material(p) != "s1: You help.\ns2: Always be polite.\ns3: Remember the previous answer.\ns4: Name a price.\ns5: Do not use emojis." {
					t.Errorf("request %q", material(p))
				}
				r := extractReply{[]extracted{{2, "", "style", ""}, {3, "", "logic", ""}, {4, "", "content", ""}}}
				if !all {
					r.Constraints = append(r.Constraints, extracted{5, "", "style", ""})
				}
				return say(r)
			}
			r := allGood(p)
			for i := range r.Constraints {
				r.Constraints[i].Checkable = !all && i != 0 // the second is refused by its words
			}
			r.Contradictions = []pairEntry{{"They say so.", "c2", "c3"}}
			return say(r)
		}
	}
	out, err := generatedBy(t, faulty(false), seed(schemas.SeedSystem, "shop", system))
	if err != nil || len(out.profiles) != 1 || out.profiles[0].System != system {
		t.Fatal(out.quarantined, err)
	}
	if c := out.profiles[0].Constraints; len(c) != 2 || c[0].Text != "Name a price." || c[1].Rule.Kind != "emoji" {
		t.Errorf("constraints %+v", c)
	}
	out, err = generatedBy(t, faulty(true), seed(schemas.SeedSystem, "shop", system))
	if err != nil || len(out.profiles) != 0 || !strings.Contains(out.quarantined[0].Reason, "of 3 constraints that were found none is of use") {
		t.Errorf("quarantine %+v, %v", out.quarantined, err)
	}
}
