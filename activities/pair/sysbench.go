package pair

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// maxLine bounds one line of a verdict file, in bytes.
const maxLine = 16 << 20

// SysBench collects runs over the same sessions, one response to every round each,
// with published verdicts. Rounds are joined by session and round, verdicts by the
// criterion's id.
type SysBench struct {
	runs  []string
	turns map[roundID]*sysBenchTurn
}

type roundID struct{ session, round int64 }

// sysBenchTurn is one round with the answers of all runs.
type sysBenchTurn struct {
	criteria []int64 // sorted
	answers  []sysBenchAnswer
}

// sysBenchAnswer maps criteria to yes or no; nil for any other verdict.
type sysBenchAnswer struct {
	run      string
	text     string
	verdicts map[int64]*bool
}

// SysBenchCounts are what Build makes of the runs.
type SysBenchCounts struct {
	// Runs are the runs' names, sorted.
	Runs []string `json:"runs"`
	// Turns counts the rounds of all runs, Responses the answers that were used.
	Turns     int64 `json:"turns"`
	Responses int64 `json:"responses"`
	// DroppedNonBinary counts the answers without a yes or no to every criterion
	// of their round.
	DroppedNonBinary int64 `json:"dropped_non_binary"`
	// UniqueVerdictVectors sums, over the turns, the different vectors.
	UniqueVerdictVectors int64 `json:"unique_verdict_vectors"`
	// UnorderedPairsByG counts pairs of answers by g ("1", "2", ...); each gives two
	// TrainingPairs.
	UnorderedPairsByG     map[string]int64 `json:"unordered_pairs_by_g"`
	TrainingPairs         int64            `json:"training_pairs"`
	TrainingPairsGOverTwo int64            `json:"training_pairs_g_over_2"`
}

// Run names the run of a verdict file: verdicts_<run>.jsonl.gz.
func Run(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".gz")
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".jsonl"), ".json")
	return strings.TrimPrefix(name, "verdicts_")
}

// Read adds a run: JSON lines, gzipped or not, of
//
//	{"system_id": 1, "round": 2, "answer": "...", "verdicts": [{"id": 3, "ok": true}]}
//
// where ok is null for a verdict that is neither yes nor no. Other fields are left
// alone. An error names the line.
func (s *SysBench) Read(r io.Reader, run string) error {
	in := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return schemas.Errorf(schemas.CorruptData, "unpack: %w", err)
		}
		defer z.Close()
		in = bufio.NewReaderSize(z, 1<<16)
	}
	if s.turns == nil {
		s.turns = map[roundID]*sysBenchTurn{}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	seen := map[roundID]int{}
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		if len(line) == 0 {
			continue
		}
		id, answer, err := parseAnswer(line)
		if err == nil && seen[id] > 0 {
			err = fmt.Errorf("round %d of session %d stands in line %d already", id.round, id.session, seen[id])
		}
		if err != nil {
			return schemas.Errorf(schemas.InvalidInput, "line %d: %w", n, err)
		}
		seen[id] = n
		answer.run = run
		s.add(id, answer)
	}
	if err := lines.Err(); err != nil {
		return schemas.Errorf(schemas.InvalidInput, "line %d: %w", n+1, err)
	}
	if len(seen) == 0 {
		return schemas.Errorf(schemas.InvalidInput, "it holds no verdicts")
	}
	s.runs = append(s.runs, run)
	return nil
}

func parseAnswer(line []byte) (roundID, sysBenchAnswer, error) {
	var row struct {
		Session  *int64 `json:"system_id"`
		Round    *int64 `json:"round"`
		Answer   string `json:"answer"`
		Verdicts []struct {
			ID *int64 `json:"id"`
			OK *bool  `json:"ok"`
		} `json:"verdicts"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return roundID{}, sysBenchAnswer{}, err
	}
	switch {
	case row.Session == nil:
		return roundID{}, sysBenchAnswer{}, errors.New("system_id is missing")
	case row.Round == nil:
		return roundID{}, sysBenchAnswer{}, errors.New("round is missing")
	case len(row.Verdicts) == 0:
		return roundID{}, sysBenchAnswer{}, errors.New("verdicts are missing")
	}
	a := sysBenchAnswer{text: row.Answer, verdicts: map[int64]*bool{}}
	for _, v := range row.Verdicts {
		if v.ID == nil {
			return roundID{}, a, errors.New("a verdict has no id")
		}
		if _, ok := a.verdicts[*v.ID]; ok {
			return roundID{}, a, fmt.Errorf("criterion %d is judged twice", *v.ID)
		}
		a.verdicts[*v.ID] = v.OK
	}
	return roundID{*row.Session, *row.Round}, a, nil
}

func (s *SysBench) add(id roundID, a sysBenchAnswer) {
	t := s.turns[id]
	if t == nil {
		t = &sysBenchTurn{}
		s.turns[id] = t
	}
	t.answers = append(t.answers, a)
	for c := range a.verdicts {
		if i, ok := slices.BinarySearch(t.criteria, c); !ok {
			t.criteria = slices.Insert(t.criteria, i, c)
		}
	}
}

// Count builds the pairs of all turns and counts them.
func (s *SysBench) Count() (SysBenchCounts, error) {
	c := SysBenchCounts{Runs: slices.Sorted(slices.Values(s.runs)), UnorderedPairsByG: map[string]int64{}}
	b := NewBuilder(schemas.PairOptions{}, nil)
	for id, t := range s.turns {
		turn, dropped := t.turn(id)
		c.Turns++
		c.DroppedNonBinary += dropped
		c.Responses += int64(len(turn.Responses))
		built, err := b.Build(turn)
		if err != nil {
			return c, err
		}
		c.UniqueVerdictVectors += built.Vectors
		c.TrainingPairs += int64(len(built.Pairs))
		for _, p := range built.Pairs {
			c.UnorderedPairsByG[strconv.Itoa(int(p.Margin))]++
			if p.Margin > 2 {
				c.TrainingPairsGOverTwo++
			}
		}
	}
	for g := range c.UnorderedPairsByG {
		c.UnorderedPairsByG[g] /= 2
	}
	return c, nil
}

// turn makes the round a turn whose system message lists the criteria by id, with
// opposites that say no more than that they are: the file has no texts. dropped
// counts the answers that are left out.
func (t *sysBenchTurn) turn(id roundID) (turn Turn, dropped int64) {
	name := fmt.Sprintf("%d/%d", id.session, id.round)
	turn = Turn{Verdicts: map[string][]schemas.Verdict{}, Opposites: map[string]schemas.Opposite{}}
	turn.TurnID, turn.Query = schemas.ID("turn", name), "round "+name
	for _, criterion := range t.criteria {
		c := schemas.Constraint{
			ConstraintID: schemas.ID("constraint", name, fmt.Sprint(criterion)),
			Text:         fmt.Sprintf("criterion %d", criterion), Start: int64(len(turn.System)),
		}
		turn.System += c.Text
		c.End = int64(len(turn.System))
		turn.System += "\n"
		turn.Constraints = append(turn.Constraints, c)
		turn.Triggered = append(turn.Triggered, c.ConstraintID)
		turn.Opposites[c.ConstraintID] = schemas.Opposite{ConstraintID: c.ConstraintID, Original: c.Text, Text: "not " + c.Text}
	}
	for n, a := range t.answers {
		r := schemas.Response{ResponseID: schemas.ID("response", name, strconv.Itoa(n), a.run), TurnID: turn.TurnID, SampleIndex: int64(n), Text: a.text, Model: a.run}
		var verdicts []schemas.Verdict
		for i, criterion := range t.criteria {
			ok := a.verdicts[criterion]
			if ok == nil {
				break
			}
			v := schemas.Verdict{ResponseID: r.ResponseID, ConstraintID: turn.Constraints[i].ConstraintID, Outcome: schemas.NotFollowed}
			if *ok {
				v.Outcome = schemas.Followed
			}
			verdicts = append(verdicts, v)
		}
		if len(verdicts) < len(t.criteria) {
			dropped++
			continue
		}
		turn.Responses = append(turn.Responses, r)
		turn.Verdicts[r.ResponseID] = verdicts
	}
	return turn, dropped
}
