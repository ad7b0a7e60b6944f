package rules

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// NLTK's word_tokenize (3.8.1): Punkt sentences, then an ordered list of
// substitutions over each sentence, then a split at blanks. Each substitution
// below names its regular expression and runs only if its signs are there.

// countCapitalTokens counts the tokens of word_tokenize that are isupper().
func countCapitalTokens(s string) int {
	if n, ok := quickCapitals(s); ok {
		return n
	}
	n := 0
	treebankTokens(s, func(token []byte) {
		if isUpperBytes(token) {
			n++
		}
	})
	return n
}

func isUpperBytes(b []byte) bool {
	cased := false
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				return false
			}
			cased = cased || 'A' <= c && c <= 'Z'
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if isLowerRune(r) || isTitleRune(r) {
			return false
		}
		cased = cased || isUpperRune(r)
		i += size
	}
	return cased
}

// rewriter applies substitutions between two buffers.
type rewriter struct {
	text, spare []byte
	// has tells which bytes the sentence had at the start; no substitution
	// adds a sign that a later one looks for, but ` and '.
	has [256]bool
}

var rewriters = sync.Pool{New: func() any { return new(rewriter) }}

// treebankTokens gives each token of word_tokenize(s). The token's bytes are
// valid during the call only.
func treebankTokens(s string, token func([]byte)) {
	w := rewriters.Get().(*rewriter)
	defer rewriters.Put(w)
	punktSentences(s, func(sentence string) { w.tokenize(sentence, token) })
}

func (w *rewriter) tokenize(sentence string, token func([]byte)) {
	w.text = append(w.text[:0], sentence...)
	w.has = [256]bool{}
	for _, c := range w.text {
		w.has[c] = true
	}
	w.startingQuotes()
	w.punctuation()
	w.endingQuotes()
	w.split(token)
}

// anyOf reports whether the sentence had one of the signs.
func (w *rewriter) anyOf(signs string) bool {
	for i := 0; i < len(signs); i++ {
		if w.has[signs[i]] {
			return true
		}
	}
	return false
}

// apply calls step at each offset. It appends what stands for the input there
// to out and returns how many bytes it took; 0 copies one rune.
func (w *rewriter) apply(step func(out, rest []byte, before byte) ([]byte, int)) {
	out := w.spare[:0]
	in := w.text
	before := byte(0)
	for at := 0; at < len(in); {
		var n int
		if out, n = step(out, in[at:], before); n == 0 {
			out = append(out, in[at])
			n = 1
		}
		before = in[at+n-1]
		at += n
	}
	w.text, w.spare = out, in
}

// pad puts blanks around each of some ASCII signs.
func (w *rewriter) pad(signs string) {
	if !w.anyOf(signs) {
		return
	}
	out := w.spare[:0]
	for _, c := range w.text {
		if c < utf8.RuneSelf && strings.IndexByte(signs, c) >= 0 {
			out = append(out, ' ', c, ' ')
		} else {
			out = append(out, c)
		}
	}
	w.text, w.spare = out, w.text
}

// padRunes puts blanks around each of some runes that are not ASCII; lead are
// the first bytes they may have.
func (w *rewriter) padRunes(lead, runes string) {
	if !w.anyOf(lead) {
		return
	}
	w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
		if rest[0] < utf8.RuneSelf {
			return out, 0
		}
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError || !strings.ContainsRune(runes, r) {
			return append(out, rest[:size]...), size
		}
		out = append(out, ' ')
		out = append(out, rest[:size]...)
		return append(out, ' '), size
	})
}

func (w *rewriter) startingQuotes() {
	// ([«“‘„]|[`]+)
	w.padRunes("\xc2\xe2", "«“‘„")
	if w.has['`'] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			n := 0
			for n < len(rest) && rest[n] == '`' {
				n++
			}
			if n == 0 {
				return out, 0
			}
			out = append(append(append(out, ' '), rest[:n]...), ' ')
			return out, n
		})
	}
	if !w.anyOf("\"'`") {
		return
	}
	// ^"
	if len(w.text) > 0 && w.text[0] == '"' {
		out := append(w.spare[:0], "``"...)
		w.text, w.spare = append(out, w.text[1:]...), w.text
		w.has['`'] = true
	}
	// (``)
	if w.has['`'] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			if len(rest) > 1 && rest[0] == '`' && rest[1] == '`' {
				return append(out, " `` "...), 2
			}
			return out, 0
		})
	}
	// ([ \(\[{<])(\"|\'{2})
	w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
		if len(rest) < 2 || strings.IndexByte(" ([{<", rest[0]) < 0 {
			return out, 0
		}
		n := 0
		if rest[1] == '"' {
			n = 2
		} else if len(rest) > 2 && rest[1] == '\'' && rest[2] == '\'' {
			n = 3
		}
		if n > 0 {
			out = append(append(out, rest[0]), " `` "...)
		}
		return out, n
	})
	// (?i)(\')(?!re|ve|ll|m|t|s|d|n)(\w)\b
	if w.has['\''] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			if rest[0] != '\'' || len(rest) < 2 {
				return out, 0
			}
			r, size := utf8.DecodeRune(rest[1:])
			next, _ := utf8.DecodeRune(rest[1+size:])
			if !isWordRune(r) || isWordRune(next) || strings.ContainsRune("mtsdnMTSDNſ", r) {
				return out, 0
			}
			return append(append(out, "' "...), rest[1:1+size]...), 1 + size
		})
	}
}

func (w *rewriter) punctuation() {
	// ([^\.])(\.)([\]\)}>"\'»”’ ]*)\s*$
	w.finalPeriod(` ])}>"'»”’`, " . ")
	// ([:,])([^\d])
	if w.anyOf(":,") {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			if rest[0] != ':' && rest[0] != ',' || len(rest) < 2 {
				return out, 0
			}
			r, size := utf8.DecodeRune(rest[1:])
			if isDecimal(r) {
				return out, 0
			}
			return append(append(out, ' ', rest[0], ' '), rest[1:1+size]...), 1 + size
		})
		// ([:,])$
		end := len(w.text)
		if end > 0 && w.text[end-1] == '\n' {
			end--
		}
		if end > 0 && (w.text[end-1] == ':' || w.text[end-1] == ',') {
			out := append(append(w.spare[:0], w.text[:end-1]...), ' ', w.text[end-1], ' ')
			w.text, w.spare = append(out, w.text[end:]...), w.text
		}
	}
	// \.{2,}
	if w.has['.'] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			n := 0
			for n < len(rest) && rest[n] == '.' {
				n++
			}
			if n < 2 {
				return out, 0
			}
			return append(append(append(out, ' '), rest[:n]...), ' '), n
		})
	}
	w.pad(";@#$%&")
	// ([^\.])(\.)([\]\)}>"\']*)\s*$
	w.finalPeriod(`])}>"'`, " .")
	w.pad("?!")
	// ([^'])'
	if w.has['\''] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			if rest[0] == '\'' || len(rest) < 3 {
				return out, 0
			}
			_, size := utf8.DecodeRune(rest)
			if len(rest) < size+2 || rest[size] != '\'' || rest[size+1] != ' ' {
				return append(out, rest[:size]...), size
			}
			return append(append(out, rest[:size]...), " ' "...), size + 2
		})
	}
	w.pad("*")
	w.pad("[](){}<>")
	// --
	if w.has['-'] {
		w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
			if len(rest) > 1 && rest[0] == '-' && rest[1] == '-' {
				return append(out, " -- "...), 2
			}
			return out, 0
		})
	}
}

// finalPeriod sets the last period apart if only closing signs and blanks
// follow it and no other period stands before it.
func (w *rewriter) finalPeriod(closing, mark string) {
	if !w.has['.'] {
		return
	}
	i := len(w.text) - 1
	for i >= 0 && w.text[i] != '.' {
		i--
	}
	if i < 1 || w.text[i-1] == '.' {
		return
	}
	end := i + 1
	for end < len(w.text) {
		r, size := utf8.DecodeRune(w.text[end:])
		if r == utf8.RuneError || !strings.ContainsRune(closing, r) {
			break
		}
		end += size
	}
	for rest := w.text[end:]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if !isSpace(r) {
			return
		}
		rest = rest[size:]
	}
	out := append(append(w.spare[:0], w.text[:i]...), mark...)
	out = append(append(out, w.text[i+1:end]...), ' ')
	w.text, w.spare = out, w.text
}

func (w *rewriter) endingQuotes() {
	out := append(append(w.spare[:0], ' '), w.text...)
	w.text, w.spare = append(out, ' '), w.text
	w.padRunes("\xc2\xe2", "»”’")
	if !w.anyOf(`"'`) {
		return
	}
	// ''
	w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
		if len(rest) > 1 && rest[0] == '\'' && rest[1] == '\'' {
			return append(out, " '' "...), 2
		}
		return out, 0
	})
	// "
	w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
		if rest[0] == '"' {
			return append(out, " '' "...), 1
		}
		return out, 0
	})
	// ([^' ])('[sS]|'[mM]|'[dD]|')
	w.clitics("'s", "'S", "'m", "'M", "'d", "'D", "'")
	// ([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T)
	w.clitics("'ll", "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T")
}

// clitics sets endings apart that follow a rune other than ' and blank and
// stand before a blank.
func (w *rewriter) clitics(endings ...string) {
	w.apply(func(out, rest []byte, _ byte) ([]byte, int) {
		if rest[0] == '\'' || rest[0] == ' ' {
			return out, 0
		}
		_, size := utf8.DecodeRune(rest)
		tail := rest[size:]
		if len(tail) < 2 || tail[0] != '\'' && tail[1] != '\'' {
			return append(out, rest[:size]...), size
		}
		for _, e := range endings {
			if len(tail) > len(e) && string(tail[:len(e)]) == e && tail[len(e)] == ' ' {
				out = append(append(out, rest[:size]...), ' ')
				out = append(append(out, e...), ' ')
				return out, size + len(e) + 1
			}
		}
		return append(out, rest[:size]...), size
	})
}
