package rules

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// NLTK's Punkt sentence tokenizer (Kiss and Strunk, Computational Linguistics
// 32(4), 2006) with its published English parameters, decision by decision.
// It is the tokenizer of NLTK 3.8.1, with which the official verdicts were
// made; from 3.10 on typographic quotes end words, too.

//go:embed data/punkt.txt.gz
var punktData []byte

// The orthographic contexts in which a word was seen in training.
const (
	orthoMidUpper = 1 << 2
	orthoBegLower = 1 << 4
	orthoUpper    = 1<<1 | 1<<2 | 1<<3
	orthoLower    = 1<<4 | 1<<5 | 1<<6
)

type punktModel struct {
	abbreviations map[string]bool
	starters      map[string]bool
	collocations  map[[2]string]bool
	ortho         map[string]uint8
}

var punktEnglish = sync.OnceValue(func() *punktModel {
	m := &punktModel{map[string]bool{}, map[string]bool{}, map[[2]string]bool{}, map[string]uint8{}}
	for line := range strings.Lines(unpacked(punktData)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch f[0] {
		case "A":
			m.abbreviations[f[1]] = true
		case "S":
			m.starters[f[1]] = true
		case "C":
			m.collocations[[2]string{f[1], f[2]}] = true
		case "O":
			flags, err := strconv.ParseUint(f[2], 10, 8)
			if err != nil {
				panic("embedded Punkt parameters: " + err.Error())
			}
			m.ortho[f[1]] = uint8(flags)
		}
	}
	return m
})

// unpacked reads embedded data, which the build made part of the program.
func unpacked(data []byte) string {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		panic("embedded data: " + err.Error())
	}
	b, err := io.ReadAll(r)
	if err != nil {
		panic("embedded data: " + err.Error())
	}
	return string(b)
}

// countPunkt is the length of NLTK's sent_tokenize(text).
func countPunkt(s string) int {
	n := 0
	punktSentences(s, func(string) { n++ })
	return n
}

// punktSentences gives each sentence of the text, as sent_tokenize does.
func punktSentences(s string, sentence func(string)) {
	// A sentence is held back until the next begins, since closing quotes and
	// brackets at its start belong to the one before.
	from, to, have := 0, 0, false
	moved := 0
	offer := func(nextFrom, nextTo int) {
		if have {
			start := from + moved
			if size, run := closers(s[nextFrom:max(nextFrom, nextTo)]); run > 0 {
				sentence(s[min(start, nextFrom+run) : nextFrom+run])
				moved = size
			} else {
				moved = 0
				if start < to {
					sentence(s[start:to])
				}
			}
		}
		from, to, have = nextFrom, nextTo, true
	}
	last := 0
	punktBreaks(s, func(end, next int) {
		offer(last, end)
		last = next
	})
	offer(last, max(last, len(strings.TrimRightFunc(s, isSpace))))
	if start := from + moved; start < to {
		sentence(s[start:to])
	}
}

// closers matches ["')\]}]+?(?:\s+|(?=--)|$) at the start of s; size is the
// match, run its length without trailing blanks.
func closers(s string) (size, run int) {
	for i, r := range s {
		if !isCloser(r) {
			return 0, 0
		}
		at := i + utf8.RuneLen(r)
		rest := s[at:]
		if rest == "" || strings.HasPrefix(rest, "--") {
			return at, at
		}
		if next, _ := utf8.DecodeRuneInString(rest); isSpace(next) {
			return at + len(rest) - len(strings.TrimLeftFunc(rest, isSpace)), at
		}
	}
	return 0, 0
}

func isCloser(r rune) bool {
	switch r {
	case '"', '\'', ')', ']', '}':
		return true
	}
	return false
}

// nonWord are the characters that end a word.
func nonWord(r rune) bool {
	switch r {
	case ')', '"', ';', '}', ']', '*', ':', '@', '\'', '(', '{', '[', '?', '!':
		return true
	}
	return false
}

// punktBreaks reports the sentence breaks: the end of a sentence and where the
// next one begins.
func punktBreaks(s string, found func(end, next int)) {
	type candidate struct {
		wordFrom int // where the word before the mark begins
		mark     int // the mark's offset
		after    int // the end of what follows it in the context
		next     int // where the next token begins, -1 after punctuation
	}
	decide := func(c candidate) {
		if breaks(s[c.wordFrom:c.after]) {
			if c.next >= 0 {
				found(c.mark+1, c.next)
			} else {
				found(c.mark+1, c.mark+1)
			}
		}
	}
	previous := candidate{}
	have := false
	for at := 0; at < len(s); {
		mark := at
		for mark < len(s) && s[mark] != '.' && s[mark] != '?' && s[mark] != '!' {
			mark++
		}
		if mark == len(s) {
			break
		}
		at = mark + 1
		c := candidate{mark: mark, next: -1}
		r, size := utf8.DecodeRuneInString(s[at:])
		switch {
		case size == 0:
			continue
		case nonWord(r):
			c.after = at + size
		case isSpace(r):
			j := strings.IndexFunc(s[at:], func(r rune) bool { return !isSpace(r) })
			if j < 0 {
				// Nothing but blanks follows here and after every later mark.
				at = len(s)
				continue
			}
			c.next = at + j
			if k := strings.IndexFunc(s[c.next:], isSpace); k >= 0 {
				c.after = c.next + k
			} else {
				c.after = len(s)
			}
		default:
			continue
		}
		// The word begins after the last ASCII blank since the previous mark;
		// without one, or with one at the very start, where the previous did.
		before := s[previous.mark:mark]
		if k := strings.LastIndexAny(before, " \t\n\r\x0b\x0c"); k > 0 {
			c.wordFrom = previous.mark + k + 1
		} else {
			c.wordFrom = previous.wordFrom
		}
		if have && previous.mark <= c.wordFrom {
			decide(previous)
		}
		previous, have = c, true
	}
	if have {
		decide(previous)
	}
}

const numberType = "##number##"

// typeOf is the token's type: lower case, every number alike.
func typeOf(tok string) string {
	if isNumberToken(tok) {
		return numberType
	}
	return lower(tok)
}

// isNumberToken matches ^-?[\.,]?\d[\d,\.-]*\.?$.
func isNumberToken(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s != "" && (s[0] == '.' || s[0] == ',') {
		s = s[1:]
	}
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || !unicode.IsDigit(r) {
		return false
	}
	for _, r := range s[size:] {
		if r != ',' && r != '.' && r != '-' && !unicode.IsDigit(r) {
			return false
		}
	}
	return true
}

func withoutPeriod(typ string) string {
	if len(typ) > 1 && typ[len(typ)-1] == '.' {
		return typ[:len(typ)-1]
	}
	return typ
}

// typeWithoutSentencePeriod drops the period if it ends a sentence.
func (t *punktToken) typeWithoutSentencePeriod() string {
	if t.sentBreak {
		return withoutPeriod(t.typ)
	}
	return t.typ
}

// isInitial matches [^\W\d]\. and nothing more.
func (t *punktToken) isInitial() bool {
	r, size := utf8.DecodeRuneInString(t.tok)
	return t.tok[size:] == "." && isWordRune(r) && !unicode.IsDigit(r)
}

// annotate is the first pass: by the token alone.
func (m *punktModel) annotate(t *punktToken) {
	t.typ = typeOf(t.tok)
	switch tok := t.tok; {
	case tok == "." || tok == "?" || tok == "!":
		t.sentBreak = true
	case len(tok) > 1 && strings.Trim(tok, ".") == "":
		t.ellipsis = true
	case strings.HasSuffix(tok, ".") && !strings.HasSuffix(tok, ".."):
		word := lower(tok[:len(tok)-1])
		if m.abbreviations[word] || m.abbreviations[word[strings.LastIndexByte(word, '-')+1:]] {
			t.abbr = true
		} else {
			t.sentBreak = true
		}
	}
}

// annotatePair is the second pass: by the token and the one after it.
func (m *punktModel) annotatePair(a, b *punktToken) {
	if !strings.HasSuffix(a.tok, ".") {
		return
	}
	typ, next := withoutPeriod(a.typ), b.typeWithoutSentencePeriod()
	initial := a.isInitial()
	if m.collocations[[2]string{typ, next}] {
		a.sentBreak, a.abbr = false, true
		return
	}
	first, _ := utf8.DecodeRuneInString(b.tok)
	if (a.abbr || a.ellipsis) && !initial {
		if m.startsSentence(b, next, first) == yes || isUpperRune(first) && m.starters[next] {
			a.sentBreak = true
			return
		}
	}
	if initial || typ == numberType {
		switch m.startsSentence(b, next, first) {
		case no:
			a.sentBreak, a.abbr = false, true
		case unknown:
			if initial && isUpperRune(first) && m.ortho[next]&orthoLower == 0 {
				a.sentBreak, a.abbr = false, true
			}
		}
	}
}

type answer int

const (
	unknown answer = iota
	yes
	no
)

// startsSentence is the orthographic heuristic.
func (m *punktModel) startsSentence(t *punktToken, typ string, first rune) answer {
	if len(t.tok) == 1 && strings.ContainsAny(t.tok, ";:,.!?") {
		return no
	}
	context := m.ortho[typ]
	switch {
	case isUpperRune(first) && context&orthoLower != 0 && context&orthoMidUpper == 0:
		return yes
	case isLowerRune(first) && (context&orthoUpper != 0 || context&orthoBegLower == 0):
		return no
	}
	return unknown
}
