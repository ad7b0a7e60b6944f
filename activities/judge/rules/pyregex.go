package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern finds a user's keyword as Python's re does with IGNORECASE: a
// regular expression with Unicode classes and boundaries. A keyword without
// special signs, the usual case, is found as a plain text.
type pattern struct {
	// literal is the text in key form, "" if prog decides.
	literal string
	// bounded demands a word boundary on either side of the literal.
	bounded bool
	prog    *syntax.Prog
	// lines makes ^ and $ match at line ends.
	lines bool
	// sensitive compares runes as they are.
	sensitive bool
}

const (
	maxPattern = 2000 // bytes of a keyword
	maxProgram = 2000 // instructions, so that a search of 1 MB stays bounded
)

// compile reads a keyword. An error says what is wrong with the expression.
func compile(expr string, bounded, lines, sensitive bool) (*pattern, error) {
	p := &pattern{bounded: bounded, lines: lines, sensitive: sensitive}
	if len(expr) > maxPattern {
		return nil, fmt.Errorf("is longer than %d bytes", maxPattern)
	}
	if !strings.ContainsAny(expr, `\.^$*+?{}[]()|`) && expr != "" && utf8.ValidString(expr) {
		p.literal = expr
		if !sensitive {
			p.literal = caseKey(expr)
		}
		return p, nil
	}
	goExpr, err := translate(expr)
	if err != nil {
		return nil, err
	}
	if bounded {
		// The word must be an expression by itself; the boundaries then bind to
		// its first and last branch, as they do in the official checker.
		if _, err := syntax.Parse(goExpr, syntax.Perl); err != nil {
			return nil, notRegular(err)
		}
		goExpr = `\b` + goExpr + `\b`
	}
	flags := syntax.Perl
	if !sensitive {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(goExpr, flags)
	if err != nil {
		return nil, notRegular(err)
	}
	if p.prog, err = syntax.Compile(tree.Simplify()); err != nil {
		return nil, fmt.Errorf("is no regular expression: %w", err)
	}
	if len(p.prog.Inst) > maxProgram {
		return nil, fmt.Errorf("is a regular expression of more than %d steps", maxProgram)
	}
	return p, nil
}

func notRegular(err error) error {
	return fmt.Errorf("is no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

const (
	wordClass  = `\p{L}\p{N}_`
	spaceClass = `\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`
)

// repetition is a brace that repeats what stands before it, as any other is text.
var repetition = regexp.MustCompile(`^\{([0-9]+|[0-9]*,[0-9]*)\}`)

// fromZero is a repetition that leaves out the zero, which Go takes as text.
var fromZero = regexp.MustCompile(`^\{,[0-9]*\}`)

// translate writes a Python expression in Go's syntax with Python's Unicode
// classes, and refuses what the two read differently.
func translate(expr string) (string, error) {
	var b strings.Builder
	inClass := false
	anchored := false // the sign before matches no character
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		if anchored && !inClass && (strings.IndexByte("*+?", c) >= 0 || repetition.MatchString(expr[i:])) {
			return "", fmt.Errorf("is no regular expression: nothing to repeat before %q", c)
		}
		anchored = c == '^' || c == '$' || c == '\\' && strings.IndexByte("bBAZ", (expr + " ")[i+1]) >= 0
		switch {
		case c == '\\':
			if i++; i == len(expr) {
				return "", fmt.Errorf("is no regular expression: it ends with a backslash")
			}
			s, err := translateEscape(expr[i], inClass)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		case inClass:
			if c == '[' {
				b.WriteString(`\[`)
				continue
			}
			inClass = c != ']'
			b.WriteByte(c)
		case c == '[':
			inClass = true
			b.WriteByte(c)
			if strings.HasPrefix(expr[i+1:], "^") {
				i++
				b.WriteByte('^')
			}
			if strings.HasPrefix(expr[i+1:], "]") {
				i++
				b.WriteString(`\]`)
			}
		case c == '(' && strings.HasPrefix(expr[i+1:], "?"):
			if !strings.HasPrefix(expr[i+1:], "?:") && !strings.HasPrefix(expr[i+1:], "?P<") {
				return "", fmt.Errorf("uses a group of the kind %q, which is not supported", clipped(expr[i:min(i+3, len(expr))]))
			}
			b.WriteByte(c)
		case c == '{' && fromZero.MatchString(expr[i:]):
			b.WriteString("{0")
		case c == '^':
			b.WriteString(`(?m:^)`)
		case c == '$':
			b.WriteString(`(?m:$)`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func translateEscape(c byte, inClass bool) (string, error) {
	class, negated := "", false
	switch c {
	case 'w', 'W':
		class, negated = wordClass, c == 'W'
	case 's', 'S':
		class, negated = spaceClass, c == 'S'
	case 'd', 'D':
		class, negated = `\p{Nd}`, c == 'D'
	case 'b':
		if inClass {
			return `\x08`, nil
		}
		return `\b`, nil
	case 'B', 'A', 'Z':
		if inClass {
			return "", fmt.Errorf("is no regular expression: bad escape \\%c", c)
		}
		return map[byte]string{'B': `\B`, 'A': `\A`, 'Z': `\z`}[c], nil
	case 'a', 'f', 'n', 'r', 't', 'v', 'x':
		return `\` + string(rune(c)), nil
	default:
		if isWordRune(rune(c)) && c < utf8.RuneSelf && c != '_' {
			return "", fmt.Errorf("is no supported regular expression: bad escape \\%c", c)
		}
		if c >= utf8.RuneSelf || c == '_' || c <= ' ' {
			return string([]byte{c}), nil
		}
		return `\` + string(rune(c)), nil
	}
	switch {
	case !inClass && negated:
		return "[^" + class + "]", nil
	case !inClass:
		return "[" + class + "]", nil
	case negated && c == 'D':
		return `\P{Nd}`, nil
	case negated:
		return "", fmt.Errorf("uses \\%c inside brackets, which is not supported", c)
	}
	return class, nil
}

// caseKey maps every rune to the representative of those that Python holds
// equal without case. It never depends on the runes around.
func caseKey(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			return strings.Map(keyRune, s)
		}
	}
	return strings.ToLower(s)
}

func keyRune(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	case r == 'İ' || r == 'ı':
		return 'i'
	case r == 0x345:
		return r
	}
	low := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f < low && f != 0x345 {
			low = f
		}
	}
	if 'A' <= low && low <= 'Z' {
		low += 'a' - 'A'
	}
	return low
}

// count returns the number of matches that do not overlap, at most limit. key
// is caseKey(s), or s itself if case counts; only a plain text looks at it.
func (p *pattern) count(s, key string, limit int) int {
	n, at := 0, 0
	if p.prog == nil {
		for n < limit {
			i := strings.Index(key[at:], p.literal)
			if i < 0 {
				break
			}
			from := at + i
			to := from + len(p.literal)
			if !p.bounded || boundary(key, from) && boundary(key, to) {
				n, at = n+1, to
				continue
			}
			_, size := utf8.DecodeRuneInString(key[from:])
			at = from + size
		}
		return n
	}
	// After an empty match the next may begin at the same place if it is not
	// empty, too.
	for empty := false; n < limit; n++ {
		from, to := p.find(s, at, empty)
		if from < 0 {
			break
		}
		at, empty = to, from == to
	}
	return n
}

// boundary is \b at a byte offset.
func boundary(s string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	return isWordRune(before) != isWordRune(after)
}

// thread is one state of the search: an instruction and where its match began.
type thread struct {
	pc   uint32
	from int
}

// find returns the leftmost match at or after an offset, the first by
// preference as in Python, or -1, in time proportional to text and program.
// With advance, a match that ends at the offset is none.
func (p *pattern) find(s string, at int, advance bool) (from, to int) {
	from, to = -1, -1
	now := make([]thread, 0, len(p.prog.Inst))
	next := make([]thread, 0, len(p.prog.Inst))
	seen := make([]int, len(p.prog.Inst))
	for i := range seen {
		seen[i] = -1
	}
	var stack []uint32
	// add follows the instructions that consume nothing, in order of preference.
	add := func(list []thread, pc uint32, begin, pos int) []thread {
		stack = append(stack[:0], pc)
		for len(stack) > 0 {
			pc := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[pc] == pos {
				continue
			}
			seen[pc] = pos
			switch inst := &p.prog.Inst[pc]; inst.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				stack = append(stack, inst.Arg, inst.Out)
			case syntax.InstCapture, syntax.InstNop:
				stack = append(stack, inst.Out)
			case syntax.InstEmptyWidth:
				if p.holdsAt(syntax.EmptyOp(inst.Arg), s, pos) {
					stack = append(stack, inst.Out)
				}
			case syntax.InstFail:
			default:
				list = append(list, thread{pc, begin})
			}
		}
		return list
	}
	for pos := at; ; {
		if from < 0 {
			now = add(now, uint32(p.prog.Start), pos, pos)
		}
		if len(now) == 0 && from >= 0 {
			return from, to
		}
		r, size := utf8.DecodeRuneInString(s[pos:])
		end := pos + size
		next = next[:0]
		for _, t := range now {
			inst := &p.prog.Inst[t.pc]
			if inst.Op == syntax.InstMatch {
				if advance && pos == at {
					continue
				}
				from, to = t.from, pos
				break // what follows is preferred less
			}
			if size > 0 && p.eats(inst, r) {
				next = add(next, inst.Out, t.from, end)
			}
		}
		if size == 0 {
			return from, to
		}
		now, next = next, now
		pos = end
	}
}

func (p *pattern) eats(inst *syntax.Inst, r rune) bool {
	if inst.MatchRune(r) {
		return true
	}
	if p.sensitive {
		return false
	}
	// Go folds the rest; Python also holds the dotted and dotless i equal to i.
	switch r {
	case 'İ', 'ı':
		return inst.MatchRune('i') || inst.MatchRune('I') || inst.MatchRune('İ') || inst.MatchRune('ı')
	case 'i', 'I':
		return inst.MatchRune('İ') || inst.MatchRune('ı')
	}
	return false
}

func (p *pattern) holdsAt(op syntax.EmptyOp, s string, at int) bool {
	if op&syntax.EmptyBeginText != 0 && at != 0 || op&syntax.EmptyEndText != 0 && at != len(s) {
		return false
	}
	if op&syntax.EmptyBeginLine != 0 && at != 0 && !(p.lines && s[at-1] == '\n') {
		return false
	}
	if op&syntax.EmptyEndLine != 0 && at != len(s) && !(s[at] == '\n' && (p.lines || at == len(s)-1)) {
		return false
	}
	if op&syntax.EmptyWordBoundary != 0 && !boundary(s, at) || op&syntax.EmptyNoWordBoundary != 0 && boundary(s, at) {
		return false
	}
	return true
}
