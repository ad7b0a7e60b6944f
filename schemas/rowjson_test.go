package schemas

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestARowComesBackFromItsJSON(t *testing.T) {
	reason := "it says \"no\" <b>\u2028"
	verdict := Verdict{VerdictID: "v", Outcome: "followed", Reason: &reason, Votes: []Vote{{JudgedBy: "m", Outcome: "followed"}}}
	data, err := RowJSON(verdict)
	if err != nil {
		t.Fatal(err)
	}
	got, err := RowFromJSON[Verdict](data)
	if err != nil || !reflect.DeepEqual(got, verdict) {
		t.Errorf("%s gives %+v, %v", data, got, err)
	}
	turn := Turn{TurnID: "t", Index: 1 << 60, History: []Message{{Role: "user", Content: "天"}}, Triggered: []string{"a"}}
	data, err = RowJSON(turn)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := RowFromJSON[Turn](data); err != nil || !reflect.DeepEqual(again, turn) {
		t.Errorf("%s gives %+v, %v", data, again, err)
	}
}

func TestARowsJSONHasItsColumnsAndEmptyListsForNone(t *testing.T) {
	data, err := RowJSON(Pair{})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, c := range ColumnTypes[Pair]() {
		value, ok := fields[c.Name]
		if !ok || c.List != (string(value) == "[]") {
			t.Errorf("column %s is %s", c.Name, value)
		}
		delete(fields, c.Name)
	}
	if len(fields) > 0 {
		t.Errorf("what are %v?", fields)
	}
}

func TestAWrongRowIsRefusedByItsColumn(t *testing.T) {
	whole, err := RowJSON(Golden{TurnID: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, says string }{
		{`"turn_id":"t",`, ``, `column "turn_id" is missing`},
		{`"turn_id":"t"`, `"turn_id":null`, "never null"},
		{`"turn_id":"t"`, `"turn_id":5`, `column "turn_id": want a string`},
		{`"rounds":0`, `"rounds":0.5`, `column "rounds": want a int64`},
		{`"turn_id":"t"`, `"turn_id":"t","more":1`, `unknown column "more"`},
		{string(whole), `[]`, "want an object"},
		{string(whole), `null`, "want an object"},
	} {
		text := strings.Replace(string(whole), c.old, c.with, 1)
		if _, err := RowFromJSON[Golden]([]byte(text)); TypeOf(err) != InvalidInput || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s gives %v, want %q", text, err, c.says)
		}
	}
}
