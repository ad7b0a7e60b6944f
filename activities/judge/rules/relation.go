package rules

import (
	"fmt"
	"strconv"
)

// The relations of the rpo profile. Each has its complement in the set.
const (
	atLeast   = "at least"
	fewerThan = "fewer than"
	atMost    = "at most"
	moreThan  = "more than"
	exactly   = "exactly"
	otherThan = "other than"
)

var complement = map[string]string{
	atLeast: fewerThan, fewerThan: atLeast,
	atMost: moreThan, moreThan: atMost,
	exactly: otherThan, otherThan: exactly,
}

func holds(relation string, count, n int) bool {
	switch relation {
	case atLeast:
		return count >= n
	case fewerThan:
		return count < n
	case atMost:
		return count <= n
	case moreThan:
		return count > n
	case exactly:
		return count == n
	default:
		return count != n
	}
}

// bound is a count compared with a number.
type bound struct {
	relation string
	n        int
}

// bound reads {"relation": ..., "n": ...}. Demands that every count or no
// count meets are refused, since their opposite could not be followed.
func (a *args) bound() bound {
	b := bound{relation: a.choice("relation", atLeast, fewerThan, atMost, moreThan, exactly, otherThan)}
	low := 0
	if b.relation == atLeast || b.relation == fewerThan {
		low = 1
	}
	b.n = a.number("n", low)
	return b
}

func (b bound) holds(count int) bool { return holds(b.relation, count, b.n) }

// opposite is the bound that holds exactly when b does not.
func (b bound) opposite() bound { return bound{complement[b.relation], b.n} }

// zero reports a demand for none, and some one for any at all.
func (b bound) zero() bool {
	return b.n == 0 && (b.relation == atMost || b.relation == exactly) || b.n == 1 && b.relation == fewerThan
}

func (b bound) some() bool {
	return b.n == 0 && (b.relation == moreThan || b.relation == otherThan) || b.n == 1 && b.relation == atLeast
}

// number writes n in words where a person would.
func number(n int) string {
	switch n {
	case 0:
		return "zero"
	case 1:
		return "one"
	}
	return strconv.Itoa(n)
}

// noun is a countable thing in English.
type noun struct{ one, many string }

func (w noun) of(n int) string {
	if n == 1 {
		return w.one
	}
	return w.many
}

// phrases writes the bound with a verb that fits the things counted: "Write",
// "Use", "Ask".
func (b bound) phrases(verb string, w noun) []string {
	n, things := number(b.n), w.of(b.n)
	lower := lowerFirst(verb)
	switch {
	case b.zero():
		return []string{
			fmt.Sprintf("Do not %s any %s.", lower, w.many),
			fmt.Sprintf("%s no %s at all.", verb, w.many),
			fmt.Sprintf("Your answer must not contain any %s.", w.many),
		}
	case b.some():
		return []string{
			fmt.Sprintf("%s at least one %s.", verb, w.one),
			fmt.Sprintf("%s one or more %s.", verb, w.many),
			fmt.Sprintf("Your answer must contain at least one %s.", w.one),
		}
	}
	switch b.relation {
	case atLeast:
		return []string{
			fmt.Sprintf("%s at least %s %s.", verb, n, things),
			fmt.Sprintf("%s %s or more %s.", verb, n, w.many),
			fmt.Sprintf("Your answer must contain at least %s %s.", n, things),
		}
	case fewerThan:
		return []string{
			fmt.Sprintf("%s fewer than %s %s.", verb, n, things),
			fmt.Sprintf("Keep the number of %s under %s.", w.many, n),
			fmt.Sprintf("Your answer must contain fewer than %s %s.", n, things),
		}
	case atMost:
		return []string{
			fmt.Sprintf("%s at most %s %s.", verb, n, things),
			fmt.Sprintf("%s no more than %s %s.", verb, n, things),
			fmt.Sprintf("Your answer must contain at most %s %s.", n, things),
		}
	case moreThan:
		return []string{
			fmt.Sprintf("%s more than %s %s.", verb, n, things),
			fmt.Sprintf("Keep the number of %s above %s.", w.many, n),
			fmt.Sprintf("Your answer must contain more than %s %s.", n, things),
		}
	case exactly:
		return []string{
			fmt.Sprintf("%s exactly %s %s.", verb, n, things),
			fmt.Sprintf("%s precisely %s %s.", verb, n, things),
			fmt.Sprintf("Your answer must contain exactly %s %s.", n, things),
		}
	}
	return []string{
		fmt.Sprintf("%s any number of %s other than %s.", verb, w.many, n),
		fmt.Sprintf("Do not %s exactly %s %s.", lower, n, things),
		fmt.Sprintf("The number of %s in your answer must not be %s.", w.many, n),
	}
}

// counted is the spec of a kind that compares one count of the response.
func counted(a *args, verb string, w noun, count func(string) int) spec {
	b := a.bound()
	return spec{
		test:    func(response string) bool { return b.holds(count(response)) },
		flip:    map[string]any{"relation": b.opposite().relation},
		demand:  func() []string { return b.phrases(verb, w) },
		reverse: func() []string { return b.opposite().phrases(verb, w) },
	}
}
