package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"rpo/schemas"
)

const uiOrigin = "http://127.0.0.1:8233"

// ask sends a request as a browser or, without an origin, the CLI does.
func ask(t *testing.T, method, url, origin, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

func TestTheCodecServerEncryptsAndDecryptsForTheWebUI(t *testing.T) {
	server := httptest.NewServer(codecHandler(codecWith(t, newKey(t, "a")), uiOrigin))
	defer server.Close()
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: server.URL})
	plain := plainPayload(t)
	sealed, err := remote.Encode([]*commonpb.Payload{plain})
	if err != nil || string(sealed[0].Metadata[converter.MetadataEncoding]) != encrypted {
		t.Fatalf("%v, %v", sealed, err)
	}
	back, err := remote.Decode(sealed)
	if err != nil || !proto.Equal(back[0], plain) {
		t.Errorf("%v, %v", back, err)
	}
}

func TestOnlyPagesOfTheWebUIMayAskTheCodecServer(t *testing.T) {
	c := codecWith(t, newKey(t, "a"))
	server := httptest.NewServer(codecHandler(c, uiOrigin))
	defer server.Close()
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{seal(t, c, plainPayload(t))}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{http.MethodPost, uiOrigin, 200, uiOrigin},
		{http.MethodPost, "", 200, ""},
		{http.MethodOptions, uiOrigin, 204, uiOrigin},
		{http.MethodGet, uiOrigin, 404, uiOrigin},
		{http.MethodPost, "http://evil.example", 403, ""},
		{http.MethodPost, "http://127.0.0.1:8234", 403, ""},
		{http.MethodPost, "https://127.0.0.1:8233", 403, ""},
		{http.MethodPost, "null", 403, ""},
		{http.MethodPost, server.URL, 403, ""},
		{http.MethodOptions, "http://evil.example", 403, ""},
	} {
		resp, got := ask(t, tt.method, server.URL+"/decode", tt.origin, string(body))
		if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != tt.allowed {
			t.Errorf("%s from %q: %d, allowed %q", tt.method, tt.origin, resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"))
		}
		var out commonpb.Payloads
		if tt.status == 200 && (protojson.Unmarshal([]byte(got), &out) != nil || !strings.Contains(string(out.Payloads[0].Data), confidential)) {
			t.Errorf("%s from %q: %s", tt.method, tt.origin, got)
		}
		if tt.status == 403 && strings.Contains(got, "payloads") {
			t.Errorf("%s from %q was answered: %s", tt.method, tt.origin, got)
		}
	}
}

func TestTheCodecServerSaysWhatItCannotDecrypt(t *testing.T) {
	server := httptest.NewServer(codecHandler(codecWith(t, newKey(t, "a")), uiOrigin))
	defer server.Close()
	foreign, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{seal(t, codecWith(t, newKey(t, "b")), plainPayload(t))}})
	if err != nil {
		t.Fatal(err)
	}
	for body, says := range map[string]string{string(foreign): `needs key "b"`, "{": "", `{"payloads": [7]}`: ""} {
		if resp, got := ask(t, http.MethodPost, server.URL+"/decode", uiOrigin, body); resp.StatusCode != 400 || !strings.Contains(got, says) {
			t.Errorf("%s: %d %s", body, resp.StatusCode, got)
		}
	}
	if resp, _ := ask(t, http.MethodPost, server.URL+"/decode", uiOrigin, strings.Repeat(" ", maxCodecBody+1)); resp.StatusCode != 400 {
		t.Errorf("a body that is too large: %d", resp.StatusCode)
	}
}

func TestTheOriginOfTheWebUIIsItsAddressWithoutPath(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:8233": uiOrigin, "http://127.0.0.1:8233/namespaces/default": uiOrigin, "https://ui.example": "https://ui.example",
	} {
		if got, err := originOf(address); got != want || err != nil {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"", "*", "127.0.0.1:8233", "ftp://ui.example", "http://"} {
		if _, err := originOf(address); schemas.TypeOf(err) != usageError {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestWithoutKeysThereIsNoCodecServer(t *testing.T) {
	t.Setenv(configEnv, "")
	if err := codecCommand(t.Context(), nil); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "payload_keys") {
		t.Errorf("%v", err)
	}
}
