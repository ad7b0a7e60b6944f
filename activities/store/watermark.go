package store

import (
	"context"

	"rpo/schemas"
)

// PutWatermark writes what a data set has consumed under the hash of its bytes and
// returns its URI.
func PutWatermark(ctx context.Context, s Store, w schemas.Watermark) (uri string, err error) {
	data, err := encodeJSON(w)
	if err != nil {
		return "", err
	}
	key := "watermarks/" + digest(data) + ".json"
	if err := s.Put(ctx, key, data); err != nil {
		return "", err
	}
	return s.URI(key), nil
}

// GetWatermark reads a watermark by its URI. One that is no watermark is
// CorruptData.
func GetWatermark(ctx context.Context, s Store, uri string) (schemas.Watermark, error) {
	key, err := s.Key(uri)
	if err != nil {
		return schemas.Watermark{}, err
	}
	data, err := s.Get(ctx, key)
	if err != nil {
		return schemas.Watermark{}, err
	}
	var w schemas.Watermark
	if err := decodeJSON(uri, data, &w); err != nil {
		return schemas.Watermark{}, err
	}
	if want := "watermarks/" + digest(data) + ".json"; key != want {
		return schemas.Watermark{}, schemas.Errorf(schemas.CorruptData, "read %s: the hash of its bytes is not its name", uri)
	}
	return w, nil
}
