package profile

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"rpo/activities/chat/prompt"
	"rpo/schemas"
)

// alikeFrom is the share of common parts from which two demands say the same.
const alikeFrom = 0.8

var (
	// fillers carry nothing that tells two demands apart.
	fillers = map[string]bool{}
	// chineseFillers do the same inside of words.
	chineseFillers = strings.NewReplacer("每次", "", "回答", "", "回复", "", "答案", "", "输出", "", "必须", "", "应当", "", "应该", "",
		"务必", "", "需要", "", "始终", "", "用户", "", "你的", "", "的", "", "了", "", "在", "", "中", "", "里", "", "时", "", "请", "", "要", "", "应", "", "须", "", "当", "", "都", "", "你", "", "您", "")
	numerals = map[string]string{
		"one": "1", "once": "1", "two": "2", "twice": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
		"一": "1", "二": "2", "两": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8", "九": "9", "十": "10",
	}
	figures  = regexp.MustCompile(`(?i)\d+|\b(?:once|twice|one|two|three|four|five|six|seven|eight|nine|ten)\b|[一二两三四五六七八九十]`)
	negating = regexp.MustCompile(`(?i)\b(?:not|no|never|without|avoid|refrain|free of|leave out|omit|cannot|nothing|none)\b|n't\b|不|勿|禁止|严禁|避免|无|别`)
	bounding = regexp.MustCompile(`(?i)\b(?:at least|at most|exactly|fewer|less|more|under|over|up to|minimum|maximum|first|last|before|after|start|begin|end|upper|lower)\b|至少|至多|最多|最少|不超过|不少于|以内|以上|超过|正好|恰好|开头|结尾|之前|之后|首|末`)
)

func init() {
	for _, w := range strings.Fields(`the a an in of to for with by on at as is are be it its this that your you each every any all and or must should shall
		always please use using when if whenever user user's users asks ask mentions mention response responses answer answers reply replies output do does make sure`) {
		fillers[w] = true
	}
}

// gist is what of a demand is compared with another.
type gist struct {
	text                    string
	quoted, numbers, bounds []string
	forbids                 bool
	parts                   map[string]bool
}

func gistOf(text, language string) gist {
	rest, quoted := prompt.Unquoted(text)
	return gist{
		text: text, quoted: sorted(quoted), numbers: numbersOf(rest), forbids: negating.MatchString(rest),
		bounds: sorted(bounding.FindAllString(strings.ToLower(rest), -1)), parts: partsOf(rest, language),
	}
}

// alike reports that two demands say the same in nearly the same words. Demands
// that differ in a number, a quoted text, a bound or in whether they forbid are
// never alike.
func alike(a, b gist) bool {
	if strings.EqualFold(a.text, b.text) {
		return true
	}
	return a.forbids == b.forbids && slices.Equal(a.quoted, b.quoted) && slices.Equal(a.numbers, b.numbers) &&
		slices.Equal(a.bounds, b.bounds) && jaccard(a.parts, b.parts) >= alikeFrom
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

func numbersOf(text string) []string {
	var out []string
	for _, n := range figures.FindAllString(text, -1) {
		if word, ok := numerals[strings.ToLower(n)]; ok {
			n = word
		}
		out = append(out, n)
	}
	return sorted(out)
}

// partsOf are the words of an English text, and the pairs of neighbouring
// characters of a Chinese one, without fillers and without what alike compares
// by itself.
func partsOf(text, language string) map[string]bool {
	out := map[string]bool{}
	text = strings.ToLower(text)
	for _, apart := range []*regexp.Regexp{bounding, figures, negating} {
		text = apart.ReplaceAllString(text, " ")
	}
	if language == schemas.Chinese {
		text = chineseFillers.Replace(strings.ReplaceAll(text, " ", ""))
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '\'' })
	for _, w := range words {
		if language != schemas.Chinese {
			if !fillers[w] {
				out[strings.TrimSuffix(w, "s")] = true
			}
			continue
		}
		runes := []rune(w)
		for i := range max(len(runes)-1, 1) {
			out[string(runes[i:min(i+2, len(runes))])] = true
		}
	}
	return out
}

// jaccard is the share of common elements; two empty sets have nothing in common.
func jaccard(a, b map[string]bool) float64 {
	common := 0
	for part := range a {
		if b[part] {
			common++
		}
	}
	if union := len(a) + len(b) - common; union > 0 {
		return float64(common) / float64(union)
	}
	return 0
}
