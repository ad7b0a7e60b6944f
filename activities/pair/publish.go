package pair

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// PublishInput names the pairs and the data set that gets a new version.
type PublishInput struct {
	Dataset  string `json:"dataset"`
	Manifest string `json:"manifest"`
	// Extends, if not nil, has the version hold its parent's objects, too.
	Extends *schemas.Extension `json:"extends,omitempty"`
}

// PublishVersion lists the pairs of a manifest as the next version of a data
// set, and the baselines' rows, where there are any, as versions of theirs.
// Nothing is written if the newest version holds the same objects.
func (a *Activities) PublishVersion(ctx context.Context, in PublishInput) (schemas.PairResult, error) {
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return schemas.PairResult{}, err
	}
	out := schemas.PairResult{Dataset: in.Dataset, PairsByG: map[string]int64{}, PairsByCase: map[string]int64{}}
	for name, n := range m.Counts {
		if g, ok := strings.CutPrefix(name, countPrefix); ok {
			out.PairsByG[g] = n
		}
		if paperCase, ok := strings.CutPrefix(name, casePrefix); ok {
			out.PairsByCase[paperCase] = n
		}
	}
	if in.Extends != nil {
		err := a.extend(ctx, in, m, &out)
		return out, err
	}
	v, rows, err := a.publish(ctx, in, m, in.Dataset, schemas.TablePair)
	if err != nil {
		return out, err
	}
	if rows == 0 {
		return out, noPairs(m)
	}
	out.Version, out.Hash, out.Pairs = v.Number, v.Hash, rows
	for _, table := range schemas.BaselineTables {
		v, rows, err := a.publish(ctx, in, m, in.Dataset+"-"+table, table)
		if err != nil {
			return out, err
		}
		if rows > 0 {
			out.Baselines = append(out.Baselines, baseline(v))
		}
	}
	return out, nil
}

// publish makes a version of one table's objects that hold rows; none if no object
// does.
func (a *Activities) publish(ctx context.Context, in PublishInput, m schemas.Manifest, dataset, table string) (v schemas.DatasetVersion, rows int64, err error) {
	objects := filled(m, table)
	if rows = rowsOf(objects); rows == 0 {
		return v, 0, nil
	}
	v, err = store.PublishVersion(ctx, a.Store, schemas.DatasetVersion{
		Dataset: dataset, Hash: schemas.Hash(objects), Objects: objects,
		Job: m.Job, Manifest: in.Manifest, Counts: m.Counts,
	})
	return v, rows, err
}

// noPairs says why a stage made none.
func noPairs(m schemas.Manifest) error {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(m.Counts)) {
		if reason, ok := strings.CutPrefix(name, "dropped_"); ok && m.Counts[name] > 0 {
			why = append(why, fmt.Sprintf("%s %d", strings.ReplaceAll(reason, "_", " "), m.Counts[name]))
		}
	}
	dropped := "none was dropped"
	if len(why) > 0 {
		dropped = "dropped: " + strings.Join(why, ", ")
	}
	return schemas.Errorf(schemas.InvalidInput,
		"no pairs: %d of %d responses were skipped (no verdicts, or duplicates), and of the rest every turn's have the same verdicts or their pairs were dropped (%s); "+
			"raise responses or temperature, loosen the filters, and look at what the judge stage set aside",
		m.Books.Skipped, m.Books.In, dropped)
}
