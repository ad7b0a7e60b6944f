package rules

import (
	_ "embed"
	"maps"
	"strings"
	"sync"
	"unicode/utf8"

	"rpo/schemas"
)

// multiIFKinds are the checks of Multi-IF: IFEval's but for counts of words and
// sentences, which go by the detected language, and for more quotation marks.
var multiIFKinds = func() map[string]kind {
	kinds := maps.Clone(ifevalKinds)
	kinds["length_constraints:number_words"] = kind{schemas.FamilyFormat, numberOf("num_words", "relation", "Write", noun{"word", "words"}, routedWords)}
	kinds["length_constraints:number_sentences"] = kind{schemas.FamilyFormat, numberOf("num_sentences", "relation", "Write", noun{"sentence", "sentences"}, routedSentences)}
	kinds["startend:quotation"] = kind{schemas.FamilyFormat, anyQuotation}
	return kinds
}()

// routedWords counts words by the rule for the response's language.
func routedWords(s string) int {
	switch language(s) {
	case "th":
		return thaiWords(s)
	case "zh-cn", "zh-tw", "ja":
		return cjkWords(s)
	}
	return runsOfWordRunes(s)
}

// routedSentences counts sentences by the rule for the response's language.
func routedSentences(s string) int {
	switch language(s) {
	case "th":
		return thaiSentences(s)
	case "hi":
		return hindiSentences(s)
	case "zh-cn", "zh-tw", "ja":
		return cjkSentences(s)
	}
	return countPunkt(s)
}

// language takes a text without usable features for English.
func language(s string) string {
	if code, ok := detectLanguage(s); ok {
		return code
	}
	return "en"
}

func anyQuotation(a *args) spec {
	s := quotation(a)
	s.test = func(response string) bool {
		text := strip(response)
		first, size := utf8.DecodeRuneInString(text)
		last, _ := utf8.DecodeLastRuneInString(text)
		if len(text) == size {
			return false
		}
		return first == '"' && last == '"' || first == '“' && last == '”' || first == '「' && last == '」'
	}
	s.demand = func() []string {
		return []string{
			"Wrap your entire answer in quotation marks (\" \", “ ” or 「 」).",
			"Put the whole answer between quotation marks (\" \", “ ” or 「 」).",
			"Your answer must begin and end with matching quotation marks (\" \", “ ” or 「 」).",
		}
	}
	s.reverse = func() []string {
		return []string{
			"Do not wrap your entire answer in quotation marks (\" \", “ ” or 「 」).",
			"Leave the answer as a whole without quotation marks (\" \", “ ” or 「 」) around it.",
			"Your answer must not begin and end with matching quotation marks (\" \", “ ” or 「 」).",
		}
	}
	return s
}

// hindiSentences counts what re.split(r"(?<=[।!?])\s*") leaves that is not blank.
func hindiSentences(s string) int {
	n := 0
	tail := 0
	for i, r := range s {
		if r == '।' || r == '!' || r == '?' {
			n++
			tail = i + utf8.RuneLen(r)
		}
	}
	if !blank(s[tail:]) {
		n++
	}
	return n
}

// isLineEnd is where Python's splitlines cuts.
func isLineEnd(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

// cjkSentences counts, line by line, the runs between ! ? 。 . ！ ？ ．
func cjkSentences(s string) int {
	n := 0
	for line := range strings.FieldsFuncSeq(s, isLineEnd) {
		inside := false
		for _, r := range strip(line) {
			switch r {
			case '!', '?', '。', '.', '！', '？', '．':
				inside = false
			default:
				if !inside {
					n++
				}
				inside = true
			}
		}
	}
	return n
}

// cjkPunctuation is deleted before words are counted.
const cjkPunctuation = `\.!?．/_,{}<>:;$%^&*(+"'—！，。？、` + "`" + `~@#￥…（）：；《》“”)[]»〔〕-「」`

var isCJKPunctuation = func() map[rune]bool {
	m := map[rune]bool{}
	for _, r := range cjkPunctuation {
		m[r] = true
	}
	return m
}()

// cjkWords counts each Chinese, Japanese or Korean character, each emoji and
// each run of anything else between blanks, punctuation deleted.
func cjkWords(s string) int {
	text := make([]rune, 0, len(s))
	for _, r := range s {
		if !isCJKPunctuation[r] {
			text = append(text, r)
		}
	}
	rest, n := withoutEmoji(text)
	inside := false
	for _, r := range rest {
		switch {
		case r >= 0x4e00 && r <= 0x9fff, r >= 0x3400 && r <= 0x4dbf, r >= 0x3040 && r <= 0x30ff, r >= 0xac00 && r <= 0xd7af:
			n++
			inside = false
		case isSpace(r):
			inside = false
		default:
			if !inside {
				n++
			}
			inside = true
		}
	}
	return n
}

//go:embed data/emoji.txt.gz
var emojiData []byte

// emojiNode is a node of the tree of emoji sequences.
type emojiNode struct {
	next      map[rune]*emojiNode
	whole     bool // a sequence ends here
	component bool // it is a part such as a skin tone
}

var emojiTree = sync.OnceValue(func() *emojiNode {
	root := &emojiNode{next: map[rune]*emojiNode{}}
	for line := range strings.Lines(unpacked(emojiData)) {
		line = strings.TrimSuffix(line, "\n")
		sequence := strings.TrimSuffix(line, "+")
		at := root
		for _, r := range sequence {
			if at.next[r] == nil {
				at.next[r] = &emojiNode{next: map[rune]*emojiNode{}}
			}
			at = at.next[r]
		}
		at.whole, at.component = true, sequence != line
	}
	return root
})

// find returns the node of a whole text, nil if it is no emoji.
func (t *emojiNode) find(text []rune) *emojiNode {
	for _, r := range text {
		if t = t.next[r]; t == nil {
			return nil
		}
	}
	if !t.whole {
		return nil
	}
	return t
}

// withoutEmoji removes emoji and counts them as the emoji package's tokenizer
// does: longest path in the tree, no shorter match if that is none, and joined
// emoji that are no known sequence one by one.
func withoutEmoji(text []rune) ([]rune, int) {
	const zwj = 0x200d
	type token struct {
		from, to int
		emoji    bool
	}
	tree := emojiTree()
	var out []rune
	n := 0
	var held []token // may still be taken back by a joiner
	flush := func() {
		for _, t := range held {
			if t.emoji {
				n++
			} else {
				out = append(out, text[t.from:t.to]...)
			}
		}
		held = held[:0]
	}
	var ignored map[int]bool
	for i := 0; i < len(text); {
		r := text[i]
		if ignored[i] {
			i++
			continue
		}
		consumed := false
		if node := tree.next[r]; node != nil {
			j := i + 1
			for j < len(text) && !ignored[j] && node.next[text[j]] != nil {
				node = node.next[text[j]]
				j++
			}
			if node.whole {
				held = append(held, token{i, j, true})
				i = j - 1
				consumed = true
			}
		} else if last := len(held) - 1; r == zwj && last >= 0 && tree.next[text[i-1]] != nil && tree.find(text[held[last].from:held[last].to]) != nil {
			if ignored == nil {
				ignored = map[int]bool{}
			}
			ignored[i] = true
			if tree.find(text[held[last].from:held[last].to]).component {
				for _, t := range held[max(0, last-1):] {
					i -= t.to - t.from
				}
				if text[i] == zwj {
					i++
					held = held[:last]
				} else {
					held = held[:max(0, last-1)]
				}
			} else {
				i -= held[last].to - held[last].from
				held = held[:last]
			}
			continue
		} else if last >= 0 {
			flush()
		}
		if !consumed && r != 0xfe0e && r != 0xfe0f {
			held = append(held, token{i, i + 1, false})
		}
		i++
	}
	flush()
	return out, n
}
