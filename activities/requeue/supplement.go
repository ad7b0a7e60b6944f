package requeue

import (
	"context"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// Requeued is what a supplement holds.
type Requeued struct {
	// Manifest is the URI of the supplement, Workflow what is to be started on it.
	Manifest string `json:"manifest"`
	Workflow string `json:"workflow"`
	Stage    string `json:"stage"`
	// Rows were chosen; Primary counts the rows of the table that the stage reads,
	// which are fewer where several chosen rows belong to one.
	Rows    int64 `json:"rows"`
	Primary int64 `json:"primary"`
	Shards  int   `json:"shards"`
}

// Mended replaces turns by their ids.
type Mended map[string]schemas.Turn

// Supplement writes the chosen rows that the stage of a manifest set aside, with
// all that they are joined with, as a manifest for that stage. Its shards have
// numbers after those of the first, are of one split each, and are no larger than
// the largest of those. Its books count the chosen rows.
//
// All responses of a turn come with a quarantined one: pairs are built from the
// responses of a turn together.
func Supplement(ctx context.Context, s store.Store, uri string, c Choice, mended Mended) (Requeued, error) {
	base, err := store.GetManifest(ctx, s, uri)
	if err != nil {
		return Requeued{}, err
	}
	o, ok := origins[base.Stage]
	if !ok {
		return Requeued{}, schemas.Errorf(schemas.InvalidInput,
			"requeue rows of %s: stage %q takes none back; export the rows of an import, mend them and import them", uri, base.Stage)
	}
	rows, err := Rows(ctx, s, base, c)
	if err != nil {
		return Requeued{}, err
	}
	out := Requeued{Workflow: o.workflow, Stage: base.Stage, Rows: int64(len(rows))}
	if len(rows) == 0 {
		return out, schemas.Errorf(schemas.InvalidInput, "requeue rows of %s: no quarantined row is chosen; `rpo quarantine list` counts them", uri)
	}
	w := writer{store: s, origin: o, next: base.Shards[len(base.Shards)-1].Shard + 1, most: 1, mended: mended, seen: set{}}
	for _, shard := range base.Shards {
		w.most = max(w.most, shard.Objects[o.primary].Rows)
	}
	by := byShard(rows)
	for _, split := range []string{schemas.SplitTrain, schemas.SplitEval} {
		for _, shard := range base.Shards {
			of := by[shard.Shard]
			if shard.Split != split || len(of) == 0 {
				continue
			}
			if err := w.add(ctx, shard, of); err != nil {
				return out, err
			}
		}
		if err := w.flush(ctx, split); err != nil {
			return out, err
		}
	}
	if len(w.mended) != w.used {
		return out, schemas.Errorf(schemas.InvalidInput, "requeue rows of %s: of %d mended turns only %d are among the chosen rows", uri, len(w.mended), w.used)
	}
	out.Primary, out.Shards = w.rows, len(w.shards)
	out.Manifest, err = store.PutSupplement(ctx, s, schemas.Manifest{
		Job: schemas.ID("supplement", base.Job, base.Stage, schemas.Hash(w.objects)), Shards: w.shards,
		Books:  schemas.Books{In: out.Rows, OK: out.Rows},
		Counts: map[string]int64{"requeued": out.Rows, o.primary + "s": out.Primary},
	})
	return out, err
}

// writer collects rows over shards and writes them as new ones.
type writer struct {
	store store.Store
	origin
	mended  Mended
	used    int
	next    int
	most    int64
	open    []table
	seen    set // of the tables' names
	shards  []schemas.ManifestShard
	objects []schemas.Object
	rows    int64
}

// add takes what the rows of one shard need, and writes a shard once it is full.
func (w *writer) add(ctx context.Context, shard schemas.ManifestShard, rows []Row) error {
	x := selection{set{}, set{}, set{}, set{}, set{}}
	if err := w.choose(ctx, w.store, shard, rows, &x); err != nil {
		return err
	}
	var full int64
	if w.open == nil {
		for _, make := range w.carries {
			w.open = append(w.open, make())
		}
	}
	for _, t := range w.open {
		o, ok := shard.Objects[t.name()]
		if !ok || slices.Contains(w.makes, t.name()) {
			continue
		}
		w.seen[t.name()] = true
		before := t.len()
		if err := t.add(ctx, w.store, o, x); err != nil {
			return err
		}
		if t.name() == w.primary {
			full = int64(t.len())
			w.rows += full - int64(before)
			if t.len() == before {
				return schemas.Errorf(schemas.CorruptData, "requeue rows of shard %d: none of its %ss belongs to them", shard.Shard, w.primary)
			}
		}
		if turns, ok := t.(*tableOf[schemas.Turn]); ok {
			for i := before; i < len(turns.rows); i++ {
				m, ok := w.mended[turns.rows[i].TurnID]
				if !ok {
					continue
				}
				var err error
				if turns.rows[i], err = mend(turns.rows[i], m); err != nil {
					return err
				}
				w.used++
			}
		}
	}
	if full >= w.most {
		return w.flush(ctx, shard.Split)
	}
	return nil
}

func (w *writer) flush(ctx context.Context, split string) error {
	shard := schemas.ManifestShard{Shard: w.next, Split: split, Objects: map[string]schemas.Object{}}
	for _, t := range w.open {
		// A later stage demands the tables that it joins, though they be empty.
		if !w.seen[t.name()] {
			continue
		}
		o, err := t.put(ctx, w.store)
		if err != nil {
			return err
		}
		shard.Objects[t.name()] = o
		w.objects = append(w.objects, o)
	}
	w.open, w.seen = nil, set{}
	if len(shard.Objects) > 0 {
		w.shards = append(w.shards, shard)
		w.next++
	}
	return nil
}
