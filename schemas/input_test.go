package schemas

import (
	"strings"
	"testing"
)

func TestAMistakeInAnInputIsNamedWithItsField(t *testing.T) {
	for text, want := range map[string]string{
		`{"profiels": "x"}`:                        `unknown field "profiels": known fields are base_model, `,
		`{"profiles": 5}`:                          `field "profiles": got a JSON number, want a string`,
		`{"profiles": "x", "responses": ""}`:       `field "responses": got a JSON string, want a whole number`,
		`{"profiles": "x", "responses": 1.5}`:      `field "responses": got a JSON number 1.5, want a whole number`,
		`{"profiles": "x", "beta": []}`:            `field "beta": got a JSON array, want a number`,
		`{"profiles": "x", "full_fine_tuning": 1}`: `field "full_fine_tuning": got a JSON number, want true or false`,
		`{"profiles": "x", "stall_timeout": 5}`:    `field "stall_timeout": got a JSON value 5, want a duration such as "30m"`,
		`{"profiles": "x", "stall_timeout": "5"}`:  `field "stall_timeout": got a JSON value "5", want a duration such as "30m"`,
		`{"profiles": "x", "loss": "ppo"}`:         `field "loss": "ppo" is not one of rpo, dpo, kto, sft`,
		`[]`:                                       `got a JSON array, want one object`,
		`"text"`:                                   `got a JSON string, want one object`,
		`{"profiles": "x"} {}`:                     `input holds more than one JSON value: pass one object`,
		`{"profiles": `:                            `decode input: unexpected EOF`,
		`{"profiles": x}`:                          `malformed JSON at byte 14: invalid character 'x'`,
		`null`:                                     `field "profiles": is required`,
		``:                                         `field "profiles": is required`,
	} {
		err := DecodeInput([]byte(text), &RunPipelineInput{})
		if err == nil || !strings.HasPrefix(err.Error(), want) || TypeOf(err) != InvalidInput {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
}

func TestADurationIsReadAndWrittenAsText(t *testing.T) {
	in := RunPipelineInput{}
	if err := DecodeInput([]byte(`{"profiles": "x", "stall_timeout": "90s"}`), &in); err != nil {
		t.Fatal(err)
	}
	data, err := in.StallTimeout.MarshalJSON()
	if err != nil || string(data) != `"1m30s"` {
		t.Errorf("90s is written as %s, %v", data, err)
	}
}

func TestAnUnknownKeyIsNamedWithItsPath(t *testing.T) {
	type price struct {
		Prompt float64 `json:"prompt"`
	}
	type endpoint struct {
		URL   string `json:"url"`
		Price *price `json:"price"`
	}
	type list struct {
		Name string `json:"name"`
	}
	type config struct {
		RunOptions
		Endpoints map[string]endpoint `json:"endpoints"`
		Keys      []list              `json:"keys"`
	}
	for data, want := range map[string]string{
		`{"endpoint": 1}`: `unknown field "endpoint": known fields are`,
		`{"endpoints": {"judge": {"url": "u", "key": "k"}}}`:      `unknown field "endpoints.judge.key": known fields are price, url`,
		`{"endpoints": {"judge": {"price": {"prompts": 1}}}}`:     `unknown field "endpoints.judge.price.prompts": known fields are prompt`,
		`{"keys": [{"name": "a"}, {"nam": "b"}]}`:                 `unknown field "keys[1].nam": known fields are name`,
		`{"generation": 1, "endpoints": {"a": {}, "b": {"x":1}}}`: `unknown field "endpoints.b.x": known fields are price, url`,
		``: "nothing to decode",
	} {
		var c config
		if err := DecodeStrict([]byte(data), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
	}
}
