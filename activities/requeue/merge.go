package requeue

import (
	"context"
	"slices"
	"strings"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// Merged is what a merge published.
type Merged struct {
	// Versions are those of the pairs and, after it, of the baselines' data.
	Versions []schemas.DatasetVersion
	// Added counts the pairs of the supplement, Replaced those of the version before
	// whose turns it made anew.
	Added, Replaced int64
}

// Merge puts the pairs of a supplement's pair stage into a data set as its next
// version: the newest version's objects, without the rows of turns that the
// supplement has pairs of, then the supplement's. So the rows are those that one
// run without the quarantine would have made. The data of the baselines are merged
// in the same way where the data set has them.
//
// Books and counts are the sums over both stages, but for the pairs and the pairs
// by g, which are counted anew. Merging twice publishes one version.
func Merge(ctx context.Context, s store.Store, dataset, supplement string) (Merged, error) {
	sup, err := store.GetManifest(ctx, s, supplement)
	if err != nil {
		return Merged{}, err
	}
	if rows(sup.Objects(schemas.TablePair)) == 0 {
		return Merged{}, schemas.Errorf(schemas.InvalidInput,
			"merge into data set %s: manifest %s of stage %s holds no pairs: start the stages up to BuildPairs on the supplement", dataset, supplement, sup.Stage)
	}
	for {
		x := merger{s: s, dataset: dataset, sup: sup, uri: supplement}
		out, published, err := x.merge(ctx)
		if err != nil || published {
			return out, err
		}
		// Another version was published meanwhile: its rows belong into the next.
	}
}

type merger struct {
	s       store.Store
	dataset string
	sup     schemas.Manifest
	uri     string
}

// publication is one table on its way into a data set.
type publication struct {
	table string
	from  schemas.DatasetVersion
	merged
}

func (x merger) merge(ctx context.Context) (out Merged, published bool, err error) {
	var all []publication
	for _, table := range append([]string{schemas.TablePair}, schemas.BaselineTables...) {
		p := publication{table: table}
		name := x.dataset
		if table != schemas.TablePair {
			name += "-" + table
		}
		var ok bool
		if p.from, ok, err = store.LatestVersion(ctx, x.s, name); err != nil {
			return out, false, err
		}
		if !ok && table == schemas.TablePair {
			return out, false, schemas.Errorf(schemas.NotFound, "merge into data set %s: it has no version; `rpo dataset list` names those there are", name)
		}
		if !ok {
			continue
		}
		if p.merged, err = x.table(ctx, table, p.from.Objects); err != nil {
			return out, false, err
		}
		all = append(all, p)
	}
	m, err := x.manifest(ctx, all)
	if err != nil {
		return out, false, err
	}
	uri, err := store.PutManifest(ctx, x.s, m)
	if err != nil {
		return out, false, err
	}
	// The pairs come last: a merge that was interrupted before begins from the same
	// version of them again, and finds the baselines' versions made.
	for i := len(all) - 1; i >= 0; i-- {
		v := all[i].from
		v.Objects, v.Job, v.Manifest, v.Counts = all[i].objects, m.Job, uri, m.Counts
		v, ok, err := store.PublishAfter(ctx, x.s, v, v.Number)
		if err != nil || !ok {
			return out, false, err
		}
		out.Versions = append(out.Versions, v)
	}
	slices.Reverse(out.Versions)
	out.Added, out.Replaced = all[0].added, all[0].removed
	return out, true, nil
}

// manifest is that of the merged pair stage: what training takes.
func (x merger) manifest(ctx context.Context, all []publication) (schemas.Manifest, error) {
	from := all[0].from
	base, err := store.GetManifest(ctx, x.s, from.Manifest)
	if err != nil {
		return base, err
	}
	m := schemas.Manifest{Job: schemas.ID("merge", from.Hash, x.uri), Stage: "pair", Books: base.Books.Add(x.sup.Books), Counts: map[string]int64{}}
	byG := strings.TrimSuffix(pair.CountKey(1), "1")
	for _, counts := range []map[string]int64{from.Counts, x.sup.Counts} {
		for name, n := range counts {
			if name != "pairs" && !strings.HasPrefix(name, byG) {
				m.Counts[name] += n
			}
		}
	}
	for _, o := range all[0].objects {
		pairs, err := store.GetRows[schemas.Pair](ctx, x.s, o)
		if err != nil {
			return m, err
		}
		m.Counts["pairs"] += int64(len(pairs))
		for _, p := range pairs {
			m.Counts[pair.CountKey(p.Margin)]++
		}
	}
	// The profiles say where the pairs come from, and which a refresh has consumed.
	profiles := publication{table: schemas.TableProfile}
	profiles.objects = append(base.Objects(schemas.TableProfile), x.sup.Objects(schemas.TableProfile)...)
	for _, p := range append(all, profiles) {
		for i, o := range p.objects {
			if i == len(m.Shards) {
				m.Shards = append(m.Shards, schemas.ManifestShard{Shard: i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}})
			}
			m.Shards[i].Objects[p.table] = o
		}
	}
	return m, nil
}

func rows(objects []schemas.Object) (n int64) {
	for _, o := range objects {
		n += o.Rows
	}
	return n
}

func (x merger) table(ctx context.Context, table string, base []schemas.Object) (merged, error) {
	switch table {
	case schemas.TableKTO:
		return mergeTable(ctx, x, base, table, func(r schemas.Desirability) string { return r.TurnID })
	case schemas.TableSFT:
		return mergeTable(ctx, x, base, table, func(r schemas.Demonstration) string { return r.TurnID })
	}
	return mergeTable(ctx, x, base, table, func(r schemas.Pair) string { return r.TurnID })
}

// merged are the objects of a version, with the rows that came and went.
type merged struct {
	objects        []schemas.Object
	added, removed int64
}

func mergeTable[T any](ctx context.Context, x merger, base []schemas.Object, table string, turn func(T) string) (out merged, err error) {
	made := set{}
	var added []schemas.Object
	for _, o := range x.sup.Objects(table) {
		rows, err := store.GetRows[T](ctx, x.s, o)
		if err != nil {
			return out, err
		}
		for _, r := range rows {
			made[turn(r)] = true
		}
		if out.added += o.Rows; o.Rows > 0 {
			added = append(added, o)
		}
	}
	for _, o := range base {
		rows, err := store.GetRows[T](ctx, x.s, o)
		if err != nil {
			return out, err
		}
		var kept []T
		for _, r := range rows {
			if !made[turn(r)] {
				kept = append(kept, r)
			}
		}
		out.removed += o.Rows - int64(len(kept))
		if len(kept) == 0 {
			continue
		}
		if len(kept) < len(rows) {
			if o, err = store.PutRows(ctx, x.s, table, kept); err != nil {
				return out, err
			}
		}
		out.objects = append(out.objects, o)
	}
	out.objects = append(out.objects, added...)
	return out, nil
}
