package chat

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzNoTextShowsTheKey(f *testing.F) {
	f.Add("wrong key ", "sk-0123456789abcdef", " given")
	f.Add("", "k", "")
	f.Add(`{"error":{"message":"`, "a/b+c=d?e&f", `"}}`)
	f.Fuzz(func(t *testing.T, before, key, after string) {
		if strings.Contains("[key]", key) || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '[' || r == ']' }) {
			return // no key is such, and the mark itself could complete it
		}
		for _, text := range []string{before + key + after, before + key + key + after} {
			if got := secret(key).redact(text); strings.Contains(got, key) {
				t.Errorf("%q still shows %q", got, key)
			}
		}
	})
}

func TestRetryAfterIsReadAsSecondsOrDate(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		"0.5":                           500 * time.Millisecond,
		"-3":                            0,
		"NaN":                           0,
		"1e300":                         time.Hour,
		"soon":                          0,
		"Sun, 01 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Nov 2026 11:00:00 GMT": 0,
		"Fri, 01 Jan 2100 00:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}
