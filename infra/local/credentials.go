package main

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// credentials is one access key of the S3 server. It has no String method on
// purpose: neither half is ever printed or logged.
type credentials struct {
	accessKey, secretKey string
}

// loadCredentials reads the key in file, and makes one at the first start. The
// file is an AWS shared-credentials file with the profile [default], so that
// AWS_SHARED_CREDENTIALS_FILE is all that a client needs. The caller holds the
// lock of the S3 server.
func loadCredentials(file string) (credentials, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		c := newCredentials()
		return c, writeCredentials(file, c)
	}
	if err != nil {
		return credentials{}, fmt.Errorf("read S3 credentials: %w", err)
	}
	// A copied folder may have lost the mode.
	if err := os.Chmod(file, 0o600); err != nil {
		return credentials{}, fmt.Errorf("make S3 credentials private: %w", err)
	}
	c := parseCredentials(string(data))
	if c.accessKey == "" || c.secretKey == "" {
		return credentials{}, fmt.Errorf("read S3 credentials %s: profile [default] has no aws_access_key_id or no aws_secret_access_key: mend the file, or remove it to have new ones made", file)
	}
	return c, nil
}

func newCredentials() credentials {
	access := make([]byte, 10)
	secret := make([]byte, 30)
	_, _ = rand.Read(access) // never fails: it ends the program instead
	_, _ = rand.Read(secret)
	return credentials{
		accessKey: "RPO" + base32.StdEncoding.EncodeToString(access),
		secretKey: base64.RawURLEncoding.EncodeToString(secret),
	}
}

// writeCredentials makes the file appear whole or not at all: a start that was
// killed half-way must not leave half a key behind.
func writeCredentials(file string, c credentials) error {
	partial := file + ".partial"
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write S3 credentials: %w", err)
	}
	_, err = fmt.Fprintf(f, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.accessKey, c.secretKey)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(partial, file)
	}
	if err != nil {
		return fmt.Errorf("write S3 credentials: %w", err)
	}
	return nil
}

func parseCredentials(text string) credentials {
	var c credentials
	inDefault := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			inDefault = line == "[default]"
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !inDefault {
			continue
		}
		switch strings.TrimSpace(key) {
		case "aws_access_key_id":
			c.accessKey = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.secretKey = strings.TrimSpace(value)
		}
	}
	return c
}
