package rules

import (
	"testing"

	"rpo/schemas"
)

func TestCertainDemandsAreRecognised(t *testing.T) {
	for text, want := range map[string]schemas.Rule{
		"Answer in fewer than 150 words.":                      own("words", `{"n":150,"relation":"fewer than"}`),
		"Please write at least 1,200 words":                    own("words", `{"n":1200,"relation":"at least"}`),
		"Keep your answers under 80 words.":                    own("words", `{"n":80,"relation":"fewer than"}`),
		"Limit every response to three sentences.":             own("sentences", `{"n":3,"relation":"at most"}`),
		"Your reply must not exceed 500 characters.":           own("characters", `{"n":500,"relation":"at most"}`),
		"Respond in 2 sentences or fewer.":                     own("sentences", `{"n":2,"relation":"at most"}`),
		"The answer should be exactly 5 lines long.":           own("lines", `{"n":5,"relation":"exactly"}`),
		"You must always answer with more than 20 words.":      own("words", `{"n":20,"relation":"more than"}`),
		"Do not use emojis.":                                   own("emoji", `{"n":1,"relation":"fewer than"}`),
		"Never use any commas in your response!":               own("commas", `{"n":1,"relation":"fewer than"}`),
		"Avoid bullet points.":                                 own("bullets", `{"n":1,"relation":"fewer than"}`),
		"Your response must not contain any links.":            own("links", `{"n":1,"relation":"fewer than"}`),
		"Include at least two emojis in your response.":        own("emoji", `{"n":2,"relation":"at least"}`),
		"Use 3 or more bullet points.":                         own("bullets", `{"n":3,"relation":"at least"}`),
		"Don't ask the user any questions.":                    own("questions", `{"n":1,"relation":"fewer than"}`),
		"Start your answer with \"Well then\".":                own("starts_with", `{"ignore_marks":true,"text":"Well then","whole_word":true}`),
		"Every reply must end with the phrase “Stay curious!”": own("ends_with", `{"ignore_marks":true,"text":"Stay curious!","whole_word":true}`),
		"Mention the word \"tea\".":                            own("contains", `{"text":"tea","whole_word":true}`),
		"Do not mention \"AI\".":                               {Profile: "rpo", Kind: "contains", Args: `{"text":"AI","whole_word":true}`, Negated: true},
		"Never use the word 'can't'.":                          {Profile: "rpo", Kind: "contains", Args: `{"text":"can't","whole_word":true}`, Negated: true},
		"Start with \"No\".":                                   own("starts_with", `{"ignore_marks":true,"text":"No","whole_word":true}`),
		"Use at least one exclamation mark.":                   own("exclamations", `{"n":1,"relation":"at least"}`),
		"不得出现“AI”":                                             {Profile: "rpo", Kind: "contains", Args: `{"text":"AI","whole_word":true}`, Negated: true},
		"Never say \"obviously\".":                             {Profile: "rpo", Kind: "contains", Args: `{"text":"obviously"}`, Negated: true},
		"Never say the word \"抱歉\".":                           {Profile: "rpo", Kind: "contains", Args: `{"text":"抱歉"}`, Negated: true},
		"Always respond in German.":                            own("language", `{"language":"de"}`),
		"Write in all lowercase letters.":                      own("lowercase", "{}"),
		"Respond only with valid JSON.":                        own("json", "{}"),

		"回答不超过80字":         own("words", `{"n":80,"relation":"at most"}`),
		"请将回答控制在100字以内。":   own("words", `{"n":100,"relation":"at most"}`),
		"每次回答的汉字数量小于60":    own("hanzi", `{"n":60,"relation":"fewer than"}`),
		"回答不少于两百字":         {},
		"不要使用任何emoji表情":    own("emoji", `{"n":1,"relation":"fewer than"}`),
		"回答中必须包含至少三个emoji": own("emoji", `{"n":3,"relation":"at least"}`),
		"使用5个以上的emoji":     own("emoji", `{"n":5,"relation":"at least"}`),
		"回答不能使用逗号":         own("commas", `{"n":1,"relation":"fewer than"}`),
		"回答必须以“亲爱的读者”开头":   own("starts_with", `{"ignore_marks":true,"text":"亲爱的读者"}`),
		"每次回答都以“祝您愉快”结尾":   own("ends_with", `{"ignore_marks":true,"text":"祝您愉快"}`),
		"回答中不能出现“抱歉”":      {Profile: "rpo", Kind: "contains", Args: `{"text":"抱歉"}`, Negated: true},
		"请使用英文回答。":         own("language", `{"language":"en"}`),
		"回答为十二句话":          own("sentences", `{"n":12,"relation":"exactly"}`),
	} {
		got, ok := Recognise(text)
		if ok != !want.IsZero() || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, ok, want)
		}
	}
}

func TestUncertainDemandsAreLeftToTheJudge(t *testing.T) {
	for _, text := range []string{
		"", "Be friendly.",
		"Answer in about 150 words.",
		"Answer in fewer than 150 words and use no emojis.",
		"Answer in fewer than 150 words when the user asks for a summary.",
		"Each paragraph must contain fewer than 50 words.",
		"The first sentence must have at least 10 words.",
		"Use short sentences.",
		"Use at least 2 lists.",
		"Do not use emojis in headings.",
		"Do not use too many emojis.",
		"Do not overuse commas.",
		"Do not include 'one' and 'two' in your response.",
		"Start your answer with \"Dear [name]\".",
		"Start your answer with \"Hello...\"",
		"Never say 'yes','no'.", "Mention 'a'/'b'.", "Never say ‘yes’ and ‘no’.",
		"Use exactly 2 exclamation marks.", "Use at most 3 question marks.", "You do not need to use emojis.",
		"End with \"?\".", "Start with \"- \".", "以“？”结尾", "不需要使用emoji", "包含'优点'和'缺点'", "包含‘优点’和‘缺点’", "使用不超过3个问号", "字数不超过80字符", "字符数不超过80字", "字数少于80个汉字",
		"Start each line with \"- \" and a verb.",
		"Start with a greeting.",
		"Mention \"tea\" or \"coffee\".",
		"Do not answer in German or French.",
		"Translate the text into German.",
		"Use exactly -3 words.",
		"Write fewer than 0 words.",
		"Answer in fewer than 999999999999999999999 words.",
		"回答100字左右", "每段不超过50字", "标题不超过10字", "回答分为三段", "开头不超过20个字", "不超过3个字",
		"以“我是xx”开头", "以“好”或“行”开头", "以一句古诗开头", "第一句话以“好”开头", "以“好”开头，以“了”结尾",
		"包含两个emoji", "结尾使用emoji", "每点建议包含emoji", "用户提到天气时使用emoji", "最后一句用英文回答", "用英文翻译", "不要使用过多的emoji",
		"提问时不要使用问号，其他情况可以",
	} {
		if got, ok := Recognise(text); ok {
			t.Errorf("%q was taken for %+v", text, got)
		}
	}
}

func TestOwnPhrasingsOfLengthAreRecognisedAsWhatTheyDemand(t *testing.T) {
	known := 0
	for _, r := range ownRules() {
		for v := range Phrasings(r) {
			text, err := Describe(r, v)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := Recognise(text)
			if !ok {
				continue
			}
			known++
			// The same demand may have another form: "at most 0" is "fewer than 1".
			same, err := Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{"a", "The the 1, 2! 😀 a? - x\n* y\n# h\n\nhttps://a.b 好。x", "好好,,,,,,,,,,,,,,", "b b b b b b b b b b b b", "?", "1. ! ! ! ? ? ?"} {
				if same.Strict(s) != want.Strict(s) {
					t.Errorf("%q of %+v was taken for %+v", text, r, got)
				}
			}
		}
	}
	if known < 100 {
		t.Errorf("only %d of our own phrasings are recognised", known)
	}
}
