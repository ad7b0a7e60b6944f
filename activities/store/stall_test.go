package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

func sum(data []byte) string {
	all := sha256.Sum256(data)
	return hex.EncodeToString(all[:])
}

// behindProxy opens a store whose connections may stall for a short while only.
func behindProxy(t *testing.T) (*storetest.Proxy, *store.S3) {
	t.Helper()
	server := storetest.StartServer(t)
	proxy := storetest.StartProxy(t, server.Endpoint)
	server.Endpoint = proxy.Endpoint
	server.Setenv(t)
	s, err := store.NewS3(t.Context(), store.Config{Bucket: server.Bucket, StallTimeout: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return proxy, s
}

func TestABodyThatNoLongerComesIsGivenUpAndASlowOneIsNot(t *testing.T) {
	proxy, s := behindProxy(t)
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "file")
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	object := schemas.Object{Key: "large", SHA256: sum(data), Bytes: int64(len(data))}

	if err := s.Put(ctx, "large", data); err != nil {
		t.Fatal(err)
	}
	// 32 times, so that all together takes longer than a stall may.
	proxy.SlowAnswers(20 * time.Millisecond)
	began := time.Now()
	if got, err := s.Get(ctx, "large"); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("a slow download: %d bytes, %v", len(got), err)
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Fatalf("it took %s: the proxy is not slow enough to show anything", took)
	}
	proxy.SlowAnswers(0)

	proxy.StallAnswers(100 << 10)
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := s.Get(limited, "large")
	wantError(t, err, schemas.Overloaded, "large", "timeout")
	wantError(t, s.GetFile(limited, object, path), schemas.Overloaded, "large", "timeout")
	if limited.Err() != nil {
		t.Error("it waited until its context ended")
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	proxy.StallAnswers(0)
	if err := s.GetFile(ctx, object, path); err != nil {
		t.Error(err)
	}
}

func TestBytesThatArriveDamagedAreReadAgainBeforeTheyAreTakenForLost(t *testing.T) {
	proxy, s := behindProxy(t)
	ctx := t.Context()
	precious := []byte("my precious bytes")
	object := schemas.Object{Key: "precious", SHA256: sum(precious), Bytes: int64(len(precious))}
	if err := s.Put(ctx, "precious", precious); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"into memory": func() error {
			data, err := s.Get(ctx, "precious")
			if err == nil && !bytes.Equal(data, precious) {
				t.Errorf("read %q", data)
			}
			return err
		},
		"into a file": func() error { return s.GetFile(ctx, object, filepath.Join(t.TempDir(), "file")) },
	} {
		for damaged, fails := range map[int]bool{1: false, 2: false, 3: true} {
			proxy.TamperAnswers("precious bytes", "precIous bytes", damaged)
			err := read()
			if fails {
				wantError(t, err, schemas.CorruptData, "precious", "read 3 times")
			} else if err != nil {
				t.Errorf("%s, damaged %d times: %v", name, damaged, err)
			}
		}
	}
}

// damaging is a store whose next reads arrive damaged, unnoticed by the server.
type damaging struct {
	store.Store
	times, reads int
}

func (d *damaging) Get(ctx context.Context, key string) ([]byte, error) {
	data, err := d.Store.Get(ctx, key)
	if d.reads++; d.reads <= d.times && len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return data, err
}

func TestRowsThatArriveDamagedAreReadAgain(t *testing.T) {
	ctx := t.Context()
	memory := store.NewMemory("rpo")
	rows := []schemas.Reference{{PairID: strings.Repeat("a", 36)}}
	object, err := store.PutRows(ctx, memory, schemas.TableReference, rows)
	if err != nil {
		t.Fatal(err)
	}
	for damaged, fails := range map[int]bool{0: false, 1: false, 2: false, 3: true} {
		d := &damaging{Store: memory, times: damaged}
		got, err := store.GetRows[schemas.Reference](ctx, d, object)
		if fails {
			wantError(t, err, schemas.CorruptData, object.Key, "read 3 times")
		} else if err != nil || len(got) != 1 {
			t.Errorf("damaged %d times: %v, %v", damaged, got, err)
		}
	}
	// What is wrong in the store itself, or was never right, is not read again.
	for what, wrong := range map[string]schemas.Object{
		"absent": {Key: "data/absent", SHA256: object.SHA256, Bytes: 1},
		"rows":   {Key: object.Key, SHA256: object.SHA256, Bytes: object.Bytes, Rows: 7},
	} {
		d := &damaging{Store: memory}
		if _, err := store.GetRows[schemas.Reference](ctx, d, wrong); err == nil || d.reads != 1 {
			t.Errorf("%s: read %d times, %v", what, d.reads, err)
		}
	}
}
