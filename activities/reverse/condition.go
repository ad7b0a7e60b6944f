package reverse

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const clauseEnd = `[^,，.。;；:：]*`

var (
	// explicit conditions begin a text with a word that only conditions begin with.
	explicit = regexp.MustCompile(`^(?:(?:when|whenever|if|once|unless|while|in case|as soon as)\b` + clauseEnd +
		`|(?:当[^前中然代地今天日]|如果|若[^干]|一旦|每当|假如|倘若|要是)` + clauseEnd + `)[,，]`)
	// implied conditions begin a text as well.
	implied = regexp.MustCompile(`^(?:for (?:[a-z'-]+ ){0,3}?(?:questions?|requests?|quer(?:y|ies)|inquir(?:y|ies)|topics?|tasks?|problems?|prompts?|messages?|` +
		`conversations?|users?|customers?|cases?|situations?)\b` + clauseEnd +
		`|(?:对于?|针对|遇到|面对)[^,，.。;；:：]*(?:问题|提问|请求|话题|情况|用户|顾客|客户)` +
		`|[^,，.。;；:：]*(?:[^小及按准同随临暂平有届此那这即顿历定课限]时|时候|的话|情况下))[,，]`)
	// trailing conditions end a text, and speak of the user or what the user says.
	trailing = regexp.MustCompile(`\b(?:when|whenever|if|unless|in case|as soon as) (?:(?:the|a|an|your|any|this) )?(?:user|customer|client|caller|reader|student|player|` +
		`guest|visitor|patient|question|query|request|message|conversation|topic|prompt|input|they|asked)\b` + clauseEnd + `$`)
	// indirect questions look like trailing conditions.
	indirect = regexp.MustCompile(`\b(?:ask|check|know|tell|wonder|see|confirm|verify|find out|make sure)(?: [a-z']+){0,3} $|\b(?:say|state|explain|mention|describe|specify|show) $`)
	// idle clauses hold of every response: they are no condition.
	idle = regexp.MustCompile(`^(?:when|while|whenever|if) (?:you(?:'re| are)? )?(?:answer|respond|reply|write|speak|answering|responding|replying|writing|speaking)` +
		`(?: (?:to|the|a|an|any|all|your|user|users|user's|questions?|requests?|messages?|responses?|answers?|reply|replies|query|queries|customers?|them))*$` +
		`|^(?:if|when|whenever) (?:at all )?possible$|可能的话$|^如果可能$|任何时候|任何情况|无论|不论|不管` +
		`|^for (?:(?:all|any|every|each|your|the|of|user|user's|customer) )*(?:questions?|requests?|quer(?:y|ies)|topics?|tasks?|prompts?|messages?|conversations?|users?|customers?)$` +
		`|^(?:对于?|针对|面对)(?:所有|任何|每个|每一个|一切|全部|各种|用户|顾客|客户|提出|的)*(?:问题|提问|请求|话题|情况|用户|顾客|客户)$` +
		`|^(?:请|你|在|每次|当)*(?:回答|回复|答复|作答|输出|写作|表达|交流|对话|沟通)(?:用户|顾客|客户|问题|提问|请求|的)*(?:时|的?时候|的情况下)$`)
	// conditional is any sign of a condition, wherever it stands.
	conditional = regexp.MustCompile(`\b(?:when|whenever|if|once|unless|while|in case|as soon as|after|before|for|until)\b|当|如果|若|一旦|每当|假如|倘若|要是|时|的话|除非|情况下`)
	// enumerated tells a comma from one in a number.
	enumerated = regexp.MustCompile(`[,，](?:\D|$)`)
)

// clause is a condition that a pattern finds in a folded text, "" if none.
func clause(pattern *regexp.Regexp, text string) string {
	found := strings.TrimRight(pattern.FindString(text), ",，")
	if idle.MatchString(found) {
		return ""
	}
	return found
}

// conditions are those parts of a demand's folded text that say when it holds,
// the longest first.
func (d demand) conditions() []string {
	text := strings.TrimRight(folded(d.text), " .。!！")
	out := []string{clause(explicit, text), clause(implied, text)}
	if end := clause(trailing, text); !indirect.MatchString(strings.TrimSuffix(text, end)) {
		out = append(out, end)
	}
	if t := strings.Trim(folded(d.trigger), " ,，.。!！"); strings.Contains(text, t) {
		out = append(out, t)
	}
	out = slices.DeleteFunc(out, func(c string) bool { return c == "" })
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return slices.Compact(out)
}

// conditionChanged says how an opposite changes the condition of a demand, "" if it
// does not.
func conditionChanged(d demand, opposite string) string {
	other := plain(opposite)
	for _, c := range d.conditions() {
		if !strings.Contains(other, plain(c)) {
			return fmt.Sprintf("it does not keep the condition %q word for word", c)
		}
	}
	if c := clause(explicit, folded(opposite)); c != "" && d.trigger == "" && !conditional.MatchString(folded(d.text)) {
		return fmt.Sprintf("it adds the condition %q", c)
	}
	return ""
}

// unconditional is what a demand and its opposite ask for where the condition, which
// both keep, holds. ok is false if where the condition ends is not certain.
func (d demand) unconditional(opposite string) (original, other string, ok bool) {
	original, other = folded(d.text), folded(opposite)
	cut := false
	for _, c := range d.conditions() {
		if !strings.Contains(original, c) {
			continue // a part of one cut before
		}
		if !strings.Contains(other, c) {
			return "", "", false
		}
		original, other, cut = strings.Replace(original, c, " . ", 1), strings.Replace(other, c, " . ", 1), true
	}
	original, other = strings.Trim(original, " .,，。"), strings.Trim(other, " .,，。")
	return original, other, !cut || !enumerated.MatchString(original)
}
