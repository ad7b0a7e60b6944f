package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"rpo/schemas"
)

const (
	// MaxConditional bounds what PutIfAbsent takes. S3 servers may answer 412
	// before they have read the body and close the connection, which the writer
	// of a large body sees as a network error. Bodies up to this size were
	// measured to get their answer.
	MaxConditional = 512 << 10

	// maxObject is the limit of one PUT in S3.
	maxObject = 5 << 30

	// maxKey is S3's limit, maxSegment that of file systems, for servers that
	// keep objects as files.
	maxKey     = 1024
	maxSegment = 255
)

// Store is an object store. Keys are slash-separated paths without a leading
// slash; a key may not be the folder of another one ("a" and "a/b"), since some
// servers keep objects as files.
//
// Every error is a *schemas.Error: NotFound for an absent object or bucket,
// InvalidInput for a malformed key and for refused or missing credentials,
// RateLimited and Overloaded for a server that cannot answer now (including no
// connection, and a context that ended: errors.Is finds its cause), CorruptData
// for bytes that arrived changed, each time they were read. A write that returned
// an error may have happened; repeating it is safe.
type Store interface {
	// Put writes an object, replacing one with the same key. The object is
	// visible whole or not at all, and from the return of Put on to everybody.
	// The server compares a SHA-256 that was taken before sending.
	Put(ctx context.Context, key string, data []byte) error

	// PutIfAbsent writes an object of at most MaxConditional bytes unless there is
	// one with that key. won says whether the object that is there now holds data:
	// of many writers of different bytes exactly one wins, and one whose
	// acknowledgement was lost still learns that it won. Writers of equal bytes
	// all win, since it cannot matter which of them did.
	PutIfAbsent(ctx context.Context, key string, data []byte) (won bool, err error)

	// Get returns the bytes of an object.
	Get(ctx context.Context, key string) ([]byte, error)

	// Exists reports whether there is an object with that key.
	Exists(ctx context.Context, key string) (bool, error)

	// Head returns an object's size in bytes and its SHA-256 in lower-case hex,
	// "" where the server keeps none.
	Head(ctx context.Context, key string) (size int64, sha256 string, err error)

	// List returns the keys that begin with prefix (a string, not a folder) and
	// sort after startAfter, in the order of their bytes: at most limit of them,
	// or all if limit is 0 or less.
	List(ctx context.Context, prefix, startAfter string, limit int) (keys []string, err error)

	// Delete removes an object. Deleting an absent one succeeds.
	Delete(ctx context.Context, key string) error

	// PutFile streams a local file of at most 5 GiB into an object and returns it
	// with Rows 0. An object that is already there with the same hash is not sent
	// again. A file that changes meanwhile gives CorruptData.
	PutFile(ctx context.Context, key, path string) (schemas.Object, error)

	// GetFile streams an object into a local file, making its folder if needed.
	// The file appears under its name only after size and SHA-256 were compared
	// with the record; a difference gives CorruptData and no file.
	GetFile(ctx context.Context, object schemas.Object, path string) error

	// URI returns "s3://bucket/key".
	URI(key string) string

	// Key is the inverse of URI. A URI of another bucket, or of no bucket, is
	// InvalidInput.
	Key(uri string) (string, error)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func checkKey(key string) error {
	reason := ""
	switch {
	case key == "":
		reason = "it is empty"
	case len(key) > maxKey:
		reason = "it is longer than 1024 bytes"
	case !utf8.ValidString(key):
		reason = "it is not UTF-8"
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		reason = "it holds a control character"
	}
	if reason == "" {
		for segment := range strings.SplitSeq(key, "/") {
			if segment == "" || segment == "." || segment == ".." || len(segment) > maxSegment {
				reason = "its segments must be 1 to 255 bytes and neither . nor .."
			}
		}
	}
	if reason != "" {
		return schemas.Errorf(schemas.InvalidInput, "object key %.300q is refused: %s", key, reason)
	}
	return nil
}

func checkConditional(key string, data []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if len(data) > MaxConditional {
		return schemas.Errorf(schemas.InvalidInput,
			"conditional write of %s: %d bytes exceed %d: put large data under the hash of its bytes and commit a record that names it",
			key, len(data), MaxConditional)
	}
	return nil
}

// keyOf is Key for a store whose objects lie under root ("s3://bucket/", or with
// a prefix "s3://bucket/prefix/").
func keyOf(root, uri string) (string, error) {
	key, ok := strings.CutPrefix(uri, root)
	if !ok {
		return "", schemas.Errorf(schemas.InvalidInput,
			"uri %.300q does not lie in this store: want %s<key>", uri, root)
	}
	return key, checkKey(key)
}

// settle decides a conditional write that was refused or whose answer was lost:
// what is there now says who won. cause is the error of the write, returned if
// nothing is there; a refusal (cause nil) of a key that is gone again is
// Overloaded, since writing once more can help.
func settle(ctx context.Context, s Store, key string, data []byte, cause error) (bool, error) {
	there, err := s.Get(ctx, key)
	switch {
	case err == nil:
		return string(there) == string(data), nil
	case schemas.TypeOf(err) == schemas.NotFound && cause != nil:
		return false, cause
	case schemas.TypeOf(err) == schemas.NotFound:
		return false, schemas.Errorf(schemas.Overloaded,
			"conditional write of %s: another object was in the way and is gone now", s.URI(key))
	default:
		return false, err
	}
}
