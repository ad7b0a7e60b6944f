package requeue

import (
	"reflect"
	"strings"

	"rpo/schemas"
)

// mend takes the texts of a turn from one that a person has changed: its system
// message, history and query. Ids, constraints and what is triggered stay, and
// each constraint's text must still stand in the system message, in order; its
// place is found anew.
func mend(old, changed schemas.Turn) (schemas.Turn, error) {
	fail := func(format string, args ...any) (schemas.Turn, error) {
		return old, schemas.Errorf(schemas.InvalidInput, "mended turn %s: "+format, append([]any{old.TurnID}, args...)...)
	}
	out := old
	out.System, out.History, out.Query = changed.System, changed.History, changed.Query
	out.Constraints = append([]schemas.Constraint(nil), old.Constraints...)
	end := 0
	for i := range out.Constraints {
		c := &out.Constraints[i]
		at := int(c.Start)
		if at < end || at+len(c.Text) > len(out.System) || out.System[at:at+len(c.Text)] != c.Text {
			found := strings.Index(out.System[end:], c.Text)
			if found < 0 {
				return fail("the constraint %.200q no longer stands in its system message: restore its text, or import the mended profile", c.Text)
			}
			at = end + found
		}
		c.Start, c.End = int64(at), int64(at+len(c.Text))
		end = int(c.End)
	}
	rest := changed
	rest.System, rest.History, rest.Query, rest.Constraints = old.System, old.History, old.Query, old.Constraints
	if !reflect.DeepEqual(rest, old) {
		return fail("only system, history and query can be mended")
	}
	return out, nil
}
