package refresh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"unicode/utf8"

	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// Extensions of objects that hold profiles: as JSON lines, and as rows.
const (
	lines = ".jsonl"
	rows  = ".parquet"
)

// readManifest takes the profiles and turns of a manifest's shards.
func (f *finder) readManifest(ctx context.Context, uri string) error {
	m, err := store.GetManifest(ctx, f.store, uri)
	if err != nil {
		return err
	}
	for _, s := range m.Shards {
		o, ok := s.Objects[schemas.TableProfile]
		t, withTurns := s.Objects[schemas.TableTurn]
		if !ok || !withTurns {
			return schemas.Errorf(schemas.InvalidInput, "manifest %s is of stage %s and lacks table %q or %q: name one of `rpo import` or of BuildDialogues",
				uri, m.Stage, schemas.TableProfile, schemas.TableTurn)
		}
		// Other dialogues with the same profiles are the same profiles.
		if f.objects[o.Key] == o.SHA256 {
			f.unchanged++
			continue
		}
		profiles, err := store.GetRows[schemas.Profile](ctx, f.store, o)
		if err != nil {
			return err
		}
		turns, err := store.GetRows[schemas.Turn](ctx, f.store, t)
		if err != nil {
			return err
		}
		f.take(profiles, turns)
		f.objects[o.Key] = o.SHA256
	}
	return nil
}

// readFolder takes the profiles of all .jsonl and .parquet objects under a folder,
// in the order of their keys. One that cannot be read as profiles is refused as a whole and
// the others are taken, so that one bad file does not end a refresh.
func (f *finder) readFolder(ctx context.Context, uri string, o profile.Options) error {
	folder, err := f.store.Key(strings.TrimSuffix(uri, "/"))
	if err != nil {
		return err
	}
	folder += "/"
	keys, err := f.store.List(ctx, folder, "", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		ending := path.Ext(key)
		if ending != lines && ending != rows {
			continue
		}
		if err := f.readObject(ctx, key, strings.TrimSuffix(strings.TrimPrefix(key, folder), ending), o); err != nil {
			return err
		}
	}
	return nil
}

// readObject takes the profiles of one object. They get the ids that `rpo import`
// gives to the lines of a file of that name.
func (f *finder) readObject(ctx context.Context, key, source string, o profile.Options) error {
	_, sum, err := f.store.Head(ctx, key)
	if err != nil {
		return err
	}
	if sum != "" && f.objects[key] == sum {
		f.unchanged++
		return nil
	}
	data, err := f.store.Get(ctx, key)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(data)
	sum = hex.EncodeToString(hash[:])
	if f.objects[key] == sum { // the server keeps no hash of it
		f.unchanged++
		return nil
	}
	var in profile.Imported
	if path.Ext(key) == rows {
		in, err = f.readRows(ctx, data, source, o)
	} else {
		in, err = profile.ReadPlain(bytes.NewReader(data), source, o)
	}
	if err != nil && schemas.Retryable(err) {
		return err // not the file's fault
	}
	if err != nil {
		f.refuse(key, err)
		return nil
	}
	f.take(in.Profiles, in.Turns)
	f.objects[key] = sum
	return nil
}

func (f *finder) refuse(key string, err error) {
	if f.refused++; f.refused <= maxRefused {
		f.refusedFirst = append(f.refusedFirst, schemas.RefusedObject{Key: clipped(key), Reason: clipped(err.Error())})
	}
}

// clipped keeps a text short enough for a payload that lists some of them.
func clipped(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
