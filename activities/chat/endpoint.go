package chat

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"time"

	"rpo/schemas"
)

// DefaultTimeout is the Timeout of an endpoint that names none.
const DefaultTimeout = 2 * time.Minute

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
	// last byte, and no repetition of an exchange begins later than Timeout
	// after the first one began. In JSON a string like "30s"; 0 means
	// DefaultTimeout.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// endpointJSON is Endpoint with its duration as text.
type endpointJSON struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Model   string `json:"model,omitempty"`
	KeyEnv  string `json:"key_env,omitempty"`
	KeyFile string `json:"key_file,omitempty"`
	Timeout string `json:"timeout,omitempty"`
}

// MarshalJSON writes the duration as a string like "30s".
func (e Endpoint) MarshalJSON() ([]byte, error) {
	wire := endpointJSON{e.Name, e.URL, e.Model, e.KeyEnv, e.KeyFile, ""}
	if e.Timeout != 0 {
		wire.Timeout = e.Timeout.String()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads the duration from a string like "30s" and refuses unknown
// keys, whatever the outer decoder does about them.
func (e *Endpoint) UnmarshalJSON(data []byte) error {
	var wire endpointJSON
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return schemas.Errorf(schemas.InvalidInput, "read endpoint: %w", err)
	}
	*e = Endpoint{wire.Name, wire.URL, wire.Model, wire.KeyEnv, wire.KeyFile, 0}
	if wire.Timeout != "" {
		timeout, err := time.ParseDuration(wire.Timeout)
		if err != nil {
			return schemas.Errorf(schemas.InvalidInput, "endpoint %q: timeout %q is not a duration like \"30s\"", e.Name, wire.Timeout)
		}
		e.Timeout = timeout
	}
	return nil
}

// normalized checks the endpoint and cuts a trailing slash off its URL.
func (e Endpoint) normalized() (Endpoint, error) {
	refuse := func(format string, args ...any) (Endpoint, error) {
		return Endpoint{}, schemas.Errorf(schemas.InvalidInput, "endpoint %q: "+format, append([]any{e.Name}, args...)...)
	}
	if e.Name == "" {
		return refuse("no name")
	}
	base, err := url.Parse(e.URL)
	switch {
	case err != nil:
		// The parser's error quotes the address, which may hold a password.
		return refuse("the url cannot be parsed; give one like http://localhost:8000/v1")
	case base.User != nil:
		return refuse("the url holds credentials; take them out and name key_env or key_file")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return refuse("url %q is not an http or https address like http://localhost:8000/v1", e.URL)
	case base.RawQuery != "" || base.Fragment != "":
		return refuse("the url has a query or fragment; give the base only, like http://localhost:8000/v1")
	case strings.HasSuffix(strings.TrimRight(base.Path, "/"), "/chat/completions"):
		return refuse("the url ends in /chat/completions; give the base before it")
	case e.KeyEnv != "" && e.KeyFile != "":
		return refuse("both key_env and key_file are set; name one")
	case e.Timeout < 0:
		return refuse("timeout is %s, must be positive", e.Timeout)
	}
	e.URL = strings.TrimRight(e.URL, "/")
	if e.Timeout == 0 {
		e.Timeout = DefaultTimeout
	}
	return e, nil
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
