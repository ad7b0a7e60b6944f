package rules

import (
	"strconv"
	"strings"

	"rpo/schemas"
)

var chineseParts = map[string]string{
	"must":    `(?:请|务必|必须|须|需要|需|应该|应当|应|要|都要|得)`,
	"subject": `(?:你的|你|整个|整体|所有|全部|每次)?(?:输出|回答|回复|答案|回应|响应)?(?:的)?(?:文本|内容|文字)?(?:整体)?(?:中|里|内|时)?`,
	"pre":     `{must}?(?:将|把)?{subject}{must}?(?:在回答中|在回复中|在答案中)?(?:始终|都)?`,
	"not":     `(?:不要|不能|不得|不可以|不可|不应|不应该|禁止|严禁|请勿|勿|避免|不)`,
	"have":    `(?:使用|包含|包括|含有|含|出现|存在|带有|带|加入|加上|添加|插入|要有|有|输出)`,
	"n":       `(?P<n>[0-9]{1,6}|[一二两三四五六七八九十]{1,3})`,
	"at most": `(?P<most>不超过|不多于|不大于|不得超过|不能超过|不可超过|不要超过|至多|最多|不得多于|小于等于|小于或等于)`,
	"under":   `(?P<under>小于|少于|低于)`,
	"atleast": `(?P<least>不少于|不低于|不小于|至少|最少|不得少于|不能少于|大于等于|大于或等于)`,
	"over":    `(?P<over>大于|多于|超过|高于)`,
	"exactly": `(?P<exact>等于|刚好|正好|恰好)`,
	"rel":     `(?:{at most}|{under}|{atleast}|{over}|{exactly})`,
	"within":  `(?P<within>以内|之内|内|以下)`,
	"above":   `(?P<above>以上|及以上|或以上)`,
	"hanzi":   `(?P<hanzi>汉字字数数量|汉字字数|汉字数量|汉字个数|汉字数)`,
	"length":  `(?P<length>总字数|字数|字数数量|字数总数)`,
	"chars":   `(?P<chars>字符数|字符数量|总字符数)`,
	"sign":    `(?P<sign>emoji表情符号|emoji表情包|emoji表情|emoji|逗号|链接|网址|超链接|问号|感叹号)`,
	"quote":   `[“"‘'「](?P<text>[^“”"「」]{1,60})[”"’'」]`,
	"lang":    `(?P<language>中文|汉语|英文|英语|日文|日语|韩文|韩语|法文|法语|德文|德语|俄文|俄语|西班牙语|意大利语|葡萄牙语|阿拉伯语|泰语|越南语)`,
	"end":     `[。.！!；;]?`,
}

var chinese grammar

func init() {
	add := func(pattern string, read func(map[string]string) (schemas.Rule, bool)) {
		chinese = append(chinese, production{expand(chineseParts, pattern), read})
	}
	// Length of the whole response.
	add(`{pre}(?:的)?(?:{hanzi}|{length}|{chars})(?:应|要|需|须|必须|应该|应当|需要)?(?:控制在|限制在|保持在)?{rel}{n}个?(?P<tail>汉字|字符|字)?{end}`, chineseLength)
	add(`{pre}(?:的)?(?:{hanzi}|{length}|{chars})(?:应|要|需|须|必须|应该|应当|需要)?(?:控制在|限制在|保持在|在)?{n}个?(?P<tail>汉字|字符|字)?(?:{within}|{above}){end}`, chineseLength)
	add(`{pre}(?:控制在|限制在|保持在|在)?{n}个?(?P<unit>汉字|字符|字)(?:{within}|{above}){end}`, chineseLength)
	add(`{pre}(?:长度)?{rel}{n}个?(?P<unit>汉字|字符|字){end}`, chineseLength)
	add(`{pre}(?:为|仅为|只有|共|共有){n}(?P<unit>句话){end}`, chineseExactly)
	add(`{pre}{rel}{n}(?P<unit>句话){end}`, chineseLength)
	add(`{pre}(?:控制在|限制在|在)?{n}(?P<unit>句话)(?:{within}|{above}){end}`, chineseLength)
	// Signs.
	add(`{pre}{not}(?:使用|包含|出现|含有|含|有|加入|带有|带|添加|输出|用)(?:任何)?(?:的)?{sign}{end}`, chineseNone)
	add(`{pre}{have}(?:任何)?{sign}{end}`, chineseSome)
	add(`{pre}(?:{have}{rel}|{rel}{have}|{rel}){n}(?:个|种|次|句)(?:的)?{sign}{end}`, chineseSign)
	add(`{pre}{have}{n}(?:个|种|次|句)?(?:{above})(?:的)?{sign}{end}`, chineseSign)
	// Given texts.
	add(`{pre}(?:必须|须|需|要|应)?以{quote}(?:来|作为|为)?(?:开头|开始|开场|起始)(?:进行)?(?:回答|回复|输出)?{end}`, chineseQuoted("starts_with"))
	add(`{pre}(?:必须|须|需|要|应)?以{quote}(?:来|作为|为)?(?:结尾|结束|收尾|结束语)(?:进行)?(?:回答|回复|输出)?{end}`, chineseQuoted("ends_with"))
	add(`{pre}{not}(?:使用|包含|包括|出现|含有|提到|提及|说|输出){quote}(?:一词|这个词|这个字|这个词语|字样|的字样|两字|两个字|二字)?{end}`, func(m map[string]string) (schemas.Rule, bool) {
		return negated(chineseQuoted("contains")(m))
	})
	add(`{pre}(?:使用|包含|含有|含|出现|提到|提及)(?:关键词|词语|词汇|短语|文字)?{quote}(?:一词|这个词|这个字|这个词语|字样|的字样|两字|两个字|二字)?{end}`, chineseQuoted("contains"))
	// Language.
	add(`{pre}(?:始终)?(?:使用|用|以){lang}(?:来)?(?:进行)?(?:回答|回复|输出|作答|回应|交流)(?:用户|问题|用户问题|用户的问题)?{end}`, chineseLanguage)
	add(`{pre}(?:语言)?(?:为|是|使用){lang}{end}`, chineseLanguage)
}

func recogniseChinese(text string) (schemas.Rule, bool) {
	// Blanks mean nothing outside of quotes, where they must stay.
	if !strings.ContainsAny(text, "“”\"‘’'「」") {
		text = strings.ReplaceAll(text, " ", "")
	}
	return chinese.recognise(text)
}

// chineseNumber reads digits and numerals up to ninety-nine.
func chineseNumber(s string) (int, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, true
	}
	const digits = "一二三四五六七八九"
	n, unit := 0, 0
	for _, r := range s {
		if r == '十' {
			if n > 9 {
				return 0, false
			}
			n = max(unit, 1) * 10
			unit = 0
			continue
		}
		if r == '两' {
			r = '二'
		}
		if unit > 0 {
			return 0, false
		}
		unit = strings.IndexRune(digits, r)/3 + 1
	}
	return n + unit, n+unit > 0
}

func chineseRelation(m map[string]string) string {
	switch {
	case m["most"] != "", m["within"] != "":
		return atMost
	case m["under"] != "":
		return fewerThan
	// In Chinese use and law 以上 includes the number itself.
	case m["least"] != "", m["above"] != "":
		return atLeast
	case m["over"] != "":
		return moreThan
	case m["exact"] != "":
		return exactly
	}
	return ""
}

// chineseLength reads 字 as Chinese word counts do: a Chinese character, or a
// foreign word or number, without punctuation.
func chineseLength(m map[string]string) (schemas.Rule, bool) {
	kind := "words"
	switch {
	case m["hanzi"] != "" || m["unit"] == "汉字":
		kind = "hanzi"
	case m["chars"] != "" || m["unit"] == "字符":
		kind = "characters"
	case m["unit"] == "句话":
		kind = "sentences"
	}
	// "字数不超过80字符" says two things.
	if tail := m["tail"]; tail != "" && tail != map[string]string{"words": "字", "hanzi": "汉字", "characters": "字符"}[kind] &&
		!(kind == "hanzi" && tail == "字") {
		return schemas.Rule{}, false
	}
	n, ok := chineseNumber(m["n"])
	// A handful of characters is the length of a part, never of an answer.
	if relation := chineseRelation(m); ok && relation != "" && (kind == "sentences" || n >= 5) {
		return recognisedCount(kind, relation, n)
	}
	return schemas.Rule{}, false
}

func chineseExactly(m map[string]string) (schemas.Rule, bool) {
	m["exact"] = m["n"]
	return chineseLength(m)
}

var chineseSigns = map[string]string{
	"emoji": "emoji", "emoji表情": "emoji", "emoji表情包": "emoji", "emoji表情符号": "emoji",
	"逗号": "commas", "链接": "links", "网址": "links", "超链接": "links", "问号": "questions", "感叹号": "exclamations",
}

func chineseNone(m map[string]string) (schemas.Rule, bool) {
	return recognisedCount(chineseSigns[strings.ToLower(m["sign"])], fewerThan, 1)
}

func chineseSome(m map[string]string) (schemas.Rule, bool) {
	return recognisedCount(chineseSigns[strings.ToLower(m["sign"])], atLeast, 1)
}

func chineseSign(m map[string]string) (schemas.Rule, bool) {
	n, ok := chineseNumber(m["n"])
	if relation := chineseRelation(m); ok && relation != "" {
		marks := m["sign"] == "问号" || m["sign"] == "感叹号"
		return recognisedSigns(chineseSigns[strings.ToLower(m["sign"])], marks, bound{relation, n})
	}
	return schemas.Rule{}, false
}

func chineseQuoted(kind string) func(m map[string]string) (schemas.Rule, bool) {
	return func(m map[string]string) (schemas.Rule, bool) {
		if strings.Contains(m["text"], "或") {
			return schemas.Rule{}, false
		}
		return quotedAs(kind)(m)
	}
}

var chineseLanguages = map[string]string{
	"中文": "zh", "汉语": "zh", "英文": "en", "英语": "en", "日文": "ja", "日语": "ja", "韩文": "ko", "韩语": "ko", "法文": "fr", "法语": "fr",
	"德文": "de", "德语": "de", "俄文": "ru", "俄语": "ru", "西班牙语": "es", "意大利语": "it", "葡萄牙语": "pt", "阿拉伯语": "ar", "泰语": "th",
	"越南语": "vi",
}

func chineseLanguage(m map[string]string) (schemas.Rule, bool) {
	return recognised("language", map[string]any{"language": chineseLanguages[m["language"]]})
}
