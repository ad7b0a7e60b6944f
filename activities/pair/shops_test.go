package pair_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

var vocabulary = []string{"tea", "milk", "ice", "lemon", "sugar", "mint"}

// profiles writes n lines of input: constraints with rules, free ones, one of
// them conditional, and two dialogues of which the second triggers fewer.
func profiles(n int) string {
	var out strings.Builder
	for i := range n {
		w := func(k int) string { return vocabulary[(i+k)%len(vocabulary)] }
		split := schemas.SplitTrain
		if i%7 == 6 {
			split = schemas.SplitEval
		}
		type m = map[string]any
		line, err := json.Marshal(m{
			"id": fmt.Sprint(i), "split": split,
			"system": fmt.Sprintf("You are shop %d.\n* Mention %s.\n* Say %s.\n* If %s, say %s.\n* At most %d words.\nBe well – ünï.", i, w(0), w(1), w(2), w(3), 3+i%3),
			"constraints": []any{
				m{"text": "Mention " + w(0) + ".", "rule": m{"profile": "rpo", "kind": "contains", "args": m{"text": w(0)}}},
				m{"text": "Say " + w(1) + "."},
				m{"text": "If " + w(2) + ", say " + w(3) + "."},
				m{"text": fmt.Sprintf("At most %d words.", 3+i%3), "rule": m{"profile": "rpo", "kind": "words", "args": m{"relation": "at most", "n": 3 + i%3}}},
			},
			"queries": []any{fmt.Sprintf("What is in shop %d?", i), m{"query": fmt.Sprintf("And what not in shop %d?", i), "triggered": []int{0, 1, 3}}},
		})
		if err != nil {
			panic(err)
		}
		out.Write(append(line, '\n'))
	}
	return out.String()
}

func hash(parts ...any) []byte {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return sum[:]
}

// policy says some of the vocabulary, by the hash of prompt and seed. It refuses
// the query of one shop.
func policy(p scripted.Parsed) scripted.Reply {
	if strings.Contains(p.Last(), "What is in shop 3?") {
		return scripted.Refuse(400, "no answer about shop 3")
	}
	return scripted.PerChoice(func(p scripted.Parsed, seed int64) string {
		text := "We have"
		for i, b := range hash(p.Last(), seed)[:len(vocabulary)] {
			if b%3 == 0 {
				text += " " + vocabulary[i]
			}
		}
		return text
	})(p)
}

// judgeModel judges "Say X." and "If Y, say X.", and "Never: " before these, by
// what stands in the response.
// One response in 8 gets replies that are of no use.
func judgeModel(p scripted.Parsed) scripted.Reply {
	_, rest, _ := strings.Cut(p.Last(), "\n<constraints-")
	list, rest, _ := strings.Cut(rest, "\n</constraints-")
	_, response, _ := strings.Cut(rest, "\n<response-")
	if hash(p.Messages)[0] < 32 {
		return scripted.Say("It is a good response.")
	}
	var verdicts []map[string]string
	for line := range strings.Lines(list) {
		id, text, ok := strings.Cut(strings.TrimRight(line, ".\"\n"), ": \"")
		if !ok {
			continue
		}
		verdict := schemas.NotFollowed
		text, opposite := strings.CutPrefix(text, "Never: ")
		condition, demand, conditional := strings.Cut(text, ", say ")
		if !conditional {
			condition, demand = "If ", strings.TrimPrefix(text, "Say ")
		}
		switch {
		case !strings.Contains(response, strings.TrimPrefix(condition, "If ")):
			verdict = schemas.NotApplicable
		case strings.Contains(response, demand) != opposite:
			verdict = schemas.Followed
		}
		verdicts = append(verdicts, map[string]string{"id": id, "reason": "", "verdict": verdict})
	}
	data, err := json.Marshal(map[string]any{"verdicts": verdicts})
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

// reverseModel writes opposites and approves of them.
func reverseModel(p scripted.Parsed) scripted.Reply {
	if p.SchemaName == "check" {
		return scripted.Say(`{"reason": "", "exclusive": true, "exhaustive": true, "definite": true}`)
	}
	_, rest, _ := strings.Cut(p.Last(), "constraint: \"")
	text, _, _ := strings.Cut(rest, "\"\n")
	data, err := json.Marshal(map[string]string{"opposite": "Never: " + text})
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}
