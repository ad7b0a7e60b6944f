package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rpo/schemas"
)

// Datasets returns the names of all data sets that have a version, in order.
func Datasets(ctx context.Context, s Store) ([]string, error) {
	const folder = "datasets/"
	var names []string
	for after := ""; ; {
		// One listing a data set, however many objects lie in it.
		keys, err := s.List(ctx, folder, after, 1)
		if err != nil || len(keys) == 0 {
			slices.Sort(names)
			return names, err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(keys[0], folder), "/")
		numbers, err := Versions(ctx, s, name)
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

// Versions returns the numbers of a data set's versions, in order.
func Versions(ctx context.Context, s Store, dataset string) ([]int, error) {
	if err := checkName("dataset", dataset); err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, "datasets/"+dataset+"/v", "", 0)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, key := range keys {
		if n := versionNumber(dataset, key); n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// CardKey is where a version's dataset card lies, if a run wrote one.
func CardKey(dataset string, number int) string {
	return fmt.Sprintf("datasets/%s/v%06d/README.md", dataset, number)
}

// pin is the object whose existence keeps a version and all its objects from being
// deleted by anything but a person.
type pin struct {
	Dataset string `json:"dataset"`
	Number  int    `json:"number"`
	// Reason is for people.
	Reason string `json:"reason,omitempty"`
}

func pinKey(dataset string, number int) string {
	return fmt.Sprintf("datasets/%s/pins/v%06d.json", dataset, number)
}

// Pin keeps a version from collection. A version that does not exist is NotFound;
// pinning twice keeps the later reason.
func Pin(ctx context.Context, s Store, dataset string, number int, reason string) error {
	if _, err := Version(ctx, s, dataset, number); err != nil {
		return err
	}
	data, err := encodeJSON(pin{dataset, number, reason})
	if err != nil {
		return err
	}
	return s.Put(ctx, pinKey(dataset, number), data)
}

// Unpin lets a version be collected again. One that is not pinned stays so.
func Unpin(ctx context.Context, s Store, dataset string, number int) error {
	if _, err := Version(ctx, s, dataset, number); err != nil {
		return err
	}
	return s.Delete(ctx, pinKey(dataset, number))
}

// Pins returns the pinned versions of a data set with their reasons.
func Pins(ctx context.Context, s Store, dataset string) (map[int]string, error) {
	if err := checkName("dataset", dataset); err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, "datasets/"+dataset+"/pins/", "", 0)
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, key := range keys {
		data, err := s.Get(ctx, key)
		if schemas.TypeOf(err) == schemas.NotFound && err != nil {
			continue // unpinned meanwhile
		}
		if err != nil {
			return nil, err
		}
		var p pin
		if err := decodeJSON(s.URI(key), data, &p); err != nil {
			return nil, err
		}
		if pinKey(p.Dataset, p.Number) != key {
			return nil, schemas.Errorf(schemas.CorruptData, "read %s: it pins version %d of data set %.100q", s.URI(key), p.Number, p.Dataset)
		}
		out[p.Number] = p.Reason
	}
	return out, nil
}

// TableOf is the table that a version's objects are of, "" if it has none.
func TableOf(v schemas.DatasetVersion) string {
	if len(v.Objects) == 0 {
		return ""
	}
	table, _, _ := strings.Cut(strings.TrimPrefix(v.Objects[0].Key, "data/"), "/")
	return table
}
