package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreMadeOnceAndPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	first, err := loadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.accessKey) < 16 || len(first.secretKey) < 40 {
		t.Errorf("keys of %d and %d characters are too short", len(first.accessKey), len(first.secretKey))
	}
	again, err := loadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	if again != first {
		t.Error("the second start reads other credentials than the first made")
	}
	if other := newCredentials(); other.secretKey == first.secretKey || other.accessKey == first.accessKey {
		t.Error("two keys are equal")
	}
	wantMode(t, file, 0o600)
}

func TestCredentialsThatLostTheirModeAreMadePrivateAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := writeCredentials(file, newCredentials()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadCredentials(file); err != nil {
		t.Fatal(err)
	}
	wantMode(t, file, 0o600)
}

func TestOnlyTheDefaultProfileIsRead(t *testing.T) {
	got := parseCredentials("[other]\naws_access_key_id=no\naws_secret_access_key=no\n\n# mine\n[default]\naws_access_key_id=A\naws_secret_access_key = s=\n[last]\naws_access_key_id=no\n")
	if want := (credentials{"A", "s="}); got != want {
		t.Error("the wrong profile was read")
	}
}

func TestABrokenCredentialsFileIsNamedWithoutItsSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_secret_access_key = hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadCredentials(file)
	if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v, want one that names the file and not the secret", err)
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("mode of %s is %o, want %o", filepath.Base(path), got, want)
	}
}
