package pair

import (
	"context"

	"rpo/activities/store"
	"rpo/schemas"
)

// extend publishes the objects of the version that a refresh began from together
// with those of m. Whatever made the same watermark already is returned as it is.
// A version that somebody else published meanwhile is InvalidInput: what it has
// consumed is not known here. If no pair is new nothing is published, so the rows
// stay new and are looked at again together with later ones.
func (a *Activities) extend(ctx context.Context, in PublishInput, m schemas.Manifest, out *schemas.PairResult) error {
	newest, _, err := store.LatestVersion(ctx, a.Store, in.Dataset)
	if err != nil {
		return err
	}
	base := newest
	out.Pairs = rowsOf(m.Objects(schemas.TablePair))
	switch {
	case newest.Watermark == in.Extends.Watermark:
		out.Total, out.DatasetManifest = rowsOf(newest.Objects), newest.Manifest
		out.Version, out.Hash = newest.Number, newest.Hash
		out.Baselines, err = a.published(ctx, in)
		return err
	case newest.Number != in.Extends.Parent:
		return schemas.Errorf(schemas.InvalidInput,
			"version %d of data set %s was published while this refresh, which began from version %d, was at work: start the refresh again, its calls are cached",
			newest.Number, in.Dataset, in.Extends.Parent)
	case out.Pairs == 0:
		out.Total, out.DatasetManifest = rowsOf(newest.Objects), newest.Manifest
		out.Version, out.Hash = newest.Number, newest.Hash
		return nil
	case in.Extends.Anew:
		base = schemas.DatasetVersion{}
	}
	whole, err := a.join(ctx, in, base, m)
	if err != nil {
		return err
	}
	// The data set itself comes last: once it has the watermark these rows are
	// consumed, and baselines that lack them would lack them for ever.
	for _, table := range schemas.BaselineTables {
		name := in.Dataset + "-" + table
		before, err := a.beside(ctx, name, base)
		if err != nil {
			return err
		}
		v, err := a.publishJoined(ctx, in, name, table, before, m, whole)
		if err != nil {
			return err
		}
		if v.Number > 0 {
			out.Baselines = append(out.Baselines, baseline(v))
		}
	}
	v, err := a.publishJoined(ctx, in, in.Dataset, schemas.TablePair, base, m, whole)
	out.Version, out.Hash, out.DatasetManifest, out.Total = v.Number, v.Hash, v.Manifest, rowsOf(v.Objects)
	return err
}

// publishJoined publishes the objects of before and those of one table of m; none
// if both have no rows.
func (a *Activities) publishJoined(ctx context.Context, in PublishInput, dataset, table string, before schemas.DatasetVersion, m schemas.Manifest, whole string) (schemas.DatasetVersion, error) {
	objects := append(before.Objects[:len(before.Objects):len(before.Objects)], filled(m, table)...)
	if len(objects) == 0 {
		return schemas.DatasetVersion{}, nil
	}
	counts := map[string]int64{}
	for _, c := range []map[string]int64{before.Counts, m.Counts} {
		for name, n := range c {
			counts[name] += n
		}
	}
	return store.PublishVersion(ctx, a.Store, schemas.DatasetVersion{
		Dataset: dataset, Objects: objects, Job: m.Job, Manifest: whole, Counts: counts, Watermark: in.Extends.Watermark,
	})
}

// join writes the manifest of all shards of the version to be made.
func (a *Activities) join(ctx context.Context, in PublishInput, base schemas.DatasetVersion, m schemas.Manifest) (uri string, err error) {
	all := schemas.Manifest{Job: schemas.ID("refresh", in.Dataset, in.Extends.Watermark), Stage: "refresh", Counts: map[string]int64{}}
	parts := []schemas.Manifest{m}
	if base.Number > 0 {
		before, err := store.GetManifest(ctx, a.Store, base.Manifest)
		if err != nil {
			return "", err
		}
		parts = []schemas.Manifest{before, m}
	}
	for _, part := range parts {
		all.Books = all.Books.Add(part.Books)
		for name, n := range part.Counts {
			all.Counts[name] += n
		}
		for _, s := range part.Shards {
			s.Shard = len(all.Shards)
			all.Shards = append(all.Shards, s)
		}
	}
	return store.PutManifest(ctx, a.Store, all)
}

// beside is the version of a baseline that was made together with base: the newest
// one of its manifest. Later ones are left over from refreshes that did not end.
func (a *Activities) beside(ctx context.Context, dataset string, base schemas.DatasetVersion) (schemas.DatasetVersion, error) {
	if base.Number == 0 {
		return schemas.DatasetVersion{}, nil
	}
	v, ok, err := store.LatestVersion(ctx, a.Store, dataset)
	for ok && err == nil && v.Manifest != base.Manifest {
		if v.Number == 1 {
			return schemas.DatasetVersion{}, nil
		}
		v, err = store.Version(ctx, a.Store, dataset, v.Number-1)
	}
	return v, err
}

// published are the baselines' versions that have the watermark already.
func (a *Activities) published(ctx context.Context, in PublishInput) (out []schemas.PublishedBaseline, err error) {
	for _, table := range schemas.BaselineTables {
		v, ok, err := store.LatestVersion(ctx, a.Store, in.Dataset+"-"+table)
		if err != nil {
			return nil, err
		}
		if ok && v.Watermark == in.Extends.Watermark {
			out = append(out, baseline(v))
		}
	}
	return out, nil
}

func baseline(v schemas.DatasetVersion) schemas.PublishedBaseline {
	return schemas.PublishedBaseline{Dataset: v.Dataset, Version: v.Number, Hash: v.Hash, Rows: rowsOf(v.Objects)}
}

// filled are a table's objects that hold rows.
func filled(m schemas.Manifest, table string) (out []schemas.Object) {
	for _, o := range m.Objects(table) {
		if o.Rows > 0 {
			out = append(out, o)
		}
	}
	return out
}

func rowsOf(objects []schemas.Object) (rows int64) {
	for _, o := range objects {
		rows += o.Rows
	}
	return rows
}
