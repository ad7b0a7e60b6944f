package schemas

import (
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// ColumnType describes a column for readers outside this system: what a dataset
// card needs, without Arrow.
type ColumnType struct {
	Name string
	// Scalar is the Arrow name of a scalar ("utf8", "int64", "float64", "bool"),
	// "" for a struct.
	Scalar string
	// Fields are the fields of a struct.
	Fields []ColumnType
	// List says that a value is a list of what Scalar or Fields describe. No row
	// type holds a list of lists.
	List bool
}

// ColumnTypes describes the columns of a row type in their order, from the
// schema that SchemaOf derives.
func ColumnTypes[T any]() []ColumnType {
	schema, _ := SchemaOf[T]()
	return columnTypes(schema.Fields())
}

func columnTypes(fields []arrow.Field) []ColumnType {
	var out []ColumnType
	for _, f := range fields {
		c, t := ColumnType{Name: f.Name}, f.Type
		if l, ok := t.(*arrow.ListType); ok {
			c.List, t = true, l.Elem()
		}
		if s, ok := t.(*arrow.StructType); ok {
			c.Fields = columnTypes(s.Fields())
		} else {
			c.Scalar = t.Name()
		}
		out = append(out, c)
	}
	return out
}

// String writes the type as "utf8", "list<utf8>" or "list<struct{role: utf8}>".
func (c ColumnType) String() string {
	s := c.Scalar
	if c.Fields != nil {
		var fields []string
		for _, f := range c.Fields {
			fields = append(fields, f.Name+": "+f.String())
		}
		s = "struct{" + strings.Join(fields, ", ") + "}"
	}
	if c.List {
		return "list<" + s + ">"
	}
	return s
}
