package schemas

import (
	"strings"
	"testing"
)

func decodeTrain(t *testing.T, input string) TrainOptions {
	t.Helper()
	in := TrainModelInput{}
	if err := DecodeInput([]byte(input), &in); err != nil {
		t.Fatalf("%s: %v", input, err)
	}
	return in.TrainOptions
}

func TestAPresetStandsForTheFieldsThatAreNotGiven(t *testing.T) {
	o := decodeTrain(t, `{"manifest":"m","preset":"rpo-faithful-70b"}`)
	if o.Layout != "none" || o.MarginScale != "logit" || o.PairsPerStep != 512 || o.PairsPerBatch != 1 || o.Shard != -1 || o.TokensPerBatch != 0 || o.MaxLength != 4096 {
		t.Errorf("the preset gives %+v", o)
	}
	o = decodeTrain(t, `{"manifest":"m","preset":"rpo-paper-qwen-7b","learning_rate":1e-4,"max_length":999,"loss":"dpo","processes":2}`)
	if o.LearningRate != 1e-4 || o.MaxLength != 999 || o.Loss != "dpo" || o.Processes != 2 {
		t.Errorf("the preset wins over what is given: %+v", o)
	}
	if o.PairsPerStep != 2048 || o.Precision != "bfloat16" || o.Layout != "groups" {
		t.Errorf("the rest is not the preset's: %+v", o)
	}
}

func TestAPresetIsTheSameRunAsItsValues(t *testing.T) {
	named := decodeTrain(t, `{"manifest":"m","preset":"rpo-faithful-8b"}`)
	spelt := named
	spelt.Preset = ""
	if named.Recipe() != spelt.Recipe() {
		t.Errorf("recipes differ: %+v and %+v", named.Recipe(), spelt.Recipe())
	}
}

func TestEveryPresetIsValid(t *testing.T) {
	if len(Presets()) != 8 {
		t.Errorf("presets %v", Presets())
	}
	for _, name := range Presets() {
		decodeTrain(t, `{"manifest":"m","preset":"`+name+`"}`)
	}
}

func TestTheRateOfSupervisedFineTuningIsThePapers(t *testing.T) {
	for input, want := range map[string]float64{
		`{"manifest":"m"}`:                                         5e-4,
		`{"manifest":"m","loss":"sft"}`:                            5e-5,
		`{"manifest":"m","loss":"sft","preset":"rpo-paper-8b"}`:    5e-5,
		`{"manifest":"m","loss":"sft","learning_rate":1e-3}`:       1e-3,
		`{"manifest":"m","loss":"dpo","preset":"rpo-faithful-8b"}`: 5e-4,
	} {
		if got := decodeTrain(t, input).LearningRate; got != want {
			t.Errorf("%s: learning rate %g, want %g", input, got, want)
		}
	}
}

func TestAWrongTrainOptionIsNamed(t *testing.T) {
	for input, says := range map[string]string{
		`{"manifest":"m","preset":"rpo-paper-9b"}`:       `field "preset": "rpo-paper-9b" is not one of rpo-faithful-70b, rpo-faithful-8b`,
		`{"manifest":"m","init":"a model@v1"}`:           `field "init"`,
		`{"manifest":"m","init":"model@v0"}`:             `field "init"`,
		`{"manifest":"m","shard":-2}`:                    `field "shard"`,
		`{"manifest":"m","shard":3,"processes":4}`:       `field "shard"`,
		`{"manifest":"m","loss":"sft","sft_weight":0.1}`: `field "sft_weight"`,
	} {
		err := DecodeInput([]byte(input), &TrainModelInput{})
		if TypeOf(err) != InvalidInput || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that says %s", input, err, says)
		}
	}
}

func TestWhatChangesSpeedAloneIsNoOtherJob(t *testing.T) {
	same := decodeTrain(t, `{"manifest":"m"}`).Recipe()
	for _, input := range []string{
		`{"manifest":"m","shard":-1,"processes":4,"pairs_per_batch":7,"tokens_per_batch":999}`,
		`{"manifest":"m","policy_endpoint":"policy","layout":"none"}`,
	} {
		if got := decodeTrain(t, input).Recipe(); got != same {
			t.Errorf("%s is another job", input)
		}
	}
	for _, input := range []string{`{"manifest":"m","layout":"groups"}`, `{"manifest":"m","loss":"dpo"}`, `{"manifest":"m","max_length":7}`} {
		if got := decodeTrain(t, input).Recipe(); got == same {
			t.Errorf("%s is the same job", input)
		}
	}
}
