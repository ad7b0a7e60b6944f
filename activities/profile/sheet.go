package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// Bounds of a written profile (arXiv 2505.22172, section 3.1), lengths in
// characters.
const (
	fewestConstraints   = 6
	mostConstraints     = 12
	shortestDescription = 100
	longestDescription  = 2000
	longestName         = 80
	mostSkills          = 10
	longestSkill        = 200
)

// sheet is a profile as a model writes it, every text one line.
type sheet struct {
	language    string
	name        string
	description string
	skills      []string
	constraints []written
}

// written is one constraint of a sheet.
type written struct {
	// text is what stands in the system message: the demand under its trigger.
	text, trigger, family string
	// rule is that of the demand alone.
	rule schemas.Rule
	// gist is of text.
	gist gist
}

// profileReply is what the model is asked for.
type profileReply struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Skills      []string `json:"skills"`
	Constraints []struct {
		Text    string `json:"text"`
		Family  string `json:"family"`
		Trigger string `json:"trigger"`
	} `json:"constraints"`
}

func profileSchema() map[string]any {
	return objectSchema(map[string]any{
		"name": textSchema(), "description": textSchema(), "skills": listSchema(textSchema(), 1, mostSkills),
		"constraints": listSchema(objectSchema(map[string]any{
			"text": textSchema(), "family": oneOfSchema(families), "trigger": textSchema(),
		}, "text", "family", "trigger"), fewestConstraints, mostConstraints),
	}, "name", "description", "skills", "constraints")
}

// parseProfile refuses a reply that is not a profile in the language at all.
// Which of its constraints are of use is for clean to say.
func parseProfile(reply, language string) (sheet, error) {
	var r profileReply
	if err := schemas.DecodeStrict([]byte(reply), &r); err != nil {
		return sheet{}, err
	}
	s := sheet{language: language}
	var err error
	if s.name, err = readLine("name", r.Name, 1, longestName); err != nil {
		return sheet{}, err
	}
	if s.description, err = readLine("description", r.Description, shortestDescription, longestDescription); err != nil {
		return sheet{}, err
	}
	if got := languageOf(s.description); got != language {
		return sheet{}, fmt.Errorf("the description is not in the language %q", language)
	}
	if len(r.Skills) < 1 || len(r.Skills) > mostSkills {
		return sheet{}, fmt.Errorf("%d skills, must be 1 to %d", len(r.Skills), mostSkills)
	}
	for _, text := range r.Skills {
		skill, err := readLine("skill", text, 1, longestSkill)
		if err != nil {
			return sheet{}, err
		}
		if !slices.ContainsFunc(s.skills, func(other string) bool { return strings.EqualFold(other, skill) }) {
			s.skills = append(s.skills, skill)
		}
	}
	if len(r.Constraints) < fewestConstraints || len(r.Constraints) > mostConstraints {
		return sheet{}, fmt.Errorf("%d constraints, must be %d to %d", len(r.Constraints), fewestConstraints, mostConstraints)
	}
	for i, c := range r.Constraints {
		if !slices.Contains(families, c.Family) {
			return sheet{}, fmt.Errorf("constraint %d has family %q, which is not one of %s", i+1, clipped(c.Family), strings.Join(families, ", "))
		}
		s.constraints = append(s.constraints, compose(c.Text, c.Trigger, c.Family, language))
	}
	return s, nil
}

// readLine folds a text into one line and bounds its length in characters.
func readLine(what, text string, shortest, longest int) (string, error) {
	line := oneLine(text)
	switch n := utf8.RuneCountInString(line); {
	case n < shortest:
		return "", fmt.Errorf("the %s has %d characters, must have at least %d", what, n, shortest)
	case n > longest:
		return "", fmt.Errorf("the %s has %d characters, must have at most %d", what, n, longest)
	case strings.ContainsFunc(line, unicode.IsControl):
		return "", fmt.Errorf("the %s holds a control character", what)
	case !strings.ContainsFunc(line, unicode.IsLetter):
		return "", fmt.Errorf("the %s has no letters", what)
	}
	return line, nil
}

// compose writes a demand under its trigger. A demand with a condition has no
// rule, as in import: a query that does not meet it must not be judged by one.
func compose(text, trigger, family, language string) written {
	c := written{text: closed(unlisted(oneLine(text)), language), trigger: condition(trigger, language), family: family}
	if r, ok := rules.Recognise(c.text); ok {
		c.rule = r
	}
	switch {
	case c.trigger == "":
		if !c.rule.IsZero() {
			c.family = rules.Family(c.rule)
		}
	case strings.HasPrefix(strings.ToLower(c.text), strings.ToLower(c.trigger)):
		// The demand brings its condition with it.
	case language == schemas.Chinese:
		c.text = c.trigger + "，" + c.text
	default:
		c.text = upperFirst(c.trigger) + ", " + lowerFirst(c.text)
	}
	c.gist = gistOf(c.text, language)
	return c
}

// standing is the rule by which responses are judged.
func (c written) standing() schemas.Rule {
	if c.trigger != "" {
		return schemas.Rule{}
	}
	return c.rule
}

// closed ends a sentence that has no end.
func closed(text, language string) string {
	last, _ := utf8.DecodeLastRuneInString(text)
	if text == "" || strings.ContainsRune(".!?。！？…", last) {
		return text
	}
	text = strings.TrimRight(text, ",;:，；：、 ")
	if language == schemas.Chinese {
		return text + "。"
	}
	return text + "."
}

// unconditional is how models write that there is no trigger.
var unconditional = []string{"", "-", "none", "n/a", "null", "always", "no trigger", "无", "没有", "总是", "始终", "任何时候", "无条件"}

// condition makes a trigger a clause that a demand can follow.
func condition(trigger, language string) string {
	t := strings.Trim(oneLine(trigger), ",;:.，；：。 ")
	if slices.Contains(unconditional, strings.ToLower(t)) {
		return ""
	}
	if language == schemas.Chinese {
		for _, w := range []string{"当", "如果", "若", "一旦", "每当", "在", "假如", "倘若", "只要", "遇到", "对于"} {
			if strings.HasPrefix(t, w) {
				return t
			}
		}
		return "当" + strings.TrimSuffix(t, "时") + "时"
	}
	first, _, _ := strings.Cut(strings.ToLower(t), " ")
	if slices.Contains([]string{"when", "if", "whenever", "once", "while", "unless", "for", "in", "as", "where"}, first) {
		return lowerFirst(t)
	}
	return "when " + lowerFirst(t)
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// lowerFirst lowers the first letter of a word that is not an acronym or "I".
func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if next, _ := utf8.DecodeRuneInString(s[n:]); r == utf8.RuneError || !unicode.IsLower(next) && !(r == 'A' && next == ' ') {
		return s
	}
	return string(unicode.ToLower(r)) + s[n:]
}

// headings of a rendered profile by language.
var headings = map[string]struct{ are, skills, constraints string }{
	schemas.English: {"You are %s.", "Skills:", "Every response follows these constraints:"},
	schemas.Chinese: {"你是%s。", "技能：", "每次回答都遵守以下要求："},
}

// Heading reports whether a line is a fixed heading of a written profile, which
// says nothing about the profile.
func Heading(line string) bool {
	for _, h := range headings {
		if line == h.skills || line == h.constraints {
			return true
		}
	}
	return false
}

// render writes the system message. Every constraint stands on a line of its own,
// and its demand covers the text and no other byte.
func (s sheet) render() (string, []demand) {
	h := headings[s.language]
	var out strings.Builder
	fmt.Fprintf(&out, h.are+"\n\n%s\n\n%s\n", s.name, s.description, h.skills)
	for i, skill := range s.skills {
		out.WriteString(strconv.Itoa(i+1) + ". " + skill + "\n")
	}
	out.WriteString("\n" + h.constraints + "\n")
	demands := make([]demand, len(s.constraints))
	for i, c := range s.constraints {
		out.WriteString("- ")
		demands[i] = demand{
			span:   span{out.Len(), out.Len() + len(c.text)},
			family: c.family, trigger: c.trigger, rule: c.standing(),
		}
		out.WriteString(c.text + "\n")
	}
	return strings.TrimRight(out.String(), "\n"), demands
}
