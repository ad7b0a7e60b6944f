package chat

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rpo/schemas"
)

const (
	// DefaultTimeout is the Timeout of an endpoint that names none.
	DefaultTimeout = 2 * time.Minute
	// DefaultIdleTimeout is the IdleTimeout of an endpoint that names none.
	DefaultIdleTimeout = time.Minute
	// DefaultMaxConcurrency is the MaxConcurrency of an endpoint that names none.
	DefaultMaxConcurrency = 1024
)

// Endpoint is where a model is served. It holds no secret: the key is read at
// the time of each request, so that it can be rotated, from the one place named
// here, and stands in the Authorization header only.
type Endpoint struct {
	// Name is what inputs call the endpoint.
	Name string `json:"name"`
	// URL is the base with its version, for example "http://localhost:8000/v1".
	URL string `json:"url"`
	// Model is the model's name at the server.
	Model string `json:"model,omitempty"`
	// KeyEnv names an environment variable, KeyFile a file; at most one is set,
	// none means that the endpoint asks for no key.
	KeyEnv  string `json:"key_env,omitempty"`
	KeyFile string `json:"key_file,omitempty"`
	// Timeout is the hard limit of one HTTP exchange, from connecting to the
	// last byte, and no repetition of a failed exchange begins later than Timeout
	// after the first one began. In JSON a string like "30s"; 0 means
	// DefaultTimeout.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Revision tells one set of weights from another that the server calls by the
	// same name, for example the commit of a model or the date of a hosted one.
	Revision string `json:"revision,omitempty"`
	// Price is what the endpoint's tokens cost; nil if nobody said.
	Price *Price `json:"price,omitempty"`
	// Stream has replies sent piece by piece. They are the same; a stuck server is
	// noticed after IdleTimeout instead of Timeout.
	Stream bool `json:"stream,omitempty"`
	// IdleTimeout is the longest pause between two bytes: of a streamed reply from
	// its status line on, of another once its body has begun. In JSON a string
	// like "30s"; 0 means DefaultIdleTimeout.
	IdleTimeout time.Duration `json:"idle_timeout,omitempty"`
	// Replicas are the base URLs of further servers of the same model; see Open.
	Replicas []string `json:"replicas,omitempty"`
	// MaxConcurrency bounds the requests under way at once, which are fewer where
	// the server takes fewer; 0 means DefaultMaxConcurrency.
	MaxConcurrency int `json:"max_concurrency,omitempty"`
}

// Identity is the model's name with its revision, as far as the configuration
// determines its replies.
func (e Endpoint) Identity() string {
	if e.Revision == "" {
		return e.Model
	}
	return e.Model + "@" + e.Revision
}

// endpointJSON is Endpoint with its durations as text.
type endpointJSON struct {
	Name           string   `json:"name"`
	URL            string   `json:"url"`
	Model          string   `json:"model,omitempty"`
	KeyEnv         string   `json:"key_env,omitempty"`
	KeyFile        string   `json:"key_file,omitempty"`
	Timeout        string   `json:"timeout,omitempty"`
	Revision       string   `json:"revision,omitempty"`
	Price          *Price   `json:"price,omitempty"`
	Stream         bool     `json:"stream,omitempty"`
	IdleTimeout    string   `json:"idle_timeout,omitempty"`
	Replicas       []string `json:"replicas,omitempty"`
	MaxConcurrency int      `json:"max_concurrency,omitempty"`
}

// MarshalJSON writes durations as strings like "30s".
func (e Endpoint) MarshalJSON() ([]byte, error) {
	wire := endpointJSON{Name: e.Name, URL: e.URL, Model: e.Model, KeyEnv: e.KeyEnv, KeyFile: e.KeyFile,
		Revision: e.Revision, Price: e.Price, Stream: e.Stream, Replicas: e.Replicas, MaxConcurrency: e.MaxConcurrency}
	if e.Timeout != 0 {
		wire.Timeout = e.Timeout.String()
	}
	if e.IdleTimeout != 0 {
		wire.IdleTimeout = e.IdleTimeout.String()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads durations from strings like "30s" and refuses unknown
// keys, whatever the outer decoder does about them.
func (e *Endpoint) UnmarshalJSON(data []byte) error {
	var wire endpointJSON
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return schemas.Errorf(schemas.InvalidInput, "read endpoint: %w", err)
	}
	*e = Endpoint{Name: wire.Name, URL: wire.URL, Model: wire.Model, KeyEnv: wire.KeyEnv, KeyFile: wire.KeyFile,
		Revision: wire.Revision, Price: wire.Price, Stream: wire.Stream, Replicas: wire.Replicas, MaxConcurrency: wire.MaxConcurrency}
	for _, field := range []struct {
		name, text string
		to         *time.Duration
	}{{"timeout", wire.Timeout, &e.Timeout}, {"idle_timeout", wire.IdleTimeout, &e.IdleTimeout}} {
		if field.text == "" {
			continue
		}
		d, err := time.ParseDuration(field.text)
		if err != nil {
			return schemas.Errorf(schemas.InvalidInput, "endpoint %q: %s %q is not a duration like \"30s\"", e.Name, field.name, field.text)
		}
		*field.to = d
	}
	return nil
}

// normalized checks the endpoint, cuts trailing slashes off its addresses and
// puts the defaults in.
func (e Endpoint) normalized() (Endpoint, error) {
	refuse := func(format string, args ...any) (Endpoint, error) {
		return Endpoint{}, schemas.Errorf(schemas.InvalidInput, "endpoint %q: "+format, append([]any{e.Name}, args...)...)
	}
	if e.Name == "" {
		return refuse("no name")
	}
	switch {
	case e.KeyEnv != "" && e.KeyFile != "":
		return refuse("both key_env and key_file are set; name one")
	case e.Timeout < 0:
		return refuse("timeout is %s, must be positive", e.Timeout)
	case e.IdleTimeout < 0:
		return refuse("idle_timeout is %s, must be positive", e.IdleTimeout)
	case e.MaxConcurrency < 0:
		return refuse("max_concurrency is %d, must be positive", e.MaxConcurrency)
	case e.Price != nil && (!(e.Price.Prompt >= 0 && e.Price.Completion >= 0) || math.IsInf(e.Price.Prompt+e.Price.Completion, 0)):
		return refuse("price is %v for prompt and %v for completion tokens, must be at least 0 per million", e.Price.Prompt, e.Price.Completion)
	case strings.ContainsFunc(e.Revision, func(r rune) bool { return r == '@' || unicode.IsSpace(r) }):
		return refuse("revision %q is not one word without @", e.Revision)
	}
	var bad string
	if e.URL, bad = address(e.URL); bad != "" {
		return refuse("the url %s", bad)
	}
	seen := []string{e.URL}
	for i, replica := range e.Replicas {
		replica, bad := address(replica)
		switch {
		case bad != "":
			return refuse("replicas[%d] %s", i, bad)
		case slices.Contains(seen, replica):
			return refuse("replicas[%d] is %s, which is named before", i, replica)
		}
		seen = append(seen, replica)
	}
	e.Replicas = seen[1:]
	if e.Timeout == 0 {
		e.Timeout = DefaultTimeout
	}
	if e.IdleTimeout == 0 {
		e.IdleTimeout = DefaultIdleTimeout
	}
	if e.MaxConcurrency == 0 {
		e.MaxConcurrency = DefaultMaxConcurrency
	}
	return e, nil
}

// address returns a base URL without trailing slashes, or says what is wrong
// with it. What it says never quotes an address that may hold a password.
func address(text string) (base, bad string) {
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "cannot be parsed; give one like http://localhost:8000/v1"
	case parsed.User != nil:
		return "", "holds credentials; take them out and name key_env or key_file"
	case parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Host == "":
		return "", strconv.Quote(text) + " is not an http or https address like http://localhost:8000/v1"
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return "", "has a query or fragment; give the base only, like http://localhost:8000/v1"
	case strings.HasSuffix(strings.TrimRight(parsed.Path, "/"), "/chat/completions"):
		return "", "ends in /chat/completions; give the base before it"
	}
	return strings.TrimRight(text, "/"), ""
}

// key reads the secret, "" if the endpoint has none.
func (e Endpoint) key() (string, error) {
	var raw string
	switch {
	case e.KeyEnv != "":
		raw = os.Getenv(e.KeyEnv)
	case e.KeyFile != "":
		data, err := os.ReadFile(e.KeyFile)
		if err != nil {
			return "", e.misconfigured(schemas.InvalidInput, "read its key: %v", err)
		}
		raw = string(data)
	default:
		return "", nil
	}
	key := strings.TrimSpace(raw)
	if key == "" {
		return "", e.misconfigured(schemas.InvalidInput, "no key in %s", e.keySource())
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", e.misconfigured(schemas.InvalidInput, "the key in %s is not one word of printable ASCII", e.keySource())
		}
	}
	return key, nil
}

// keySource says where the key comes from, for people to mend.
func (e Endpoint) keySource() string {
	switch {
	case e.KeyEnv != "":
		return "environment variable " + e.KeyEnv
	case e.KeyFile != "":
		return "file " + e.KeyFile
	default:
		return "no place: neither key_env nor key_file is set"
	}
}

// failed makes an error that names the endpoint and its address.
func (e Endpoint) failed(t schemas.ErrorType, format string, args ...any) *schemas.Error {
	return schemas.Errorf(t, "endpoint %q at %s: "+format, append([]any{e.Name, e.URL}, args...)...)
}

// misconfigured is failed for what no row is to blame for.
func (e Endpoint) misconfigured(t schemas.ErrorType, format string, args ...any) *schemas.Error {
	err := e.failed(t, format, args...)
	err.Cause = ErrEndpoint
	return err
}
