package schemas

import (
	"math"
	"strings"
	"testing"
)

func TestOptionsOfPairsAreCheckedByField(t *testing.T) {
	good := func() PairOptions {
		var o PairOptions
		o.SetDefaults()
		return o
	}
	if err := good().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for _, c := range []struct {
		field  string // "" if the change is allowed
		change func(*PairOptions)
	}{
		{"min_margin", func(o *PairOptions) { o.MinMargin = -1 }},
		{"max_pairs_per_turn", func(o *PairOptions) { o.MaxPairsPerTurn = -1 }},
		{"max_length_ratio", func(o *PairOptions) { o.MaxLengthRatio = 0.99 }},
		{"max_length_ratio", func(o *PairOptions) { o.MaxLengthRatio = -2 }},
		{"max_length_ratio", func(o *PairOptions) { o.MaxLengthRatio = math.NaN() }},
		{"max_length_ratio", func(o *PairOptions) { o.MaxLengthRatio = math.Inf(1) }},
		{"", func(o *PairOptions) { o.MaxLengthRatio = 1 }},
		{"near_duplicate", func(o *PairOptions) { o.NearDuplicate = 1.01 }},
		{"near_duplicate", func(o *PairOptions) { o.NearDuplicate = math.NaN() }},
		{"", func(o *PairOptions) { o.NearDuplicate = 1 }},
		{"not_applicable", func(o *PairOptions) { o.NotApplicable = "ignored" }},
		{"", func(o *PairOptions) { o.NotApplicable = FollowedNotApplicable }},
		{"opposite_judge_endpoint", func(o *PairOptions) { o.CheckOpposites = true }},
		{"", func(o *PairOptions) { o.CheckOpposites, o.OppositeJudgeEndpoint = true, "judge" }},
		{"decontaminate", func(o *PairOptions) { o.Decontaminate = []string{""} }},
		{"decontaminate", func(o *PairOptions) { o.Decontaminate = make([]string, 17) }},
		{"dataset", func(o *PairOptions) { o.Dataset = "a/b" }},
	} {
		o := good()
		c.change(&o)
		err := o.Validate()
		if (err == nil) != (c.field == "") || err != nil && !strings.HasPrefix(err.Error(), `field "`+c.field+`"`) {
			t.Errorf("%+v: error %v, want field %q", o, err, c.field)
		}
	}
}
