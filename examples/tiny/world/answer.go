package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// plan says how one answer shall look. Constraints steer it, the rest is drawn.
type plan struct {
	words     int
	sentences int
	// opener is the first word; "" starts with a determiner.
	opener string
	// end closes every sentence.
	end   string
	comma bool
	digit bool
	// mention holds nouns and adjectives that must occur, avoid those that must not.
	mention []string
	avoid   map[string]bool
}

// need is the smallest number of words that surely carries all features.
func (p plan) need() int {
	n := 3 * p.sentences
	if p.opener != "" {
		n++
	}
	if p.digit {
		n += 2
	}
	if p.comma {
		n++
	}
	// "The fox waits." has room for one noun; a second one needs "near the river", as
	// does a second adjective.
	ns, as := 0, 0
	for _, w := range p.mention {
		if slices.Contains(adjectives, w) {
			as++
		} else {
			ns++
		}
	}
	// A third one begins a clause of its own, after a connector.
	more := max(0, max(ns, as)-p.sentences)
	return n + as + 3*more + more/2
}

// clauses are the shapes of a clause by length: (D)eterminer, (A)djective,
// (N)oun, (V)erb, (P)reposition, ad(R)verb.
var clauses = map[int][]string{
	3: {"DNV"},
	4: {"DANV", "DNVR"},
	5: {"DANVR"},
	6: {"DNVPDN"},
	7: {"DANVPDN", "DNVPDAN", "DNVPDNR"},
	8: {"DANVPDAN", "DANVPDNR"},
	9: {"DANVPDANR"},
}

// write composes an answer. It fails on a plan that has too few words for its
// features, and on an unlucky draw without a slot for a word to mention.
func (p plan) write(r *rand.Rand) (string, error) {
	digitIn, commaIn := -1, -1
	lengths := make([]int, p.sentences)
	spare := p.words - 3*p.sentences
	if p.opener != "" {
		spare--
	}
	if p.digit {
		digitIn = r.IntN(p.sentences)
		spare -= 2
	}
	if p.comma {
		commaIn = r.IntN(p.sentences)
	}
	if spare < 0 {
		return "", fmt.Errorf("%d words are too few for %d sentences with their features", p.words, p.sentences)
	}
	for i := range lengths {
		lengths[i] = 3
	}
	for range spare {
		lengths[r.IntN(p.sentences)]++
	}
	shapes := make([][]string, p.sentences)
	for i, n := range lengths {
		shapes[i] = clauseShapes(r, n)
	}
	words, err := p.fill(r, shapes)
	if err != nil {
		return "", err
	}
	var out []string
	for i, clause := range words {
		s, err := p.sentence(r, clause, i == 0, i == digitIn, i == commaIn)
		if err != nil {
			return "", err
		}
		out = append(out, s+p.end)
	}
	return strings.Join(out, " "), nil
}

// classes are the slots of clauses.
var classes = []byte("DANVPR")

// clauseShapes splits n >= 3 words into clauses and the connectors between them.
func clauseShapes(r *rand.Rand, n int) []string {
	var shapes []string
	for {
		if options := clauses[n]; len(options) > 0 && (n < 7 || r.IntN(3) > 0) {
			return append(shapes, options[r.IntN(len(options))])
		}
		// A clause, a connector and a rest of at least three words.
		length := 3 + r.IntN(min(n-4, 9)-2)
		options := clauses[length]
		shapes = append(shapes, options[r.IntN(len(options))])
		n -= length + 1
	}
}

// fill puts words into the slots of all sentences: first those to mention, each
// into a random slot of its class, then random ones.
func (p plan) fill(r *rand.Rand, sentences [][]string) ([][][]string, error) {
	type slot struct{ sentence, clause, word int }
	free := map[byte][]slot{}
	out := make([][][]string, len(sentences))
	for i, shapes := range sentences {
		out[i] = make([][]string, len(shapes))
		for j, shape := range shapes {
			out[i][j] = make([]string, len(shape))
			for k := range len(shape) {
				free[shape[k]] = append(free[shape[k]], slot{i, j, k})
			}
		}
	}
	// Not over the map: its order would make equal seeds differ.
	for _, class := range classes {
		slots := free[class]
		r.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
	}
	used := map[string]bool{}
	for _, w := range p.mention {
		class := byte('N')
		if slices.Contains(adjectives, w) {
			class = 'A'
		}
		if len(free[class]) == 0 {
			return nil, fmt.Errorf("no slot for %q", w)
		}
		s := free[class][0]
		free[class] = free[class][1:]
		out[s.sentence][s.clause][s.word] = w
		used[w] = true
	}
	for _, class := range classes {
		list := map[byte][]string{'D': determiners, 'A': adjectives, 'N': nouns, 'V': verbs, 'P': prepositions, 'R': adverbs}[class]
		for _, s := range free[class] {
			w := list[r.IntN(len(list))]
			for p.avoid[w] || (used[w] && (class == 'N' || class == 'A')) {
				w = list[r.IntN(len(list))]
			}
			used[w] = true
			out[s.sentence][s.clause][s.word] = w
		}
	}
	return out, nil
}

// sentence joins the clauses of one sentence, without its mark. A comma stands
// after the opener, before a connector, or before a closing adverb or time.
func (p plan) sentence(r *rand.Rand, clauses [][]string, first, digit, comma bool) (string, error) {
	var words []string
	var places []int // words that a comma may follow
	if first && p.opener != "" {
		words = append(words, p.opener)
		places = append(places, 0)
	}
	for i, clause := range clauses {
		if i > 0 {
			places = append(places, len(words)-1)
			words = append(words, connectors[r.IntN(len(connectors))])
		}
		words = append(words, clause...)
	}
	if digit {
		places = append(places, len(words)-1)
		words = append(words, "at", strconv.Itoa(1+r.IntN(9)))
	} else if slices.Contains(adverbs, words[len(words)-1]) {
		places = append(places, len(words)-2)
	}
	if comma {
		if len(places) == 0 {
			return "", fmt.Errorf("no place for a comma")
		}
		words[places[r.IntN(len(places))]] += ","
	}
	text := strings.Join(words, " ")
	return strings.ToUpper(text[:1]) + text[1:], nil
}
