package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// ruleProfile is the rule profile with the semantics of the official checkers.
const ruleProfile = "ifeval"

// ReadSystemIFEval reads System-IFEval rows: {"key", "prompt",
// "instruction_id_list", "kwargs", "messages": [system, user]}. A row becomes
// one profile with one dialogue of one turn. Rows whose constraints cannot be
// aligned one to one with the sentences of the system message, or that have a
// constraint without a rule or without an opposite, are quarantined.
func ReadSystemIFEval(r io.Reader, o Options) (Imported, error) {
	return readIFEval(r, o, SourceSystemIFEval, func(row object) (system, query string, err error) {
		items, paths, err := row.list("messages")
		if err != nil {
			return "", "", err
		}
		if len(items) != 2 {
			return "", "", fmt.Errorf("field messages must hold a system message and a user message, it holds %d", len(items))
		}
		var contents []string
		for i, role := range []string{"system", "user"} {
			m, err := decodeObject(items[i], paths[i], "role", "content")
			if err != nil {
				return "", "", err
			}
			if got, err := m.text("role"); err != nil || got != role {
				return "", "", fmt.Errorf("field %s must be %q", m.at("role"), role)
			}
			content, err := m.text("content")
			if err != nil {
				return "", "", err
			}
			contents = append(contents, content)
		}
		return contents[0], contents[1], nil
	}, "messages")
}

// ReadIFEval reads IFEval rows: {"key", "prompt", "instruction_id_list",
// "kwargs"}. The constraints stand in the user's prompt, so the prompt is the
// profile's system message and the turn's query is "": whoever renders the turn
// sends the instruction as the user's message. Sentences without any sign of a
// constraint are the task and stay outside the spans.
func ReadIFEval(r io.Reader, o Options) (Imported, error) {
	return readIFEval(r, o, SourceIFEval, func(row object) (system, query string, err error) {
		prompt, err := row.text("prompt")
		return prompt, "", err
	})
}

func readIFEval(r io.Reader, o Options, source string, messages func(object) (system, query string, err error), more ...string) (Imported, error) {
	var in Imported
	if err := o.validate(); err != nil {
		return in, err
	}
	lines, err := readLines(r)
	if err != nil {
		return in, err
	}
	in.Books.In = int64(len(lines))
	seen := map[string]int{}
	for _, l := range lines {
		row, err := decodeObject(l.json, "", append([]string{"key", "prompt", "instruction_id_list", "kwargs"}, more...)...)
		if err != nil {
			return Imported{}, atLine(l.number, err)
		}
		key, instructions, err := decodeInstructions(row)
		if err != nil {
			return Imported{}, atLine(l.number, err)
		}
		if first, doubled := seen[key]; doubled {
			return Imported{}, atLine(l.number, fmt.Errorf("key %s is that of line %d: keys must be unique", key, first))
		}
		seen[key] = l.number
		system, query, err := messages(row)
		if err != nil {
			return Imported{}, atLine(l.number, err)
		}
		demands, err := alignRow(source, system, query, instructions)
		if err != nil {
			in.setAside(profileID(source, key, system), fmt.Sprintf("key %s: %v", key, err), l.json)
			continue
		}
		in.add(source, draft{
			sourceID: key, system: system, demands: demands,
			dialogues: [][]exchange{{{query: query}}},
		}, o)
	}
	return in, nil
}

// decodeInstructions reads the fields that both formats share.
func decodeInstructions(row object) (key string, instructions []instruction, err error) {
	var number json.Number
	if err := row.read("key", "a whole number", &number); err != nil {
		return "", nil, err
	}
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return "", nil, fmt.Errorf("field key must be a whole number, it is %s", shown(row.fields["key"]))
	}
	if _, err := row.text("prompt"); err != nil {
		return "", nil, err
	}
	ids, paths, err := row.list("instruction_id_list")
	if err != nil {
		return "", nil, err
	}
	kwargs, kwargsPaths, err := row.list("kwargs")
	if err != nil {
		return "", nil, err
	}
	if len(ids) != len(kwargs) {
		return "", nil, fmt.Errorf("fields instruction_id_list and kwargs must be equally long, they hold %d and %d elements", len(ids), len(kwargs))
	}
	for i := range ids {
		var in instruction
		if err := json.Unmarshal(ids[i], &in.kind); err != nil || in.kind == "" {
			return "", nil, fmt.Errorf("field %s must be a text, it is %s", paths[i], shown(ids[i]))
		}
		d := json.NewDecoder(bytes.NewReader(kwargs[i]))
		d.UseNumber()
		if err := d.Decode(&in.args); err != nil {
			return "", nil, fmt.Errorf("field %s must be an object, it is %s", kwargsPaths[i], shown(kwargs[i]))
		}
		for name, value := range in.args {
			if value == nil { // the hub's copy fills every foreign argument with null
				delete(in.args, name)
			}
		}
		instructions = append(instructions, in)
	}
	return strconv.FormatInt(n, 10), instructions, nil
}

// alignRow gives every instruction its rule and its span; an error is the
// reason to quarantine the row.
func alignRow(source, system, query string, instructions []instruction) ([]demand, error) {
	var demands []demand
	for _, in := range instructions {
		args, err := rules.CanonicalArgs(map[string]any(in.args))
		if err != nil {
			return nil, err
		}
		d := demand{rule: schemas.Rule{Profile: ruleProfile, Kind: in.kind, Args: args}}
		if d.family, err = ruleFamily(d.rule); err != nil {
			return nil, err
		}
		demands = append(demands, d)
	}
	where, user, rest := "system message", query, false
	if source == SourceIFEval {
		where, user, rest = "prompt", system, true
	}
	spans, err := align(system, where, instructions, user, rest)
	if err != nil {
		return nil, err
	}
	for i := range demands {
		demands[i].span = spans[i]
	}
	if err := repeatable(system, user, instructions, spans); err != nil {
		return nil, err
	}
	return inOrder(demands), nil
}

// repeatable refuses a text to repeat that holds another constraint: reversing
// that one would change the text, but not the rule that compares with it.
func repeatable(text, user string, instructions []instruction, spans []span) error {
	if text != user {
		return nil
	}
	for _, in := range instructions {
		prompt := in.args.text("prompt_to_repeat")
		for _, s := range spans {
			if prompt != "" && s.start < len(prompt) {
				return fmt.Errorf("cannot align constraint %s: the text to repeat holds a constraint, whose reversal would change it", in.kind)
			}
		}
	}
	return nil
}

// ruleFamily checks that a rule can judge and can be reversed.
func ruleFamily(r schemas.Rule) (string, error) {
	if _, err := rules.Parse(r); err != nil {
		return "", err
	}
	if _, err := rules.Opposite(schemas.Constraint{ConstraintID: "0", Text: "0", Rule: r}); err != nil {
		return "", fmt.Errorf("no opposite: %w", err)
	}
	return rules.Family(r), nil
}
