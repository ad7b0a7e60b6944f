package chat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"rpo/schemas"
)

// rendering is a server that offers the given paths and notes what it is asked.
func rendering(t *testing.T, replies map[string]func(map[string]any) string) (client *Client, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		reply, ok := replies[r.URL.Path]
		if !ok {
			http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
			return
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, reply(body))
	}))
	t.Cleanup(server.Close)
	t.Setenv("RENDER_KEY", "secret")
	client, err := New(Endpoint{Name: "policy", URL: server.URL + "/v1", Model: "m", KeyEnv: "RENDER_KEY"})
	if err != nil {
		t.Fatal(err)
	}
	return client, asked
}

var asks = []schemas.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hi <b> & \"you\""}}

func TestAServerIsAskedForItsRenderingInTheWayItOffers(t *testing.T) {
	vllm := func(body map[string]any) string {
		if body["model"] != "m" || body["add_generation_prompt"] != true || len(body["messages"].([]any)) != 2 {
			return `{"tokens":[]}`
		}
		return `{"count":3,"max_model_len":4096,"tokens":[7,8,9]}`
	}
	template := func(body map[string]any) string {
		text, _ := json.Marshal(map[string]any{"prompt": fmt.Sprint(body["messages"])})
		return string(text)
	}
	llama := func(body map[string]any) string {
		content, _ := body["content"].(string)
		if !strings.Contains(content, `Hi <b> & "you"`) || body["add_special"] != true || body["parse_special"] != true {
			return `{"tokens":[]}`
		}
		return `{"tokens":[1,2]}`
	}
	for _, tt := range []struct {
		name    string
		replies map[string]func(map[string]any) string
		ids     []int
		through string
	}{
		{"vLLM", map[string]func(map[string]any) string{"/tokenize": vllm}, []int{7, 8, 9}, "/tokenize"},
		{"llama.cpp", map[string]func(map[string]any) string{"/apply-template": template, "/tokenize": llama}, []int{1, 2}, "/apply-template and /tokenize"},
		{"an old llama.cpp, whose /tokenize knows no messages", map[string]func(map[string]any) string{"/tokenize": func(map[string]any) string { return `{"tokens":[]}` }}, nil, ""},
		{"a hosted API", nil, nil, ""},
		{"a page for everything", map[string]func(map[string]any) string{
			"/apply-template": func(map[string]any) string { return "<html>" }, "/tokenize": func(map[string]any) string { return "<html>" }}, nil, ""},
	} {
		c, asked := rendering(t, tt.replies)
		ids, through, err := c.Render(t.Context(), asks)
		if err != nil || !slices.Equal(ids, tt.ids) || through != tt.through {
			t.Errorf("%s: %v through %q, %v", tt.name, ids, through, err)
		}
		for _, one := range *asked {
			if strings.Contains(one, "/v1") || !strings.HasSuffix(one, " Bearer secret") {
				t.Errorf("%s is asked %s", tt.name, one)
			}
		}
	}
}

func TestAServerThatRefusesToRenderIsToldOf(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error":{"message":"bad key"}}`, http.StatusUnauthorized)
	}))
	defer server.Close()
	c, err := New(Endpoint{Name: "policy", URL: server.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Render(t.Context(), asks); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `"policy"`) {
		t.Errorf("error %v", err)
	}
}

func TestAGatewayThatLetsNobodyThroughOffersNoRendering(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "forbidden", http.StatusForbidden)
	}))
	defer server.Close()
	c, err := New(Endpoint{Name: "policy", URL: server.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if ids, through, err := c.Render(t.Context(), asks); err != nil || through != "" || ids != nil {
		t.Errorf("%v through %q, %v", ids, through, err)
	}
}
