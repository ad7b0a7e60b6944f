package forget

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// holding are the versions of a data set that name objects with rows that go.
func (w *work) holding(ctx context.Context, dataset string) (numbers []int, newest schemas.DatasetVersion, err error) {
	all, err := store.Versions(ctx, w.store, dataset)
	if err != nil {
		return nil, newest, err
	}
	for _, number := range all {
		if newest, err = store.Version(ctx, w.store, dataset, number); err != nil {
			return nil, newest, err
		}
		if slices.ContainsFunc(newest.Objects, func(o schemas.Object) bool { _, ok := w.replaced(o); return ok }) {
			numbers = append(numbers, number)
		}
	}
	return numbers, newest, nil
}

// allowed refuses, before anything is written, what touches pinned versions or a
// data set that was not named.
func (w *work) allowed(ctx context.Context) error {
	datasets, err := store.Datasets(ctx, w.store)
	if err != nil {
		return err
	}
	if name := w.request.Dataset; name != "" && !slices.Contains(datasets, name) {
		return schemas.Errorf(schemas.NotFound, "there is no data set %q: `rpo dataset list` shows those there are", name)
	}
	var pinned, others []string
	for _, dataset := range datasets {
		numbers, _, err := w.holding(ctx, dataset)
		if err != nil {
			return err
		}
		pins, err := store.Pins(ctx, w.store, dataset)
		if err != nil {
			return err
		}
		for _, number := range numbers {
			if _, ok := pins[number]; ok {
				pinned = append(pinned, fmt.Sprintf("`rpo dataset unpin %s %d`", dataset, number))
			}
		}
		if len(numbers) > 0 && w.request.Dataset != "" && !belongs(dataset, w.request.Dataset) {
			others = append(others, dataset)
		}
	}
	if len(pinned) > 0 {
		return schemas.Errorf(schemas.InvalidInput, "forget: pinned versions hold the rows: remove the pins first by %s", strings.Join(pinned, ", "))
	}
	if len(others) > 0 {
		return schemas.Errorf(schemas.InvalidInput, "forget: other data sets than %s hold the rows, too: %s; name no data set to remove the rows from all", w.request.Dataset, strings.Join(others, ", "))
	}
	return nil
}

// belongs reports whether a data set is another one or made beside it.
func belongs(dataset, to string) bool {
	rest, ok := strings.CutPrefix(dataset, to)
	rest = strings.TrimPrefix(rest, "-requeued")
	return ok && (rest == "" || slices.Contains(schemas.BaselineTables, strings.TrimPrefix(rest, "-")))
}

// watermarks removes the ids of forgotten profiles from what data sets have
// consumed. What names the old ones is replaced with the versions.
func (w *work) watermarks(ctx context.Context) error {
	return w.eachWatermark(ctx, func(key string, data []byte, m schemas.Watermark) error {
		to, err := hashed("watermarks/", m)
		if err != nil {
			return err
		}
		return w.put(ctx, key, to, data, m, "watermark")
	})
}

// eachWatermark gives the watermarks that change, as they are to be.
func (w *work) eachWatermark(ctx context.Context, do func(key string, data []byte, m schemas.Watermark) error) error {
	keys, err := w.store.List(ctx, "watermarks/", "", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		data, err := w.store.Get(ctx, key)
		if err != nil {
			return err
		}
		var m schemas.Watermark
		if err := schemas.DecodeStrict(data, &m); err != nil {
			return schemas.Errorf(schemas.CorruptData, "read %s: %w", w.store.URI(key), err)
		}
		changed := slices.ContainsFunc(m.Profiles, func(id string) bool { return w.closure.Profiles[id] })
		m.Profiles = slices.DeleteFunc(m.Profiles, func(id string) bool { return w.closure.Profiles[id] })
		for i, o := range m.Objects {
			if to, ok := w.replaced(schemas.Object{Key: o.Key}); ok {
				m.Objects[i], changed = schemas.ConsumedObject{Key: to.Key, SHA256: to.SHA256}, true
			}
		}
		if changed {
			slices.SortFunc(m.Objects, func(a, b schemas.ConsumedObject) int { return strings.Compare(a.Key, b.Key) })
			if err := do(key, data, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// versions publishes what is left of every data set, marks the versions that held
// the rows as superseded, and deletes their exported folders and old watermarks.
func (w *work) versions(ctx context.Context) error {
	moved := map[string]string{} // URIs of documents with another name now
	for _, c := range w.proof.Objects {
		if c.After != c.Key && c.After != "" {
			moved[w.store.URI(c.Key)] = w.store.URI(c.After)
		}
	}
	datasets, err := store.Datasets(ctx, w.store)
	if err != nil {
		return err
	}
	for _, dataset := range datasets {
		numbers, newest, err := w.holding(ctx, dataset)
		if err != nil {
			return err
		}
		_, watermark := moved[newest.Watermark]
		if len(numbers) == 0 && !watermark {
			continue
		}
		out := NewVersion{Dataset: dataset, Superseded: numbers}
		if watermark || slices.Contains(numbers, newest.Number) {
			if newest, err = w.publish(ctx, newest, moved, &out); err != nil {
				return err
			}
		}
		w.proof.Versions = append(w.proof.Versions, out)
		if w.dry {
			continue
		}
		for _, number := range numbers {
			if err := store.Supersede(ctx, w.store, dataset, number, newest.Number); err != nil {
				return err
			}
			if err := w.removeFolder(ctx, fmt.Sprintf("datasets/%s/v%06d/", dataset, number)); err != nil {
				return err
			}
		}
	}
	return w.eachWatermark(ctx, func(key string, _ []byte, _ schemas.Watermark) error {
		if w.dry {
			return nil
		}
		return w.store.Delete(ctx, key)
	})
}

// publish makes the version without the rows.
func (w *work) publish(ctx context.Context, v schemas.DatasetVersion, moved map[string]string, out *NewVersion) (schemas.DatasetVersion, error) {
	var objects []schemas.Object
	for _, o := range v.Objects {
		if was, ok := w.plan.Objects[o.Key]; ok {
			out.Removed += was.Removed
			o = was.After
			if w.dry {
				o.Rows = was.Rows - was.Removed
			}
		}
		if out.Rows += o.Rows; o.Rows > 0 {
			objects = append(objects, o)
		}
	}
	if w.dry {
		return v, nil
	}
	table := store.TableOf(v)
	v.Job, v.Objects = schemas.ID("forget", w.proof.Request, v.Hash), objects
	for _, name := range []*string{&v.Manifest, &v.Watermark} {
		if to, ok := moved[*name]; ok {
			*name = to
		}
	}
	if err := w.recount(ctx, &v, table); err != nil {
		return v, err
	}
	v, err := store.PublishVersion(ctx, w.store, v)
	out.Number = v.Number
	return v, err
}

// recount counts the pairs of a version by g anew; its other counts stay those of
// the runs that made it.
func (w *work) recount(ctx context.Context, v *schemas.DatasetVersion, table string) error {
	if table != schemas.TablePair {
		return nil
	}
	byG := strings.TrimSuffix(pair.CountKey(1), "1")
	v.Counts = maps.Clone(v.Counts)
	maps.DeleteFunc(v.Counts, func(name string, _ int64) bool { return name == "pairs" || strings.HasPrefix(name, byG) })
	if v.Counts == nil {
		v.Counts = map[string]int64{}
	}
	for _, o := range v.Objects {
		rows, err := store.GetRows[schemas.Pair](ctx, w.store, o)
		if err != nil {
			return err
		}
		v.Counts["pairs"] += int64(len(rows))
		for _, r := range rows {
			v.Counts[pair.CountKey(r.Margin)]++
		}
	}
	return nil
}

// removeFolder deletes an exported copy of a version.
func (w *work) removeFolder(ctx context.Context, folder string) error {
	keys, err := w.store.List(ctx, folder, "", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		_, sum, err := w.store.Head(ctx, key)
		if err != nil {
			return err
		}
		w.change(Change{Key: key, SHA256: sum, What: "export"})
		if err := w.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
