package cache

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"rpo/activities/chat"
	"rpo/schemas"
)

// TestEveryFieldOfARequestIsInTheKeyUnlessItDeterminesNothing fails for a field
// that is new, until somebody decides whether it determines replies.
func TestEveryFieldOfARequestIsInTheKeyUnlessItDeterminesNothing(t *testing.T) {
	base := chat.Request{
		Model: "m", Messages: []schemas.Message{{Role: "user", Content: "q"}}, N: 2, Temperature: 1, TopP: 0.9, TopK: 5, MinP: 0.1,
		MaxTokens: 10, Seed: 3, Schema: json.RawMessage(`{}`), SchemaName: "s", Stop: []string{"a"},
	}
	changed := map[string]any{
		"Model": "n", "Messages": []schemas.Message{{Role: "user", Content: "r"}}, "N": 3, "Temperature": 0.5, "TopP": 0.8, "TopK": 6, "MinP": 0.2,
		"MaxTokens": 11, "Seed": int64(4), "Schema": json.RawMessage(`[]`), "SchemaName": "t", "Stop": []string{"b"}, "Affinity": "x",
	}
	ignored := map[string]bool{"N": true, "Affinity": true}
	use := Use{Identity: "i", Endpoint: "e"}
	want := keysOf(use, base, 2)
	for f := range reflect.TypeFor[chat.Request]().Fields() {
		if !f.IsExported() {
			continue // no step can set it
		}
		other := base
		value, ok := changed[f.Name]
		if !ok {
			t.Errorf("field %s: say in keysOf whether it determines replies, and here", f.Name)
			continue
		}
		reflect.ValueOf(&other).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(value))
		got := keysOf(use, other, 2)
		for i := range got {
			if (got[i] == want[i]) != ignored[f.Name] {
				t.Errorf("field %s: key %d equal is %v", f.Name, i, got[i] == want[i])
			}
		}
	}
	if n := reflect.TypeFor[schemas.Message]().NumField(); n != 2 {
		t.Errorf("a message has %d fields, the key has 2 of them", n)
	}
}

func TestTheKeyTellsApartWhatOnlyLooksAlike(t *testing.T) {
	messages := func(words ...string) chat.Request {
		var r chat.Request
		for i := 0; i < len(words); i += 2 {
			r.Messages = append(r.Messages, schemas.Message{Role: words[i], Content: words[i+1]})
		}
		return r
	}
	requests := []chat.Request{
		messages("user", "ab"), messages("usera", "b"), messages("user", "a", "b", ""), messages("user", "a", "", "b"),
		{Stop: []string{"ab"}}, {Stop: []string{"a", "b"}}, {Stop: []string{"a"}, Schema: json.RawMessage("b")},
		{Schema: json.RawMessage("ab")}, {Temperature: 1}, {MinP: 1}, {TopK: 1}, {MaxTokens: 1}, {Seed: 1}, {Seed: -1}, {},
	}
	seen := map[key]int{}
	for i, r := range requests {
		for j, k := range keysOf(Use{}, r, 3) {
			if other, ok := seen[k]; ok {
				t.Errorf("request %d, key %d is that of request %d", i, j, other)
			}
			seen[k] = i
		}
	}
	zero, meant := chat.Request{}, chat.Request{TopP: 1, SchemaName: "reply", N: 1}
	if keysOf(Use{}, zero, 1)[0] != keysOf(Use{}, meant, 1)[0] {
		t.Error("a zero value and what it means have two keys")
	}
}

// TestKeysStayWhatTheyWere holds calls that were paid long ago: who changes the
// encoding on purpose raises keyVersion.
func TestKeysStayWhatTheyWere(t *testing.T) {
	keys := keysOf(Use{Identity: "m@1", Endpoint: "e", Generation: 2}, chat.Request{
		Model: "m", Messages: []schemas.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "日本"}}, Temperature: 0.7, TopP: 0.95,
		TopK: 20, MinP: 0.05, MaxTokens: 512, Seed: -7, Schema: json.RawMessage(`{"type": "object"}`), SchemaName: "verdicts", Stop: []string{"\n\n"},
	}, 2)
	for i, want := range []string{
		"68f5a631a75a9c3f97d817202f15d572e4cd529c3c3773d0646cbcaf76d4e45a",
		"53863dfdd9ca3c8c963189ede1683aaae4dca58f5e6b4bbb40efa9c5bae7609c",
		"efd01549ebe9958362a5f483948d11ecac008b61c32b3028e7445cacd7a98109",
	} {
		if got := hex.EncodeToString(keys[i][:]); got != want {
			t.Errorf("key %d is %s", i, got)
		}
	}
}

func TestAScopeIsNamedByWhatPeopleCanReadAndAHash(t *testing.T) {
	for identity, begins := range map[string]string{
		"Qwen/Qwen2.5-7B@main": "Qwen_Qwen2.5-7B_main-", "": "-", "..": "-", "模型": "__-", strings.Repeat("x", 300): strings.Repeat("x", 48) + "-",
	} {
		if got := scopeName(identity); !strings.HasPrefix(got, begins) || len(got) != len(begins)+12 {
			t.Errorf("%q is named %q", identity, got)
		}
	}
	if scopeName("a/b") == scopeName("a_b") {
		t.Error("two models share a scope")
	}
}
