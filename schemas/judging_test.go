package schemas

import (
	"strings"
	"testing"
)

func TestJudgesAndCheckersThatMakeNoSenseAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"judge_votes": 10}`:                                   `field "judge_votes": 10 is not`,
		`{"judge_votes": -1}`:                                   `field "judge_votes": -1 is not`,
		`{"calibrate": true}`:                                   `field "calibrate": needs a judge`,
		`{"second_judge_endpoint": "b"}`:                        `field "second_judge_endpoint": is given, but no first`,
		`{"judge_endpoint": "a", "second_judge_endpoint": "a"}`: `field "second_judge_model": names the first judge again`,
		`{"judge_endpoint": "a", "judge_model": "m", "second_judge_model": "m"}`:                               `field "second_judge_model": names the first judge again`,
		`{"judge_endpoint": "a", "second_judge_model": "m", "judge_votes": 9, "calibrate": true}`:              "",
		`{"judge_endpoint": "a", "judge_model": "m", "second_judge_endpoint": "b", "second_judge_model": "m"}`: "",
		`{}`: "",
	} {
		in := JudgeResponsesInput{StageInput: StageInput{Manifest: "s3://b/m.json"}}
		if err := DecodeInput([]byte(text), &in); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"opposite_check_endpoint": "b"}`:                       `field "opposite_check_endpoint": is given, but nobody`,
		`{"opposite_check_model": "b"}`:                          `field "opposite_check_endpoint": is given, but nobody`,
		`{"reverse_endpoint": "a", "opposite_check_model": "b"}`: "",
		`{}`: "",
	} {
		in := ReverseConstraintsInput{StageInput: StageInput{Manifest: "s3://b/m.json"}}
		if err := DecodeInput([]byte(text), &in); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
}

func TestASecondModelIsLookedForAtTheFirstOnesEndpoint(t *testing.T) {
	judges := JudgeOptions{JudgeEndpoint: "a", SecondJudgeModel: "m"}
	judges.SetDefaults()
	if judges.SecondJudgeEndpoint != "a" || judges.JudgeVotes != 1 {
		t.Errorf("%+v", judges)
	}
	for given, want := range map[ReverseOptions]ReverseOptions{
		{}: {},
		{ReverseEndpoint: "a", ReverseModel: "m"}:                             {"a", "m", "a", "m"},
		{ReverseEndpoint: "a", ReverseModel: "m", OppositeCheckModel: "n"}:    {"a", "m", "a", "n"},
		{ReverseEndpoint: "a", ReverseModel: "m", OppositeCheckEndpoint: "b"}: {"a", "m", "b", ""},
	} {
		got := given
		if got.SetDefaults(); got != want {
			t.Errorf("%+v becomes %+v, want %+v", given, got, want)
		}
	}
}

func TestVotesAgreeByTheShareOfTheMostFrequent(t *testing.T) {
	votes := func(outcomes ...string) (v Verdict) {
		for _, o := range outcomes {
			v.Votes = append(v.Votes, Vote{Outcome: o})
		}
		return v
	}
	for want, v := range map[float64]Verdict{
		1:       votes(),
		0.75:    votes(Followed, NotFollowed, Followed, Followed),
		0.5:     votes(NotApplicable, NotFollowed),
		1.0 / 3: votes(NotApplicable, NotFollowed, Followed),
	} {
		if got := v.Agreement(); got != want {
			t.Errorf("%+v agree by %v, want %v", v.Votes, got, want)
		}
	}
}

func TestVotesComeBackFromParquet(t *testing.T) {
	reason := "why"
	rows := []Verdict{{VerdictID: "a", Outcome: Abstained, Reason: &reason, Votes: []Vote{{"m", Followed, "r"}, {"n", NotFollowed, ""}}}, {VerdictID: "b"}}
	data, err := Encode(rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode[Verdict](data)
	if err != nil || len(got) != 2 || len(got[0].Votes) != 2 || got[0].Votes[1] != rows[0].Votes[1] || got[1].Votes != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
