package chat_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

func TestAnEndpointSurvivesJSON(t *testing.T) {
	text := `{"name":"judge","url":"http://localhost:8000/v1","model":"m","key_env":"JUDGE_KEY","timeout":"1m30s","revision":"2026-10",` +
		`"price":{"prompt":2.5,"completion":10},"stream":true,"idle_timeout":"20s","replicas":["http://h2/v1"]}`
	var e chat.Endpoint
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	if want := (chat.Endpoint{Name: "judge", URL: "http://localhost:8000/v1", Model: "m", KeyEnv: "JUDGE_KEY", Timeout: 90 * time.Second,
		Revision: "2026-10", Price: &chat.Price{Prompt: 2.5, Completion: 10}, Stream: true, IdleTimeout: 20 * time.Second, Replicas: []string{"http://h2/v1"}}); !reflect.DeepEqual(e, want) {
		t.Errorf("read %+v, want %+v", e, want)
	}
	if again, err := json.Marshal(e); err != nil || string(again) != text {
		t.Errorf("wrote %s, %v", again, err)
	}
}

func TestAnEndpointRefusesUnknownKeysAndBareNumbers(t *testing.T) {
	for text, says := range map[string]string{
		`{"name":"j","key":"sk-1"}`:        `unknown field "key"`,
		`{"name":"j","timeout":30}`:        "timeout",
		`{"name":"j","timeout":"half"}`:    `"half" is not a duration`,
		`{"name":"j","idle_timeout":"1"}`:  `idle_timeout "1" is not a duration`,
		`{"name":"j","price":{"input":1}}`: `unknown field "input"`,
	} {
		var e chat.Endpoint
		if err := json.Unmarshal([]byte(text), &e); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNewRefusesWhatCannotBeAnEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint chat.Endpoint
		says     string
	}{
		"no name":        {chat.Endpoint{URL: "http://h/v1"}, "no name"},
		"no address":     {chat.Endpoint{Name: "j"}, "not an http or https address"},
		"no scheme":      {chat.Endpoint{Name: "j", URL: "localhost:8000/v1"}, "not an http or https address"},
		"a password":     {chat.Endpoint{Name: "j", URL: "http://u:hunter2@h/v1"}, "holds credentials"},
		"broken":         {chat.Endpoint{Name: "j", URL: "http://u:hunter2@h:port/v1"}, "cannot be parsed"},
		"a query":        {chat.Endpoint{Name: "j", URL: "http://h/v1?key=hunter2"}, "query"},
		"whole path":     {chat.Endpoint{Name: "j", URL: "http://h/v1/chat/completions/"}, "before it"},
		"two keys":       {chat.Endpoint{Name: "j", URL: "http://h/v1", KeyEnv: "A", KeyFile: "b"}, "name one"},
		"negative limit": {chat.Endpoint{Name: "j", URL: "http://h/v1", Timeout: -1}, "must be positive"},
		"negative pause": {chat.Endpoint{Name: "j", URL: "http://h/v1", IdleTimeout: -1}, "idle_timeout is -1ns, must be positive"},
		"negative price": {chat.Endpoint{Name: "j", URL: "http://h/v1", Price: &chat.Price{Completion: -1}}, "must be at least 0"},
		"price of NaN":   {chat.Endpoint{Name: "j", URL: "http://h/v1", Price: &chat.Price{Prompt: math.NaN()}}, "must be at least 0"},
		"two revisions":  {chat.Endpoint{Name: "j", URL: "http://h/v1", Revision: "a@b"}, "not one word"},
		"bad replica":    {chat.Endpoint{Name: "j", URL: "http://h/v1", Replicas: []string{"http://u:hunter2@g/v1"}}, "replicas[0] holds credentials"},
		"same replica":   {chat.Endpoint{Name: "j", URL: "http://h/v1", Replicas: []string{"http://g/v1", "http://h/v1/"}}, "replicas[1] is http://h/v1, which is named before"},
	} {
		_, err := chat.New(test.endpoint)
		if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRevisionIsPartOfTheIdentity(t *testing.T) {
	if got := (chat.Endpoint{Model: "m"}).Identity(); got != "m" {
		t.Errorf("without a revision: %s", got)
	}
	if got := (chat.Endpoint{Model: "m", Revision: "7"}).Identity(); got != "m@7" {
		t.Errorf("with a revision: %s", got)
	}
}

func TestAKeyFileIsReadAtEachCall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	sent := make(chan string, 1)
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		sent <- p.Key
		return scripted.Say("x")
	})
	client, _ := open(t, server.URL, func(e *chat.Endpoint) { e.KeyFile = file })
	for _, key := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Complete(t.Context(), ask(1)); err != nil {
			t.Fatal(err)
		}
		if got := <-sent; got != key {
			t.Errorf("sent %q, want %q", got, key)
		}
	}
	if err := os.WriteFile(file, []byte("two words"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := client.Complete(t.Context(), ask(1))
	if err == nil || !strings.Contains(err.Error(), "not one word") || strings.Contains(err.Error(), "two words") {
		t.Errorf("error is %v", err)
	}
}
