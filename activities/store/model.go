package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// ReadModel returns a version of a promoted model: "name@v3", "name@latest" or
// "name". One that does not exist is NotFound.
func ReadModel(ctx context.Context, s Store, name string) (schemas.ModelVersion, error) {
	model, number, err := schemas.ParseModelName("model", name)
	if err != nil {
		return schemas.ModelVersion{}, err
	}
	if number > 0 {
		v, err := ModelVersion(ctx, s, model, number)
		if err != nil && schemas.TypeOf(err) == schemas.NotFound {
			err = schemas.Errorf(schemas.NotFound, "read model %s: it has no version %d: `rpo model list` shows those there are", model, number)
		}
		return v, err
	}
	v, ok, err := LatestModel(ctx, s, model)
	if err == nil && !ok {
		err = schemas.Errorf(schemas.NotFound, "read model %s: it has no version: promote one with PromoteModel", model)
	}
	return v, err
}

// LatestModel returns the version of a model with the highest number, and whether
// there is one.
func LatestModel(ctx context.Context, s Store, name string) (schemas.ModelVersion, bool, error) {
	numbers, err := ModelVersions(ctx, s, name)
	if err != nil || len(numbers) == 0 {
		return schemas.ModelVersion{}, false, err
	}
	v, err := ModelVersion(ctx, s, name, numbers[len(numbers)-1])
	return v, err == nil, err
}

// ModelVersions returns the numbers of a model's versions, in order.
func ModelVersions(ctx context.Context, s Store, name string) ([]int, error) {
	if err := checkName("model", name); err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, "models/"+name+"/v", "", 0)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, key := range keys {
		if n := modelNumber(name, key); n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// PutModel writes a version unless its number is taken: won is false if another
// version has it. A version with another hash than that of its content, or that
// is no version at all, is Internal.
func PutModel(ctx context.Context, s Store, v schemas.ModelVersion) (won bool, err error) {
	if err := checkName("model", v.Name); err != nil {
		return false, err
	}
	if v.Number < 1 || v.Parent >= v.Number || v.Hash == "" || v.Hash != v.Digest() {
		return false, schemas.Errorf(schemas.Internal, "put version %d of model %s: its number, parent or hash is wrong", v.Number, v.Name)
	}
	data, err := encodeJSON(v)
	if err != nil {
		return false, err
	}
	return s.PutIfAbsent(ctx, ModelKey(v.Name, v.Number), data)
}

// Models returns the names of all models that have a version, in order.
func Models(ctx context.Context, s Store) ([]string, error) {
	const folder = "models/"
	var names []string
	for after := ""; ; {
		// One listing a model or training, however many objects lie in it.
		keys, err := s.List(ctx, folder, after, 1)
		if err != nil || len(keys) == 0 {
			slices.Sort(names)
			return names, err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(keys[0], folder), "/")
		numbers, err := ModelVersions(ctx, s, name)
		if err != nil {
			return nil, err
		}
		if len(numbers) > 0 {
			names = append(names, name)
		}
		// '0' follows '/' in the order of bytes.
		after = folder + name + "0"
	}
}

// ModelVersion returns one version of a model by its number.
func ModelVersion(ctx context.Context, s Store, name string, number int) (schemas.ModelVersion, error) {
	var v schemas.ModelVersion
	key := ModelKey(name, number)
	data, err := s.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := decodeJSON(s.URI(key), data, &v); err != nil {
		return schemas.ModelVersion{}, err
	}
	if v.Name != name || v.Number != number || v.Hash != v.Digest() {
		return schemas.ModelVersion{}, schemas.Errorf(schemas.CorruptData,
			"read %s: it is version %d of model %.100q, or its hash is not that of its content", s.URI(key), v.Number, v.Name)
	}
	return v, nil
}

// ModelKey is where a version of a model lies.
func ModelKey(name string, number int) string {
	return fmt.Sprintf("models/%s/v%06d.json", name, number)
}

// modelNumber returns the number in a key, 0 for a key that is not a version's: a
// training's files lie under the job's id beside the named models.
func modelNumber(name, key string) int {
	text, ok := strings.CutSuffix(strings.TrimPrefix(key, "models/"+name+"/v"), ".json")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || ModelKey(name, n) != key {
		return 0
	}
	return n
}
