package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"rpo/schemas"
)

// line is one line of a JSON lines file that is not blank.
type line struct {
	number int // from 1
	json   []byte
}

// readLines reads the whole file: an import is written whole or not at all.
func readLines(r io.Reader) ([]line, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "read the file to import: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var lines []line
	for i, text := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(text) {
			return nil, atLine(i+1, errors.New("it is not UTF-8: convert the file first"))
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var whole json.RawMessage
		if err := json.Unmarshal(text, &whole); err != nil {
			return nil, atLine(i+1, malformed(err))
		}
		lines = append(lines, line{i + 1, text})
	}
	if len(lines) == 0 {
		return nil, schemas.Errorf(schemas.InvalidInput, "import: the file is empty; give one JSON object a line")
	}
	return lines, nil
}

func malformed(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("malformed JSON at byte %d: %w", e.Offset, err)
	}
	return fmt.Errorf("malformed JSON: %w", err)
}

// atLine makes the error that ends an import.
func atLine(number int, err error) error {
	return schemas.Errorf(schemas.InvalidInput, "import line %d: %w", number, err)
}

// object is one JSON object with the path that leads to it, for messages.
type object struct {
	path   string
	fields map[string]json.RawMessage
}

// decodeObject refuses unknown and doubled fields by their path. A null counts
// as absent.
func decodeObject(data []byte, path string, known ...string) (object, error) {
	o := object{path: path, fields: map[string]json.RawMessage{}}
	if bytes.TrimSpace(data)[0] != '{' {
		if path == "" {
			path = "the line"
		}
		return o, fmt.Errorf("%s must be an object, it is %s", path, shown(data))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.Token()
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return o, malformed(err)
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return o, malformed(err)
		}
		if !slices.Contains(known, name) {
			return o, fmt.Errorf("unknown field %s: known fields are %s", clipped(o.at(name)), strings.Join(known, ", "))
		}
		if _, doubled := o.fields[name]; doubled {
			return o, fmt.Errorf("field %s stands twice", o.at(name))
		}
		o.fields[name] = value
	}
	for name, value := range o.fields {
		if string(value) == "null" {
			delete(o.fields, name)
		}
	}
	return o, nil
}

func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (o object) has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// read decodes a required field; want says in words what it must be.
func (o object) read(name, want string, into any) error {
	data, ok := o.fields[name]
	if !ok {
		return fmt.Errorf("field %s is missing: give %s", o.at(name), want)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("field %s must be %s, it is %s", o.at(name), want, shown(data))
	}
	return nil
}

// text reads a required string that is not blank.
func (o object) text(name string) (string, error) {
	var s string
	if err := o.read(name, "a text", &s); err != nil {
		return "", err
	}
	if strings.TrimSpace(s) == "" {
		return "", fmt.Errorf("field %s is blank", o.at(name))
	}
	return s, nil
}

// list reads a required list with at least one element and returns the elements
// with their paths.
func (o object) list(name string) ([]json.RawMessage, []string, error) {
	var items []json.RawMessage
	if err := o.read(name, "a list", &items); err != nil {
		return nil, nil, err
	}
	if len(items) == 0 {
		return nil, nil, fmt.Errorf("field %s is empty: give at least one element", o.at(name))
	}
	paths := make([]string, len(items))
	for i := range items {
		paths[i] = fmt.Sprintf("%s[%d]", o.at(name), i)
	}
	return items, paths, nil
}

// shown is a short form of a JSON value for messages.
func shown(data []byte) string { return clipped(string(data)) }

func clipped(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
