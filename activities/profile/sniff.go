package profile

import (
	"bytes"
	"encoding/json"

	"rpo/schemas"
)

// Formats of a file to import.
const (
	FormatSystemIFEval = "system_ifeval"
	FormatIFEval       = "ifeval"
	FormatProfiles     = "profiles"
	FormatSeeds        = "seeds"
)

// Sniff recognizes the format of a file by the fields of its first line. first
// should hold that line whole; where it does not, the fields that it does hold
// must suffice.
func Sniff(first []byte) (format string, err error) {
	first = bytes.TrimLeft(bytes.TrimPrefix(first, []byte("\ufeff")), " \t\r\n")
	fields := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(first))
	whole := false
	if t, err := d.Token(); err == nil && t == json.Delim('{') {
		for d.More() {
			t, err := d.Token()
			if err != nil {
				break
			}
			name, ok := t.(string)
			if !ok {
				break
			}
			fields[name] = true
			var value json.RawMessage
			if d.Decode(&value) != nil {
				break
			}
		}
		t, err := d.Token()
		whole = err == nil && t == json.Delim('}')
	}
	switch {
	case fields["instruction_id_list"] && fields["messages"]:
		return FormatSystemIFEval, nil
	case fields["instruction_id_list"] && whole:
		return FormatIFEval, nil
	case fields["description"], fields["system"] && whole && !fields["constraints"]:
		return FormatSeeds, nil
	case fields["system"] || fields["constraints"]:
		return FormatProfiles, nil
	case len(fields) > 0 && !whole:
		return "", schemas.Errorf(schemas.InvalidInput, "import: cannot tell the format from the first %d bytes; is the first line one whole JSON object?", len(first))
	}
	return "", schemas.Errorf(schemas.InvalidInput, "import: cannot tell the format from the line %s: it must be a JSON object with "+
		"instruction_id_list and messages (System-IFEval), instruction_id_list and prompt (IFEval), system and constraints (profiles), or description or system alone (seeds)", shown(first))
}
