package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
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
		return inputError(err, into)
	}
	if _, err := d.Token(); err != io.EOF {
		return Errorf(InvalidInput, "input holds more than one JSON value: pass one object")
	}
	return nil
}

func inputError(err error, into any) error {
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return Errorf(InvalidInput, "unknown field %s: known fields are %s",
			field, strings.Join(jsonFields(reflect.TypeOf(into)), ", "))
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
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag != "" && tag != "-":
			names = append(names, tag)
		case f.Anonymous && tag == "":
			names = append(names, jsonFields(f.Type)...)
		}
	}
	slices.Sort(names)
	return names
}

// invalid is the error of one field.
func invalid(field, format string, args ...any) error {
	return Errorf(InvalidInput, "field %q: %s", field, fmt.Sprintf(format, args...))
}
