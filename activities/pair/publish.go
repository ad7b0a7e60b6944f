package pair

import (
	"context"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// PublishInput names the pairs and the data set that gets a new version.
type PublishInput struct {
	Dataset  string `json:"dataset"`
	Manifest string `json:"manifest"`
}

// PublishVersion lists the pairs of a manifest as the next version of a data
// set. Nothing is written if the newest version holds the same objects.
func (a *Activities) PublishVersion(ctx context.Context, in PublishInput) (schemas.PairResult, error) {
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return schemas.PairResult{}, err
	}
	out := schemas.PairResult{Dataset: in.Dataset, PairsByG: map[string]int64{}}
	for name, n := range m.Counts {
		if g, ok := strings.CutPrefix(name, countPrefix); ok {
			out.PairsByG[g] = n
		}
	}
	var objects []schemas.Object
	for _, o := range m.Objects(schemas.TablePair) {
		if o.Rows > 0 {
			objects = append(objects, o)
			out.Pairs += o.Rows
		}
	}
	if out.Pairs == 0 {
		return out, schemas.Errorf(schemas.InvalidInput,
			"no pairs: every turn's responses have the same verdicts, or were dropped "+
				"(%d irreversible, %d below min_margin, %d unverified), or have no verdicts (%d of %d); "+
				"raise responses or temperature, and look at what the judge stage set aside",
			m.Counts["dropped_irreversible"], m.Counts["dropped_small_margin"], m.Counts["dropped_unverified"], m.Books.Skipped, m.Books.In)
	}
	v, err := store.PublishVersion(ctx, a.Store, schemas.DatasetVersion{
		Dataset: in.Dataset, Hash: schemas.Hash(objects), Objects: objects,
		Job: m.Job, Manifest: in.Manifest, Counts: m.Counts,
	})
	out.Version, out.Hash = v.Number, v.Hash
	return out, err
}
