package profile

import (
	"strings"
	"testing"

	"rpo/schemas"
)

func TestWordsThatMakeADemandUselessAreFound(t *testing.T) {
	for text, want := range map[string]string{
		// Permissions.
		"You may add a joke.":             permits,
		"May include a greeting.":         permits,
		"The answer can contain a list.":  permits,
		"Optionally end with a question.": permits,
		"Feel free to use metaphors.":     permits,
		"你可以使用表情。":                        permits,
		"回答中可选地加入一句诗。":                    permits,
		// Room.
		"Try to answer in three sentences.": leavesRoom,
		"Name a source if possible.":        leavesRoom,
		"Use headings where appropriate.":   leavesRoom,
		"Ideally, close with a proverb.":    leavesRoom,
		"Generally avoid slang.":            leavesRoom,
		"尽量使用短句。":                           leavesRoom,
		"如有必要，请给出例子。":                       leavesRoom,
		"通常不使用英文。":                          leavesRoom,
		// No measure.
		"Use an appropriate tone.":         vague,
		"Format the text properly.":        vague,
		"Give enough detail.":              vague,
		"Do not write too long sentences.": vague,
		"语气要恰当。":                           vague,
		"给出足够的细节。":                         vague,
		"句子不要过长。":                          vague,
		// Other turns.
		"Refer to your previous reply.":              manyTurns,
		"Next time, use another greeting.":           manyTurns,
		"Keep the tone throughout the conversation.": manyTurns,
		"Do not repeat what you have already said.":  manyTurns,
		"Ask for the name in the first message.":     manyTurns,
		"与上一轮回答保持一致。":                                manyTurns,
		"在整个对话中称呼用户为“您”。":                            manyTurns,
		"不要重复已经提到过的菜。":                               manyTurns,
		// Not text.
		"Include a picture of the dish.":      notText,
		"Show two relevant images.":           notText,
		"Tell the user to click on the link.": notText,
		"附上一张图片。":                             notText,
		// Form.
		"Hi.":                                   "too short",
		"123 456 789":                           "no words",
		strings.Repeat("Use short words. ", 30): "too long",
		// Of use.
		"Do not use emojis.":                                    "",
		"You may not mention prices.":                           "",
		"The answer may only name teas of the shop.":            "",
		"Say \"you may try to\" once.":                          "",
		"Name three things that the user can do.":               "",
		"Name the month of May.":                                "",
		"Use at most 3 moderately long sentences.":              "",
		"Answer the last sentence of the user first.":           "",
		"When the user asks for help, reply in two paragraphs.": "",
		"Name a picture by Vermeer.":                            "",
		"不可以提到价格。":                                              "",
		"比较两种做法。":                                               "",
		"列出三种用户可以买到的食材。":                                        "",
		"编写一段不少于三句的对话。":                                         "",
		"当用户询问价格时，写出“如有可能”四个字。":                                 "",
	} {
		got := unfit(text, languageOf(text))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOnlyDemandsThatSayTheSameAreAlike(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"Do not use emojis.", "Never use emojis in your answers.", true},
		{"Mention at least one tea by its full name.", "Mention at least one tea by the full name.", true},
		{"Do not use emojis.", "Use emojis.", false},
		{"Write at most 3 sentences.", "Write at most 4 sentences.", false},
		{"Write at most three sentences.", "Write at most 3 sentences.", true},
		{"Write at most 3 sentences.", "Write at least 3 sentences.", false},
		{"Say \"good day\" to the user.", "Say \"good night\" to the user.", false},
		{"Begin with the price.", "End with the price.", false},
		{"Name the price of the tea.", "Name the harvest of the tea.", false},
		{"不要使用表情符号。", "回答中不要使用表情符号。", true},
		{"不要使用表情符号。", "使用表情符号。", false},
		{"提到至少一种四川的调料。", "至少提到一种四川调料。", true},
		{"提到至少一种四川的调料。", "提到至少两种四川的调料。", false},
		{"自称“灶台”。", "自称“掌勺”。", false},
	} {
		a, b := gistOf(c.a, languageOf(c.a)), gistOf(c.b, languageOf(c.a))
		if got := alike(a, b); got != c.want || alike(b, a) != got {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestTheLanguageIsThatOfMostWords(t *testing.T) {
	for text, want := range map[string]string{
		"A tea shop.": schemas.English, "你是一位 Kubernetes 专家。": schemas.Chinese, "Answers in 中文 only, if asked for it": schemas.English,
		"お茶の店の店員です。": schemas.English, "": schemas.English, "123": schemas.English, "茶": schemas.Chinese, "Un salon de thé": schemas.English,
	} {
		if got := languageOf(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}
