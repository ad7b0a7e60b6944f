package changes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/schemas"
)

// maxExamples bounds the examples of one step, maxShown the text of one, in bytes.
const (
	maxExamples = 3
	maxShown    = 160
)

// Report is what the present code would change.
type Report struct {
	Manifest string `json:"manifest"`
	Stage    string `json:"stage"`
	// Code is the present version of the program.
	Code string `json:"code_version"`
	// Jobs made the objects of the manifest.
	Jobs []Job `json:"jobs"`
	// Made are the versions of prompts and rules that the sampled rows carry.
	Made []Made `json:"made"`
	// Turns were sampled of All.
	Turns int64  `json:"turns_sampled"`
	All   int64  `json:"turns"`
	Steps []Step `json:"steps"`
	// Raise says which workflows to start anew, and with what generation.
	Raise []string `json:"raise"`
}

// Job is a stage that made objects of the manifest.
type Job struct {
	Stage       string `json:"stage"`
	Job         string `json:"job"`
	CodeVersion string `json:"code_version"`
	ConfigHash  string `json:"config_hash"`
}

// Made counts the sampled rows of a table that one maker made.
type Made struct {
	Table string `json:"table"`
	By    string `json:"by"`
	Rows  int64  `json:"rows"`
	// Now is how the present code would sign them, "" where it says the same.
	Now string `json:"now,omitempty"`
}

// Step is a step of the method that was run anew.
type Step struct {
	// Step is "rules", "recognition", "reversal", "pairs", or, from cached replies,
	// "responses", "verdicts", "opposites".
	Step  string `json:"step"`
	Table string `json:"table"`
	// Rows were compared: Same, Changed and Unknown add up to them.
	Rows    int64 `json:"rows"`
	Same    int64 `json:"same"`
	Changed int64 `json:"changed"`
	Unknown int64 `json:"unknown"`
	// Why says why rows are unknown.
	Why      string    `json:"why,omitempty"`
	Examples []Example `json:"examples,omitempty"`
}

// Example is one row that would come out different.
type Example struct {
	Row string `json:"row"`
	Was string `json:"was"`
	Now string `json:"now"`
}

// compare books one row.
func (s *Step) compare(id, was, now string) {
	s.Rows++
	if was == now {
		s.Same++
		return
	}
	s.Changed++
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, Example{id, shorten(was), shorten(now)})
	}
}

// unknown books rows that cannot be compared.
func (s *Step) unknown(n int64, why string) {
	if n > 0 {
		s.Rows, s.Unknown, s.Why = s.Rows+n, s.Unknown+n, why
	}
}

func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}

// makers count rows by table and maker.
type makers map[[2]string]*Made

func (m makers) add(table, by, now string) {
	if by == "" {
		return
	}
	key := [2]string{table, by}
	if m[key] == nil {
		if by == now {
			now = ""
		}
		m[key] = &Made{Table: table, By: by, Now: now}
	}
	m[key].Rows++
}

func (m makers) list() []Made {
	out := []Made{}
	for _, key := range slices.SortedFunc(maps.Keys(m), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *m[key])
	}
	return out
}

// advise says what to start anew for what would change. generation is that of the
// input.
func (r *Report) advise(generation int64) {
	r.Raise = []string{}
	for _, s := range r.Steps {
		if s.Changed == 0 {
			continue
		}
		of := map[string]string{"rules": "JudgeResponses", "verdicts": "JudgeResponses", "reversal": "ReverseConstraints", "opposites": "ReverseConstraints",
			"pairs": "BuildPairs", "responses": "SampleResponses"}[s.Step]
		share := fmt.Sprintf("%d of %d sampled rows of table %s would differ (%s)", s.Changed, s.Rows-s.Unknown, s.Table, s.Step)
		if of == "" {
			r.Raise = append(r.Raise, share+": import the profiles again, since rules are read on import")
			continue
		}
		how := fmt.Sprintf("start %s with \"generation\": %d", of, generation+1)
		for _, m := range r.Made {
			if m.Table == s.Table && m.Now != "" {
				how = fmt.Sprintf("start %s: the new version is part of its job, so \"generation\" need not be raised", of)
			}
		}
		if s.Table == schemas.TableVerdict || s.Table == schemas.TableOpposite || s.Table == schemas.TableResponse {
			how += "; a higher generation asks models anew, which costs what it cost"
		}
		r.Raise = append(r.Raise, share+": "+how)
	}
	if len(r.Raise) == 0 {
		r.Raise = append(r.Raise, "no sampled row that could be compared would differ: no generation need be raised")
	}
}
