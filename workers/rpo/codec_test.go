package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"rpo/schemas"
)

// newKey sets an environment variable to a fresh key.
func newKey(t testing.TB, id string) payloadKey {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	name := "RPO_TEST_KEY_" + strings.ToUpper(id)
	t.Setenv(name, base64.StdEncoding.EncodeToString(key))
	return payloadKey{ID: id, Env: name}
}

func codecWith(t testing.TB, keys ...payloadKey) *codec {
	t.Helper()
	c, err := newCodec(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const confidential = "the customer's own words"

func plainPayload(t testing.TB) *commonpb.Payload {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(map[string]string{"text": confidential})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func seal(t testing.TB, c *codec, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	out, err := c.Encode([]*commonpb.Payload{p})
	if err != nil || len(out) != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	return out[0]
}

func unseal(c *codec, p *commonpb.Payload) (*commonpb.Payload, error) {
	out, err := c.Decode([]*commonpb.Payload{p})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func TestAnEncryptedPayloadComesBackAndShowsNothing(t *testing.T) {
	c := codecWith(t, newKey(t, "a"))
	plain := plainPayload(t)
	first, second := seal(t, c, plain), seal(t, c, plain)
	if bytes.Equal(first.Data, second.Data) {
		t.Error("the same payload twice gives the same bytes")
	}
	for _, p := range []*commonpb.Payload{first, second} {
		raw, _ := proto.Marshal(p)
		if bytes.Contains(raw, []byte(confidential)) || bytes.Contains(raw, []byte("json/plain")) {
			t.Errorf("it shows in %q", raw)
		}
		if got, err := unseal(c, p); err != nil || !proto.Equal(got, plain) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestAnAlteredPayloadIsRefused(t *testing.T) {
	c := codecWith(t, newKey(t, "a"), newKey(t, "b"))
	sealed := seal(t, c, plainPayload(t))
	check := func(what string, p *commonpb.Payload) {
		t.Helper()
		if got, err := unseal(c, p); schemas.TypeOf(err) != schemas.CorruptData || strings.Contains(err.Error(), confidential) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	for i := range sealed.Data {
		p := proto.Clone(sealed).(*commonpb.Payload)
		p.Data[i] ^= 1
		check("a flipped bit", p)
	}
	for _, n := range []int{0, 1, 11, 12, 27, 28, len(sealed.Data) - 1} {
		p := proto.Clone(sealed).(*commonpb.Payload)
		p.Data = p.Data[:n]
		check("a cut payload", p)
	}
	p := proto.Clone(sealed).(*commonpb.Payload)
	p.Metadata[encryptionKeyID] = []byte("b")
	check("another key's id", p)
}

func TestTheWrongKeyIsNamedAsSuch(t *testing.T) {
	sealed := seal(t, codecWith(t, newKey(t, "a")), plainPayload(t))
	_, err := unseal(codecWith(t, newKey(t, "a")), sealed)
	if schemas.TypeOf(err) != schemas.CorruptData || !strings.Contains(err.Error(), `key "a" is another one`) {
		t.Errorf("another key of the same id: %v", err)
	}
	_, err = unseal(codecWith(t, newKey(t, "b"), newKey(t, "c")), sealed)
	if schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), `needs key "a"`) || !strings.Contains(err.Error(), "b, c: add it") {
		t.Errorf("keys of other ids: %v", err)
	}
}

func TestAWorkerWithoutTheKeyLeavesTheWorkToOthers(t *testing.T) {
	sealed := seal(t, codecWith(t, newKey(t, "a")), plainPayload(t))
	c := codecWith(t, newKey(t, "b"))
	c.patient = true
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), `needs key "a"`) {
			t.Errorf("got %v instead of a panic", err)
		}
	}()
	unseal(c, sealed)
}

func TestKeysAreRotatedByPuttingTheNewOneFirst(t *testing.T) {
	old, current := newKey(t, "old"), newKey(t, "new")
	before := seal(t, codecWith(t, old), plainPayload(t))
	rotating := codecWith(t, current, old)
	after := seal(t, rotating, plainPayload(t))
	if id := string(after.Metadata[encryptionKeyID]); id != "new" {
		t.Errorf("encrypted with %q", id)
	}
	for _, p := range []*commonpb.Payload{before, after} {
		if _, err := unseal(rotating, p); err != nil {
			t.Error(err)
		}
	}
	if _, err := unseal(codecWith(t, current), before); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := unseal(codecWith(t, current), after); err != nil {
		t.Error(err)
	}
}

func TestWhatNobodyEncryptedPassesUnchanged(t *testing.T) {
	plain := plainPayload(t)
	if got, err := unseal(codecWith(t, newKey(t, "a")), plain); err != nil || !proto.Equal(got, plain) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestBadKeysAreRefusedWithoutBeingShown(t *testing.T) {
	good := newKey(t, "good")
	dir := t.TempDir()
	short := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 31))
	for name, text := range map[string]string{"short": short, "text": "hunter2hunter2hunter2hunter2hunt", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RPO_TEST_SHORT", short)
	for what, tt := range map[string]struct {
		keys []payloadKey
		says string
	}{
		"no source":      {[]payloadKey{{ID: "k"}}, "either file or env"},
		"two sources":    {[]payloadKey{{ID: "k", File: "f", Env: good.Env}}, "either file or env"},
		"no id":          {[]payloadKey{{Env: good.Env}}, "id"},
		"an id of words": {[]payloadKey{{ID: "a b", Env: good.Env}}, "id"},
		"a second one":   {[]payloadKey{good, good}, "there already"},
		"no file":        {[]payloadKey{{ID: "k", File: "missing"}}, "missing"},
		"short file":     {[]payloadKey{{ID: "k", File: "short"}}, "32 bytes in base64"},
		"text file":      {[]payloadKey{{ID: "k", File: "text"}}, "32 bytes in base64"},
		"empty file":     {[]payloadKey{{ID: "k", File: "empty"}}, "32 bytes in base64"},
		"short variable": {[]payloadKey{{ID: "k", Env: "RPO_TEST_SHORT"}}, "RPO_TEST_SHORT"},
		"no variable":    {[]payloadKey{{ID: "k", Env: "RPO_TEST_UNSET"}}, "RPO_TEST_UNSET"},
	} {
		_, err := newCodec(tt.keys, dir)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want it to say %q", what, err, tt.says)
			continue
		}
		for _, secret := range []string{short, "hunter2", os.Getenv(good.Env)} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows the key: %v", what, err)
			}
		}
	}
	if c, err := newCodec(nil, dir); c != nil || err != nil {
		t.Errorf("without keys: %v, %v", c, err)
	}
}

func TestTheConfigurationNamesKeysByFile(t *testing.T) {
	dir := t.TempDir()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))
	for name, text := range map[string]string{"key": key + "\n", "worker.json": `{"payload_keys":[{"id":"2026-11","file":"key"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(configEnv, filepath.Join(dir, "worker.json"))
	c, err := codecOf("")
	if err != nil || c == nil || !slices.Equal(c.ids, []string{"2026-11"}) || c.patient {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestALongSummaryFitsTheServersLimitEncrypted(t *testing.T) {
	const limit = 400 // bytes of a summary's payload
	id := strings.Repeat("k", 64)
	key := newKey(t, "long")
	key.ID = id
	data, _ := codecWith(t, key).converters()
	p, err := data.ToPayload(strings.Repeat("s", 200))
	if err != nil {
		t.Fatal(err)
	}
	if n := proto.Size(p); n > limit {
		t.Errorf("%d bytes", n)
	}
}

func TestAFailureKeepsItsMessageFromTheServer(t *testing.T) {
	_, failures := codecWith(t, newKey(t, "a")).converters()
	err := temporal.NewApplicationErrorWithOptions(confidential, "CorruptData", temporal.ApplicationErrorOptions{
		Details: []any{confidential}, Cause: errors.New(confidential)})
	f := failures.ErrorToFailure(err)
	raw, marshalErr := proto.Marshal(f)
	if marshalErr != nil || bytes.Contains(raw, []byte(confidential)) {
		t.Errorf("the failure shows it: %q, %v", raw, marshalErr)
	}
	if f.GetApplicationFailureInfo().GetType() != "CorruptData" {
		t.Error("the type, which retry policies select by, is gone")
	}
	if back := failures.FailureToError(f); !strings.Contains(back.Error(), confidential) {
		t.Errorf("it came back as %v", back)
	}
}

func FuzzNothingButOurOwnIsDecrypted(f *testing.F) {
	c := codecWith(f, newKey(f, "a"))
	sealed := seal(f, c, plainPayload(f))
	f.Add(sealed.Data, "a")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, data []byte, id string) {
		p := &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encrypted), encryptionKeyID: []byte(id)}, Data: data}
		got, err := unseal(c, p)
		if (err == nil) != (id == "a" && bytes.Equal(data, sealed.Data)) {
			t.Errorf("%q of %q gives %v, %v", data, id, got, err)
		}
	})
}
