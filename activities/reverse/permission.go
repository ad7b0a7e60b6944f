package reverse

import (
	"regexp"
	"strings"

	"rpo/activities/chat/prompt"
)

const others = `(?:users?|customers?|clients?|readers?|people|they|who|he|she) `

// permissions are words that leave a response free. A group that matches holds
// what makes one a prohibition, or a word about somebody else.
var permissions = []*regexp.Regexp{
	regexp.MustCompile(`\b(` + others + `)?may\b( not\b)?`),
	regexp.MustCompile(`\b(?:you|it|(?:the |your )?(?:response|answer|reply|output)s?) (?:can|could|might)\b( not\b)?`),
	regexp.MustCompile(`\b(not |never )?(?:be |is |are )?(?:(?:allowed|permitted)|free|welcome) to\b`),
	regexp.MustCompile(`\b(?:(?:is|are|be) optional|optionally|feel free|at your discretion|if you (?:like|wish|want|prefer)|need not|needn't|` +
		`(?:do|does) not (?:have|need) to|(?:don't|doesn't) (?:have|need) to|not required to|not (?:be )?obliged to|not necessarily|perhaps|maybe)\b`),
	regexp.MustCompile(`(不被?|未经?|用户|顾客|客户|读者|他们)?(?:可以|允许)`),
	regexp.MustCompile(`(用户|顾客|客户|读者|他们)?(?:无需|无须|不必|不需要|不一定)|可有可无|随意(?:选择|使用|决定|安排|发挥)|酌情|自行决定|[是为]可选|可选[。，,.]?$`),
}

var (
	// wording is what a constraint on words of permission themselves speaks of.
	wording = regexp.MustCompile(`\b(?:hedg\w*|modals?|auxiliar\w*|adverbs?|verbs?|uncertain\w*|tentative\w*|qualifiers?|speculat\w*|permissions?|politeness|the words?|the phrases?)\b` +
		`|情态|助动词|副词|动词|词语|语气|委婉|模糊|不确定|推测|措辞|字眼|[的个]词|许可`)
	// mentioned are words given as words, not used.
	mentioned = regexp.MustCompile("`[^`]*`" + `|\([^()]*\)|（[^（）]*）|(?:^|[\s,])'[^']*'|(?:such as|e\.g\.|for example|for instance|including|namely|(?:the|a) (?:words?|phrases?))[^.;]*|(?:例如|比如|诸如|譬如)[^。；]*`)
)

// permission returns a word of permission that the opposite has and the original
// has not, "" if there is none, or if the original is about such words.
func permission(original, opposite string) string {
	if wording.MatchString(strings.ToLower(original)) {
		return ""
	}
	for _, p := range permissions {
		a, _ := freely(p, original)
		if b, word := freely(p, opposite); b > a {
			return word
		}
	}
	return ""
}

// freely counts the permissions that a text gives and returns the last one.
func freely(p *regexp.Regexp, text string) (n int, word string) {
	// "May" is a month, "may" is none.
	text, _ = prompt.Unquoted(apostrophe.ReplaceAllString(text, "$1'$2"))
	text = mentioned.ReplaceAllString(text, " ")
	for _, m := range p.FindAllStringSubmatchIndex(text, -1) {
		binds := false
		for i := 2; i < len(m); i += 2 {
			binds = binds || m[i] >= 0
		}
		if !binds {
			n, word = n+1, text[m[0]:m[1]]
		}
	}
	return n, word
}
