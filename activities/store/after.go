package store

import (
	"context"

	"rpo/schemas"
)

// PublishAfter is PublishVersion for objects that were made from the version with
// the number parent. published is false, and nothing is written, if that is not the
// newest any more: another version came between, whose rows v would lose.
func PublishAfter(ctx context.Context, s Store, v schemas.DatasetVersion, parent int) (out schemas.DatasetVersion, published bool, err error) {
	newest, _, err := LatestVersion(ctx, s, v.Dataset)
	if err != nil {
		return v, false, err
	}
	v.Hash = schemas.Hash(v.Objects)
	switch {
	case newest.Number > 0 && newest.Hash == v.Hash:
		return newest, true, nil
	case newest.Number != parent:
		return v, false, nil
	}
	v.Parent, v.Number = parent, parent+1
	data, err := encodeJSON(v)
	if err != nil {
		return v, false, err
	}
	won, err := s.PutIfAbsent(ctx, versionKey(v.Dataset, v.Number), data)
	return v, won && err == nil, err
}
