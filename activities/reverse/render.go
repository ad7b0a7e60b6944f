package reverse

import (
	"strings"

	"rpo/schemas"
)

// Render replaces the spans of reversed constraints in a system message by their
// opposites' texts and copies every other byte. opposites maps constraint ids to
// texts; constraints are ordered by Start. It fails with CorruptData if a span
// does not hold its constraint's text.
func Render(system string, constraints []schemas.Constraint, opposites map[string]string) (string, error) {
	var out strings.Builder
	at := int64(0)
	for _, c := range constraints {
		if c.Start < at || c.End < c.Start || c.End > int64(len(system)) || system[c.Start:c.End] != c.Text {
			return "", schemas.Errorf(schemas.CorruptData, "render constraint %s: bytes %d to %d of the system message are not its text",
				c.ConstraintID, c.Start, c.End)
		}
		out.WriteString(system[at:c.Start])
		if text, ok := opposites[c.ConstraintID]; ok {
			out.WriteString(text)
		} else {
			out.WriteString(c.Text)
		}
		at = c.End
	}
	out.WriteString(system[at:])
	return out.String(), nil
}
