package report

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"text/template"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// baselineMeanings says what the columns hold that pairs do not have, or have with
// another meaning.
var baselineMeanings = map[string]map[string]string{
	schemas.TableDPO: {
		"prompt":    "system message as it was written, the turns before, and the user's query",
		"chosen":    "one assistant message that follows more of the constraints than `rejected`",
		"rejected":  "one assistant message that follows fewer",
		"margin":    "the constraints that only `chosen` follows less those that only `rejected` follows",
		"reversed":  "empty: nothing is reversed",
		"differing": "ids of the constraints on which the two responses differ",
	},
	schemas.TableKTO: {
		"desirability_id": "identifier of the row",
		"prompt":          "system message as it was written, the turns before, and the user's query",
		"completion":      "one assistant message",
		"label":           "whether the response is desirable: `score` is at least " + strconv.FormatFloat(schemas.DesirableScore, 'g', -1, 64),
		"score":           "share of the counted constraints that the response follows, 0 to 1",
		"response_id":     "the sampled response in `completion`",
		"model":           "the model that sampled the response",
		"judged_by":       "what judged the response: rules, or judge models by name",
		"not_applicable":  "policy for constraints that do not apply to the response: `exclude` (not counted) or `followed`",
	},
	schemas.TableSFT: {
		"demonstration_id": "identifier of the row",
		"prompt":           "system message as it was written, the turns before, and the user's query",
		"completion":       "one assistant message: the best response to the turn",
		"score":            "share of the counted constraints that the response follows, 0 to 1",
		"response_id":      "the sampled response in `completion`",
		"model":            "the model that sampled the response",
		"judged_by":        "what judged the response: rules, or judge models by name",
		"not_applicable":   "policy for constraints that do not apply to the response: `exclude` (not counted) or `followed`",
	},
}

// baselineTitles say in a few words what the rows of a baseline are.
var baselineTitles = map[string]string{
	schemas.TableDPO: "pairs of responses by the gap of their scores, under unreversed prompts, as direct preference optimization takes them",
	schemas.TableKTO: "responses with whether they are desirable, under unreversed prompts, as Kahneman-Tversky optimization takes them",
	schemas.TableSFT: "the best response to each turn, under unreversed prompts, as supervised fine-tuning takes them",
}

var baselineTemplate = template.Must(template.New("baseline.md").Funcs(template.FuncMap{
	"count": count, "markdown": markdown, "code": code,
}).ParseFS(templates, "templates/baseline.md"))

// VersionCard writes the card of one version of a data set of pairs, or of a
// baseline's data, whose objects were written to files. It says where the rows come
// from as far as the version's manifest and its first rows do.
func VersionCard(ctx context.Context, s store.Store, v schemas.DatasetVersion, files []CardFile) ([]byte, error) {
	m, err := store.GetManifest(ctx, s, v.Manifest)
	if err != nil {
		return nil, err
	}
	c := Card{Dataset: v.Dataset, Version: v.Number, Hash: v.Hash, Files: files, Books: m.Books}
	for _, f := range files {
		c.Pairs += f.Rows
	}
	a := &Activities{Store: s}
	table := store.TableOf(v)
	switch table {
	case schemas.TablePair:
		if err := a.provenance(ctx, m, v.Objects[0], &c); err != nil {
			return nil, err
		}
		c.PairsByG = pairsByG(v.Counts, c.Pairs)
		return DatasetCard(c)
	case schemas.TableDPO:
		if err := a.provenance(ctx, m, v.Objects[0], &c); err != nil {
			return nil, err
		}
		return baselineCard(c, table, schemas.ColumnTypes[schemas.Pair]())
	case schemas.TableKTO:
		return baselineCard(c, table, schemas.ColumnTypes[schemas.Desirability]())
	case schemas.TableSFT:
		return baselineCard(c, table, schemas.ColumnTypes[schemas.Demonstration]())
	}
	return nil, schemas.Errorf(schemas.InvalidInput, "write the card of data set %s: its objects are of table %q, of which no data set is made", v.Dataset, table)
}

// pairsByG are the counts by g, nil if they are not those of all pairs.
func pairsByG(counts map[string]int64, pairs int64) map[string]int64 {
	prefix := strings.TrimSuffix(pair.CountKey(1), "1")
	out, sum := map[string]int64{}, int64(0)
	for name, n := range counts {
		if g, ok := strings.CutPrefix(name, prefix); ok {
			out[g] = n
			sum += n
		}
	}
	if sum != pairs {
		return nil
	}
	return out
}

func baselineCard(c Card, table string, columns []schemas.ColumnType) ([]byte, error) {
	splits, err := splitsOf(c)
	if err != nil {
		return nil, err
	}
	view := struct {
		Card
		Title   string
		Columns []cardColumn
	}{Card: c, Title: baselineTitles[table]}
	for _, column := range columns {
		meaning, ok := baselineMeanings[table][column.Name]
		if !ok {
			meaning = columnMeanings[column.Name]
		}
		view.Columns = append(view.Columns, cardColumn{column.Name, column.String(), meaning})
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	frontMatter(&b, c, splits, columns)
	b.WriteString("---\n\n")
	if err := baselineTemplate.Execute(&b, view); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "write the card of data set %s: %w", c.Dataset, err)
	}
	return b.Bytes(), nil
}
