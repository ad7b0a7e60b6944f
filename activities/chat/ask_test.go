package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

var yes = json.RawMessage(`{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}`)

func accepts(text string) error {
	var reply struct {
		OK bool `json:"ok"`
	}
	if err := schemas.DecodeStrict([]byte(text), &reply); err != nil {
		return err
	}
	if !reply.OK {
		return errors.New("it is not ok")
	}
	return nil
}

func TestAskTakesTheFirstValidReplyAndGivesUpAfterThree(t *testing.T) {
	for name, c := range map[string]struct {
		replies []scripted.Reply
		asked   int
		says    string
	}{
		"valid at once":            {[]scripted.Reply{scripted.Say(`{"ok":true}`)}, 1, ""},
		"in a code fence":          {[]scripted.Reply{scripted.Say("```json\n{\"ok\":true}\n```")}, 1, ""},
		"in a fence with no name":  {[]scripted.Reply{scripted.Say("\n```\n{\"ok\":true}\n```\n")}, 1, ""},
		"after prose and nonsense": {[]scripted.Reply{scripted.Say("Sure!"), scripted.Say(`{"ok":false}`), scripted.Say(`{"ok":true}`)}, 3, ""},
		"never":                    {[]scripted.Reply{scripted.Say("no"), scripted.Say("no"), scripted.Say(`{"ok":false}`), scripted.Say(`{"ok":true}`)}, 3, "it is not ok"},
		"a fence is not trusted":   {[]scripted.Reply{scripted.Say("```json\n{\"ok\":true}\n``` and {\"ok\":true}"), scripted.Say("```"), scripted.Say("``````")}, 3, "3 replies"},
		"cut by the server's reader": {[]scripted.Reply{
			scripted.Refuse(500, "The model produced output that does not match the expected peg-native format"), scripted.Say(`{"ok":true}`)}, 2, ""},
		"always cut": {[]scripted.Reply{
			scripted.Refuse(500, "The model produced output that does not match the expected peg-native format"),
			scripted.Refuse(500, "The model produced output that does not match the expected peg-native format"),
			scripted.Refuse(500, "The model produced output that does not match the expected peg-native format")}, 3, "gives up on its model's reply"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			seeds := map[int64]bool{}
			server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
				if p.SchemaName != "yes" {
					return scripted.Say("ok") // a probe
				}
				asked++
				seeds[p.Seed] = true
				return c.replies[asked-1]
			})
			client, err := chat.New(chat.Endpoint{Name: "judge", URL: server.URL, Model: "scripted"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			replied, err := chat.Model{Completer: client, Name: "scripted"}.Ask(t.Context(), chat.Request{
				Messages: []schemas.Message{{Role: "user", Content: "Is it ok?"}}, MaxTokens: 20, Schema: yes, SchemaName: "yes"}, accepts)
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(fmt.Sprint(err), c.says) || !chat.RowError(err)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if !replied || asked != c.asked || len(seeds) != asked {
				t.Errorf("asked %d times with %d seeds, want %d; replied %v", asked, len(seeds), c.asked, replied)
			}
		})
	}
}
