package pair_test

import (
	"slices"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/schemas"
)

func TestNearDuplicatesAreToldByTheirCommonPieces(t *testing.T) {
	const story = "Once upon a time there was a fox that sold tea by the river, and everybody liked it."
	for _, c := range []struct {
		name, a, b string
		bound      float64
		kept       int64
	}{
		{"one word of many differs", story, strings.Replace(story, "fox", "cat", 1), 0.7, 1},
		{"one word of many differs, the bound is high", story, strings.Replace(story, "fox", "cat", 1), 0.95, 2},
		{"other texts", story, "The warranty covers parts and labour for two years from the date of purchase.", 0.2, 2},
		{"Chinese, one character of many differs", "武汉是中国历史文化名城，旅游资源十分丰富。", "武汉是中国历史文化名城，旅游资源非常丰富。", 0.5, 1},
		{"Chinese, other texts", "武汉是中国历史文化名城，旅游资源十分丰富。", "不涉及具体酒店预订和票务服务，敬请谅解。", 0.2, 2},
		{"half of the pieces are common", "abcdefg", "abcdefgxyz", 0.5, 1}, // 3 of 6
		{"a little less than the bound", "abcdefg", "abcdefgxyz", 0.51, 2},
		{"shorter than a piece", "Yes.", "No.", 0.01, 2},
		{"off", story, story + "!", 0, 2},
	} {
		w := newWorld(t, "similar", "ff")
		w.add("10")
		w.add("01")
		w.Responses[0].Text, w.Responses[1].Text = c.a, c.b
		built, err := pair.NewBuilder(schemas.PairOptions{NearDuplicate: c.bound}, nil).Build(w.Turn)
		if err != nil || built.Responses != c.kept || built.NearDuplicates != 2-c.kept || int64(len(built.Pairs)) != 2*(c.kept-1) {
			t.Errorf("%s: %d responses, %d near-duplicates, %d pairs, %v", c.name, built.Responses, built.NearDuplicates, len(built.Pairs), err)
		}
	}
}

func TestAResponseNearToOneThatWasRemovedIsRemovedToo(t *testing.T) {
	w := newWorld(t, "chain", "ff")
	for i, vector := range []string{"10", "01", "00"} {
		w.add(vector)
		w.Responses[i].Text = "abcdefghijklmnopqrstuvwxyz"[4*i : 4*i+16] // 12 pieces, each shares 8 with the next
	}
	built, err := pair.NewBuilder(schemas.PairOptions{NearDuplicate: 0.5}, nil).Build(w.Turn)
	if err != nil || built.Responses != 1 || built.NearDuplicates != 2 {
		t.Errorf("%d responses, %d near-duplicates, %v", built.Responses, built.NearDuplicates, err)
	}
}

func TestTheLengthRatioCountsCharactersAndItsBoundIsInside(t *testing.T) {
	w := newWorld(t, "ratio", "ff")
	w.add("10")
	w.add("01")
	w.Responses[0].Text, w.Responses[1].Text = "武汉武汉", "tea house" // 12 and 9 bytes, 4 and 9 characters
	for bound, pairs := range map[float64]int{2.25: 2, 2.24: 0, 0: 2} {
		built, err := pair.NewBuilder(schemas.PairOptions{MaxLengthRatio: bound}, nil).Build(w.Turn)
		if err != nil || len(built.Pairs) != pairs || built.LengthRatio != int64(2-pairs) {
			t.Errorf("bound %v: %d pairs, drops %+v, %v", bound, len(built.Pairs), built.Drops, err)
		}
	}
}

func TestTheLengthRatioAndTheMaximumHoldForScoreGapPairsToo(t *testing.T) {
	w := newWorld(t, "gap", "fff")
	for i, vector := range []string{"111", "110", "100"} {
		w.add(vector)
		w.Responses[i].Text = strings.Repeat("x", []int{100, 100, 10}[i])
	}
	for _, c := range []struct {
		o       schemas.PairOptions
		margins []float64
	}{
		{schemas.PairOptions{}, []float64{1, 2, 1}},
		{schemas.PairOptions{MaxLengthRatio: 5}, []float64{1}},
		{schemas.PairOptions{MaxPairsPerTurn: 1}, []float64{2}},
	} {
		c.o.Baselines = true
		built, err := pair.NewBuilder(c.o, nil).Build(w.Turn)
		var margins []float64
		for _, p := range built.DPO {
			margins = append(margins, p.Margin)
		}
		if err != nil || !slices.Equal(margins, c.margins) {
			t.Errorf("%+v: margins %v, want %v (%v)", c.o, margins, c.margins, err)
		}
	}
}

func TestThePaperCountsWhatIsNotApplicableAsFollowed(t *testing.T) {
	build := func(policy string) pair.Built {
		w := newWorld(t, "policy", "fff")
		w.add("0-1")
		w.add("10?")
		built, err := pair.NewBuilder(schemas.PairOptions{NotApplicable: policy}, nil).Build(w.Turn)
		if err != nil || len(built.Pairs) != 2 {
			t.Fatalf("%d pairs, %v", len(built.Pairs), err)
		}
		return built
	}
	excluded, followed := build(schemas.ExcludeNotApplicable), build(schemas.FollowedNotApplicable)
	if p := excluded.Pairs[0]; p.Margin != 1 || len(p.Reversed) != 1 {
		t.Errorf("excluded: %+v", p)
	}
	// Abstentions count under neither.
	if p := followed.Pairs[0]; p.Margin != 2 || len(p.Reversed) != 1 || p.NotApplicable != schemas.FollowedNotApplicable {
		t.Errorf("followed: %+v", p)
	}
	if p := followed.Pairs[1]; p.Margin != 2 || len(p.Reversed) != 1 || p.Reversed[0].ConstraintID != p.Differing[1] {
		t.Errorf("followed, the other order: %+v", p)
	}
}
