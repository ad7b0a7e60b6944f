package report

import (
	"fmt"
	"strings"

	"rpo/schemas"
)

const (
	maxExamples = 3
	// maxShown bounds the runes shown of one message.
	maxShown = 4000
)

// exampleView is one pair as the page shows it.
type exampleView struct {
	Number, G, Case, PairID string
	Model, JudgedBy         string
	Prompt                  []messageView
	Reversed                []reversalView
	// Kept counts the differing constraints that stand as they were written.
	Kept             string
	Chosen, Rejected messageView
}

// messageView is a message, cut into plain and highlighted pieces.
type messageView struct {
	Role   string
	Pieces []piece
	More   string // how much was left out, "" if nothing
}

// piece is a stretch of text. One with Original replaces that text.
type piece struct {
	Text, Original string
	Replaced       bool
}

type reversalView struct {
	Original, Opposite, By string
	// Fails says that the rejected response fails the opposite; otherwise both
	// responses follow it.
	Fails bool
}

func newExamples(pairs []schemas.Pair) []exampleView {
	var out []exampleView
	for i, p := range pairs[:min(len(pairs), maxExamples)] {
		e := exampleView{
			Number: count(int64(i + 1)), G: figure(p.Margin), Case: count(p.Case), PairID: printable(p.PairID),
			Model: printable(p.Model), JudgedBy: printable(strings.Join(p.JudgedBy, ", ")),
			Chosen: oneMessage(p.Chosen), Rejected: oneMessage(p.Rejected),
		}
		if p.Margin == float64(int64(p.Margin)) {
			e.G = count(int64(p.Margin))
		}
		differing := map[string]bool{}
		for _, id := range p.Differing {
			differing[id] = true
		}
		kept := int64(len(differing))
		for _, r := range p.Reversed {
			if differing[r.ConstraintID] {
				kept--
			}
			e.Reversed = append(e.Reversed, reversalView{
				Original: printable(r.Original), Opposite: printable(r.Opposite), By: printable(r.ReversedBy),
				Fails: differing[r.ConstraintID],
			})
		}
		if kept > 0 {
			e.Kept = plural(kept, "constraint")
		}
		for _, m := range p.Prompt {
			pieces := []piece{{Text: m.Content}}
			if m.Role == "system" {
				pieces = highlight(m.Content, p.Reversed)
			}
			e.Prompt = append(e.Prompt, newMessage(m.Role, pieces))
		}
		out = append(out, e)
	}
	return out
}

func oneMessage(messages []schemas.Message) messageView {
	var texts []string
	for _, m := range messages {
		texts = append(texts, m.Content)
	}
	return newMessage("assistant", []piece{{Text: strings.Join(texts, "\n\n")}})
}

// highlight cuts a system message at the opposites that stand in it, in their
// order. An opposite that is not found is left to the list of reversals.
func highlight(system string, reversed []schemas.Reversal) []piece {
	var out []piece
	for _, r := range reversed {
		if r.Opposite == "" {
			continue
		}
		before, after, found := strings.Cut(system, r.Opposite)
		if !found {
			continue
		}
		if before != "" {
			out = append(out, piece{Text: before})
		}
		out = append(out, piece{Text: r.Opposite, Original: r.Original, Replaced: true})
		system = after
	}
	if system != "" || len(out) == 0 {
		out = append(out, piece{Text: system})
	}
	return out
}

// newMessage makes the pieces printable and keeps the first maxShown runes.
func newMessage(role string, pieces []piece) messageView {
	m := messageView{Role: printable(role)}
	budget, left := maxShown, 0
	for _, p := range pieces {
		text, more := shorten(printable(p.Text), budget)
		left += more
		budget -= len([]rune(text))
		if text == "" && len(pieces) > 1 {
			continue
		}
		original, _ := shorten(printable(p.Original), maxShown)
		m.Pieces = append(m.Pieces, piece{Text: text, Original: original, Replaced: p.Replaced})
	}
	if left > 0 {
		m.More = fmt.Sprintf("%s more not shown", plural(int64(left), "character"))
	}
	return m
}
