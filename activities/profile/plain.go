package profile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

var families = []string{
	schemas.FamilyContent, schemas.FamilyFormat, schemas.FamilyStyle,
	schemas.FamilyRole, schemas.FamilyLogic, schemas.FamilyBehaviour,
}

// ReadPlain reads profiles, one JSON object a line:
//
//	{"id": "…", "split": "train" or "eval", "system": "…",
//	 "constraints": [{"text": "…", "family": "…", "trigger": "…",
//	                  "rule": {"profile": "…", "kind": "…", "args": {…}, "negated": false}}],
//	 "queries": ["…", {"query": "…", "triggered": [0, 2]}],
//	 "dialogues": [[{"query": "…", "answer": "…", "triggered": [1]}, {"query": "…"}]]}
//
// id, system, constraints and one of queries and dialogues are required. Each
// query is a dialogue of one turn; in a dialogue every turn but the last has an
// answer, which is the history of the turns after it. triggered are places in
// constraints; without it a query triggers all of them. The family of a
// constraint is that of its rule, or content, where the profile does not say. A
// constraint with neither rule nor trigger gets the rule that rules.Recognise
// reads from its text, if any, so that no judge model is asked.
//
// Each constraint's text must stand in system; one that stands there more than
// once needs as many constraints, which take the places in order. source names
// the collection in the profile table.
func ReadPlain(r io.Reader, source string, o Options) (Imported, error) {
	var in Imported
	if err := o.validate(); err != nil {
		return in, err
	}
	if err := checkName("the source", source); err != nil {
		return in, schemas.Errorf(schemas.InvalidInput, "import: %w", err)
	}
	lines, err := readLines(r)
	if err != nil {
		return in, err
	}
	in.Books.In = int64(len(lines))
	seen := map[string]int{}
	for _, l := range lines {
		d, err := decodeProfile(l.json)
		if err != nil {
			return Imported{}, atLine(l.number, err)
		}
		if first, doubled := seen[d.sourceID]; doubled {
			return Imported{}, atLine(l.number, fmt.Errorf("id %q is that of line %d: ids must be unique", clipped(d.sourceID), first))
		}
		seen[d.sourceID] = l.number
		in.add(source, d, o)
	}
	return in, nil
}

// checkName keeps what joins into ids free of separators.
func checkName(what, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("%s is blank", what)
	case len(name) > 200:
		return fmt.Errorf("%s is longer than 200 bytes", what)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%s holds a control character", what)
	}
	return nil
}

func decodeProfile(data []byte) (draft, error) {
	var d draft
	row, err := decodeObject(data, "", "id", "split", "system", "constraints", "queries", "dialogues")
	if err != nil {
		return d, err
	}
	if d.sourceID, err = row.text("id"); err != nil {
		return d, err
	}
	if err := checkName("field id", d.sourceID); err != nil {
		return d, err
	}
	if err := d.decode(row); err != nil {
		return d, fmt.Errorf("id %q: %w", clipped(d.sourceID), err)
	}
	return d, nil
}

func (d *draft) decode(row object) (err error) {
	if row.has("split") {
		if d.split, err = row.text("split"); err != nil {
			return err
		}
		if d.split != schemas.SplitTrain && d.split != schemas.SplitEval {
			return fmt.Errorf("field split must be train or eval, it is %q", clipped(d.split))
		}
	}
	if d.system, err = row.text("system"); err != nil {
		return err
	}
	items, paths, err := row.list("constraints")
	if err != nil {
		return err
	}
	listed := make([]demand, len(items))
	texts := make([]string, len(items))
	for i := range items {
		if listed[i], texts[i], err = decodeConstraint(items[i], paths[i]); err != nil {
			return err
		}
	}
	spans, err := locate(d.system, texts, paths)
	if err != nil {
		return err
	}
	for i := range listed {
		listed[i].span = spans[i]
	}
	d.demands = inOrder(listed)
	place := make([]int, len(listed)) // of each listed constraint in d.demands
	for i, c := range listed {
		place[i] = slices.IndexFunc(d.demands, func(o demand) bool { return o.start == c.start })
	}
	d.dialogues, err = decodeDialogues(row, place)
	return err
}

func inOrder(demands []demand) []demand {
	return slices.SortedFunc(slices.Values(demands), func(a, b demand) int { return cmp.Compare(a.start, b.start) })
}

func decodeConstraint(data []byte, path string) (c demand, text string, err error) {
	o, err := decodeObject(data, path, "text", "family", "trigger", "rule")
	if err != nil {
		return c, "", err
	}
	if text, err = o.text("text"); err != nil {
		return c, "", err
	}
	c.family = schemas.FamilyContent
	if o.has("rule") {
		if c.rule, err = decodeRule(o.fields["rule"], o.at("rule")); err != nil {
			return c, "", err
		}
		if c.family, err = ruleFamily(c.rule); err != nil {
			return c, "", fmt.Errorf("field %s: %w", o.at("rule"), err)
		}
	}
	if !o.has("rule") && !o.has("trigger") {
		if r, ok := rules.Recognise(text); ok {
			c.rule, c.family = r, rules.Family(r)
		}
	}
	if o.has("family") {
		if c.family, err = o.text("family"); err != nil {
			return c, "", err
		}
		if !slices.Contains(families, c.family) {
			return c, "", fmt.Errorf("field %s must be one of %s, it is %q", o.at("family"), strings.Join(families, ", "), clipped(c.family))
		}
	}
	if o.has("trigger") {
		if c.trigger, err = o.text("trigger"); err != nil {
			return c, "", err
		}
	}
	return c, text, nil
}

func decodeRule(data []byte, path string) (r schemas.Rule, err error) {
	o, err := decodeObject(data, path, "profile", "kind", "args", "negated")
	if err != nil {
		return r, err
	}
	if r.Profile, err = o.text("profile"); err != nil {
		return r, err
	}
	if r.Kind, err = o.text("kind"); err != nil {
		return r, err
	}
	if o.has("negated") {
		if err := o.read("negated", "true or false", &r.Negated); err != nil {
			return r, err
		}
	}
	if r.Args, err = rules.CanonicalArgs([]byte(o.fields["args"])); err != nil {
		return r, fmt.Errorf("field %s must be an object, it is %s", o.at("args"), shown(o.fields["args"]))
	}
	return r, nil
}

func decodeDialogues(row object, place []int) ([][]exchange, error) {
	if row.has("queries") == row.has("dialogues") {
		return nil, errors.New("give either queries or dialogues")
	}
	var out [][]exchange
	if row.has("queries") {
		items, paths, err := row.list("queries")
		if err != nil {
			return nil, err
		}
		for i := range items {
			e, err := decodeQuery(items[i], paths[i], place)
			if err != nil {
				return nil, err
			}
			out = append(out, []exchange{e})
		}
		return out, nil
	}
	dialogues, paths, err := row.list("dialogues")
	if err != nil {
		return nil, err
	}
	for i := range dialogues {
		var turns []json.RawMessage
		if err := json.Unmarshal(dialogues[i], &turns); err != nil || len(turns) == 0 {
			return nil, fmt.Errorf("field %s must be a list of turns, it is %s", paths[i], shown(dialogues[i]))
		}
		var dialogue []exchange
		for j := range turns {
			e, err := decodeTurn(turns[j], fmt.Sprintf("%s[%d]", paths[i], j), place, j < len(turns)-1)
			if err != nil {
				return nil, err
			}
			dialogue = append(dialogue, e)
		}
		out = append(out, dialogue)
	}
	return out, nil
}

func decodeQuery(data []byte, path string, place []int) (e exchange, err error) {
	if json.Unmarshal(data, &e.query) == nil {
		if strings.TrimSpace(e.query) == "" {
			return e, fmt.Errorf("field %s is blank", path)
		}
		return e, nil
	}
	o, err := decodeObject(data, path, "query", "triggered")
	if err != nil {
		return e, err
	}
	return decodeExchange(o, place)
}

func decodeTurn(data []byte, path string, place []int, answered bool) (e exchange, err error) {
	o, err := decodeObject(data, path, "query", "answer", "triggered")
	if err != nil {
		return e, err
	}
	if e, err = decodeExchange(o, place); err != nil {
		return e, err
	}
	if answered || o.has("answer") {
		e.answer, err = o.text("answer")
	}
	return e, err
}

func decodeExchange(o object, place []int) (e exchange, err error) {
	if e.query, err = o.text("query"); err != nil || !o.has("triggered") {
		return e, err
	}
	var listed []int
	if err := o.read("triggered", "a list of places in constraints, counted from 0", &listed); err != nil {
		return e, err
	}
	e.triggered = []int{}
	for i, n := range listed {
		if n < 0 || n >= len(place) {
			return e, fmt.Errorf("field %s[%d] is %d: the constraints are numbered from 0 to %d", o.at("triggered"), i, n, len(place)-1)
		}
		if slices.Contains(e.triggered, place[n]) {
			return e, fmt.Errorf("field %s[%d] names constraint %d again", o.at("triggered"), i, n)
		}
		e.triggered = append(e.triggered, place[n])
	}
	return e, nil
}
