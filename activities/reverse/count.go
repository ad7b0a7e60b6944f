package reverse

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// span is a range of counts, both ends included.
type span struct{ low, high int }

const endless = math.MaxInt

// counts is a set of counts: spans in order that neither meet nor touch.
type counts []span

// union joins two sets.
func union(a, b counts) counts {
	all := slices.SortedFunc(slices.Values(slices.Concat(a, b)), func(x, y span) int { return x.low - y.low })
	var out counts
	for _, s := range all {
		if n := len(out); n > 0 && (out[n-1].high == endless || s.low <= out[n-1].high+1) {
			out[n-1].high = max(out[n-1].high, s.high)
			continue
		}
		out = append(out, s)
	}
	return out
}

// complement holds the counts from 0 that c does not.
func (c counts) complement() counts {
	var out counts
	next := 0
	for _, s := range c {
		if s.low > next {
			out = append(out, span{next, s.low - 1})
		}
		if s.high == endless {
			return out
		}
		next = s.high + 1
	}
	return append(out, span{next, endless})
}

func intersection(a, b counts) counts { return union(a.complement(), b.complement()).complement() }

func (c counts) equal(d counts) bool { return slices.Equal(c, d) }

func (c counts) String() string {
	var out []string
	for _, s := range c {
		switch {
		case s.low == s.high:
			out = append(out, fmt.Sprint(s.low))
		case s.high == endless:
			out = append(out, fmt.Sprintf("%d or more", s.low))
		case s.low == 0:
			out = append(out, fmt.Sprintf("%d or fewer", s.high))
		default:
			out = append(out, fmt.Sprintf("%d to %d", s.low, s.high))
		}
	}
	if out == nil {
		return "no number"
	}
	return strings.Join(out, ", or ")
}

// small is the number up to which a text may say an amount without a numeral, as
// in "none", "a single one" or "both".
const small = 2

// miscounted says why the numbers of an opposite are not the complement of those
// of the original, "" if they are or if that cannot be told. Neither text holds
// its condition.
func miscounted(original, opposite string) string {
	a := readAmount(original)
	if !a.clear {
		return ""
	}
	b := readAmount(opposite)
	switch {
	case !b.clear && (b.numbers || a.largest <= small):
		return ""
	case !b.clear:
		// Not what it should be: the number may be of what the demand is about.
		return fmt.Sprintf("it does not say how many, and the constraint speaks of %s", a.counts)
	case a.unit != "" && b.unit != "" && a.unit != b.unit:
		return "" // of other things: not for numbers to decide
	case !b.counts.equal(a.counts) && !b.counts.equal(a.counts.complement()):
		// Whatever the negations turn round, these numbers are wrong.
	case !a.sure || !b.sure || b.met.equal(a.met.complement()):
		return ""
	case !alike(a, b):
		return "" // the number is the same, something else was turned round
	default:
		return fmt.Sprintf("it demands the same as the constraint, %s: the opposite is %s", a.met, a.met.complement())
	}
	if a.sure && b.sure {
		return fmt.Sprintf("its numbers are wrong: the constraint demands %s, so the opposite is %s, not %s", a.met, a.met.complement(), b.met)
	}
	return fmt.Sprintf("its numbers are wrong: both texts together must leave no count out and have none in common; one speaks of %s, the other of %s",
		a.counts, b.counts)
}
