package store

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"rpo/schemas"
)

// Memory is a Store for unit tests. It is safe for concurrent use and keeps
// nothing but a map, so that a test is the same every time.
type Memory struct {
	// Before and After, if set, are called around every operation ("put",
	// "put-if-absent", "get", "head", "list", "delete"; files count as put, head
	// and get) without a lock held, so they may use the store. An error from
	// Before fails the operation; one from After loses the acknowledgement of an
	// operation that happened. Set them before the store is shared.
	Before, After func(operation, key string) error

	bucket  string
	mu      sync.Mutex
	objects map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store whose URIs name bucket.
func NewMemory(bucket string) *Memory {
	return &Memory{bucket: bucket, objects: map[string][]byte{}}
}

// around runs do under the lock, between the hooks.
func (m *Memory) around(ctx context.Context, operation, key string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return schemas.Errorf(schemas.Overloaded, "%s %s: %w", operation, key, err)
	}
	if m.Before != nil {
		if err := m.Before(operation, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	err := do()
	m.mu.Unlock()
	if err == nil && m.After != nil {
		err = m.After(operation, key)
	}
	return err
}

func (m *Memory) absent(key string) error {
	return schemas.Errorf(schemas.NotFound, "object %s does not exist", m.URI(key))
}

func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return m.around(ctx, "put", key, func() error {
		m.objects[key] = bytes.Clone(data)
		return nil
	})
}

func (m *Memory) PutIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	if err := checkConditional(key, data); err != nil {
		return false, err
	}
	refused := false
	err := m.around(ctx, "put-if-absent", key, func() error {
		if _, refused = m.objects[key]; !refused {
			m.objects[key] = bytes.Clone(data)
		}
		return nil
	})
	if err == nil && !refused {
		return true, nil
	}
	return settle(ctx, m, key, data, err)
}

func (m *Memory) Get(ctx context.Context, key string) (data []byte, err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	err = m.around(ctx, "get", key, func() error {
		there, ok := m.objects[key]
		if !ok {
			return m.absent(key)
		}
		data = append([]byte{}, there...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (m *Memory) Exists(ctx context.Context, key string) (bool, error) { return exists(ctx, m, key) }

func (m *Memory) Head(ctx context.Context, key string) (size int64, sum string, err error) {
	if err := checkKey(key); err != nil {
		return 0, "", err
	}
	err = m.around(ctx, "head", key, func() error {
		there, ok := m.objects[key]
		if !ok {
			return m.absent(key)
		}
		size, sum = int64(len(there)), digest(there)
		return nil
	})
	return size, sum, err
}

func (m *Memory) List(ctx context.Context, prefix, startAfter string, limit int) (keys []string, err error) {
	err = m.around(ctx, "list", prefix, func() error {
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			if limit > 0 && len(keys) == limit {
				break
			}
			if strings.HasPrefix(key, prefix) && key > startAfter {
				keys = append(keys, key)
			}
		}
		return nil
	})
	return keys, err
}

func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return m.around(ctx, "delete", key, func() error {
		delete(m.objects, key)
		return nil
	})
}

func (m *Memory) PutFile(ctx context.Context, key, path string) (schemas.Object, error) {
	return putFile(ctx, m, key, path, func(f *os.File, object schemas.Object) error {
		data, err := io.ReadAll(f)
		if err != nil {
			return fileError(path, err)
		}
		if digest(data) != object.SHA256 {
			return schemas.Errorf(schemas.CorruptData, "put %s: file %s changed while it was sent", m.URI(key), path)
		}
		return m.Put(ctx, key, data)
	})
}

func (m *Memory) GetFile(ctx context.Context, object schemas.Object, path string) error {
	data, err := m.Get(ctx, object.Key)
	if err != nil {
		return err
	}
	return writeVerified(m.URI(object.Key), object, path, bytes.NewReader(data))
}

func (m *Memory) URI(key string) string { return "s3://" + m.bucket + "/" + key }

func (m *Memory) Key(uri string) (string, error) { return keyOf("s3://"+m.bucket+"/", uri) }
