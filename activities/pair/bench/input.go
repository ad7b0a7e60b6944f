package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"rpo/activities/reverse"
	"rpo/activities/store"
	"rpo/schemas"
)

// Texts have the lengths of SysBench's, in bytes of UTF-8.
const (
	systemBytes   = 1400
	queryBytes    = 120
	responseBytes = 620
)

// corpus is what texts are cut from: words that are drawn with the frequencies of a
// language, the n-th as often as 1/n, so that it compresses like one.
var corpus = func() string {
	random := rand.New(rand.NewPCG(7, 7))
	words := make([]string, 8000)
	for i := range words {
		var w strings.Builder
		for range 1 + random.IntN(4) {
			w.WriteByte("bcdfghklmnprstvw"[random.IntN(16)])
			w.WriteByte("aeiou"[random.IntN(5)])
		}
		words[i] = w.String()
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	var out strings.Builder
	for out.Len() < 32<<20 {
		out.WriteString(words[zipf.Uint64()])
		out.WriteByte(' ')
	}
	return out.String()
}()

// maker makes the rows of one shard.
type maker struct {
	random *rand.Rand
	ids    int
	shard  int

	turns     []schemas.Turn
	responses []schemas.Response
	verdicts  []schemas.Verdict
	opposites []schemas.Opposite
}

func (m *maker) id(kind string) string {
	m.ids++
	return schemas.ID(kind, strconv.Itoa(m.shard), strconv.Itoa(m.ids))
}

func (m *maker) text(size int) string {
	at := m.random.IntN(len(corpus) - size)
	return corpus[at : at+size]
}

// constraint is one with how often responses follow it.
type constraint struct {
	schemas.Constraint
	follow float64
	word   string // that a rule asks for, "" for free text
}

// profile has 6 to 12 constraints, as the paper's have; a quarter have rules. Most
// are easy, so that the responses of a turn agree on them.
func (m *maker) profile() (system string, out []constraint, err error) {
	n := 6 + m.random.IntN(7)
	id := m.id("profile")
	system = m.text(systemBytes - n*60)
	for i := range n {
		c := constraint{follow: []float64{0.97, 0.97, 0.75, 0.1 + 0.8*m.random.Float64()}[m.random.IntN(4)]}
		c.Text = "You must " + strings.TrimSpace(m.text(40)) + "."
		o := schemas.Opposite{Original: c.Text, Text: "You must never " + c.Text, Source: schemas.ByModel, ReversedBy: "model reverse/1"}
		c.ConstraintID = schemas.ID("constraint", id, strconv.Itoa(i), c.Text)
		if m.random.IntN(4) == 0 {
			c.word = fmt.Sprintf("Word%dend", m.ids*16+i)
			c.Text = fmt.Sprintf("Mention %q.", c.word)
			c.Rule = schemas.Rule{Profile: "rpo", Kind: "contains", Args: fmt.Sprintf(`{"text":%q}`, c.word)}
			if o, err = reverse.ByRule(c.Constraint); err != nil {
				return "", nil, err
			}
		}
		o.OppositeID, o.ConstraintID = m.id("opposite"), c.ConstraintID
		c.Start = int64(len(system)) + 2
		system += "- " + c.Text + "\n"
		c.End = int64(len(system)) - 1
		out, m.opposites = append(out, c), append(m.opposites, o)
	}
	return system, out, nil
}

func (m *maker) dialogue() error {
	system, constraints, err := m.profile()
	if err != nil {
		return err
	}
	var history []schemas.Message
	dialogue := m.id("dialogue")
	for index := range turnsPerDialogue {
		t := schemas.Turn{
			TurnID: m.id("turn"), DialogueID: dialogue, ProfileID: dialogue, Split: schemas.SplitTrain, Index: int64(index),
			System: system, History: history[:len(history):len(history)], Query: m.text(queryBytes),
		}
		var triggered []constraint
		for _, c := range constraints {
			t.Constraints = append(t.Constraints, c.Constraint)
			if m.random.IntN(5) < 3 {
				t.Triggered, triggered = append(t.Triggered, c.ConstraintID), append(triggered, c)
			}
		}
		if len(triggered) == 0 {
			t.Triggered, triggered = []string{constraints[0].ConstraintID}, constraints[:1]
		}
		m.turns = append(m.turns, t)
		for sample := range responsesPerTurn {
			m.response(t, triggered, int64(sample))
		}
		history = append(history, schemas.Message{Role: "user", Content: t.Query},
			schemas.Message{Role: "assistant", Content: m.responses[len(m.responses)-1].Text})
	}
	return nil
}

// response follows each constraint with its chance; some of those without a rule
// do not apply.
func (m *maker) response(t schemas.Turn, triggered []constraint, sample int64) {
	r := schemas.Response{
		ResponseID: m.id("response"), TurnID: t.TurnID, SampleIndex: sample, FinishReason: "stop",
		Text: m.text(responseBytes/2 + m.random.IntN(responseBytes)), Endpoint: "policy", Model: "policy", Temperature: 1, TopP: 1, Seed: sample,
	}
	for _, c := range triggered {
		v := schemas.Verdict{
			VerdictID: m.id("verdict"), ResponseID: r.ResponseID, TurnID: t.TurnID, ConstraintID: c.ConstraintID,
			Family: schemas.FamilyContent, Outcome: schemas.NotFollowed, Source: schemas.ByModel, JudgedBy: "judge judge/1",
		}
		switch {
		case c.word == "" && m.random.IntN(50) == 0:
			v.Outcome = schemas.NotApplicable
		case m.random.Float64() < c.follow:
			v.Outcome = schemas.Followed
			if c.word != "" {
				r.Text += " " + c.word
			}
		}
		if c.word != "" {
			v.Source, v.JudgedBy = schemas.ByRule, "rpo/1"
		} else {
			reason := m.text(60)
			v.Reason = &reason
		}
		m.verdicts = append(m.verdicts, v)
	}
	m.responses = append(m.responses, r)
}

// input writes the shards from first to end, each from a seed of its own, and
// returns the URI of their manifest.
func input(s store.Store, first, end int) (string, error) {
	manifest := schemas.Manifest{Stage: "import"}
	for number := first; number < end; number++ {
		m := maker{random: rand.New(rand.NewPCG(1, uint64(number))), shard: number}
		for range dialoguesPerShard {
			if err := m.dialogue(); err != nil {
				return "", err
			}
		}
		shard := schemas.ManifestShard{Shard: number, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
		for _, put := range []func() error{
			table(s, shard, schemas.TableTurn, m.turns), table(s, shard, schemas.TableResponse, m.responses),
			table(s, shard, schemas.TableVerdict, m.verdicts), table(s, shard, schemas.TableOpposite, m.opposites),
		} {
			if err := put(); err != nil {
				return "", err
			}
		}
		manifest.Shards = append(manifest.Shards, shard)
	}
	return store.PutManifest(context.Background(), s, manifest)
}

func table[T any](s store.Store, shard schemas.ManifestShard, name string, rows []T) func() error {
	return func() (err error) {
		shard.Objects[name], err = store.PutRows(context.Background(), s, name, rows)
		return err
	}
}
