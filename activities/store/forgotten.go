package store

import (
	"context"
	"fmt"
	"strings"

	"rpo/schemas"
)

// Everything about what was forgotten lies here, and names nobody:
//
//	forgotten/ids/<hash>                     a tombstone
//	forgotten/moved/imports/<sha256>.json    which manifest took a manifest's place
//	forgotten/proofs/<request>-00001.json    what is gone
//	forgotten/plans/<request>.json           a removal under way
const (
	// ForgottenFolder is the folder of all of it.
	ForgottenFolder = "forgotten/"
	tombstones      = ForgottenFolder + "ids/"
	moved           = ForgottenFolder + "moved/"
)

// Tombstone is the hash under which an id stays known as forgotten. kind is
// "profile", "persona" or "user"; a user's parts are its source and the id there.
func Tombstone(kind string, parts ...string) string {
	return digest([]byte("rpo forgotten 1\x00" + kind + "\x00" + strings.Join(parts, "\x00")))
}

// Forgotten are the tombstones of a store.
type Forgotten map[string]bool

// Profile reports whether a profile must not come back: it was forgotten itself,
// or all that its user brought.
func (f Forgotten) Profile(p schemas.Profile) bool {
	return len(f) > 0 && (f[Tombstone("profile", p.ProfileID)] || f[Tombstone("user", p.Source, p.SourceID)])
}

// Bury writes a tombstone.
func Bury(ctx context.Context, s Store, tombstone string) error {
	return s.Put(ctx, tombstones+tombstone, []byte("{}"))
}

// GetForgotten reads the tombstones.
func GetForgotten(ctx context.Context, s Store) (Forgotten, error) {
	keys, err := s.List(ctx, tombstones, "", 0)
	if err != nil {
		return nil, err
	}
	out := Forgotten{}
	for _, key := range keys {
		out[strings.TrimPrefix(key, tombstones)] = true
	}
	return out, nil
}

// move says which object took an object's place.
type move struct {
	To string `json:"to"`
}

// Move notes that the object of one key was replaced by that of another.
func Move(ctx context.Context, s Store, from, to string) error {
	data, err := encodeJSON(move{to})
	if err != nil {
		return err
	}
	return s.Put(ctx, moved+from, data)
}

// whereTo adds to the error of an object that does not exist what took its place.
func whereTo(ctx context.Context, s Store, key string, cause error) error {
	data, err := s.Get(ctx, moved+key)
	var m move
	if err != nil || decodeJSON(s.URI(moved+key), data, &m) != nil {
		return cause
	}
	return schemas.Errorf(schemas.NotFound, "%s was replaced when rows were forgotten: name %s instead", s.URI(key), s.URI(m.To))
}

// superseded is the object that marks a version whose rows were removed.
type superseded struct {
	Dataset string `json:"dataset"`
	Number  int    `json:"number"`
	// By is the version that holds the rest.
	By int `json:"by"`
}

func supersededKey(dataset string, number int) string {
	return fmt.Sprintf("datasets/%s/superseded/v%06d.json", dataset, number)
}

// Supersede marks a version whose objects are gone, since rows of it were
// forgotten. Its own record stays as it was.
func Supersede(ctx context.Context, s Store, dataset string, number, by int) error {
	data, err := encodeJSON(superseded{dataset, number, by})
	if err != nil {
		return err
	}
	_, err = s.PutIfAbsent(ctx, supersededKey(dataset, number), data)
	return err
}

// Superseded returns the versions of a data set whose objects are gone, each with
// the one that took its place.
func Superseded(ctx context.Context, s Store, dataset string) (map[int]int, error) {
	if err := checkName("dataset", dataset); err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, "datasets/"+dataset+"/superseded/", "", 0)
	if err != nil {
		return nil, err
	}
	out := map[int]int{}
	for _, key := range keys {
		data, err := s.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var mark superseded
		if err := decodeJSON(s.URI(key), data, &mark); err != nil {
			return nil, err
		}
		out[mark.Number] = mark.By
	}
	return out, nil
}
