package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"rpo/activities/chat/scripted"
)

// Models of the endpoint, named by the stage that calls them.
const (
	policyModel  = "policy"
	judgeModel   = "judge"
	reverseModel = "reverse"
)

// callTime is how long an undisturbed call takes: a stage lasts long enough to
// be disturbed.
const callTime = 40 * time.Millisecond

const (
	profilesPerShard = 3
	queriesPerTurn   = 2
	// refusedPlace is the place whose query the endpoint refuses for good, so that
	// the books have a row that was set aside.
	refusedPlace = 4
)

// profiles are JSON lines. Every query and every free constraint names a number,
// by which a call is known to be for a row of a shard.
func profiles() string {
	var b strings.Builder
	for i := range shards * profilesPerShard {
		fmt.Fprintf(&b, `{"id":"p%03d","split":"train","system":"You are guide %d. Mention \"river\". Mention bridge %d. Write at least %d words.",`+
			`"constraints":[{"text":"Mention \"river\".","rule":{"profile":"rpo","kind":"contains","args":{"text":"river"}}},`+
			`{"text":"Mention bridge %d."},`+
			`{"text":"Write at least %d words.","rule":{"profile":"rpo","kind":"words","args":{"relation":"at least","n":%d}}}],`+
			`"queries":["What about town %d?","And what about hill %d?"]}`+"\n", i, i, i, 3+i%6, i, 3+i%6, 3+i%6, i, i)
	}
	return b.String()
}

var place = regexp.MustCompile(`(?i)(?:town|hill|bridge) (\d+)`)

// shardOf finds the shard of the row that a call is for.
func shardOf(p scripted.Parsed) (shard, number int, ok bool) {
	for _, text := range []string{p.Last(), p.System()} {
		if m := place.FindStringSubmatch(text); m != nil {
			n, err := strconv.Atoi(m[1])
			return n / profilesPerShard, n, err == nil
		}
	}
	return 0, 0, false
}

// reply depends on the request alone.
func reply(p scripted.Parsed) scripted.Reply {
	_, number, _ := shardOf(p)
	r := scripted.Reply{}
	switch p.Model {
	case policyModel:
		if number == refusedPlace && strings.Contains(p.Last(), "hill") {
			return scripted.Refuse(400, "this place is not spoken of")
		}
		r = scripted.PerChoice(response)(p)
	case judgeModel:
		r = scripted.Say(verdicts(p))
	default:
		r = scripted.Say(opposite(p))
	}
	r.Delay = callTime
	return r
}

func hashOf(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return h.Sum64()
}

// response follows some of the constraints.
func response(p scripted.Parsed, seed int64) string {
	n := hashOf(p.System(), p.Last(), seed)
	words := []string{"stone", "river", "cloud", "lamp", "road", "bread", "bridge", "wind"}
	var b strings.Builder
	for i := range 2 + n%8 {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(words[(n>>(3*i))%uint64(len(words))])
	}
	return b.String() + "."
}

var constraintLine = regexp.MustCompile(`(?m)^(c\d+): "`)

// verdicts judges all constraints of a request; one request in 16 gets none that
// can be read, however often it is asked.
func verdicts(p scripted.Parsed) string {
	if hashOf(p.Last())%16 == 0 {
		return "I would rather not say."
	}
	type verdict struct {
		ID      string `json:"id"`
		Reason  string `json:"reason"`
		Verdict string `json:"verdict"`
	}
	var out struct {
		Verdicts []verdict `json:"verdicts"`
	}
	for _, m := range constraintLine.FindAllStringSubmatch(p.Last(), -1) {
		v := verdict{m[1], "it was read", "followed"}
		if hashOf(p.Last(), m[1])%2 == 0 {
			v.Verdict = "not_followed"
		}
		out.Verdicts = append(out.Verdicts, v)
	}
	return encode(out)
}

// opposite writes an opposite, or approves of one.
func opposite(p scripted.Parsed) string {
	if p.SchemaName == "check" {
		return encode(map[string]any{"reason": "", "exclusive": true, "exhaustive": true, "definite": true})
	}
	_, number, _ := shardOf(p)
	return encode(map[string]string{"opposite": fmt.Sprintf("Do not mention bridge %d.", number)})
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and structs of strings
	}
	return string(data)
}
