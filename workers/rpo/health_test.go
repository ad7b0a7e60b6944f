package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rpo/schemas"
)

func TestAWorkerIsReadyWhileItServesAndItsServersAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down error
		asked := 0
		h := &health{checks: []check{
			{"Temporal", func(context.Context) error { asked++; return nil }},
			{"bucket", func(context.Context) error { return down }},
		}}
		handler := h.handler(http.NotFoundHandler())
		get := func(path string) (int, string) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			return w.Code, w.Body.String()
		}
		expect := func(when string, status int, says string) {
			t.Helper()
			if code, body := get("/readyz"); code != status || !strings.Contains(body, says) {
				t.Errorf("%s: %d %s", when, code, body)
			}
			if code, body := get("/healthz"); code != 200 || !strings.Contains(body, "alive") {
				t.Errorf("%s, healthz: %d %s", when, code, body)
			}
		}
		expect("before its start", 503, "starting")
		h.started()
		expect("after its start", 200, "ready")
		down = errors.New("connection refused")
		expect("shortly after", 200, "ready")
		if asked != 1 {
			t.Errorf("Temporal was asked %d times for two answers", asked)
		}
		time.Sleep(checkEvery)
		expect("without a bucket", 503, "bucket: connection refused")
		down = nil
		time.Sleep(checkEvery)
		expect("with the bucket again", 200, "ready")
		h.draining()
		expect("while it drains", 503, "draining")
	})
}

func TestACheckThatHangsEndsAsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &health{checks: []check{{"Temporal", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}}}
		h.started()
		impatient, cancel := context.WithCancel(t.Context())
		cancel() // who asks and goes away decides nothing
		began := time.Now()
		err := h.ready(impatient)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != checkTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestAnAddressWithoutAHostIsLoopback(t *testing.T) {
	for _, address := range []string{":0", "127.0.0.1:0"} {
		l, err := listen(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Addr().String(); !strings.HasPrefix(got, "127.0.0.1:") {
			t.Errorf("%s listens at %s", address, got)
		}
		if _, err := listen(l.Addr().String()); schemas.TypeOf(err) != schemas.InvalidInput {
			t.Errorf("a taken port: %v", err)
		}
		l.Close()
	}
	for _, address := range []string{"9464", "", "a:b:c"} {
		if _, err := listen(address); schemas.TypeOf(err) != usageError {
			t.Errorf("%q: %v", address, err)
		}
	}
}
