package store

import (
	"context"
	"regexp"

	"rpo/schemas"
)

// segment is what a name may be made of that becomes part of a key.
var segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func checkName(what, name string) error {
	if !segment.MatchString(name) {
		return schemas.Errorf(schemas.InvalidInput,
			"%s %.200q is refused: it must be 1 to 128 letters, digits, dots, dashes or underscores and begin with a letter or digit", what, name)
	}
	return nil
}

// PutRows writes rows as data/<table>/<sha256>.parquet. Equal rows give the same
// object, so a retry writes nothing new.
func PutRows[T any](ctx context.Context, s Store, table string, rows []T) (schemas.Object, error) {
	if err := checkName("table", table); err != nil {
		return schemas.Object{}, err
	}
	data, err := schemas.Encode(rows)
	if err != nil {
		return schemas.Object{}, err
	}
	object := schemas.Object{SHA256: digest(data), Bytes: int64(len(data)), Rows: int64(len(rows))}
	object.Key = "data/" + table + "/" + object.SHA256 + ".parquet"
	return object, s.Put(ctx, object.Key, data)
}

// GetRows reads the rows of an object that PutRows wrote. Size and hash are
// compared with the record before anything is parsed, since a damaged Parquet
// file can end the process; a difference, in the number of rows too, is
// CorruptData.
func GetRows[T any](ctx context.Context, s Store, o schemas.Object) ([]T, error) {
	uri := s.URI(o.Key)
	var data []byte
	err := reread(ctx, func() (err error) {
		if data, err = s.Get(ctx, o.Key); err != nil {
			return err
		}
		return checkObject(uri, o, int64(len(data)), digest(data))
	})
	if err != nil {
		return nil, err
	}
	rows, err := schemas.Decode[T](data)
	if err != nil {
		return nil, schemas.Errorf(schemas.TypeOf(err), "read %s: %w", uri, err)
	}
	if int64(len(rows)) != o.Rows {
		return nil, schemas.Errorf(schemas.CorruptData, "read %s: it has %d rows, its record says %d", uri, len(rows), o.Rows)
	}
	return rows, nil
}
