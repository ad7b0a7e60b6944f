package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/url"

	"go.temporal.io/sdk/converter"

	"rpo/schemas"
)

// maxCodecBody bounds a request of the web UI, which sends one page of a history.
const maxCodecBody = 32 << 20

// codecCommand serves the endpoint by which Temporal's web UI and CLI decrypt
// payloads for those who look at them, and encrypt what they type.
func codecCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("codec", flag.ContinueOnError)
	address := flags.String("listen", "127.0.0.1:8888", "address to serve; without a host, loopback")
	ui := flags.String("ui", "http://127.0.0.1:8233", "address of the web UI, the one origin that may ask from a browser")
	file := flags.String("config", "", "configuration with payload_keys (default $"+configEnv+")")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	origin, err := originOf(*ui)
	if err != nil {
		return err
	}
	c, err := codecOf(*file)
	if err != nil {
		return err
	}
	if c == nil {
		return schemas.Errorf(schemas.InvalidInput, "there is no key: list payload_keys in the configuration that --config or %s names", configEnv)
	}
	l, err := listen(*address)
	if err != nil {
		return err
	}
	defer serveHTTP(l, codecHandler(c, origin))()
	newLogger(slog.LevelInfo).Info("codec server started: whoever reaches it can read payloads", "address", "http://"+l.Addr().String(), "ui", origin, "keys", c.ids)
	<-ctx.Done()
	return nil
}

// originOf returns the origin of an address as browsers send it.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", schemas.Errorf(usageError, "flag --ui: %q is not an address like http://127.0.0.1:8233", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// codecHandler serves /encode and /decode. A page of any other origin is refused
// before anything is decrypted: a browser sends its own name with every POST, and
// even one that was led to this address by another host's name.
func codecHandler(c *codec, origin string) http.Handler {
	codec := converter.NewPayloadCodecHTTPHandler(c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		w.Header().Set("Cache-Control", "no-store")
		if from := r.Header.Get("Origin"); from != "" {
			if from != origin {
				http.Error(w, "this origin may not ask: name it with --ui", http.StatusForbidden)
				return
			}
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Methods", "POST")
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type, X-Namespace, Authorization")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
		codec.ServeHTTP(w, r)
	})
}
