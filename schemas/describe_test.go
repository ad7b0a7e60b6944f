package schemas

import "testing"

func TestColumnTypesDescribeScalarsListsAndStructs(t *testing.T) {
	got := map[string]string{}
	for _, c := range ColumnTypes[Pair]() {
		got[c.Name] = c.String()
	}
	schema, _ := SchemaOf[Pair]()
	if len(got) != schema.NumFields() {
		t.Errorf("%d columns described, the schema has %d", len(got), schema.NumFields())
	}
	for name, want := range map[string]string{
		"pair_id":   "utf8",
		"prompt":    "list<struct{role: utf8, content: utf8}>",
		"margin":    "float64",
		"case":      "int64",
		"differing": "list<utf8>",
		"judged_by": "list<utf8>",
	} {
		if got[name] != want {
			t.Errorf("column %s is %q, want %q", name, got[name], want)
		}
	}
}
