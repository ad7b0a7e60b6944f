package rules

import (
	"fmt"
	"strings"
	"unicode"

	"rpo/schemas"
)

// inChinese reports whether a demand is written in Chinese: outside of
// quotation marks it has more Chinese characters than words of other scripts,
// and no kana, which would make it Japanese.
func inChinese(text string) bool {
	han, words := 0, 0
	var until, before rune // the mark that ends the quotation we are in
	for _, r := range text {
		switch {
		case until != 0:
			if r == until {
				until = 0
			}
		case closing[r] != 0 && !(r == '\'' && unicode.IsLetter(before) && !unicode.Is(unicode.Han, before)):
			until = closing[r]
		case unicode.Is(unicode.Han, r):
			han++
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return false
		case unicode.IsLetter(r) && (!unicode.IsLetter(before) || unicode.Is(unicode.Han, before)):
			words++
		}
		before = r
	}
	return han > words
}

var closing = map[rune]rune{'"': '"', '\'': '\'', '“': '”', '‘': '’', '「': '」', '『': '』'}

// chinesePhrasings are the ways to demand a rule of the rpo profile in Chinese,
// true to its test as the English ones are; nil for other profiles.
func chinesePhrasings(r schemas.Rule) ([]string, error) {
	_, a, err := resolve(r)
	if err != nil || r.Profile != "rpo" {
		return nil, err
	}
	if c, ok := chineseCounters[r.Kind]; ok {
		b := a.bound()
		if r.Negated {
			b = b.opposite()
		}
		return c.phrases(b), nil
	}
	build := chineseOthers[r.Kind]
	if build == nil {
		return nil, nil
	}
	demand, reverse := build(a)
	if r.Negated {
		return reverse, nil
	}
	return demand, nil
}

// counter names what a kind counts: the verb that makes it, the measure word
// with the noun, the noun alone and the name of the count.
type counter struct{ verb, each, noun, count string }

var chineseCounters = map[string]counter{
	"words":        {"写", "个字", "文字", "字数"},
	"characters":   {"写", "个字符", "字符", "字符数"},
	"hanzi":        {"写", "个汉字", "汉字", "汉字数"},
	"sentences":    {"写", "句话", "句子", "句数"},
	"lines":        {"写", "行", "文字行", "行数"},
	"paragraphs":   {"写", "段", "段落", "段落数"},
	"commas":       {"使用", "个逗号", "逗号", "逗号数"},
	"exclamations": {"使用", "个感叹号", "感叹号", "感叹号数"},
	"questions":    {"使用", "个问句", "问句", "问句数"},
	"digits":       {"使用", "个数字", "数字", "数字个数"},
	"emoji":        {"使用", "个emoji", "emoji", "emoji数量"},
	"links":        {"加入", "个链接", "链接", "链接数"},
	"bullets":      {"使用", "个项目符号", "项目符号", "项目符号数"},
	"lists":        {"使用", "个列表项", "列表项", "列表项数"},
	"headings":     {"使用", "个标题", "标题", "标题数"},
}

// phrases never says 以上, 以下 or 以内, of which readers disagree whether they
// include the number.
func (c counter) phrases(b bound) []string {
	n := b.n
	switch {
	case b.zero():
		return []string{
			fmt.Sprintf("不要%s任何%s。", c.verb, c.noun),
			fmt.Sprintf("回答中不得出现%s。", c.noun),
			fmt.Sprintf("回答不能含有任何%s。", c.noun),
		}
	case b.some():
		return []string{
			fmt.Sprintf("至少%s一%s。", c.verb, c.each),
			fmt.Sprintf("回答中必须出现%s。", c.noun),
			fmt.Sprintf("回答必须含有至少一%s。", c.each),
		}
	}
	switch b.relation {
	case atLeast:
		return []string{
			fmt.Sprintf("至少%s%d%s。", c.verb, n, c.each),
			fmt.Sprintf("回答的%s不得少于%d。", c.count, n),
			fmt.Sprintf("回答要有不少于%d%s。", n, c.each),
		}
	case fewerThan:
		return []string{
			fmt.Sprintf("最多%s%d%s。", c.verb, n-1, c.each),
			fmt.Sprintf("回答的%s必须少于%d。", c.count, n),
			fmt.Sprintf("回答要少于%d%s。", n, c.each),
		}
	case atMost:
		return []string{
			fmt.Sprintf("最多%s%d%s。", c.verb, n, c.each),
			fmt.Sprintf("回答的%s不得超过%d。", c.count, n),
			fmt.Sprintf("回答不能多于%d%s。", n, c.each),
		}
	case moreThan:
		return []string{
			fmt.Sprintf("至少%s%d%s。", c.verb, n+1, c.each),
			fmt.Sprintf("回答的%s必须超过%d。", c.count, n),
			fmt.Sprintf("回答要多于%d%s。", n, c.each),
		}
	case exactly:
		return []string{
			fmt.Sprintf("正好%s%d%s。", c.verb, n, c.each),
			fmt.Sprintf("回答的%s必须等于%d。", c.count, n),
			fmt.Sprintf("回答要有%d%s，不多也不少。", n, c.each),
		}
	}
	return []string{
		fmt.Sprintf("不要正好%s%d%s。", c.verb, n, c.each),
		fmt.Sprintf("回答的%s不得等于%d。", c.count, n),
		fmt.Sprintf("回答的%s必须是%d以外的数。", c.count, n),
	}
}

// chineseOthers phrase the kinds that count nothing, and their negations.
var chineseOthers = map[string]func(*args) (demand, reverse []string){
	"contains":    chineseContains,
	"starts_with": chinesePlace("开头"),
	"ends_with":   chinesePlace("结尾"),
	"language":    chineseLanguagePhrases,
	"json":        chineseJSON,
	"uppercase":   chineseCase("大写字母", "小写字母"),
	"lowercase":   chineseCase("小写字母", "大写字母"),
}

// sayChinese quotes a text so that its own quotation marks stay readable.
func sayChinese(text string) string {
	if strings.ContainsAny(text, "“”") {
		return "「" + text + "」"
	}
	return "“" + text + "”"
}

func chineseContains(a *args) (demand, reverse []string) {
	what := sayChinese(strip(a.text("text")))
	if a.flag("whole_word") {
		what = "单词" + what
	}
	n := 1
	if a.has("count") {
		n = a.number("count", 1)
	}
	if n == 1 {
		return []string{"回答中必须包含" + what + "。", "回答要提到" + what + "。", "必须使用" + what + "。"},
			[]string{"回答中不得出现" + what + "。", "回答不要提到" + what + "。", "不能使用" + what + "。"}
	}
	return []string{
			fmt.Sprintf("回答中%s至少出现%d次。", what, n),
			fmt.Sprintf("使用%s的次数不得少于%d次。", what, n),
		}, []string{
			fmt.Sprintf("回答中%s最多出现%d次。", what, n-1),
			fmt.Sprintf("使用%s的次数必须少于%d次。", what, n),
		}
}

func chinesePlace(place string) func(*args) (demand, reverse []string) {
	return func(a *args) (demand, reverse []string) {
		what := sayChinese(strip(a.text("text")))
		return []string{"以" + what + place + "。", "回答必须以" + what + place + "。", "回答的" + place + "必须是" + what + "。"},
			[]string{"不要以" + what + place + "。", "回答不得以" + what + place + "。", "回答的" + place + "不能是" + what + "。"}
	}
}

func chineseLanguagePhrases(a *args) (demand, reverse []string) {
	name := chineseLanguageNames[a.text("language")]
	return []string{"用" + name + "回答。", "回答必须使用" + name + "。", "请用" + name + "作答。"},
		[]string{"不要用" + name + "回答。", "用" + name + "以外的语言回答。", "回答的主要语言不能是" + name + "。"}
}

func chineseJSON(a *args) (demand, reverse []string) {
	if !a.has("keys") {
		return []string{"整个回答必须是一个JSON对象或列表。", "只输出一个JSON对象或列表，不要有其他内容。"},
			[]string{"整个回答不能是一个JSON对象或列表。", "不要只输出一个JSON对象或列表。"}
	}
	keys := a.texts("keys")
	said := make([]string, len(keys))
	for i, k := range keys {
		said[i] = sayChinese(k)
	}
	with := "含有键" + strings.Join(said, "、") + "的JSON对象"
	if len(keys) > 1 {
		with = "同时" + with
	}
	return []string{"整个回答必须是一个" + with + "。", "只输出一个" + with + "，不要有其他内容。"},
		[]string{"整个回答不能是一个" + with + "。", "不要只输出一个" + with + "。"}
}

func chineseCase(only, none string) func(*args) (demand, reverse []string) {
	return func(*args) (demand, reverse []string) {
		return []string{"不要使用任何" + none + "。", "字母只能用" + only + "。", "回答中不得出现" + none + "。"},
			[]string{"至少使用一个" + none + "。", "字母不能只用" + only + "。", "回答中必须出现" + none + "。"}
	}
}

var chineseLanguageNames = map[string]string{
	"af": "南非荷兰语", "ar": "阿拉伯语", "bg": "保加利亚语", "bn": "孟加拉语", "ca": "加泰罗尼亚语", "cs": "捷克语", "cy": "威尔士语",
	"da": "丹麦语", "de": "德语", "el": "希腊语", "en": "英语", "es": "西班牙语", "et": "爱沙尼亚语", "fa": "波斯语", "fi": "芬兰语",
	"fr": "法语", "gu": "古吉拉特语", "he": "希伯来语", "hi": "印地语", "hr": "克罗地亚语", "hu": "匈牙利语", "id": "印度尼西亚语",
	"it": "意大利语", "ja": "日语", "kn": "卡纳达语", "ko": "韩语", "lt": "立陶宛语", "lv": "拉脱维亚语", "mk": "马其顿语",
	"ml": "马拉雅拉姆语", "mr": "马拉地语", "ne": "尼泊尔语", "nl": "荷兰语", "no": "挪威语", "pa": "旁遮普语", "pl": "波兰语",
	"pt": "葡萄牙语", "ro": "罗马尼亚语", "ru": "俄语", "sk": "斯洛伐克语", "sl": "斯洛文尼亚语", "so": "索马里语", "sq": "阿尔巴尼亚语",
	"sv": "瑞典语", "sw": "斯瓦希里语", "ta": "泰米尔语", "te": "泰卢固语", "th": "泰语", "tl": "他加禄语", "tr": "土耳其语",
	"uk": "乌克兰语", "ur": "乌尔都语", "vi": "越南语", "zh": "中文",
}

// underChineseTrigger puts a Chinese demand under its condition.
func underChineseTrigger(trigger, demand string) string {
	t := strings.TrimRight(strip(trigger), ",，.。:：;； ")
	switch {
	case t == "":
		return demand
	case !inChinese(t):
		return underTrigger(trigger, demand)
	}
	for _, w := range []string{"当", "如果", "若", "一旦", "每当", "在", "假如", "倘若", "只要", "要是", "除非", "对于", "每次"} {
		if strings.HasPrefix(t, w) {
			return t + "，" + demand
		}
	}
	for _, w := range []string{"时", "时候", "后", "之前", "情况下", "的话"} {
		if strings.HasSuffix(t, w) {
			return t + "，" + demand
		}
	}
	return "当" + t + "时，" + demand
}
