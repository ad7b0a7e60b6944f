package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// args reads the arguments of one rule, remembers which were asked for, and
// keeps the first complaint.
type args struct {
	where string
	m     map[string]any
	asked map[string]bool
	err   error
}

func decodeArgs(r schemas.Rule) (*args, error) {
	a := &args{where: r.Profile + " rule " + r.Kind, m: map[string]any{}, asked: map[string]bool{}}
	if r.Args == "" {
		return a, nil
	}
	if err := decodeJSON(r.Args, &a.m); err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "resolve %s: args must be one JSON object: %v", a.where, err)
	}
	if a.m == nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "resolve %s: args must be one JSON object, not null", a.where)
	}
	// The hub's copy of IFEval fills every foreign argument with null.
	maps.DeleteFunc(a.m, func(_ string, v any) bool { return v == nil })
	return a, nil
}

// decodeJSON decodes exactly one JSON value and keeps numbers as written.
func decodeJSON(s string, v any) error {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is more after the first value")
	}
	return nil
}

func (a *args) fail(field, format string, v ...any) {
	if a.err == nil {
		a.err = schemas.Errorf(schemas.InvalidInput, "resolve %s: args.%s %s", a.where, field, fmt.Sprintf(format, v...))
	}
}

// finish returns the first complaint, or one about an argument nobody asked for.
func (a *args) finish() error {
	if a.err != nil {
		return a.err
	}
	for _, name := range slices.Sorted(maps.Keys(a.m)) {
		if !a.asked[name] {
			known := "it takes none"
			if len(a.asked) > 0 {
				known = "it takes " + strings.Join(slices.Sorted(maps.Keys(a.asked)), ", ")
			}
			return schemas.Errorf(schemas.InvalidInput, "resolve %s: args.%s is unknown; %s", a.where, clipped(name), known)
		}
	}
	return nil
}

func (a *args) get(name string) (any, bool) {
	a.asked[name] = true
	v, ok := a.m[name]
	return v, ok
}

func (a *args) has(name string) bool {
	_, ok := a.get(name)
	return ok
}

// text returns a required string that is not blank.
func (a *args) text(name string) string {
	v, ok := a.get(name)
	if !ok {
		a.fail(name, "is missing; give a text")
		return ""
	}
	s, ok := v.(string)
	if !ok {
		a.fail(name, "must be a text, it is %s", shown(v))
		return ""
	}
	if blank(s) {
		a.fail(name, "must not be blank")
	}
	return s
}

// number returns a required whole number that is at least low. A float with no
// fraction counts as whole, since some copies of IFEval write 5.0.
func (a *args) number(name string, low int) int {
	v, ok := a.get(name)
	if !ok {
		a.fail(name, "is missing; give a whole number of at least %d", low)
		return 0
	}
	n, ok := whole(v)
	if !ok || n < low {
		a.fail(name, "must be a whole number from %d to %d, it is %s", low, maxNumber, shown(v))
		return 0
	}
	return n
}

// maxNumber bounds every numeric argument, so that sums of them stay exact.
const maxNumber = 1_000_000_000

func whole(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || f != float64(int(f)) || f > maxNumber || f < -maxNumber {
		return 0, false
	}
	return int(f), true
}

// choice returns a required string that is one of those allowed.
func (a *args) choice(name string, allowed ...string) string {
	v, ok := a.get(name)
	s, isText := v.(string)
	if !ok || !isText || !slices.Contains(allowed, s) {
		what := "it is missing"
		if ok {
			what = "it is " + shown(v)
		}
		a.fail(name, "must be one of %q; %s", allowed, what)
		return allowed[0]
	}
	return s
}

// texts returns a required list of at least one text, none of them blank.
func (a *args) texts(name string) []string {
	v, ok := a.get(name)
	list, isList := v.([]any)
	if !ok || !isList || len(list) == 0 {
		a.fail(name, "must be a list of at least one text")
		return nil
	}
	out := make([]string, 0, len(list))
	for i, e := range list {
		s, ok := e.(string)
		if !ok || blank(s) {
			a.fail(fmt.Sprintf("%s[%d]", name, i), "must be a text that is not blank, it is %s", shown(e))
			return nil
		}
		out = append(out, s)
	}
	return out
}

// flag returns an optional boolean, false if absent.
func (a *args) flag(name string) bool {
	v, ok := a.get(name)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		a.fail(name, "must be true or false, it is %s", shown(v))
	}
	return b
}

// with returns the arguments with some of them changed, in canonical form.
func (a *args) with(changes map[string]any) (string, error) {
	m := maps.Clone(a.m)
	maps.Copy(m, changes)
	return CanonicalArgs(m)
}

// CanonicalArgs writes a JSON object with sorted keys and no blanks, the form
// that schemas.Rule.Args has. v is a map, a struct, or JSON as string, []byte
// or json.RawMessage; nulls are dropped and nil is "{}".
func CanonicalArgs(v any) (string, error) {
	var text []byte
	switch t := v.(type) {
	case nil:
		return "{}", nil
	case string:
		text = []byte(t)
	case []byte:
		text = t
	default:
		var err error
		if text, err = json.Marshal(v); err != nil {
			return "", schemas.Errorf(schemas.InvalidInput, "write canonical args: %w", err)
		}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "{}", nil
	}
	var m map[string]any
	if err := decodeJSON(string(text), &m); err != nil {
		return "", schemas.Errorf(schemas.InvalidInput, "write canonical args: they must be one JSON object: %w", err)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	if m == nil {
		return "{}", nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return "", schemas.Errorf(schemas.InvalidInput, "write canonical args: %w", err)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func quoted(s string) string { return strconv.Quote(clipped(s)) }

// shown is a short JSON form of a value for messages.
func shown(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	return clipped(string(b))
}

func clipped(s string) string {
	const most = 80
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
