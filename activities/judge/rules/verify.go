package rules

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/google/uuid"

	"rpo/schemas"
)

// maxLine bounds a line of input, and so the memory of VerifyLines.
const maxLine = 64 << 20

// VerifyLines reads JSON lines with `instruction_id`, `kwargs` and `response`
// and writes each with the verdicts under a profile: `strict`, `loose`,
// `opposite` (text), `opposite_strict` and `verifier` (the profile's version).
// All other fields stay as they were, in their order, but an old `error` goes.
// A line that cannot be judged is written with `error`; bad counts those. Blank
// lines are skipped.
//
// A summary, if not nil, gets counts by kind and, where lines bring a `strict`
// or `loose` of their own, how often it equals ours; lines with `stable` false
// are left out of that.
func VerifyLines(r io.Reader, w io.Writer, profile string, summary io.Writer) (bad int, err error) {
	if Version(profile) == "" {
		return 0, schemas.Errorf(schemas.InvalidInput, "verify: profile %s is unknown; use one of %q", quoted(profile), slices.Sorted(maps.Keys(profiles)))
	}
	v := verifier{profile: profile, known: map[string]*pair{}, tally: map[string]*tally{}}
	in := bufio.NewReaderSize(r, 1<<16)
	out := bufio.NewWriterSize(w, 1<<16)
	for number := 1; ; number++ {
		line, tooLong, readErr := readLine(in)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return bad, errors.Join(schemas.Errorf(schemas.InvalidInput, "verify: read line %d: %w", number, readErr), out.Flush())
		}
		if len(bytes.TrimSpace(line)) > 0 || tooLong {
			text, ok := v.line(line, number, tooLong)
			if !ok {
				bad++
			}
			if _, err := out.Write(append(text, '\n')); err != nil {
				return bad, schemas.Errorf(schemas.Internal, "verify: write line %d: %w", number, err)
			}
		}
		if readErr != nil {
			break
		}
	}
	if err := out.Flush(); err != nil {
		return bad, schemas.Errorf(schemas.Internal, "verify: write: %w", err)
	}
	if summary != nil {
		return bad, v.summarise(summary, bad)
	}
	return bad, nil
}

// readLine returns the next line without its end. A line over the limit is
// read to its end and dropped.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			tooLong, line = true, nil
		} else if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), tooLong, err
		}
	}
}

// pair is a rule and its opposite, both parsed.
type pair struct {
	rule     schemas.Rule
	yes, no  Check
	opposite schemas.Rule
}

type tally struct{ rows, strict, loose, strictKnown, strictEqual, looseKnown, looseEqual int }

type verifier struct {
	profile  string
	known    map[string]*pair
	tally    map[string]*tally
	unstable int
}

// field is one member of a JSON object as it was written.
type field struct {
	name string
	raw  json.RawMessage
}

// line judges one line; ok is false if it got an error instead.
func (v *verifier) line(line []byte, number int, tooLong bool) (text []byte, ok bool) {
	if tooLong {
		return withFields(nil, field{"line", encode(number)}, field{"error", encode(fmt.Sprintf("the line is longer than %d bytes", maxLine))}), false
	}
	fields, err := members(line)
	if err == nil && !utf8.Valid(line) {
		err = errors.New("it holds bytes that are no UTF-8")
	}
	if err != nil {
		return withFields(nil, field{"line", encode(number)}, field{"error", encode("the line is no JSON object: " + err.Error())},
			field{"input", encode(clipped(string(line)))}), false
	}
	added, err := v.judge(fields)
	if err != nil {
		return withFields(fields, field{"error", encode(err.Error())}), false
	}
	// An error of an earlier run would contradict the verdicts.
	fields = slices.DeleteFunc(fields, func(f field) bool { return f.name == "error" })
	return withFields(fields, added...), true
}

func (v *verifier) judge(fields []field) ([]field, error) {
	var row struct {
		ID       *string
		Kwargs   json.RawMessage
		Response *string
		Strict   *bool
		Loose    *bool
		Stable   *bool
	}
	var key json.RawMessage
	for _, f := range fields {
		var err error
		switch f.name {
		case "instruction_id":
			err = json.Unmarshal(f.raw, &row.ID)
		case "kwargs":
			row.Kwargs = f.raw
		case "response":
			err = json.Unmarshal(f.raw, &row.Response)
		case "key":
			key = f.raw
		// Verdicts of others that are no booleans are simply not compared.
		case "strict":
			_ = json.Unmarshal(f.raw, &row.Strict)
		case "loose":
			_ = json.Unmarshal(f.raw, &row.Loose)
		case "stable":
			_ = json.Unmarshal(f.raw, &row.Stable)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s must be a text, it is %s", f.name, clipped(string(f.raw)))
		}
	}
	if row.ID == nil {
		return nil, errors.New("field instruction_id is missing")
	}
	if row.Response == nil {
		return nil, errors.New("field response is missing")
	}
	p, err := v.pair(*row.ID, row.Kwargs)
	if err != nil {
		return nil, err
	}
	opposite, err := Opposite(schemas.Constraint{
		ConstraintID: uuid.NewSHA1(oppositeIDs, fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", p.rule.Profile, p.rule.Kind, p.rule.Args, key)).String(),
		Rule:         p.rule,
	})
	if err != nil {
		return nil, err
	}
	strict, loose := Both(p.yes, *row.Response)
	v.count(*row.ID, strict, loose, row.Strict, row.Loose, row.Stable)
	return []field{
		{"strict", encode(strict)},
		{"loose", encode(loose)},
		{"opposite", encode(opposite.Text)},
		{"opposite_strict", encode(p.no.Strict(*row.Response))},
		{"verifier", encode(Version(v.profile))},
	}, nil
}

// maxKnown bounds the memory for parsed rules.
const maxKnown = 4096

// pair parses a rule and its opposite once for all its lines.
func (v *verifier) pair(id string, kwargs json.RawMessage) (*pair, error) {
	name := id + "\x00" + string(kwargs)
	if p := v.known[name]; p != nil {
		return p, nil
	}
	// Multi-IF writes its arguments as JSON inside a JSON string.
	var inner string
	if json.Unmarshal(kwargs, &inner) == nil && inner != "" {
		kwargs = json.RawMessage(inner)
	}
	args, err := CanonicalArgs([]byte(kwargs))
	if err != nil {
		return nil, fmt.Errorf("field kwargs must be a JSON object, it is %s", clipped(string(kwargs)))
	}
	p := &pair{rule: schemas.Rule{Profile: v.profile, Kind: id, Args: args}}
	if p.yes, err = Parse(p.rule); err != nil {
		return nil, err
	}
	if p.opposite, err = oppositeRule(p.rule); err != nil {
		return nil, err
	}
	if p.no, err = Parse(p.opposite); err != nil {
		return nil, err
	}
	if len(v.known) >= maxKnown {
		clear(v.known)
	}
	v.known[name] = p
	return p, nil
}

func (v *verifier) count(id string, strict, loose bool, theirStrict, theirLoose, stable *bool) {
	t := v.tally[id]
	if t == nil {
		t = &tally{}
		v.tally[id] = t
	}
	one := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	t.rows++
	t.strict += one(strict)
	t.loose += one(loose)
	if stable != nil && !*stable {
		v.unstable++
		return
	}
	if theirStrict != nil {
		t.strictKnown++
		t.strictEqual += one(*theirStrict == strict)
	}
	if theirLoose != nil {
		t.looseKnown++
		t.looseEqual += one(*theirLoose == loose)
	}
}

func (v *verifier) summarise(w io.Writer, bad int) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\trows\tstrict\tloose\tstrict agrees\tloose agrees\n", Version(v.profile))
	var all tally
	for _, id := range slices.Sorted(maps.Keys(v.tally)) {
		t := v.tally[id]
		t.print(table, id)
		all.rows += t.rows
		all.strict += t.strict
		all.loose += t.loose
		all.strictKnown += t.strictKnown
		all.strictEqual += t.strictEqual
		all.looseKnown += t.looseKnown
		all.looseEqual += t.looseEqual
	}
	all.print(table, "all")
	if v.unstable > 0 {
		fmt.Fprintf(table, "%d rows with stable=false are left out of the agreement\n", v.unstable)
	}
	if bad > 0 {
		fmt.Fprintf(table, "%d lines could not be judged\n", bad)
	}
	if err := table.Flush(); err != nil {
		return schemas.Errorf(schemas.Internal, "verify: write summary: %w", err)
	}
	return nil
}

func (t *tally) print(w io.Writer, name string) {
	share := func(equal, known int) string {
		if known == 0 {
			return "-"
		}
		return fmt.Sprintf("%d of %d", equal, known)
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\n", name, t.rows, t.strict, t.loose, share(t.strictEqual, t.strictKnown), share(t.looseEqual, t.looseKnown))
}

// members reads the members of one JSON object in their order.
func members(line []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("it is another JSON value")
	}
	var out []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		out = append(out, field{name.(string), raw})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the object")
	}
	return out, nil
}

// withFields writes the members with some replaced or added.
func withFields(fields []field, added ...field) []byte {
	out := []byte{'{'}
	write := func(f field) {
		if len(out) > 1 {
			out = append(out, ", "...)
		}
		out = append(append(append(out, encode(f.name)...), ": "...), f.raw...)
	}
	for _, f := range fields {
		if !slices.ContainsFunc(added, func(a field) bool { return a.name == f.name }) {
			write(f)
		}
	}
	for _, f := range added {
		write(f)
	}
	return append(out, '}')
}

// encode writes a value that can always be written.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("encode " + err.Error())
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
