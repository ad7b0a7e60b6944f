package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"rpo/schemas"
)

// importStage is the stage of a manifest that no job made.
const importStage = "import"

// encodeJSON is canonical: fields in the order of the type, map keys sorted.
// Equal records give equal bytes, which PutIfAbsent compares.
func encodeJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "encode a record: %w", err)
	}
	return data, nil
}

// decodeJSON demands one JSON document without unknown fields.
func decodeJSON(uri string, data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the JSON document")
		}
	}
	if err != nil {
		return schemas.Errorf(schemas.CorruptData, "read %s: %w", uri, err)
	}
	return nil
}

// PutManifest writes the manifest of a stage, or of an import under the hash of
// its bytes, and returns its URI. Shards are sorted by number. A retry writes
// the same bytes again; a stage that goes on after it was parked replaces its
// manifest with the longer one.
func PutManifest(ctx context.Context, s Store, m schemas.Manifest) (uri string, err error) {
	m.Shards = slices.SortedFunc(slices.Values(m.Shards), func(a, b schemas.ManifestShard) int { return a.Shard - b.Shard })
	if m.Shards == nil {
		m.Shards = []schemas.ManifestShard{}
	}
	if problem := manifestProblem(m); problem != "" {
		return "", schemas.Errorf(schemas.Internal, "put the manifest of job %.100q, stage %.100q: %s", m.Job, m.Stage, problem)
	}
	data, err := encodeJSON(m)
	if err != nil {
		return "", err
	}
	key := "imports/" + digest(data) + ".json"
	if m.Stage != importStage {
		folder, err := stageFolder(m.Job, m.Stage)
		if err != nil {
			return "", err
		}
		key = folder + "manifest.json"
	}
	if err := s.Put(ctx, key, data); err != nil {
		return "", err
	}
	return s.URI(key), nil
}

// GetManifest reads a manifest by its URI. One that lies in another bucket is
// InvalidInput; one that is no manifest, or not a whole one, CorruptData.
func GetManifest(ctx context.Context, s Store, uri string) (schemas.Manifest, error) {
	key, err := s.Key(uri)
	if err != nil {
		return schemas.Manifest{}, err
	}
	data, err := s.Get(ctx, key)
	if err != nil && schemas.TypeOf(err) == schemas.NotFound {
		return schemas.Manifest{}, whereTo(ctx, s, key, err)
	}
	if err != nil {
		return schemas.Manifest{}, err
	}
	var m schemas.Manifest
	if err := decodeJSON(uri, data, &m); err != nil {
		return schemas.Manifest{}, err
	}
	if problem := manifestProblem(m); problem != "" {
		return schemas.Manifest{}, schemas.Errorf(schemas.CorruptData, "read manifest %s: %s", uri, problem)
	}
	return m, nil
}

// manifestProblem says what makes m no manifest, "" if nothing does.
func manifestProblem(m schemas.Manifest) string {
	if m.Stage == "" {
		return "it names no stage"
	}
	if !m.Books.Closed() {
		return "its books do not close"
	}
	for i, shard := range m.Shards {
		if i > 0 && shard.Shard <= m.Shards[i-1].Shard {
			return "its shards are not in order, or one stands twice"
		}
		for _, object := range shard.Objects {
			if object.SHA256 == "" || checkKey(object.Key) != nil {
				return "an object has no key or no sha256"
			}
		}
	}
	return ""
}
