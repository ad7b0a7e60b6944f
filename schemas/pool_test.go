package schemas

import (
	"strings"
	"testing"
)

func TestNodesAndPoolSayWhereToTrainAndNotWhat(t *testing.T) {
	alone := decodeTrain(t, `{"manifest":"m"}`)
	if alone.Nodes != 0 || alone.Pool != "" || alone.Ranks() != 1 {
		t.Errorf("nothing given: nodes %d of pool %q, %d ranks", alone.Nodes, alone.Pool, alone.Ranks())
	}
	for input, want := range map[string]struct {
		nodes, ranks int
		pool         string
	}{
		`{"manifest":"m","nodes":2,"processes":4,"shard":8}`: {2, 8, DefaultPool},
		`{"manifest":"m","pool":"h100"}`:                     {1, 1, "h100"},
		`{"manifest":"m","nodes":3,"pool":"h100"}`:           {3, 3, "h100"},
	} {
		o := decodeTrain(t, input)
		if o.Nodes != want.nodes || o.Pool != want.pool || o.Ranks() != want.ranks {
			t.Errorf("%s: nodes %d of pool %q, %d ranks, want %+v", input, o.Nodes, o.Pool, o.Ranks(), want)
		}
		if spread := o.Recipe(); spread != alone.Recipe() {
			t.Errorf("%s makes another job: %+v", input, spread)
		}
	}
}

func TestAMistakeInAPoolIsNamedByItsField(t *testing.T) {
	for input, field := range map[string]string{
		`{"manifest":"m","nodes":-1}`:                        `"nodes"`,
		`{"manifest":"m","nodes":33}`:                        `"nodes"`,
		`{"manifest":"m","nodes":2,"pool":"a b"}`:            `"pool"`,
		`{"manifest":"m","nodes":3,"processes":1,"shard":2}`: `"shard"`,
	} {
		if err := DecodeInput([]byte(input), &TrainModelInput{}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want an error that names %s", input, err, field)
		}
	}
	var in ManageNodePoolInput
	if err := DecodeInput(nil, &in); err != nil || in.Pool != DefaultPool || in.CheckEvery == 0 {
		t.Errorf("no input: %+v, %v", in, err)
	}
	for input, field := range map[string]string{`{"pool":"../x"}`: `"pool"`, `{"check_every":"1ms"}`: `"check_every"`, `{"nodes":2}`: `"nodes"`} {
		if err := DecodeInput([]byte(input), &ManageNodePoolInput{}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want an error that names %s", input, err, field)
		}
	}
}
