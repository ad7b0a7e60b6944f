package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// RowJSON writes a row as one JSON object whose keys are the names of its
// columns, in their order. An empty list is [], a null is null.
func RowJSON[T any](row T) ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, reflect.ValueOf(row)); err != nil {
		return nil, Errorf(Internal, "write a row of the %s as JSON: %w", name[T](), err)
	}
	return b.Bytes(), nil
}

func writeJSON(b *bytes.Buffer, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		return writeJSON(b, v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		for i, c := range columns(v.Type()) {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, "%q:", c.name)
			if err := writeJSON(b, v.FieldByIndex(c.Index)); err != nil {
				return fmt.Errorf("column %q: %w", c.name, err)
			}
		}
		b.WriteByte('}')
		return nil
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, v.Index(i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v.Interface()); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's line break
	return nil
}

// RowFromJSON reads what RowJSON wrote. Every column must be there, and nothing
// else; a mistake is an InvalidInput error that names the column.
func RowFromJSON[T any](data []byte) (row T, err error) {
	if err := readJSON(data, reflect.ValueOf(&row).Elem()); err != nil {
		var zero T
		return zero, Errorf(InvalidInput, "read a row of the %s: %w", name[T](), err)
	}
	return row, nil
}

func readJSON(data []byte, v reflect.Value) error {
	null := string(bytes.TrimSpace(data)) == "null"
	switch v.Kind() {
	case reflect.Pointer:
		if null {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return readJSON(data, v.Elem())
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
			return fmt.Errorf("want an object: %.80q", data)
		}
		all := columns(v.Type())
		for _, c := range all {
			value, ok := fields[c.name]
			if !ok {
				return fmt.Errorf("column %q is missing", c.name)
			}
			if err := readJSON(value, v.FieldByIndex(c.Index)); err != nil {
				return fmt.Errorf("column %q: %w", c.name, err)
			}
			delete(fields, c.name)
		}
		for unknown := range fields {
			return fmt.Errorf("unknown column %q", unknown)
		}
		return nil
	case reflect.Slice:
		var elements []json.RawMessage
		if err := json.Unmarshal(data, &elements); err != nil || null {
			return fmt.Errorf("want a list: %.80q", data)
		}
		if len(elements) == 0 {
			return nil
		}
		v.Set(reflect.MakeSlice(v.Type(), len(elements), len(elements)))
		for i, e := range elements {
			if err := readJSON(e, v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if null {
		return fmt.Errorf("a value that is never null is null")
	}
	if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
		return fmt.Errorf("want a %s: %.80q", v.Kind(), data)
	}
	return nil
}
