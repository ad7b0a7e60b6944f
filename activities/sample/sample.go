package sample

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"rpo/activities/chat"
	"rpo/schemas"
)

// Request is the one call that samples all responses of a turn. Its seed
// depends on the options' seed and the turn alone, so a retry asks the same. The
// turns of a dialogue ask the same server, which has the dialogue so far in its
// prefix cache.
func Request(t schemas.Turn, o schemas.SampleOptions, model string) chat.Request {
	return chat.Request{
		Model:       model,
		Messages:    t.Messages(),
		N:           o.Responses,
		Temperature: o.Temperature,
		TopP:        o.TopP,
		MaxTokens:   o.MaxTokens,
		Seed:        seed(o.Seed, t.TurnID),
		Affinity:    t.DialogueID,
	}
}

// Dialogues groups turns by dialogue: the indices of each dialogue's turns in the
// order in which they were spoken, dialogues in the order of their first turn.
func Dialogues(turns []schemas.Turn) [][]int {
	var order []string
	of := map[string][]int{}
	for i, t := range turns {
		if of[t.DialogueID] == nil {
			order = append(order, t.DialogueID)
		}
		of[t.DialogueID] = append(of[t.DialogueID], i)
	}
	out := make([][]int, len(order))
	for i, id := range order {
		slices.SortStableFunc(of[id], func(a, b int) int { return cmp.Compare(turns[a].Index, turns[b].Index) })
		out[i] = of[id]
	}
	return out
}

func seed(base int64, turnID string) int64 {
	sum := sha256.Sum256([]byte(strconv.FormatInt(base, 10) + " " + turnID))
	return int64(binary.BigEndian.Uint32(sum[:4]) >> 1)
}

// Rows turns the reply to Request into response rows, in the order of the
// choices. A text that an earlier choice of the turn has is marked as its
// duplicate.
func Rows(t schemas.Turn, o schemas.SampleOptions, req chat.Request, model string, choices []chat.Choice) []schemas.Response {
	first := map[string]string{}
	rows := make([]schemas.Response, 0, len(choices))
	for i, c := range choices {
		r := schemas.Response{
			TurnID: t.TurnID, SampleIndex: int64(i), Text: c.Text, FinishReason: c.FinishReason,
			Endpoint: o.Endpoint, Model: model,
			Temperature: o.Temperature, TopP: o.TopP, Seed: req.Seed,
		}
		r.ResponseID = schemas.ID("response", t.TurnID, model, strconv.Itoa(i), strconv.FormatInt(req.Seed, 10),
			strconv.FormatFloat(o.Temperature, 'g', -1, 64), strconv.FormatFloat(o.TopP, 'g', -1, 64),
			strconv.Itoa(o.MaxTokens), c.Text)
		if id, ok := first[c.Text]; ok {
			r.DuplicateOf = &id
		} else {
			first[c.Text] = r.ResponseID
		}
		rows = append(rows, r)
	}
	return rows
}
