package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// configured loads a configuration file with this text.
func configured(t *testing.T, text string) (config, string, error) {
	t.Helper()
	t.Setenv("RPO_BUCKET", "")
	dir := t.TempDir()
	path := filepath.Join(dir, "worker.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(path)
	return c, dir, err
}

func TestPathsOfAConfigurationAreRelativeToItsFile(t *testing.T) {
	c, dir, err := configured(t, `{"work_dir": "w", "python": "../env/bin/python", "trainer": "/opt/trainer", "models": {"base": "m", "big": "/models/big"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.WorkDir: filepath.Join(dir, "w"), c.Python: filepath.Join(filepath.Dir(dir), "env/bin/python"), c.Trainer: "/opt/trainer",
		c.Models["base"]: filepath.Join(dir, "m"), c.Models["big"]: "/models/big",
	} {
		if got != want {
			t.Errorf("path %s, want %s", got, want)
		}
	}
	if c, _, err = configured(t, `{"python": "python3"}`); err != nil || c.Python != "python3" {
		t.Errorf("a bare program name became %s, %v", c.Python, err)
	}
}

func TestWithoutAConfigurationTheDefaultsHold(t *testing.T) {
	t.Setenv(configEnv, "")
	t.Setenv("RPO_BUCKET", "")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	if c.Bucket != "rpo" || c.Device != "cpu" || c.WorkDir != filepath.Join(here, ".rpo/work") || c.Python != filepath.Join(here, ".venv/bin/python") ||
		c.Trainer != filepath.Join(here, "workers/trainer") || len(c.Endpoints) != 0 {
		t.Errorf("defaults %+v", c)
	}
}

func TestTheEnvironmentNamesConfigurationAndBucket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.json")
	if err := os.WriteFile(path, []byte(`{"bucket": "of-the-file", "threads": 7}`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(configEnv, path)
	t.Setenv("RPO_BUCKET", "")
	if c, err := loadConfig(""); err != nil || c.Bucket != "of-the-file" || c.Threads != 7 {
		t.Errorf("%+v, %v", c, err)
	}
	t.Setenv("RPO_BUCKET", "of-the-environment")
	if c, err := loadConfig(""); err != nil || c.Bucket != "of-the-environment" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAConfigurationIsCheckedBeforeItIsUsed(t *testing.T) {
	for text, says := range map[string]string{
		`{"treads": 1}`:                    `unknown field "treads"`,
		`{"threads": "1"}`:                 `field "threads": got a JSON string, want a whole number`,
		`{`:                                `unexpected EOF`,
		`[]`:                               `want one object`,
		`{"device": "tpu"}`:                `device "tpu" is not cpu or cuda`,
		`{"objects": "files.example/rpo"}`: `objects "files.example/rpo" is not an http or https address`,
		`{"endpoints": {"e": {}}}`:         `endpoint "e" needs either url or serve`,
		`{"endpoints": {"e": {"url": "http://h/v1", "serve": {"model": "m"}}}, "models": {"m": "m"}}`:        `endpoint "e" needs either url or serve`,
		`{"endpoints": {"e": {"serve": {"model": "m"}}}}`:                                                    `endpoint "e" serves model "m", which is not under models`,
		`{"endpoints": {"e": {"url": "http://h/v1", "concurrency": -1}}}`:                                    `endpoint "e": concurrency is negative`,
		`{"endpoints": {"e": {"url": "h:80"}}}`:                                                              `endpoint "e"`,
		`{"endpoints": {"e": {"url": "http://h/v1/chat/completions"}}}`:                                      `give the base before it`,
		`{"endpoints": {"e": {"url": "http://h/v1", "key_env": "A", "key_file": "b"}}}`:                      `both key_env and key_file`,
		`{"endpoints": {"e": {"url": "http://h/v1", "timeout": 5}}}`:                                         `want a duration such as "30m"`,
		`{"endpoints": {"e": {"url": "http://h/v1", "price": {"prompt": -1}}}}`:                              `must be at least 0 per million`,
		`{"endpoints": {"e": {"url": "http://h/v1", "price": {"input": 1}}}}`:                                `unknown field "endpoints.e.price.input"`,
		`{"endpoints": {"e": {"url": "http://h/v1", "replicas": ["h2"]}}}`:                                   `replicas[0] "h2" is not an http or https address`,
		`{"endpoints": {"e": {"url": "http://h/v1", "idle_timeout": "0.5"}}}`:                                `duration`,
		`{"endpoints": {"e": {"serve": {"model": "m"}, "replicas": ["http://h/v1"]}}, "models": {"m": "m"}}`: `replicas go with url`,
		`{"endpoints": {"e": {"url": "http://h/v1", "key": "sk-secret"}}}`:                                   `unknown field "endpoints.e.key"`,
	} {
		_, dir, err := configured(t, text)
		if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), filepath.Join(dir, "worker.json")) {
			t.Errorf("%s gives %v, want an error that says %q and names the file", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "sk-secret") {
			t.Errorf("the error quotes a key: %v", err)
		}
	}
	if _, err := loadConfig(filepath.Join(t.TempDir(), "none.json")); schemas.TypeOf(err) != schemas.NotFound || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestEveryFieldOfARemoteEndpointReachesItsClient(t *testing.T) {
	c, _, err := configured(t, `{"endpoints": {"e": {"url": "http://h/v1", "model": "m", "key_env": "K", "timeout": "7s", "revision": "r",
		"price": {"prompt": 1, "completion": 2}, "stream": true, "idle_timeout": "3s", "replicas": ["http://h2/v1"]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := chat.Endpoint{Name: "e", URL: "http://h/v1", Model: "m", KeyEnv: "K", Timeout: 7 * time.Second, Revision: "r",
		Price: &chat.Price{Prompt: 1, Completion: 2}, Stream: true, IdleTimeout: 3 * time.Second, Replicas: []string{"http://h2/v1"}}
	if got := c.Endpoints["e"].remote("e"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheExampleConfigurationIsValid(t *testing.T) {
	t.Setenv("RPO_BUCKET", "")
	c, err := loadConfig("../../examples/worker-vllm.json")
	if err != nil || len(c.Endpoints["policy"].Replicas) != 1 || c.Endpoints["judge"].Price.Completion == 0 {
		t.Errorf("%+v, %v", c.Endpoints, err)
	}
}

func TestAnEndpointIsFoundByItsNameOrTheNamesAreListed(t *testing.T) {
	c, _, err := configured(t, `{"models": {"base": "m"}, "endpoints": {
		"remote": {"url": "http://127.0.0.1:1/v1", "model": "big", "timeout": "7s", "concurrency": 3},
		"local": {"serve": {"model": "base"}}, "another": {"url": "http://127.0.0.1:2/v1"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	m := newModels(c, store.NewMemory("rpo"), newMetrics())
	_, err = m.find("remot")
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `no endpoint "remot", only: another, local, remote`) {
		t.Errorf("an unknown endpoint gives %v", err)
	}
	if _, err := newModels(config{}, nil, newMetrics()).find("policy"); err == nil || !strings.Contains(err.Error(), "none (set "+configEnv) {
		t.Errorf("a worker without endpoints says %v", err)
	}
	if e := c.Endpoints["remote"].remote("remote"); e.Name != "remote" || e.Timeout != 7*time.Second || e.Model != "big" {
		t.Errorf("endpoint %+v", e)
	}
	for name, weights := range map[string]string{"base": "a", "same": "a", "other": "b"} {
		dir := t.TempDir()
		for file, text := range map[string]string{"config.json": "{}", "model.safetensors": weights} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m.node.Models[name] = dir
	}
	for _, base := range []string{"base", "same"} {
		if err := m.Evaluates(t.Context(), "local", base); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, c := range []struct{ endpoint, base, says string }{
		{"remote", "base", "cannot load a trained model"}, {"nowhere", "base", "no endpoint"},
		{"local", "other", "two unrelated models"}, {"local", "missing", `no model "missing"`},
	} {
		if err := m.Evaluates(t.Context(), c.endpoint, c.base); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	first, release, err := m.Model(t.Context(), chat.Use{Endpoint: "remote", Model: "", Meter: chat.NewMeter(t.Context(), schemas.Allowance{})})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	second, releaseSecond, err := m.Model(t.Context(), chat.Use{Endpoint: "remote", Model: "adapter", Meter: chat.NewMeter(t.Context(), schemas.Allowance{})})
	if err != nil {
		t.Fatal(err)
	}
	defer releaseSecond()
	if first.Name != "big" || second.Name != "adapter" {
		t.Errorf("models %q and %q", first.Name, second.Name)
	}
	if e, _ := m.find("remote"); e.remote("remote").MaxConcurrency != 3 {
		t.Errorf("the endpoint's client takes %+v", e.remote("remote"))
	}
}
