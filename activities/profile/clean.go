package profile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"rpo/activities/chat/prompt"
)

// clean drops the constraints of a sheet that are of no use by their words, that
// repeat an earlier one, or that cannot stand beside an earlier one by rule, and
// says why for each.
func clean(s sheet) (kept []written, problems []string) {
	var prose strings.Builder // where a copy of a constraint would stay when it is reversed
	prose.WriteString(s.name + "\n" + s.description + "\n" + strings.Join(s.skills, "\n"))
	drop := func(c written, format string, args ...any) {
		problems = append(problems, problem(c.text, fmt.Sprintf(format, args...)))
	}
candidates:
	for _, c := range s.constraints {
		if strings.ContainsFunc(c.text, unicode.IsControl) {
			drop(c, "holds control characters")
			continue
		}
		if why := unfit(c.text, s.language); why != "" && c.standing().IsZero() {
			drop(c, "%s", why)
			continue
		}
		if languageOf(unquotedText(c.text)) != s.language {
			drop(c, "is not in the language of the profile")
			continue
		}
		if strings.Contains(prose.String(), c.text) {
			drop(c, "stands in the name, the description or the skills, too")
			continue
		}
		for i := 0; i < len(kept); i++ {
			o := kept[i]
			if why, weaker := clash(o, c); why != "" {
				if !weaker {
					drop(c, "%s %q", why, clipped(o.text))
					continue candidates
				}
				drop(o, "%s %q", why, clipped(c.text))
				kept = slices.Delete(kept, i, i+1)
				i--
			}
		}
		kept = append(kept, c)
	}
	return kept, problems
}

func unquotedText(text string) string {
	rest, _ := prompt.Unquoted(text)
	return rest
}

// problem is one line of what was wrong with an attempt.
func problem(text, why string) string { return fmt.Sprintf("%q %s", clipped(text), why) }

// clash says why two constraints cannot both stay, "" if they can. The later one
// goes, unless the earlier one is the weaker of the two.
func clash(earlier, later written) (why string, earlierGoes bool) {
	if alike(earlier.gist, later.gist) || strings.Contains(earlier.text, later.text) {
		return "says the same as", false
	}
	if strings.Contains(later.text, earlier.text) {
		return "says the same as", true
	}
	switch r := relate(earlier.rule, later.rule); {
	case !together(earlier, later):
	case r == exclusive:
		return "contradicts", false
	case r == implies && (earlier.trigger == "" || later.trigger != ""):
		return "follows from", false
	case r == implied && (later.trigger == "" || earlier.trigger != ""):
		return "follows from", true
	}
	return "", false
}

// together reports that there is a case in which both constraints apply for
// certain: one of them always does, or their conditions are the same.
func together(a, b written) bool {
	return a.trigger == "" || b.trigger == "" || strings.EqualFold(a.trigger, b.trigger)
}
