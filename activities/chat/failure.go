package chat

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"rpo/schemas"
)

// blame is in the chain of a refusal that names keys of the request. It may be
// wrong: a message may speak of max_tokens because the prompt is too long.
type blame struct {
	named parameters
	// plainly says that the server calls them unknown or unsupported.
	plainly bool
}

func (b *blame) Error() string { return "refuses " + strings.Join(b.named.names(), ", ") }

// blamed returns what a refusal names, nil for any other error.
func blamed(err error) *blame {
	b, _ := errors.AsType[*blame](err)
	return b
}

// errUseless is in the chain of a reply that another seed may mend, and the same
// request cannot.
var errUseless = errors.New("useless reply")

// maxRetryAfter keeps a server from parking its callers for good.
const maxRetryAfter = time.Hour

// refused classifies a reply whose status is not 2xx.
func (e Endpoint) refused(got answer) *schemas.Error {
	said := got.excerpt()
	switch status := got.status; {
	case status/100 == 3:
		return e.misconfigured(schemas.InvalidInput, "redirects (%d) to %q, which is not followed; configure the final address",
			status, got.secret.redact(got.header.Get("Location")))
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return e.misconfigured(schemas.InvalidInput, "refuses the key (%d); it comes from %s: %s", status, e.keySource(), said)
	case status == http.StatusNotFound:
		return e.misconfigured(schemas.NotFound, "no such model or address (404); the url should end like /v1: %s", said)
	case status == http.StatusMethodNotAllowed || status == http.StatusPaymentRequired:
		return e.misconfigured(schemas.InvalidInput, "refuses all requests (%d): %s", status, said)
	case status == http.StatusTooManyRequests:
		err := e.failed(schemas.RateLimited, "refuses for now (429): %s", said)
		err.RetryAfter = retryAfter(got.header, time.Now())
		return err
	case status == http.StatusInternalServerError && bytes.Contains(got.body, []byte("n_cmpl")):
		// Some versions of llama.cpp's server call a refused n an internal error.
		err := e.failed(schemas.InvalidInput, "refuses the request (%d): %s", status, said)
		err.Cause = &blame{named: paramN}
		return err
	case status == http.StatusInternalServerError && bytes.Contains(got.body, []byte("output that does not match")):
		// llama.cpp's server says so of a constrained reply that was cut at its last
		// token: the model is to blame, and would say the same again.
		err := e.failed(schemas.CorruptData, "gives up on its model's reply (%d): %s", status, said)
		err.Cause = errUseless
		return err
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		err := e.failed(schemas.Overloaded, "cannot answer now (%d): %s", status, said)
		err.RetryAfter = retryAfter(got.header, time.Now())
		if status == http.StatusServiceUnavailable {
			err.Cause = errBusy
		}
		return err
	default:
		err := e.failed(schemas.InvalidInput, "refuses the request (%d): %s", status, said)
		if status == http.StatusBadRequest || status == http.StatusUnprocessableEntity {
			if b := got.blame(); b.named != 0 {
				err.Cause = b
			}
		}
		return err
	}
}

// notAnswered classifies a request that got no complete reply. caller is the
// caller's context, limited the one with the endpoint's timeout.
func (e Endpoint) notAnswered(caller, limited context.Context, s secret, err error) *schemas.Error {
	if caller.Err() != nil {
		return e.interrupted(caller)
	}
	switch cause := context.Cause(limited); {
	case errors.Is(cause, errIdle):
		return e.failed(schemas.Overloaded, "stopped in the middle of a reply: not a byte for %s", e.IdleTimeout)
	case limited.Err() != nil:
		return e.failed(schemas.Overloaded, "no complete reply within %s", e.Timeout)
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // the address is already in the message
	}
	said := s.redact(err.Error())
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return e.failed(schemas.Overloaded, "is down: connection refused; start the server or mend its url")
	case badCertificate, notTLS, errors.Is(err, http.ErrSchemeMismatch):
		return e.misconfigured(schemas.InvalidInput, "no secure connection; mend its url or certificate: %s", said)
	// The second is net/http's word for a server that speaks first, like SSH.
	case strings.Contains(said, "malformed HTTP"), strings.Contains(said, "readLoopPeekFailLocked: %!w(<nil>)"):
		return e.misconfigured(schemas.CorruptData, "does not speak HTTP")
	default:
		return e.failed(schemas.Overloaded, "no connection: %s", said)
	}
}

// retryAfter reads the delay in seconds or up to a date.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		wait = time.Duration(min(max(seconds, 0), maxRetryAfter.Seconds()) * float64(time.Second))
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// errorCode is the HTTP status inside an error object that came with status
// 200, as gateways send it; 0 if there is none.
func errorCode(raw json.RawMessage) int {
	var body struct {
		Code any `json:"code"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return 0
	}
	var code float64
	switch said := body.Code.(type) {
	case float64:
		code = said
	case string:
		code, _ = strconv.ParseFloat(said, 64)
	}
	if code >= 400 && code < 600 {
		return int(code)
	}
	return 0
}

// excerpt is what the server said, for people: one line, without the key, at
// most 300 bytes.
func (a answer) excerpt() string { return clip(a.secret.redact(a.said()), 300) }

// said is the message if the body is an error of a known shape, else the body.
func (a answer) said() string {
	var shape struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(a.body, &shape) != nil {
		return string(a.body)
	}
	var inner struct {
		Message string `json:"message"`
	}
	var plain string
	switch {
	case json.Unmarshal(shape.Error, &inner) == nil && inner.Message != "":
		return inner.Message
	case json.Unmarshal(shape.Error, &plain) == nil && plain != "":
		return plain
	case shape.Message != "":
		return shape.Message
	case json.Unmarshal(shape.Detail, &plain) == nil && plain != "":
		return plain
	case len(shape.Detail) > 0:
		return string(shape.Detail)
	}
	return string(a.body)
}

// clip makes s one line of at most limit bytes.
func clip(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if s == "" {
		return "(empty body)"
	}
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// secret is a key that must not appear in any text.
type secret string

// redact replaces the key, its escaped forms, and words that begin like a long
// key, since servers echo keys cut or masked.
func (s secret) redact(text string) string {
	if s == "" {
		return text
	}
	key := string(s)
	for _, form := range []string{key, url.QueryEscape(key), url.PathEscape(key), strings.ReplaceAll(key, "/", `\/`)} {
		text = strings.ReplaceAll(text, form, "[key]")
	}
	const known = 8
	if len(key) < 2*known {
		return text
	}
	var out strings.Builder
	for {
		at := strings.Index(text, key[:known])
		if at < 0 {
			return out.String() + text
		}
		out.WriteString(text[:at] + "[key]")
		text = text[at:]
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			return out.String()
		}
		text = text[end:]
	}
}

// String keeps the key out of formatted values.
func (s secret) String() string { return "[key]" }
