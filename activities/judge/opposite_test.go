package judge_test

import (
	"context"
	"testing"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/activities/judge"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

func TestAResponseIsJudgedAgainstAnOppositeAlone(t *testing.T) {
	server := scripted.New(t, honestly(t))
	m, release, err := steptest.Models{"judge": server.URL}.Model(t.Context(), chat.Use{Endpoint: "judge"})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	turn := steptest.Turn("shop", steptest.Constraint{Text: "Be kind."})
	rule := schemas.Rule{Profile: "rpo", Kind: "contains", Args: `{"text":"tea"}`}
	for name, c := range map[string]struct {
		opposite schemas.Opposite
		text     string
		want     string
		calls    int64
		mistake  schemas.ErrorType
	}{
		"followed":         {schemas.Opposite{Text: "Say tea."}, "tea", schemas.Followed, 1, ""},
		"not followed":     {schemas.Opposite{Text: "Say tea."}, "milk", schemas.NotFollowed, 1, ""},
		"not applicable":   {schemas.Opposite{Text: "If cold, say tea."}, "milk", schemas.NotApplicable, 1, ""},
		"followed by rule": {schemas.Opposite{Text: "Mention tea.", Rule: rule}, "tea", schemas.Followed, 0, ""},
		"broken by rule":   {schemas.Opposite{Text: "Mention tea.", Rule: rule}, "milk", schemas.NotFollowed, 0, ""},
		"an unknown rule":  {schemas.Opposite{Text: "Think.", Rule: schemas.Rule{Profile: "rpo", Kind: "telepathy"}}, "milk", "", 0, schemas.InvalidInput},
		"irreversible":     {schemas.Opposite{}, "milk", "", 0, schemas.InvalidInput},
	} {
		before := server.Stats().Requests
		got, _, err := judge.FollowsOpposite(context.Background(), m, turn, answers(turn, c.text)[0], c.opposite)
		if got != c.want || (err == nil) != (c.mistake == "") || err != nil && schemas.TypeOf(err) != c.mistake {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if calls := int64(server.Stats().Requests - before); calls != c.calls {
			t.Errorf("%s: %d calls", name, calls)
		}
	}
}
