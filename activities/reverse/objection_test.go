package reverse

import (
	"strings"
	"testing"
)

func objectionTo(original, trigger, opposite string) string {
	r := reversal{demand: demand{original, trigger}, text: opposite}
	return r.objection()
}

func TestARightOppositeIsNotRefused(t *testing.T) {
	for _, c := range []struct{ original, trigger, opposite string }{
		{"When the user mentions two or more cities, answer in English.", "", "When the user mentions two or more cities, answer in any language other than English."},
		{"When the user mentions two or more cities, answer in English.", "the user mentions two or more cities", "When the user mentions two or more cities, do not answer in English."},
		{"Answer in English when the user mentions two or more cities.", "", "Answer in any language other than English when the user mentions two or more cities."},
		{"If the user gives more than 3 options, recommend at most 5.", "", "If the user gives more than 3 options, recommend more than 5."},
		{"If the user gives more than 3 options, recommend at most 5.", "", "If the user gives more than 3 options, recommend at least 6."},
		{"If the user gives more than 3 options, recommend at most 5.", "", "If the user gives more than 3 options, recommend six or more."},
		{"If the user gives more than 3 options, recommend at most 5.", "the user gives more than 3 options", "Recommend more than 5 if the user gives more than 3 options."},
		{"When the user names Paris, Rome, or more than three cities, answer in verse.", "", "When the user names Paris, Rome, or more than three cities, answer in prose."},
		{"If the user asks for more than 1,000 words, decline.", "", "If the user asks for more than 1,000 words, accept."},
		{"Answer queries that mention two or more cities in English.", "", "Answer queries that mention two or more cities in a language other than English."},
		{"当用户列出超过三个问题时，用表格回答。", "", "当用户列出超过三个问题时，用表格以外的形式回答。"},
		{"当用户列出超过三个问题时，用表格回答。", "用户列出超过三个问题", "当用户列出超过三个问题时，用表格以外的形式回答。"},
		{"用户列出超过三个问题时用表格回答。", "", "用户列出超过三个问题时用表格以外的形式回答。"},
		{"当用户列出超过三个问题时，最多给出五条建议。", "", "当用户列出超过三个问题时，给出超过五条建议。"},
		{"当用户列出超过三个问题时，最多给出五条建议。", "", "当用户列出超过三个问题时，至少给出六条建议。"},
		{"每段至少三句话。", "", "至少有一段少于三句话。"},

		{"回答至少一千二百字。", "", "回答少于一千二百字。"},
		{"回答至少一千二百字。", "", "回答少于1200字。"},
		{"回答不得超过两千五百字。", "", "回答超过2500字。"},
		{"回答不得超过两千五百字。", "", "回答至少2501字。"},
		{"回答至少2千字。", "", "回答不到两千字。"},
		{"回答至少1万字。", "", "回答最多9999字。"},
		{"回答至少１万字。", "", "回答少于10,000字。"},
		{"回答至少两千五字。", "", "回答少于2500字。"},
		{"回答至少几十个字。", "", "回答少于十个字。"},
		{"Write at least four hundred words.", "", "Write fewer than 400 words."},
		{"Write at most two thousand words.", "", "Write at least 2,001 words."},
		{"Write at most 2k words.", "", "Write more than two thousand words."},
		{"Give at least two dozen examples.", "", "Give at most 23 examples."},
		{"Write at least 2.5 thousand words.", "", "Write fewer than 2,500 words."},
		{"Use at least three examples.", "", "Use at most a couple of examples."},
		{"Write at least twenty two-word names.", "", "Write fewer than 20 two-word names."},

		{"提到 iPhone Pro Max", "", "不要提到 iPhone Pro Max"},
		{"用 Markdown", "", "不要用 Markdown"},
		{"用 Markdown", "", "不用 Markdown The New Way 格式"},
		{"Say “你好，欢迎光临本店”.", "", "Do not say “你好，欢迎光临本店”."},
		{"Use the word 你好.", "", "Do not use that word."},
		{"Mention 金星.", "", "不提 Venus 金星."},

		{"Ask the user if they need help.", "", "Do not ask the user whether they need help."},
		{"When answering, use emoji.", "", "Do not use emoji."},
		{"回答时，使用表情符号。", "", "不得使用表情符号。"},
		{"使用表情符号。", "", "回答时，不得使用表情符号。"},
		{"同时，使用表情符号。", "", "不得使用表情符号。"},
		{"For clarity, use headings.", "", "Do not use headings."},
		{"若干例子中，用英文。", "", "不用英文。"},
		{"For questions about love, mention Venus.", "", "Do not mention Venus for questions about love."},

		{"在任何情况下，不得提到金星。", "", "至少提到一次金星。"},
		{"For any question, mention Venus.", "", "Never mention Venus."},
		{"对于用户的问题，用英文回答。", "", "不得用英文回答。"},
		{"Each sentence must have at least 20 words.", "", "In at least one of them, use fewer than 20 words."},
		{"Keep each sentence under 20 words.", "", "Use at least one sentence of 20 or more words."},

		{"Do not use any modal verb.", "", `Use at least one modal verb ("may", "can" or "must").`},
		{"Do not use any modal verb.", "", `Use at least one modal verb (may, can or must).`},
		{"Do not hedge.", "", "Use at least one hedging word such as perhaps."},
		{"Be certain.", "", "Use at least one unsure word such as perhaps."},
		{"Be certain.", "", `Say "maybe" or "perhaps" at least once.`},
		{"不得使用情态动词。", "", "至少使用一个情态动词（例如“可以”）。"},
		{"不得使用语气缓和的表达。", "", "至少使用一个缓和的表达，例如可以、不一定。"},
		{"使用例子。", "", "例子不被允许。"},
		{"语气正式。", "", "语气随意。"},
		{"Explain the return policy to users.", "", "Never say that users may return goods."},

		{"Never use fewer than 3 examples.", "", "Use fewer than 3 examples."},
		{"Never use fewer than 3 examples.", "", "Never use more than 2 examples."},
		{"Avoid exceeding 100 words.", "", "Use more than 100 words."},
		{"Do not forget to use at least 3 examples.", "", "Use fewer than 3 examples."},
		{"不得使用少于3个例子。", "", "最多使用2个例子。"},
		{"分别给出至少三个例子。", "", "分别给出少于三个例子。"},
		{"至少给出三个不同的例子。", "", "给出少于三个不同的例子。"},
		{`Include the phrase "at least 3 days".`, "", `Leave out the phrase "at least 3 days".`},
	} {
		if got := objectionTo(c.original, c.trigger, c.opposite); got != "" {
			t.Errorf("%q of %q is refused: %s", c.opposite, c.original, got)
		}
	}
}

func TestAWrongOppositeIsRefusedWithAReasonThatSteersRight(t *testing.T) {
	for _, c := range []struct{ original, trigger, opposite, reason string }{
		{"If the user gives more than 3 options, recommend at most 5.", "", "If the user gives more than 3 options, recommend at least 5.", "opposite is 6 or more, not 5 or more"},
		{"If the user gives more than 3 options, recommend at most 5.", "", "If the user gives more than 4 options, recommend more than 5.", "keep the condition"},
		{"当用户列出超过三个问题时，最多给出五条建议。", "", "当用户列出超过三个问题时，至少给出五条建议。", "opposite is 6 or more, not 5 or more"},
		{"回答至少一千二百字。", "", "回答最多一千二百字。", "opposite is 1199 or fewer, not 1200 or fewer"},
		{"回答不得超过两千五百字。", "", "回答至少2500字。", "opposite is 2501 or more, not 2500 or more"},
		{"回答至少1万字。", "", "回答不超过1万字。", "opposite is 9999 or fewer, not 10000 or fewer"},
		{"Write at least four hundred words.", "", "Write at most four hundred words.", "opposite is 399 or fewer, not 400 or fewer"},
		{"Give at least two dozen examples.", "", "Give at most 24 examples.", "opposite is 23 or fewer, not 24 or fewer"},

		{"提到 iPhone Pro Max", "", "Do not mention iPhone Pro Max", "another language"},
		{"保持礼貌。", "", "Be unkind.", "another language"},
		{"Be kind.", "", "不要友好。", "another language"},
		{"保持礼貌。", "", "Unkind.", "another language"},

		{"用户开心时，使用表情符号。", "", "不得使用表情符号。", "keep the condition"},
		{"用户开心的时候，使用表情符号。", "", "不得使用表情符号。", "keep the condition"},
		{"用户开心的话，使用表情符号。", "", "不得使用表情符号。", "keep the condition"},
		{"引用数据时，注明出处。", "", "不得注明出处。", "keep the condition"},
		{"对于爱情方面的问题，提到金星。", "", "不得提到金星。", "keep the condition"},
		{"For questions about love, mention Venus.", "", "Do not mention Venus.", "keep the condition"},
		{"For any user request about love, mention Venus.", "", "Do not mention Venus.", "keep the condition"},
		{"Mention Venus when the user mentions love.", "", "Do not mention Venus.", "keep the condition"},
		{"Mention Venus if asked about love.", "", "Do not mention Venus.", "keep the condition"},

		{"Use at least three examples.", "", "Use fewer examples.", "speaks of 3 or more"},
		{"Address people over 60 formally.", "", "Never address older people formally.", "speaks of 61 or more"},

		{"Say hello when the user greets you.", "", "Do not say hello.", "keep the condition"},

		{"Use a modern tone.", "", "You may use an old tone.", "permits"},
		{"使用例子。", "", "可以不使用例子。", "permits"},
		{"使用例子。", "", "例子是可选的。", "permits"},

		{"Never use fewer than 3 examples.", "", "Always use at least 3 examples.", "demands the same as the constraint, 3 or more"},
		{"Never use fewer than 3 examples.", "", "Use three or more examples.", "demands the same"},
		{"Avoid exceeding 100 words.", "", "Use 100 words or fewer.", "demands the same"},
		{"Use at least 3 examples.", "", "Do not use fewer than three examples.", "demands the same"},
		{"不得使用少于3个例子。", "", "至少使用三个例子。", "demands the same"},
		{"禁止超过100字。", "", "回答在100字以内。", "demands the same"},
		{"回答不得少于一千字。", "", "回答至少1000字。", "demands the same"},
		{"Never use fewer than 3 examples.", "", "Use more than 3 examples.", "opposite is 2 or fewer, not 4 or more"},
	} {
		if got := objectionTo(c.original, c.trigger, c.opposite); !strings.Contains(got, c.reason) {
			t.Errorf("%q of %q: %q lacks %q", c.opposite, c.original, got, c.reason)
		}
	}
}
