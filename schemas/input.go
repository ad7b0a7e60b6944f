package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that JSON writes as "30m".
type Duration time.Duration

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	err := json.Unmarshal(data, &s)
	var v time.Duration
	if err == nil {
		v, err = time.ParseDuration(s)
	}
	if err != nil {
		// The decoder completes an error of this type with the field.
		return &json.UnmarshalTypeError{Value: "value " + clip(string(data)), Type: reflect.TypeFor[Duration]()}
	}
	*d = Duration(v)
	return nil
}

// Input is a workflow's input: one flat JSON object, every field optional but
// those that Validate demands.
type Input interface {
	// SetDefaults replaces zero values by the documented defaults.
	SetDefaults()
	// Validate returns an InvalidInput error that begins with the field's name.
	Validate() error
}

// DecodeInput decodes the JSON object that started a workflow into in: unknown
// keys are refused by name, defaults are set, and the result is validated. No
// data at all counts as {}.
func DecodeInput(data []byte, in Input) error {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	if err := DecodeStrict(data, in); err != nil {
		return err
	}
	in.SetDefaults()
	return in.Validate()
}

// DecodeStrict decodes one JSON value and refuses unknown keys, values of the
// wrong type and trailing data, with an InvalidInput error that names the place.
func DecodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return inputError(err, data, into)
	}
	if _, err := d.Token(); err != io.EOF {
		return Errorf(InvalidInput, "input holds more than one JSON value: pass one object")
	}
	return nil
}

func inputError(err error, data []byte, into any) error {
	if err == io.EOF {
		return Errorf(InvalidInput, "nothing to decode: want one JSON object")
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		of := reflect.TypeOf(into)
		if path, where := unknownKey(data, of, ""); path != "" {
			field, of = strconv.Quote(path), where
		}
		return Errorf(InvalidInput, "unknown field %s: known fields are %s", field, strings.Join(jsonFields(of), ", "))
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if field := fieldPath(e.Field); field != "" {
			return Errorf(InvalidInput, "field %q: got a JSON %s, want %s", field, e.Value, wanted(e.Type))
		}
		return Errorf(InvalidInput, "got a JSON %s, want %s", e.Value, wanted(e.Type))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return Errorf(InvalidInput, "malformed JSON at byte %d: %w", e.Offset, err)
	}
	return Errorf(InvalidInput, "decode input: %w", err)
}

// unknownKey finds the first key, in the order of names, that the type does not
// know: its path, and the struct type that has no such field.
func unknownKey(data []byte, t reflect.Type, path string) (string, reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var elements []json.RawMessage
	var keys map[string]json.RawMessage
	if t.Kind() == reflect.Slice && json.Unmarshal(data, &elements) == nil {
		for i, element := range elements {
			if found, where := unknownKey(element, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found, where
			}
		}
	}
	if t.Kind() != reflect.Map && t.Kind() != reflect.Struct || json.Unmarshal(data, &keys) != nil {
		return "", nil
	}
	known := fieldTypes(t)
	sorted := slices.Sorted(maps.Keys(keys)) //workflowcheck:ignore
	for _, key := range sorted {
		at := strings.TrimPrefix(path+"."+key, ".")
		of, ok := known[key]
		if t.Kind() == reflect.Map {
			of, ok = t.Elem(), true
		}
		if !ok {
			return at, t
		}
		if found, where := unknownKey(keys[key], of, at); found != "" {
			return found, where
		}
	}
	return "", nil
}

// fieldPath drops the embedded Go structs from a decoder's path: people know the
// flat object, whose keys are all lower case.
func fieldPath(path string) string {
	names := slices.DeleteFunc(strings.Split(path, "."), func(name string) bool {
		return name != "" && name[0] >= 'A' && name[0] <= 'Z'
	})
	return strings.Join(names, ".")
}

// wanted says in words what a field of the type takes.
func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[Duration]() {
		return `a duration such as "30m"`
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "one object"
	}
}

// jsonFields lists the keys of a struct type and of those it embeds.
func jsonFields(t reflect.Type) []string {
	return slices.Sorted(maps.Keys(fieldTypes(t))) //workflowcheck:ignore
}

// fieldTypes are the types of the fields of a struct type, and of those it
// embeds, by key.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	out := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct {
		return out
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag != "" && tag != "-":
			out[tag] = f.Type
		case f.Anonymous && tag == "":
			maps.Copy(out, fieldTypes(f.Type))
		}
	}
	return out
}

// invalid is the error of one field.
func invalid(field, format string, args ...any) error {
	return Errorf(InvalidInput, "field %q: %s", field, fmt.Sprintf(format, args...))
}
