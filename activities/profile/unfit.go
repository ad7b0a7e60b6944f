package profile

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// flaw is a way in which the words of a demand make it useless as a constraint.
type flaw struct {
	pattern *regexp.Regexp
	// reason completes "the constraint …".
	reason string
	// unless is said of the whole demand: with it the words do no harm.
	unless *regexp.Regexp
}

var (
	// englishFirm are the uses of "may" and "can" that forbid or restrict.
	englishFirm = regexp.MustCompile(`(?i)\b(?:may|can) (?:not|never|only)\b`)
	// measured is a demand that brings a number or a given text with it.
	measured = regexp.MustCompile(`(?i)\pN|""|“”|‘’|「」|『』|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|once|twice)\b|[一二两三四五六七八九十]+(?:个|条|句|次|段|字|种|项|行|点)`)
)

func flaws(reason string, unless *regexp.Regexp, patterns ...string) (out []flaw) {
	for _, p := range patterns {
		out = append(out, flaw{regexp.MustCompile(p), reason, unless})
	}
	return out
}

const (
	permits    = "permits instead of demanding"
	leavesRoom = "leaves room (no attempts, wishes or exceptions)"
	vague      = "has no measure that can be checked"
	manyTurns  = "speaks of other turns of the conversation"
	notText    = "is about something other than text"
)

var unfitWords = map[string][]flaw{
	schemas.English: concat(
		// Lower case: May is a month.
		flaws(permits, nil, `\b(?:may|might)\b`, `^May\b`, `(?i)\b(?:you|(?:the|your|each|every|any) (?:response|answer|reply)) (?:can|could)\b`,
			`(?i)\bcan (?:also|optionally)\b`, `(?i)\boptional(?:ly)?\b`, `(?i)\bfeel free\b`),
		flaws(leavesRoom, nil, `(?i)\b(?:try|attempt|strive|aim|seek|endeavou?r) to\b`, `(?i)\b(?:if|where|when|whenever|wherever|as far as|as much as) (?:at all )?(?:possible|feasible|necessary|needed|appropriate|applicable|suitable|you can)\b`,
			`(?i)\b(?:as (?:needed|necessary|appropriate|required)|ideally|preferably|generally|usually|typically|normally|mostly|more or less|do your best)\b`, `(?i)^consider\b`),
		flaws(vague, measured, `(?i)\b(?:appropriate|proper|suitable|reasonable|adequate|sufficient|satisfactor|optimal)(?:ly|y)?\b`, `(?i)\b(?:enough|relatively|fairly|moderate(?:ly)?|decent|high[- ]quality|good|nice(?:ly)?|excellent)\b`,
			`(?i)\b(?:not )?too (?:long|short|many|much|few|detailed|complex|technical)\b`),
		flaws(manyTurns, nil, `(?i)\b(?:previous|earlier|prior|preceding|last|next|later|future|subsequent) (?:turn|repl(?:y|ies)|response|answer|message|question|exchange|interaction|conversation|chat|session|time)s?\b`,
			`(?i)\b(?:first|following) (?:turn|repl(?:y|ies)|response|message|exchange|interaction|conversation|chat|session|time)s?\b`,
			`(?i)\b(?:conversation|dialogue|chat) history\b`, `(?i)\b(?:this|our|the|each|every|entire|whole|current|ongoing)(?: (?:entire|whole|current|ongoing))? (?:conversation|chat|session)\b`,
			`(?i)\b(?:so far|next time|last time|from now on|earlier in|later in|across (?:turns|messages|responses|replies|answers)|(?:each|every|per) turn|between turns)\b`,
			`(?i)\b(?:you|user|we|they) (?:have |has |had )?(?:already|previously|earlier) (?:said|mentioned|given|asked|told|used|provided|discussed)\b`),
		flaws(notText, nil, `(?i)\b(?:include|attach|show|display|insert|draw|generate|create|provide|send|play|add|embed|use|record|upload)\w* (?:(?:an?|the|any|some|one|two|three|relevant|\d+) )*(?:images?|pictures?|photos?|photographs?|videos?|audio|sounds?|voice|gifs?|screenshots?)\b`,
			`(?i)\b(?:click|download|upload|scroll|tap) (?:on|the|a|an|any)\b`, `(?i)\b(?:send|write) (?:an? )?e-?mails? to\b`, `(?i)\b(?:search|browse) the (?:web|internet)\b`),
	),
	schemas.Chinese: concat(
		flaws(permits, nil, `(?:^|[，,；;。：:]|你|您|回答|回复|答案|也|还|时)可以?(?:选择|适当)?(?:使用|用|包含|加入|添加|提到|提及|提供|给出|写|说|在|以|用|将|把|通过|根据|适当)`, `可选(?:地|项)`, `可有可无`, `不必|无需|不一定`),
		flaws(leavesRoom, nil, `尽量|尽可能|力求|力争|争取|努力|尝试着|试着|最好`, `如有(?:可能|必要|需要)|如果(?:可能|必要|有必要|可以)|必要时|需要时|视情况|酌情|原则上|通常|一般(?:情况|来说|而言)|倾向于`),
		flaws(vague, measured, `适当|恰当|合适|合理(?:[^性拒]|$)|适度|适量|得当|妥善|妥当|足够|充分|较为|(?:比较|相对|较)(?:简|详|长|短|多|少|高|低|正|随|轻|清|容)|过于|过长|过多|良好|优质|高质量`),
		flaws(manyTurns, nil, `(?:上|前|下|后)(?:一|几)(?:轮|次|条)|(?:^|[^最])(?:上|前|下|后)(?:一|几)个?(?:对话|回答|回复|消息|问题|提问)`, `上文|前文|(?:^|[^上])下文|上次|下次|此前|先前|刚才|刚刚`, `(?:之前|前面|以往|后续|接下来|随后)的?(?:对话|回答|回复|消息|问题|提问|内容|交流)`,
			`(?:整个|整段|全程|本次|这次|当前)的?(?:对话|会话|聊天|交流)`, `(?:对话|会话|聊天)(?:过程|全程|历史|记录|开始|结束|中|里|期间)`, `每一?轮|多轮|历史(?:对话|消息|记录)`, `已经?(?:提到|说|回答|问)过`),
		flaws(notText, nil, `(?:插入|附上|附带|展示|显示|发送|发|生成|播放|添加|提供|上传|配上?|使用|包含|加入|画)(?:[一二两三]?(?:张|段|个|幅|些)|任何|相关的?)*(?:图片|图像|照片|插图|视频|音频|语音|录音|动图|截图)`, `点击|下载|上网搜索|联网`),
	),
}

func concat(lists ...[]flaw) (out []flaw) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

const (
	shortestConstraint = 4   // characters
	longestConstraint  = 400 // characters
)

// unfit says why a text cannot be a constraint, "" if its words give no reason.
// What it quotes is not read. It is the deterministic part of the check: a model
// looks at what passes.
func unfit(text, language string) string {
	switch n := utf8.RuneCountInString(text); {
	case n < shortestConstraint:
		return "is too short"
	case n > longestConstraint:
		return "is too long: at most 400 characters"
	case !strings.ContainsFunc(text, unicode.IsLetter):
		return "has no words"
	}
	return flawed(text, language)
}

// flawed is unfit but for the form of the text.
func flawed(text, language string) string {
	plain, _ := prompt.Unquoted(text)
	plain = strings.ReplaceAll(plain, "’", "'")
	if language == schemas.English {
		plain = englishFirm.ReplaceAllString(plain, "must")
	}
	for _, f := range unfitWords[language] {
		if found := f.pattern.FindString(plain); found != "" && (f.unless == nil || !f.unless.MatchString(plain)) {
			return f.reason + " (\"" + strings.TrimSpace(found) + "\")"
		}
	}
	return ""
}
