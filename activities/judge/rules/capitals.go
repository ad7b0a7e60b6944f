package rules

import (
	"strings"
	"unicode/utf8"
)

// What a byte means to quickCapitals.
const (
	otherByte      = iota // neither cased nor a cut
	upperByte             // A to Z
	lowerByte             // a to z
	cutByte               // word_tokenize always cuts around it
	spaceByte             // a blank
	apostropheByte        // cuts depend on what stands around
	dotByte               // cuts at two of them
	commaByte             // cuts unless a digit follows
	dashByte              // cuts at two of them
	wideByte              // the start of a rune that is not ASCII
)

var byteClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= utf8.RuneSelf:
			t[c] = wideByte
		case isSpace(rune(c)):
			t[c] = spaceByte
		case 'A' <= c && c <= 'Z':
			t[c] = upperByte
		case 'a' <= c && c <= 'z':
			t[c] = lowerByte
		}
	}
	for _, c := range []byte("?!*()[]{}<>;@#$%&\"`") {
		t[c] = cutByte
	}
	t['\''], t['.'], t[','], t[':'], t['-'] = apostropheByte, dotByte, commaByte, commaByte, dashByte
	return t
}()

// quickCapitals counts upper-case tokens without building them. That works
// since blanks and most signs end a token wherever they stand, and signs that
// stay inside or beside a token do not change its case. It gives up, with
// false, where the answer depends on the sentence: most apostrophes, and
// contractions in capitals.
func quickCapitals(s string) (n int, ok bool) {
	var piece capitalPiece
	for i := 0; i < len(s); {
		c := s[i]
		switch byteClass[c] {
		case upperByte:
			piece.upper = true
		case lowerByte:
			piece.lower = true
		case otherByte:
		case apostropheByte:
			piece.apostrophes++
		case dotByte:
			if next := at(s, i+1); next == '.' {
				if !piece.end(s, i, &n) {
					return 0, false
				}
				for at(s, i+1) == '.' {
					i++
				}
				piece.start = i + 1
			} else if next == ':' || next == '\'' {
				// A sentence may end between the two.
				return 0, false
			}
		case commaByte:
			if next := at(s, i+1); !('0' <= next && next <= '9') {
				if next >= utf8.RuneSelf {
					if r, _ := utf8.DecodeRuneInString(s[i+1:]); isDecimal(r) {
						break
					}
				}
				if !piece.end(s, i, &n) {
					return 0, false
				}
				piece.start = i + 1
			}
		case dashByte:
			if at(s, i+1) == '-' {
				if !piece.end(s, i, &n) {
					return 0, false
				}
				i++
				piece.start = i + 1
			}
		case cutByte, spaceByte:
			if !piece.end(s, i, &n) {
				return 0, false
			}
			piece.start = i + 1
		case wideByte:
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case isSpace(r) || r == '«' || r == '»' || r >= 0x2018 && r <= 0x201e && r != 0x201a && r != 0x201b:
				if !piece.end(s, i, &n) {
					return 0, false
				}
				piece.start = i + size
			case isUpperRune(r):
				piece.upper = true
			case isLowerRune(r) || isTitleRune(r):
				piece.lower = true
			}
			i += size
			continue
		}
		i++
	}
	if !piece.end(s, len(s), &n) {
		return 0, false
	}
	return n, true
}

// at returns the byte at an offset, 0 at the end.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// capitalPiece is the text since the last cut.
type capitalPiece struct {
	start        int
	upper, lower bool
	apostrophes  int
}

// end counts the piece that ends at an offset; false means that only the whole
// tokenizer can tell.
func (p *capitalPiece) end(s string, to int, n *int) bool {
	upper, lower, apostrophes := p.upper, p.lower, p.apostrophes
	p.upper, p.lower, p.apostrophes = false, false, 0
	if !upper {
		return true
	}
	piece := s[p.start:to]
	if apostrophes > 0 {
		if to < len(s) && s[to] < utf8.RuneSelf && (s[to] == ' ' || byteClass[s[to]] != spaceByte) {
			if tokens := clitic(piece); tokens > 0 {
				*n += tokens
				return true
			}
		}
		return quietApostrophe(piece)
	}
	if hasContraction(piece) {
		return false
	}
	if !lower {
		*n++
	}
	return true
}

func hasContraction(piece string) bool {
	b := []byte(piece)
	for i := 0; i+5 <= len(b); i++ {
		if contractionAt(b, i) >= 0 {
			return true
		}
	}
	return false
}

// clitic returns how many upper-case tokens a contraction gives before a blank:
// one for I'm, two for IT'S and DIDN'T; 0 if it is none of these.
func clitic(piece string) int {
	switch piece {
	case "I'm", "I'd", "I'll", "I've":
		return 1
	}
	i := strings.IndexByte(piece, '\'')
	if hasContraction(piece[:i]) || i > 0 && hasContraction(piece[:i-1]) {
		return 0
	}
	for k := range len(piece) {
		if k != i && byteClass[piece[k]] != upperByte {
			return 0
		}
	}
	switch piece[i+1:] {
	case "S", "M", "D", "LL", "RE", "VE":
		if i >= 1 {
			return 2
		}
	case "T":
		if i >= 2 && piece[i-1] == 'N' {
			return 2
		}
	}
	return 0
}

// quietApostrophe recognises words such as It's and Smith's: no cut inside them
// leaves a part in capitals alone. (n't is cut before its n.)
func quietApostrophe(piece string) bool {
	if len(piece) < 4 || byteClass[piece[0]] != upperByte || byteClass[piece[1]] != lowerByte || piece[1:3] == "n'" {
		return false
	}
	apostrophes := 0
	for i := 2; i < len(piece); i++ {
		switch byteClass[piece[i]] {
		case lowerByte, dotByte, commaByte:
		case apostropheByte:
			apostrophes++
		default:
			return false
		}
	}
	return apostrophes == 1
}
