package experiment

import (
	"bytes"
	"encoding/json"
	"math"
)

// effort sums the tokens that a training put through the model, over all its
// processes, and the hours of its optimizer steps, from the trainer's event lines.
// A step that a resumed run made again counts once, as it last was. Lines that are
// not such events say nothing.
func effort(events []byte) (tokens int64, hours float64) {
	type step struct {
		Event   string  `json:"event"`
		Step    int     `json:"step"`
		Tokens  int64   `json:"tokens"`
		PerSecs float64 `json:"tokens_per_s"`
	}
	steps := map[int]step{}
	for line := range bytes.Lines(events) {
		var s step
		if json.Unmarshal(line, &s) == nil && s.Event == "step" {
			steps[s.Step] = s
		}
	}
	var seconds float64
	for _, s := range steps {
		tokens += s.Tokens
		if s.PerSecs > 0 {
			seconds += float64(s.Tokens) / s.PerSecs
		}
	}
	return tokens, math.Round(seconds/3600*1e6) / 1e6
}

// round keeps four digits: what is beyond them is noise, and results must stay
// small.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }
