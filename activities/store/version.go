package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"rpo/schemas"
)

// PublishVersion writes v as the next version of its dataset, with Number,
// Parent and Hash filled in, and returns what was published. If the newest
// version holds the same objects, and has the same watermark if v has one, it
// returns that one and writes nothing, so a retry makes no second version. Of two publishers of one number the loser reads
// again and takes the next.
func PublishVersion(ctx context.Context, s Store, v schemas.DatasetVersion) (schemas.DatasetVersion, error) {
	v.Hash = schemas.Hash(v.Objects)
	if v.Objects == nil {
		v.Objects = []schemas.Object{}
	}
	for {
		newest, ok, err := LatestVersion(ctx, s, v.Dataset)
		if err != nil {
			return schemas.DatasetVersion{}, err
		}
		if ok && newest.Hash == v.Hash && (v.Watermark == "" || v.Watermark == newest.Watermark) {
			return newest, nil
		}
		v.Parent, v.Number = newest.Number, newest.Number+1
		data, err := encodeJSON(v)
		if err != nil {
			return schemas.DatasetVersion{}, err
		}
		// Another publisher may have written these very bytes; then it is one
		// version and both made it.
		won, err := s.PutIfAbsent(ctx, versionKey(v.Dataset, v.Number), data)
		if err != nil {
			return schemas.DatasetVersion{}, err
		}
		if won {
			return v, nil
		}
	}
}

// LatestVersion returns the version of a dataset with the highest number, and
// whether there is one.
func LatestVersion(ctx context.Context, s Store, dataset string) (schemas.DatasetVersion, bool, error) {
	var v schemas.DatasetVersion
	if err := checkName("dataset", dataset); err != nil {
		return v, false, err
	}
	keys, err := s.List(ctx, "datasets/"+dataset+"/v", "", 0)
	if err != nil {
		return v, false, err
	}
	newest := 0
	for _, key := range keys {
		if n := versionNumber(dataset, key); n > newest {
			newest = n
		}
	}
	if newest == 0 {
		return v, false, nil
	}
	v, err = Version(ctx, s, dataset, newest)
	return v, err == nil, err
}

// Version returns one version of a dataset by its number.
func Version(ctx context.Context, s Store, dataset string, number int) (schemas.DatasetVersion, error) {
	var v schemas.DatasetVersion
	if err := checkName("dataset", dataset); err != nil {
		return v, err
	}
	key := versionKey(dataset, number)
	data, err := s.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := decodeJSON(s.URI(key), data, &v); err != nil {
		return schemas.DatasetVersion{}, err
	}
	if v.Dataset != dataset || v.Number != number || v.Hash != schemas.Hash(v.Objects) {
		return schemas.DatasetVersion{}, schemas.Errorf(schemas.CorruptData,
			"read %s: it is version %d of dataset %.100q, or its hash is not that of its objects", s.URI(key), v.Number, v.Dataset)
	}
	return v, nil
}

func versionKey(dataset string, number int) string {
	return fmt.Sprintf("datasets/%s/v%06d.json", dataset, number)
}

// versionNumber returns the number in a key, 0 for a key that is not a version's.
func versionNumber(dataset, key string) int {
	text, ok := strings.CutSuffix(strings.TrimPrefix(key, "datasets/"+dataset+"/v"), ".json")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || versionKey(dataset, n) != key {
		return 0
	}
	return n
}
