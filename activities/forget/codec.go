package forget

import (
	"context"
	"path"
	"reflect"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// codec reads and rewrites the objects of one table.
type codec struct {
	table string
	// scan finds the rows that go. kept and gone are told the texts of rows.
	scan func(data []byte, kept, gone func(text string)) (rows, removed int64, err error)
	// rewrite writes the rows that stay.
	rewrite func(ctx context.Context, s store.Store, data []byte) (schemas.Object, error)
	// strings visits every string of every row.
	strings func(data []byte, visit func(string)) error
	// source says that its texts are rows' own and not copies of other tables'.
	source bool
}

func table[T any](name string, mine func(T) bool, texts func(T) []string) codec {
	return codec{
		table: name, source: texts != nil,
		scan: func(data []byte, kept, gone func(string)) (all, removed int64, err error) {
			rows, err := schemas.Decode[T](data)
			for _, r := range rows {
				tell := kept
				if mine(r) {
					removed++
					tell = gone
				}
				if texts != nil {
					for _, text := range texts(r) {
						tell(text)
					}
				}
			}
			return int64(len(rows)), removed, err
		},
		rewrite: func(ctx context.Context, s store.Store, data []byte) (schemas.Object, error) {
			rows, err := schemas.Decode[T](data)
			if err != nil {
				return schemas.Object{}, err
			}
			var kept []T
			for _, r := range rows {
				if !mine(r) {
					kept = append(kept, r)
				}
			}
			return store.PutRows(ctx, s, name, kept)
		},
		strings: func(data []byte, visit func(string)) error {
			rows, err := schemas.Decode[T](data)
			for _, r := range rows {
				visitStrings(reflect.ValueOf(r), visit)
			}
			return err
		},
	}
}

func visitStrings(v reflect.Value, visit func(string)) {
	switch v.Kind() {
	case reflect.String:
		visit(v.String())
	case reflect.Pointer:
		if !v.IsNil() {
			visitStrings(v.Elem(), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visitStrings(v.Index(i), visit)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			visitStrings(field, visit)
		}
	}
}

// objectsOf gives the objects of a table with their keys. One whose bytes are not
// those of its name is not parsed: a damaged file can end the process.
func objectsOf(ctx context.Context, s store.Store, name string, do func(key string, data []byte) error) error {
	keys, err := s.List(ctx, "data/"+name+"/", "", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		data, err := s.Get(ctx, key)
		if schemas.TypeOf(err) == schemas.NotFound && err != nil {
			continue
		}
		if err != nil {
			return err
		}
		if sumOf(string(data)) != strings.TrimSuffix(path.Base(key), ".parquet") {
			return schemas.Errorf(schemas.CorruptData, "read %s: its bytes are not those of its name, so nobody can say what it holds: delete it, or restore it, and repeat", s.URI(key))
		}
		if err := do(key, data); err != nil {
			return schemas.Errorf(schemas.TypeOf(err), "object %s: %w", s.URI(key), err)
		}
	}
	return nil
}

// eachRow reads all rows of a table.
func eachRow[T any](ctx context.Context, s store.Store, name string, do func(T)) error {
	return objectsOf(ctx, s, name, func(_ string, data []byte) error {
		rows, err := schemas.Decode[T](data)
		for _, r := range rows {
			do(r)
		}
		return err
	})
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
