package store_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

func TestS3KeepsTheContract(t *testing.T) {
	server := storetest.StartServer(t)
	folders := 0
	storetest.AcceptanceTest(t, func(t *testing.T) store.Store {
		folders++
		return server.Open(t, fmt.Sprintf("suite/%d", folders))
	})
}

func TestS3SurvivesBrokenConnections(t *testing.T) {
	server := storetest.StartServer(t)
	proxy := storetest.StartProxy(t, server.Endpoint)
	straight := server.Open(t, "")
	server.Endpoint = proxy.Endpoint
	s := server.Open(t, "")
	ctx := t.Context()

	// The SDK makes three attempts: with one answer lost its second attempt is
	// refused by the first one's object, with three lost there is no answer at all.
	for _, lost := range []int{1, 3} {
		t.Run(fmt.Sprintf("a winner is told so after %d lost answers", lost), func(t *testing.T) {
			key := fmt.Sprintf("lost/%d", lost)
			proxy.LoseAnswers(lost)
			if won, err := s.PutIfAbsent(ctx, key, []byte("mine")); err != nil || !won {
				t.Fatalf("won %v, %v", won, err)
			}
			proxy.LoseAnswers(lost)
			if won, err := s.PutIfAbsent(ctx, key, []byte("another")); err != nil || won {
				t.Fatalf("another: won %v, %v", won, err)
			}
			proxy.LoseAnswers(0)
		})
	}

	t.Run("a torn upload stays invisible", func(t *testing.T) {
		proxy.CutUploads(200 << 10)
		defer proxy.CutUploads(0)
		err := s.Put(ctx, "torn", bytes.Repeat([]byte("x"), 1<<20))
		wantError(t, err, schemas.Overloaded, "torn")
		if ok, err := straight.Exists(ctx, "torn"); err != nil || ok {
			t.Fatalf("exists says %v %v", ok, err)
		}
	})

	t.Run("bytes changed on their way are refused", func(t *testing.T) {
		proxy.Tamper("precious", "precIous")
		defer proxy.Tamper("", "")
		wantError(t, s.Put(ctx, "tampered", []byte("my precious bytes")), schemas.CorruptData, "tampered")
		if ok, err := straight.Exists(ctx, "tampered"); err != nil || ok {
			t.Fatalf("exists says %v %v", ok, err)
		}
	})
}

func TestS3ErrorsNameTheMend(t *testing.T) {
	server := storetest.StartServer(t)
	server.Open(t, "")
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reserved.Close()
	nonsense := func(status int) string {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			io.WriteString(w, "<!doctype html><title>Hello</title><p>no S3 here")
		}))
		t.Cleanup(web.Close)
		return web.URL
	}
	for _, c := range []struct {
		name   string
		bucket string
		env    map[string]string
		want   schemas.ErrorType
		holds  []string
	}{
		{"no bucket named", "", nil, schemas.InvalidInput, []string{"RPO_BUCKET"}},
		{"an absent bucket", "absent-bucket", nil, schemas.NotFound,
			[]string{"bucket absent-bucket does not exist at " + server.Endpoint, "create it or set RPO_BUCKET"}},
		{"an unknown access key", server.Bucket,
			map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": "open-sesame"},
			schemas.InvalidInput, []string{"refuses the credentials", "AWS_ACCESS_KEY_ID", server.Endpoint}},
		{"no credentials", server.Bucket, map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"},
			schemas.InvalidInput, []string{"no credentials", "AWS_PROFILE"}},
		{"an absent profile", server.Bucket, map[string]string{"AWS_PROFILE": "nobody"},
			schemas.InvalidInput, []string{"nobody"}},
		{"an endpoint that is down", server.Bucket,
			map[string]string{"AWS_ENDPOINT_URL_S3": "http://" + reserved.Addr().String()},
			schemas.Overloaded, []string{reserved.Addr().String(), "cannot be reached", "AWS_ENDPOINT_URL_S3"}},
		{"an endpoint that is no url", server.Bucket, map[string]string{"AWS_ENDPOINT_URL_S3": "localhost:9000"},
			schemas.InvalidInput, []string{"AWS_ENDPOINT_URL_S3"}},
		{"a web server that answers everything", server.Bucket, map[string]string{"AWS_ENDPOINT_URL_S3": nonsense(200)},
			schemas.CorruptData, []string{"does not answer as an S3 server", "AWS_ENDPOINT_URL_S3"}},
		{"a web server that knows no such page", server.Bucket, map[string]string{"AWS_ENDPOINT_URL_S3": nonsense(404)},
			schemas.NotFound, []string{"AWS_ENDPOINT_URL_S3"}},
		{"no region and no endpoint", server.Bucket, map[string]string{"AWS_ENDPOINT_URL_S3": ""},
			schemas.InvalidInput, []string{"AWS_REGION", "AWS_ENDPOINT_URL_S3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server.Setenv(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			s, err := store.NewS3(t.Context(), store.Config{Bucket: c.bucket})
			if err == nil {
				err = s.Check(t.Context())
			}
			wantError(t, err, c.want, c.holds...)
			t.Log(err)
			if strings.Contains(err.Error(), "open-sesame") {
				t.Fatalf("the message holds the secret: %v", err)
			}
		})
	}
	t.Run("a wrong secret", func(t *testing.T) {
		server.Setenv(t)
		t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey(t))
		t.Setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
		s, err := store.NewS3(t.Context(), store.Config{Bucket: server.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, s.Check(t.Context()), schemas.InvalidInput, "refuses the credentials")
		wantError(t, s.Put(t.Context(), "key", nil), schemas.InvalidInput, "refuses the credentials")
		won, err := s.PutIfAbsent(t.Context(), "key", nil)
		wantError(t, err, schemas.InvalidInput, "refuses the credentials")
		if won {
			t.Fatal("won")
		}
	})
	t.Run("the right settings", func(t *testing.T) {
		if err := server.Open(t, "any").Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func wantError(t *testing.T, err error, want schemas.ErrorType, holds ...string) {
	t.Helper()
	if err == nil || schemas.TypeOf(err) != want {
		t.Fatalf("got %s (%v), want %s", schemas.TypeOf(err), err, want)
	}
	for _, part := range holds {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("message %q does not hold %q", err, part)
		}
	}
}
