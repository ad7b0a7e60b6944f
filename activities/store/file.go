package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"rpo/schemas"
)

// exists is Store.Exists for every implementation.
func exists(ctx context.Context, s Store, key string) (bool, error) {
	_, _, err := s.Head(ctx, key)
	if err != nil && schemas.TypeOf(err) == schemas.NotFound {
		return false, nil
	}
	return err == nil, err
}

// putFile hashes the file at path and lets send write it, unless the store has
// these bytes under key already. send gets the file at its start.
func putFile(ctx context.Context, s Store, key, path string, send func(*os.File, schemas.Object) error) (schemas.Object, error) {
	if err := checkKey(key); err != nil {
		return schemas.Object{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return schemas.Object{}, fileError(path, err)
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return schemas.Object{}, fileError(path, err)
	}
	if size > maxObject {
		return schemas.Object{}, schemas.Errorf(schemas.InvalidInput,
			"put %s: file %s has %d bytes, one object holds at most %d: split the file", s.URI(key), path, size, int64(maxObject))
	}
	object := schemas.Object{Key: key, SHA256: hex.EncodeToString(hash.Sum(nil)), Bytes: size}
	there, sum, err := s.Head(ctx, key)
	if err == nil && there == size && sum == object.SHA256 {
		return object, nil
	}
	if err != nil && schemas.TypeOf(err) != schemas.NotFound {
		return schemas.Object{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return schemas.Object{}, fileError(path, err)
	}
	if err := send(f, object); err != nil {
		return schemas.Object{}, err
	}
	return object, nil
}

// writeVerified copies body into a file beside path and renames it once size
// and hash are those of the record.
func writeVerified(uri string, object schemas.Object, path string, body io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fileError(path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return fileError(path, err)
	}
	done := false
	defer func() {
		f.Close()
		if !done {
			os.Remove(f.Name())
		}
	}()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(hash, f), body)
	if _, isPath := errors.AsType[*fs.PathError](err); isPath {
		return fileError(path, err)
	}
	if err != nil {
		return bodyError(uri, err)
	}
	if err := checkObject(uri, object, size, hex.EncodeToString(hash.Sum(nil))); err != nil {
		return err
	}
	// Without the sync a crash could leave the name on a file without its bytes.
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fileError(path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fileError(path, err)
	}
	done = true
	return nil
}

// checkObject compares what was read with the record that names it.
func checkObject(uri string, object schemas.Object, size int64, sum string) error {
	if size != object.Bytes {
		return schemas.Errorf(schemas.CorruptData, "read %s: it has %d bytes, its record says %d", uri, size, object.Bytes)
	}
	if sum != object.SHA256 {
		return schemas.Errorf(schemas.CorruptData, "read %s: its sha256 is %s, its record says %s", uri, sum, object.SHA256)
	}
	return nil
}

// bodyError classifies a body that broke off.
func bodyError(uri string, err error) error {
	if classified, ok := errors.AsType[*schemas.Error](err); ok {
		return classified
	}
	return schemas.Errorf(schemas.Overloaded, "read %s: the body broke off: %w", uri, err)
}

func fileError(path string, err error) error {
	kind := schemas.Internal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = schemas.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = schemas.InvalidInput
	}
	return schemas.Errorf(kind, "file %s: %w", path, err)
}
