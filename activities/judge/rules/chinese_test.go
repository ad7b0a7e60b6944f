package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rpo/schemas"
)

func TestEveryOwnKindIsSaidInChinese(t *testing.T) {
	for kind := range ownKinds {
		if _, counts := chineseCounters[kind]; counts == (chineseOthers[kind] != nil) {
			t.Errorf("%s has no Chinese phrasings, or two sets of them", kind)
		}
	}
	for code := range ownLanguages {
		if chineseLanguageNames[code] == "" {
			t.Errorf("language %s has no Chinese name", code)
		}
	}
	for _, r := range ownRules() {
		seen := map[string]bool{}
		for _, r.Negated = range []bool{false, true} {
			phrases, err := chinesePhrasings(r)
			if err != nil || len(phrases) < 2 {
				t.Errorf("%+v has the phrasings %q, %v", r, phrases, err)
			}
			for _, s := range phrases {
				if seen[s] || strings.Contains(s, "%!") || !strings.HasSuffix(s, "。") || !inChinese(s) {
					t.Errorf("%+v has the phrasing %q", r, s)
				}
				seen[s] = true
			}
		}
	}
}

func TestExactlyOneOfAChineseRuleAndItsOppositePasses(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	var texts []string
	for range 100 {
		texts = append(texts, randomText(g))
	}
	checkOppositesOf(t, "原来的要求。", chinesePhrasings, ownRules(), texts)
}

func TestChinesePhrasingsAreRecognisedAsWhatTheyDemand(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 8))
	known := 0
	for _, r := range ownRules() {
		for _, r.Negated = range []bool{false, true} {
			phrases, err := chinesePhrasings(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range phrases {
				got, ok := Recognise(text)
				// Given texts are recognised with the marks and word ends that a
				// reader takes for granted, which the rule need not have.
				if !ok || r.Kind == "contains" || strings.HasSuffix(r.Kind, "s_with") {
					continue
				}
				known++
				same, err := Parse(got)
				if err != nil {
					t.Fatal(err)
				}
				want, err := Parse(r)
				if err != nil {
					t.Fatal(err)
				}
				for range 40 {
					if s := randomText(g); same.Strict(s) != want.Strict(s) {
						t.Fatalf("%q of %+v was taken for %+v, which differs on %q", text, r, got, s)
					}
				}
			}
		}
	}
	if known < 100 {
		t.Errorf("only %d Chinese phrasings are recognised", known)
	}
}

func TestTheOppositeOfAChineseConstraintIsChinese(t *testing.T) {
	for _, c := range []struct{ text, trigger, want string }{
		{"回答不超过80字", "", "至少写81个字。"},
		{"每次回答的汉字数量小于60", "", "回答的汉字数不得少于60。"},
		{"不要使用任何emoji表情", "", "至少使用一个emoji。"},
		{"回答中必须包含至少三个emoji", "", "最多使用2个emoji。"},
		{"回答不能使用逗号", "", "回答中必须出现逗号。"},
		{"回答为十二句话", "", "回答的句数不得等于12。"},
		{"回答必须以“亲爱的读者”开头", "", "不要以“亲爱的读者”开头。"},
		{"以“Best regards from all of us”结尾", "", "回答不得以“Best regards from all of us”结尾。"},
		{"回答中不能出现“抱歉”", "", "回答要提到“抱歉”。"},
		{"请使用英文回答。", "", "用英语以外的语言回答。"},
		{"回答中不能出现“抱歉”", "用户提到天气", "当用户提到天气时，必须使用“抱歉”。"},
		{"回答中不能出现“抱歉”", "如果用户生气，", "如果用户生气，必须使用“抱歉”。"},
		{"回答中不能出现“抱歉”", "用户打招呼时", "用户打招呼时，必须使用“抱歉”。"},
		{`Never say "对不起，我不知道".`, "", `Mention "对不起，我不知道".`},
	} {
		r, ok := Recognise(c.text)
		if !ok {
			t.Fatalf("%q is not recognised", c.text)
		}
		var got []string
		for i := range 40 {
			o, err := Opposite(schemas.Constraint{ConstraintID: fmt.Sprint(i), Text: c.text, Rule: r, Trigger: c.trigger})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, o.Text)
		}
		if !slices.Contains(got, c.want) {
			t.Errorf("%q has opposites such as %q, not %q", c.text, got[0], c.want)
		}
	}
}

func TestChineseTextIsTold(t *testing.T) {
	for text, want := range map[string]bool{
		"不要使用emoji":                      true,
		"回答中包含关键词 machine learning":      true,
		"以'Yours sincerely and truly'结尾": true,
		`以"Have a very nice day"结尾`:      true,
		"":                               false,
		"80":                             false,
		"Answer in 中文 only":              false,
		`Start with "你好，我是你的助手".`:           false,
		"Don't say 你好 and don't say 再见":     false,
		"絵文字を使わないでください":                     false,
		"이모지를 쓰지 마세요":                       false,
		"Begin each answer with “欢迎光临本店铺”.": false,
	} {
		if inChinese(text) != want {
			t.Errorf("%q is Chinese: %v", text, !want)
		}
	}
}
