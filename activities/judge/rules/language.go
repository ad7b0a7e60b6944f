package rules

import (
	_ "embed"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
)

// Language detection as langdetect 1.0.9 does it: naive Bayes over character
// n-grams drawn at random, averaged over trials. The draws here come from a
// fixed seed, so that one text always has one language.

//go:embed data/langdetect.bin.gz
var langdetectData []byte

const (
	minTrials     = 7 // langdetect's number of trials
	maxTrials     = 301
	agreement     = 0.95  // mean likelihood that makes further trials idle
	significance  = 3.5   // standard deviations between the first two languages
	maxDetectText = 10000 // runes
	baseFrequency = 10000.0
	converged     = 0.99999
	maxDraws      = 1000
	minLikelihood = 0.1
)

type langModel struct {
	names []string
	// Open addressing: keys holds n-grams of up to three runes, 21 bits each;
	// spans the range of their entries in langs and probs.
	keys  []uint64
	spans []gramSpan
	langs []uint8
	probs []float64
	// kanji maps a character to the one that stands for its class.
	kanji map[rune]rune
	// vietnamese maps a letter and a mark to the composed letter.
	vietnamese map[[2]rune]rune
}

type gramSpan struct{ from, to uint32 }

var langdetectModel = sync.OnceValue(func() *langModel {
	d := decoder{s: unpacked(langdetectData)}
	m := &langModel{kanji: map[rune]rune{}, vietnamese: map[[2]rune]rune{}}
	totals := make([][3]float64, d.number())
	for i := range totals {
		m.names = append(m.names, d.text())
		for n := range totals[i] {
			totals[i][n] = float64(d.number())
		}
	}
	grams := d.number()
	size := 1 << 18
	for size < 2*grams {
		size *= 2
	}
	m.keys, m.spans = make([]uint64, size), make([]gramSpan, size)
	for range grams {
		gram := []rune(d.text())
		from := uint32(len(m.langs))
		for range d.number() {
			lang := d.number()
			m.langs = append(m.langs, uint8(lang))
			m.probs = append(m.probs, float64(d.number())/totals[lang][len(gram)-1])
		}
		key := gramKey(gram)
		slot := m.slot(key)
		m.keys[slot], m.spans[slot] = key, gramSpan{from, uint32(len(m.langs))}
	}
	for range d.number() {
		class := []rune(d.text())
		for _, r := range class {
			m.kanji[r] = class[0]
		}
	}
	letters, marks := []rune(d.text()), []rune(d.text())
	for _, mark := range marks {
		for i, composed := range []rune(d.text()) {
			m.vietnamese[[2]rune{letters[i], mark}] = composed
		}
	}
	return m
})

// decoder reads the numbers and texts of embedded data.
type decoder struct{ s string }

func (d *decoder) number() int {
	var b [binary.MaxVarintLen64]byte
	n, size := binary.Uvarint(b[:copy(b[:], d.s)])
	d.s = d.s[size:]
	return int(n)
}

func (d *decoder) text() string {
	n := d.number()
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

// gramKey packs an n-gram; it is never 0.
func gramKey(gram []rune) uint64 {
	key := uint64(len(gram))
	for _, r := range gram {
		key = key<<20 | uint64(r)&0xfffff
	}
	return key
}

// slot is the place of a key in the table, or the free place for it.
func (m *langModel) slot(key uint64) int {
	mask := uint64(len(m.keys) - 1)
	i := key * 0x9e3779b97f4a7c15 >> 32 & mask
	for m.keys[i] != 0 && m.keys[i] != key {
		i = (i + 1) & mask
	}
	return int(i)
}

func (m *langModel) lookup(key uint64) (gramSpan, bool) {
	i := m.slot(key)
	return m.spans[i], m.keys[i] == key
}

// detectLanguage returns the ISO 639-1 code (or zh-cn, zh-tw) of a text,
// "unknown" if none is likely, and false if the text has no usable features,
// where langdetect raises an exception.
func detectLanguage(s string) (string, bool) {
	m := langdetectModel()
	g := m.read(s)
	defer gramsPool.Put(g)
	if !g.prepare(m) {
		return "", false
	}
	r := rand.New(rand.NewPCG(0x5250, 0x4f21))
	langs := len(m.names)
	sum := make([]float64, langs)
	prob := make([]float64, langs)
	trials := 0
	for {
		m.trial(g, r, prob)
		trials++
		for i, p := range prob {
			sum[i] += p
		}
		if trials >= minTrials && decided(sum, trials) {
			break
		}
	}
	best, p, _ := top(sum)
	if p/float64(trials) <= minLikelihood {
		return "unknown", true
	}
	return m.names[best], true
}

// decided reports whether more trials could hardly change the answer. Where
// langdetect's seven disagree its answer depends on the seed; here trials go
// on, so that the answer is the one that most seeds give.
func decided(sum []float64, trials int) bool {
	_, first, second := top(sum)
	n := float64(trials)
	return first/n > agreement || (first-second)/math.Sqrt(n) > significance || trials >= maxTrials
}

// top returns the place of the largest value and the two largest values.
func top(sum []float64) (best int, first, second float64) {
	first, second = -1, -1
	for i, p := range sum {
		switch {
		case p > first:
			best, first, second = i, p, first
		case p > second:
			second = p
		}
	}
	return best, first, second
}

// trial draws n-grams until one language is all but certain.
func (m *langModel) trial(g *grams, r *rand.Rand, prob []float64) {
	for i := range prob {
		prob[i] = 1 / float64(len(prob))
	}
	alpha := 0.5 + r.NormFloat64()*0.05
	// Every likelihood is multiplied by its frequency and a small weight. That
	// weight is common to all, so it is divided out and only the languages that
	// know the n-gram are touched.
	perWeight := baseFrequency / alpha
	for i := 0; ; i++ {
		span := g.draw(m, r)
		probs := m.probs[span.from:span.to]
		for k, l := range m.langs[span.from:span.to] {
			prob[l] *= 1 + probs[k]*perWeight
		}
		if i%5 == 0 {
			var sum, most float64
			for _, p := range prob {
				sum += p
				if p > most {
					most = p
				}
			}
			scale := 1 / sum
			for l := range prob {
				prob[l] *= scale
			}
			if most*scale > converged || i >= maxDraws {
				return
			}
		}
	}
}

// grams is a normalised text, from which n-grams are drawn.
type grams struct {
	text []rune
	// length is how many runes, up to 3, an n-gram that ends here may have; 0
	// inside a word of capitals, which langdetect leaves out.
	length []uint8
	raw    []rune
	// known lists the usable n-grams once draws fail too often.
	known []gramSpan
}

var gramsPool = sync.Pool{New: func() any { return new(grams) }}

// at returns the n-gram of n runes that ends at i.
func (g *grams) at(m *langModel, i, n int) (gramSpan, bool) {
	if n > int(g.length[i]) || n == 1 && g.text[i] == ' ' {
		return gramSpan{}, false
	}
	return m.lookup(gramKey(g.text[i-n+1 : i+1]))
}

// prepare reports whether there is any n-gram to draw.
func (g *grams) prepare(m *langModel) bool {
	g.known = g.known[:0]
	for i := range g.text {
		for n := 1; n <= 3; n++ {
			if _, ok := g.at(m, i, n); ok {
				return true
			}
		}
	}
	return false
}

// draw returns one of the usable n-grams, all equally likely. It draws places
// until one is usable, which costs far less than listing all of them.
func (g *grams) draw(m *langModel, r *rand.Rand) gramSpan {
	if len(g.known) == 0 {
		for range 200 {
			k := r.IntN(3 * len(g.text))
			if span, ok := g.at(m, k/3, k%3+1); ok {
				return span
			}
		}
		for i := range g.text {
			for n := 1; n <= 3; n++ {
				if span, ok := g.at(m, i, n); ok {
					g.known = append(g.known, span)
				}
			}
		}
	}
	return g.known[r.IntN(len(g.known))]
}
