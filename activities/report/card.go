package report

import (
	"bytes"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"rpo/schemas"
)

// Card is everything a dataset card says. Texts that are "" are left out.
type Card struct {
	Dataset string
	Version int
	// Hash is the dataset version's hash.
	Hash  string
	Files []CardFile
	// Pairs counts the rows of the split "train", PairsByG the same by g.
	Pairs    int64
	PairsByG map[string]int64
	// Model sampled the responses, JudgedBy judged them, Sources are where the
	// profiles come from.
	Model, JudgedBy, Sources string
	// License is an identifier of the Hugging Face Hub such as "apache-2.0", or
	// the name of another licence.
	License string
	// Summary is that of the run, nil if there is none.
	Summary *schemas.Summary
	// Books are those of the stage that made the pairs.
	Books schemas.Books
}

// CardFile is one file of the data set, Parquet or JSON lines.
type CardFile struct {
	// Path is relative to the folder of the card and stays inside it.
	Path string
	Rows int64
	// Bytes is the size of the file.
	Bytes int64
	// Split is the file's split, "" for "train".
	Split string
}

// split is a split with its files.
type split struct {
	Name        string
	Paths       []string
	Rows, Bytes int64
}

const defaultSplit = "train"

// splitName is what the datasets library takes as the name of a split.
var splitName = regexp.MustCompile(`^\w+(\.\w+)*$`)

// columnMeanings says what each column of the pair table holds.
var columnMeanings = map[string]string{
	"pair_id":              "identifier of the pair, the same for the same texts",
	"prompt":               "system message with the reversed constraints in place, the turns before, and the user's query",
	"chosen":               "one assistant message that follows every constraint of the prompt",
	"rejected":             "one assistant message that fails `margin` of them",
	"margin":               "g: the number of constraints of the prompt that `rejected` fails",
	"turn_id":              "the turn that both responses answer",
	"dialogue_id":          "the dialogue of the turn",
	"profile_id":           "the profile of the dialogue; split by this column, never by row",
	"chosen_response_id":   "the sampled response in `chosen`",
	"rejected_response_id": "the sampled response in `rejected`",
	"reversed":             "the constraints that were replaced in the system message: the original, its opposite and what wrote the opposite",
	"differing":            "ids of the `margin` constraints on which the two responses differ",
	"case":                 "the paper's case (1 to 6) of the two responses under the prompt before reversal",
	"model":                "the model that sampled both responses",
	"judged_by":            "what judged the two responses: rules, or judge models by name",
	"not_applicable":       "policy for constraints that do not apply to one of the two: `exclude` (neither reversed nor counted) or `followed` (they count as followed, as in the paper)",
}

// hubLicenses are the common licence identifiers of the Hub. Any other is
// written as "other" with its name, as the Hub asks for.
var hubLicenses = []string{
	"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "unlicense", "cc0-1.0",
	"cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0",
	"odc-by", "odbl", "pddl", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0",
	"llama3", "llama3.1", "llama3.2", "llama3.3", "gemma", "openrail", "unknown", "other",
}

var cardTemplate = template.Must(template.New("card.md").Funcs(template.FuncMap{
	"count": count, "percent": percent, "points": points, "markdown": markdown, "code": code,
}).ParseFS(templates, "templates/card.md"))

// DatasetCard writes the README.md of a data set in the layout of the Hugging
// Face Hub: what `datasets` needs to load the folder, then prose. Its column
// table is derived from schemas.Pair.
func DatasetCard(c Card) ([]byte, error) {
	splits, err := splitsOf(c)
	if err != nil {
		return nil, err
	}
	v := cardView{
		Card: c, Splits: splits, License: strings.TrimSpace(c.License), ByG: sortedByG(c.PairsByG),
		Trained: c.Summary != nil && c.Summary.TrainSteps > 0, Compared: c.Summary != nil && newHeadline(*c.Summary).Evaluated,
	}
	if v.Compared {
		v.Headline = newHeadline(*c.Summary)
	}
	columns := schemas.ColumnTypes[schemas.Pair]()
	for _, column := range columns {
		v.Columns = append(v.Columns, cardColumn{column.Name, column.String(), columnMeanings[column.Name]})
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	frontMatter(&b, c, splits, columns)
	b.WriteString("---\n\n")
	if err := cardTemplate.Execute(&b, v); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "write the card of data set %s: %w", c.Dataset, err)
	}
	return b.Bytes(), nil
}

// cardView is what the template of the prose reads.
type cardView struct {
	Card
	License  string
	Splits   []split
	ByG      []gCount
	Columns  []cardColumn
	Trained  bool
	Compared bool
	Headline headline
}

// Name is the data set's name for the title.
func (v cardView) Name() string {
	if v.Dataset == "" {
		return "Preference pairs"
	}
	return v.Dataset
}

// JSONLines says that the files are no Parquet.
func (v cardView) JSONLines() bool {
	return len(v.Files) > 0 && strings.HasSuffix(v.Files[0].Path, ".jsonl")
}

// Share is the part of all pairs that n is.
func (v cardView) Share(n int64) string {
	if v.Pairs <= 0 {
		return none
	}
	return percent(float64(n) / float64(v.Pairs))
}

type cardColumn struct{ Name, Type, Meaning string }

// splitsOf groups the files by split, in the order of their first file, and
// checks that the card would not contradict the data.
func splitsOf(c Card) ([]split, error) {
	var splits []split
	for _, f := range c.Files {
		name := f.Split
		if name == "" {
			name = defaultSplit
		}
		if !splitName.MatchString(name) {
			return nil, schemas.Errorf(schemas.InvalidInput, "write the card of data set %s: %q is no split name; use letters, digits and underscores", c.Dataset, name)
		}
		if clean := path.Clean(f.Path); f.Path == "" || path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains(f.Path, "://") {
			return nil, schemas.Errorf(schemas.InvalidInput, "write the card of data set %s: file %q does not lie below the card; give its path relative to the card", c.Dataset, f.Path)
		}
		i := slices.IndexFunc(splits, func(s split) bool { return s.Name == name })
		if i < 0 {
			i = len(splits)
			splits = append(splits, split{Name: name})
		}
		s := &splits[i]
		s.Paths, s.Rows, s.Bytes = append(s.Paths, f.Path), s.Rows+f.Rows, s.Bytes+f.Bytes
	}
	rows := int64(0)
	for _, s := range splits {
		if s.Name == defaultSplit {
			rows = s.Rows
		}
	}
	if rows != c.Pairs {
		return nil, schemas.Errorf(schemas.CorruptData, "write the card of data set %s: the files of split %s hold %d rows, but %d pairs were counted", c.Dataset, defaultSplit, rows, c.Pairs)
	}
	byG := int64(0)
	for n := range maps.Values(c.PairsByG) {
		byG += n
	}
	if len(c.PairsByG) > 0 && byG != c.Pairs {
		return nil, schemas.Errorf(schemas.CorruptData, "write the card of data set %s: the pairs by g sum up to %d, but %d pairs were counted", c.Dataset, byG, c.Pairs)
	}
	return splits, nil
}
