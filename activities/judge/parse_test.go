package judge

import (
	"testing"

	"rpo/schemas"
)

func FuzzAReplyGivesOneVerdictPerConstraintOrNone(f *testing.F) {
	for _, s := range []string{
		`{"verdicts": [{"id": "c1", "reason": "r", "verdict": "followed"}, {"id": "c2", "reason": "", "verdict": "not_applicable"}]}`,
		`{"verdicts": [{"id": "c2", "reason": "", "verdict": "followed"}, {"id": "c1", "reason": "", "verdict": "followed"}]}`,
		`{"verdicts": [{"id": "c1", "verdict": "abstained"}]}`,
		`{"verdicts": null}`, `{}`, `[]`, `null`, ``, "{\"verdicts\": [{\"id\": \"c\\u0031\"}]}", "```json\n{}\n```",
	} {
		for n := range 3 {
			f.Add(s, n)
		}
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 0 || n > 100 {
			return
		}
		answers, err := parse(text, n)
		if err != nil {
			return
		}
		if len(answers) != n {
			t.Fatalf("%d answers about %d constraints", len(answers), n)
		}
		for _, a := range answers {
			if a.outcome != schemas.Followed && a.outcome != schemas.NotFollowed && a.outcome != schemas.NotApplicable {
				t.Errorf("outcome %q", a.outcome)
			}
		}
	})
}
