package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// column is an exported field of a row type with its `parquet:"name[,dict]"` tag.
type column struct {
	reflect.StructField
	name string
	dict bool
}

var columnCache sync.Map // reflect.Type -> []column

func columns(t reflect.Type) []column {
	if c, ok := columnCache.Load(t); ok {
		return c.([]column)
	}
	var out []column
	for f := range t.Fields() {
		tag, ok := f.Tag.Lookup("parquet")
		if !ok {
			panic(fmt.Sprintf("field %s.%s has no parquet tag", t, f.Name))
		}
		name, option, _ := strings.Cut(tag, ",")
		out = append(out, column{StructField: f, name: name, dict: option == "dict"})
	}
	columnCache.Store(t, out)
	return out
}

// SchemaOf derives the Arrow schema of a row type and the paths of the columns
// that are dictionary-encoded. A Go pointer is a nullable value; everything else
// is never null, except that lists and their elements are declared nullable,
// because arrow v17 loses the nullability of list elements.
func SchemaOf[T any]() (*arrow.Schema, []string) {
	var dictionaries []string
	fields := structFields(reflect.TypeFor[T](), "", &dictionaries)
	return arrow.NewSchema(fields, nil), dictionaries
}

func structFields(t reflect.Type, path string, dictionaries *[]string) []arrow.Field {
	var fields []arrow.Field
	for _, c := range columns(t) {
		p := path + c.name
		typ, nullable := arrowType(c.Type, p, dictionaries)
		if c.dict {
			if c.Type.Kind() == reflect.Slice {
				p += ".list.element"
			}
			*dictionaries = append(*dictionaries, p)
		}
		fields = append(fields, arrow.Field{Name: c.name, Type: typ, Nullable: nullable})
	}
	return fields
}

func arrowType(t reflect.Type, path string, dictionaries *[]string) (arrow.DataType, bool) {
	switch t.Kind() {
	case reflect.String:
		return arrow.BinaryTypes.String, false
	case reflect.Int64:
		return arrow.PrimitiveTypes.Int64, false
	case reflect.Float64:
		return arrow.PrimitiveTypes.Float64, false
	case reflect.Bool:
		return arrow.FixedWidthTypes.Boolean, false
	case reflect.Pointer:
		inner, _ := arrowType(t.Elem(), path, dictionaries)
		return inner, true
	case reflect.Struct:
		return arrow.StructOf(structFields(t, path+".", dictionaries)...), false
	case reflect.Slice:
		inner, _ := arrowType(t.Elem(), path+".list.element", dictionaries)
		return arrow.ListOfField(arrow.Field{Name: "element", Type: inner, Nullable: true}), true
	}
	panic(fmt.Sprintf("column %s: no Arrow type for Go type %s", path, t))
}

// errNotText is a string that other Parquet readers, the trainer's among them,
// refuse to read.
var errNotText = errors.New("the text is not UTF-8")

// appendValue appends v, whose Go type gave b's Arrow type.
func appendValue(b array.Builder, v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			b.AppendNull()
			return nil
		}
		v = v.Elem()
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		if !utf8.ValidString(v.String()) {
			return errNotText
		}
		b.Append(v.String())
	case *array.Int64Builder:
		b.Append(v.Int())
	case *array.Float64Builder:
		b.Append(v.Float())
	case *array.BooleanBuilder:
		b.Append(v.Bool())
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range columns(v.Type()) {
			if err := appendValue(b.FieldBuilder(i), v.FieldByIndex(f.Index)); err != nil {
				return fmt.Errorf("column %q: %w", f.name, err)
			}
		}
	case *array.ListBuilder:
		b.Append(true)
		for i := range v.Len() {
			if err := appendValue(b.ValueBuilder(), v.Index(i)); err != nil {
				return err
			}
		}
	default:
		panic(fmt.Sprintf("no builder for %s", b.Type()))
	}
	return nil
}

// readValue fails on a null where the Go type has none: read as a zero it would
// silently become a value.
func readValue(a arrow.Array, i int, v reflect.Value) error {
	if a.IsNull(i) {
		if k := v.Kind(); k == reflect.Pointer || k == reflect.Slice {
			return nil
		}
		return fmt.Errorf("a value that is never null is null")
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch a := a.(type) {
	case *array.String:
		// Clone: the value would otherwise keep the whole batch alive.
		v.SetString(strings.Clone(a.Value(i)))
	case *array.Int64:
		v.SetInt(a.Value(i))
	case *array.Float64:
		v.SetFloat(a.Value(i))
	case *array.Boolean:
		v.SetBool(a.Value(i))
	case *array.Struct:
		for j, f := range columns(v.Type()) {
			if err := readValue(a.Field(j), i, v.FieldByIndex(f.Index)); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	case *array.List:
		start, end := a.ValueOffsets(i)
		if end == start {
			return nil
		}
		v.Set(reflect.MakeSlice(v.Type(), int(end-start), int(end-start)))
		for j := range int(end - start) {
			if err := readValue(a.ListValues(), int(start)+j, v.Index(j)); err != nil {
				return err
			}
		}
	default:
		panic(fmt.Sprintf("no reader for %s", a.DataType()))
	}
	return nil
}
