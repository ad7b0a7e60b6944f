package forget

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// anchor is how many bytes of a text are found by their rolling hash. Shorter
	// texts, such as "Hello.", are nobody's and are not searched for.
	anchor = 24
	// base is that of the rolling hash, modulo 2^64.
	base = 0x9E3779B97F4A7C15 | 1
	// filterBits is the size of the table that most places are turned away by.
	filterBits = 20
)

// leading is base to the power of anchor-1: what the oldest byte was multiplied by.
var leading = func() uint64 {
	p := uint64(1)
	for range anchor - 1 {
		p *= base
	}
	return p
}()

// needle is a text that is searched for, known by its hash alone.
type needle struct {
	Anchor uint64 `json:"anchor"`
	Length int    `json:"length"`
	SHA256 string `json:"sha256"`
	// ID says that it is an id, which is nobody else's.
	ID bool `json:"id,omitempty"`
}

func needleOf(text string, id bool) needle {
	var h uint64
	for i := range anchor {
		h = h*base + uint64(text[i])
	}
	sum := sha256.Sum256([]byte(text))
	return needle{h, len(text), hex.EncodeToString(sum[:]), id}
}

// needles is a set of them that a text can be searched for at once.
type needles struct {
	at     map[uint64]map[needle]bool
	filter [1 << (filterBits - 6)]uint64
	// keys are users' own ids, which may be shorter: they stand alone in a text.
	keys []string
}

func newNeedles(all []needle) *needles {
	n := &needles{at: map[uint64]map[needle]bool{}}
	for _, one := range all {
		n.add(one)
	}
	return n
}

func (n *needles) add(one needle) {
	if n.at[one.Anchor] == nil {
		n.at[one.Anchor] = map[needle]bool{}
		slot := one.Anchor >> (64 - filterBits)
		n.filter[slot>>6] |= 1 << (slot & 63)
	}
	n.at[one.Anchor][one] = true
}

// id adds an id.
func (n *needles) id(id string) {
	if len(id) >= anchor {
		n.add(needleOf(id, true))
	}
}

// text adds the lines of a text that are long enough, as they are and as they
// stand in JSON, and returns whether there was one.
func (n *needles) text(text string) (long bool) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) < anchor {
			continue
		}
		long = true
		n.add(needleOf(line, false))
		for _, html := range []bool{false, true} {
			if escaped := escape(line, html); escaped != line && len(escaped) >= anchor {
				n.add(needleOf(escaped, false))
			}
		}
	}
	return long
}

// escape is how a text stands inside a JSON string.
func escape(text string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(text) != nil {
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// drop takes needles out again.
func (n *needles) drop(all []needle) {
	for _, one := range all {
		n.keys = slices.DeleteFunc(n.keys, func(key string) bool { return keyNeedle(key) == one })
		if delete(n.at[one.Anchor], one); len(n.at[one.Anchor]) == 0 {
			delete(n.at, one.Anchor)
		}
	}
}

func (n *needles) all() (out []needle) {
	for _, set := range n.at {
		for one := range set {
			out = append(out, one)
		}
	}
	return out
}

// search calls hit for every needle that stands in a text, until it returns false.
func (n *needles) search(text string, hit func(needle) bool) {
	for _, key := range n.keys {
		if standsAlone(text, key) && !hit(keyNeedle(key)) {
			return
		}
	}
	if len(text) < anchor || len(n.at) == 0 {
		return
	}
	var h uint64
	for i := range anchor {
		h = h*base + uint64(text[i])
	}
	for i := 0; ; i++ {
		if slot := h >> (64 - filterBits); n.filter[slot>>6]&(1<<(slot&63)) != 0 {
			for one := range n.at[h] {
				if i+one.Length <= len(text) && sumOf(text[i:i+one.Length]) == one.SHA256 && !hit(one) {
					return
				}
			}
		}
		if i+anchor == len(text) {
			return
		}
		h = (h-uint64(text[i])*leading)*base + uint64(text[i+anchor])
	}
}

// shortestKey is the length from which a user's key is searched for.
const shortestKey = 6

// key adds a user's own id and returns whether it is long enough.
func (n *needles) key(key string) bool {
	if len(key) >= shortestKey && !slices.Contains(n.keys, key) {
		n.keys = append(n.keys, key)
	}
	return len(key) >= shortestKey
}

func keyNeedle(key string) needle { return needle{Length: len(key), SHA256: sumOf(key)} }

// standsAlone reports whether a key stands in a text with no letter or digit
// beside it.
func standsAlone(text, key string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], key)
		if at < 0 {
			return false
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(key):])
		if !wordly(before) && !wordly(after) {
			return true
		}
		from = at + 1
	}
}

func wordly(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// in reports whether any needle stands in a text.
func (n *needles) in(text string) (found bool) {
	n.search(text, func(needle) bool { found = true; return false })
	return found
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
