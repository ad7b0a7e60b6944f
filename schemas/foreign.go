package schemas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// Shape is what a column of a Parquet file of foreign origin may hold. Which
// physical types hold it (large strings, dictionaries, small integers, fixed lists)
// is the writer's matter.
type Shape struct {
	// Kind is "text", "integer", "boolean", "list" or "object".
	Kind string
	// Element is that of a list.
	Element *Shape
	// Fields are those of an object, which may have fewer and may not have others.
	Fields map[string]Shape
	// As, if not "", writes a text where an object may stand as an object with this
	// one field; JSON writes a text that is itself JSON as what it says.
	As   string
	JSON bool
}

// foreignBatch bounds the Arrow memory of one batch, in rows.
const foreignBatch = 500

// ForeignRows reads the named columns of a Parquet file that another program
// wrote, in any order and among others, and gives each row as one JSON object
// without its nulls. An error is InvalidInput and names the column or the row.
//
// The file is not trusted, and arrow v17 panics in goroutines of its own on some
// damaged ones: call it in a process whose end does no harm.
func ForeignRows(data []byte, columns map[string]Shape, required []string, emit func(row []byte) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Errorf(InvalidInput, "read Parquet: the file is damaged: %v", r)
		}
	}()
	fail := func(err error) error { return Errorf(InvalidInput, "read Parquet: %w", err) }
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	defer pf.Close()
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: foreignBatch}, memory.DefaultAllocator)
	if err != nil {
		return fail(err)
	}
	schema, err := fr.Schema()
	if err != nil {
		return fail(err)
	}
	if err := checkForeign(schema, columns, required); err != nil {
		return fail(err)
	}
	var leaves []int
	physical := pf.MetaData().Schema
	for i := range physical.NumColumns() {
		if _, ok := columns[physical.Column(i).ColumnPath()[0]]; ok {
			leaves = append(leaves, i)
		}
	}
	rows := int64(0)
	// One row group at a time: each has dictionaries of its own, which arrow v17
	// cannot join.
	for group := range pf.NumRowGroups() {
		if err := foreignGroup(fr, leaves, group, columns, &rows, emit); err != nil {
			return err
		}
	}
	if rows != pf.NumRows() {
		return fail(fmt.Errorf("the footer says %d rows, there are %d", pf.NumRows(), rows))
	}
	return nil
}

// foreignGroup reads one row group; rows counts over all of them.
func foreignGroup(fr *pqarrow.FileReader, leaves []int, group int, columns map[string]Shape, rows *int64, emit func([]byte) error) error {
	fail := func(err error) error { return Errorf(InvalidInput, "read Parquet: %w", err) }
	rr, err := fr.GetRecordReader(context.Background(), leaves, []int{group})
	if err != nil {
		return fail(err)
	}
	defer rr.Release()
	for rr.Next() {
		rec := rr.Record()
		for i := range int(rec.NumRows()) {
			*rows++
			line, err := foreignRow(rec, i, columns)
			if err != nil {
				return fail(fmt.Errorf("row %d: %w", *rows, err))
			}
			if err := emit(line); err != nil {
				return err
			}
		}
	}
	if err := rr.Err(); err != nil && err != io.EOF {
		return fail(err)
	}
	return nil
}

func checkForeign(schema *arrow.Schema, columns map[string]Shape, required []string) error {
	for _, name := range required {
		if !schema.HasField(name) {
			return fmt.Errorf("column %q is missing; the columns are %s", name, columnNames(schema))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		found, ok := schema.FieldsByName(name)
		switch {
		case !ok:
			continue
		case len(found) > 1:
			return fmt.Errorf("column %q stands there %d times", name, len(found))
		}
		if err := columns[name].fits(name, found[0].Type); err != nil {
			return err
		}
	}
	return nil
}

func columnNames(schema *arrow.Schema) string {
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, fmt.Sprintf("%.40q", f.Name))
	}
	return strings.Join(names[:min(len(names), 12)], ", ")
}

// fits says what makes a type hold no such shape.
func (s Shape) fits(path string, t arrow.DataType) error {
	if d, ok := t.(*arrow.DictionaryType); ok {
		t = d.ValueType
	}
	text := false
	switch t.ID() {
	case arrow.NULL:
		return nil // nulls alone
	case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY:
		if s.Kind == "text" || s.As != "" || s.JSON {
			return nil
		}
		text = true
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		if s.Kind == "integer" {
			return nil
		}
	case arrow.BOOL:
		if s.Kind == "boolean" {
			return nil
		}
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST:
		if s.Kind == "list" {
			return s.Element.fits(path+"[]", t.(arrow.ListLikeType).Elem())
		}
	case arrow.STRUCT:
		if s.Kind != "object" || s.Fields == nil {
			break
		}
		for _, f := range t.(*arrow.StructType).Fields() {
			inner, ok := s.Fields[f.Name]
			if !ok {
				return fmt.Errorf("column %q has an unknown field %q: it may have %s", path, f.Name, strings.Join(slices.Sorted(maps.Keys(s.Fields)), ", "))
			}
			if err := inner.fits(path+"."+f.Name, f.Type); err != nil {
				return err
			}
		}
		return nil
	}
	want := s.Kind
	if s.As != "" && !text {
		want += " or text"
	}
	return fmt.Errorf("column %q is %.80s, want %s", path, t, want)
}

func foreignRow(rec arrow.Record, i int, columns map[string]Shape) ([]byte, error) {
	row := map[string]any{}
	for c, f := range rec.Schema().Fields() {
		v, err := foreignValue(rec.Column(c), i, columns[f.Name])
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		if v != nil {
			row[f.Name] = v
		}
	}
	return json.Marshal(row)
}

// foreignValue is a value as encoding/json takes it, nil for a null.
func foreignValue(a arrow.Array, i int, s Shape) (any, error) {
	if a.IsNull(i) {
		return nil, nil
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return foreignValue(a.Dictionary(), a.GetValueIndex(i), s)
	case *array.String:
		return s.text(a.Value(i))
	case *array.LargeString:
		return s.text(a.Value(i))
	case *array.Binary:
		return s.text(string(a.Value(i)))
	case *array.LargeBinary:
		return s.text(string(a.Value(i)))
	case *array.Boolean:
		return a.Value(i), nil
	case *array.Struct:
		out := map[string]any{}
		for k, f := range a.DataType().(*arrow.StructType).Fields() {
			v, err := foreignValue(a.Field(k), i, s.Fields[f.Name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			if v != nil {
				out[f.Name] = v
			}
		}
		if len(out) == 0 {
			return nil, nil // some writers have no null objects
		}
		return out, nil
	case array.ListLike:
		out := []any{}
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			v, err := foreignValue(a.ListValues(), int(j), *s.Element)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", j-start, err)
			}
			if v == nil {
				return nil, fmt.Errorf("[%d] is null", j-start)
			}
			out = append(out, v)
		}
		return out, nil
	}
	return foreignInteger(a, i)
}

func foreignInteger(a arrow.Array, i int) (any, error) {
	switch a := a.(type) {
	case *array.Int8:
		return int64(a.Value(i)), nil
	case *array.Int16:
		return int64(a.Value(i)), nil
	case *array.Int32:
		return int64(a.Value(i)), nil
	case *array.Int64:
		return a.Value(i), nil
	case *array.Uint8:
		return int64(a.Value(i)), nil
	case *array.Uint16:
		return int64(a.Value(i)), nil
	case *array.Uint32:
		return int64(a.Value(i)), nil
	case *array.Uint64:
		if a.Value(i) > math.MaxInt64 {
			return nil, errors.New("the number is too large")
		}
		return int64(a.Value(i)), nil
	}
	return nil, fmt.Errorf("no value of type %s is read", a.DataType())
}

func (s Shape) text(text string) (any, error) {
	switch {
	case !utf8.ValidString(text):
		return nil, errNotText
	case s.JSON && !json.Valid([]byte(text)):
		return nil, fmt.Errorf("%.80q is no JSON", text)
	case s.JSON:
		return json.RawMessage(text), nil
	case s.As != "":
		return map[string]any{s.As: text}, nil
	}
	return text, nil
}
